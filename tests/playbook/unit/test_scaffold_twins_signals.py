"""Handlers of Celery's task signals hear of twins what they hear of Celery tasks."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, signals
from taskiq import InMemoryBroker

from playbook.rewrite import supported
from playbook.scaffold.worker.broker import equip
from playbook.scaffold.worker.signals import CelerySignals
from playbook.scaffold.worker.twins import Twin

Heard = list[tuple[Any, ...]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What handlers are called with, those arguments that do not differ from run to run."""
    found: Heard = []
    handlers = {}
    for name in sorted(supported.SIGNALS):

        def handle(sender: Any = None, signal: Any = None, _name: str = name, **given: Any) -> None:
            shown = [given.get(key) for key in ("task_id", "args", "kwargs", "state")]
            values = [repr(given.get(key)) for key in ("exception", "result")]
            found.append((_name, sender.name, *shown, *values, sorted(given)))

        handlers[name] = handle
        getattr(signals, name).connect(handle, weak=False)
    yield found
    for name, handle in handlers.items():
        getattr(signals, name).disconnect(handle)


@pytest.fixture
def broker() -> InMemoryBroker:
    broker = InMemoryBroker(await_inplace=True, cast_types=False)
    equip(broker)
    broker.add_middlewares(CelerySignals())
    return broker


@pytest.mark.parametrize("name", ["works", "fails", "once_more"])
async def test_a_twin_sends_what_celery_sends(heard: Heard, broker: InMemoryBroker, name: str) -> None:
    app = Celery("tests", set_as_current=False)

    @app.task(name="works", shared=False)
    def works(x: int, y: int = 0) -> int:
        return x + y

    @app.task(name="fails", shared=False)
    def fails(x: int, y: int = 0) -> None:
        raise ValueError("no")

    @app.task(name="once_more", shared=False, bind=True, default_retry_delay=0)
    def once_more(self: Any, x: int, y: int = 0) -> str:
        if self.request.retries == 0:
            raise self.retry()
        return "done"

    app.tasks[name].apply((1,), {"y": 2}, task_id="id")
    by_celery = list(heard)
    heard.clear()

    twin = Twin(app.tasks[name], name)
    twin.broker = broker
    broker.local_task_registry[name] = twin
    await twin.kicker().with_task_id("id").kiq(1, y=2)
    assert len(by_celery) >= 3
    assert sorted(map(repr, heard)) == sorted(map(repr, by_celery))


async def test_other_tasks_are_not_celerys_business(heard: Heard, broker: InMemoryBroker) -> None:
    async def native() -> None: ...

    await broker.register_task(native, "native").kiq()
    assert heard == []
