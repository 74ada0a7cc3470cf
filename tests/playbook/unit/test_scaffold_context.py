"""`current_task` is one object for async tasks, threads, tests in place and Celery."""

import contextvars
import threading
from typing import Any

import pytest
from celery import Celery
from celery._state import get_current_task
from taskiq import AsyncBroker, InMemoryBroker

from playbook.scaffold.worker import context
from playbook.scaffold.worker.broker import equip
from playbook.scaffold.worker.context import current_task
from playbook.scaffold.worker.retries import Retry, RetryPolicy
from playbook.scaffold.worker.running import Request, Running, entered
from playbook.scaffold.worker.serialization import MessageFormatter
from playbook.scaffold.worker.tasks import DurableTask


@pytest.fixture
def broker() -> AsyncBroker:
    in_place = InMemoryBroker(await_inplace=True, cast_types=False)
    in_place.formatter = MessageFormatter()
    return equip(in_place)


@pytest.fixture
def under_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "fallback", get_current_task)


async def test_an_async_task_sees_itself(broker: AsyncBroker) -> None:
    @broker.task("t")
    async def task(a: int, *, b: int) -> tuple[Any, ...]:
        request = current_task.request
        return request.id, current_task.name, request.args, request.kwargs, request.retries, request.is_eager

    sent = await task.kiq(1, b=2)
    seen = (await sent.wait_result()).return_value
    assert list(seen) == [sent.task_id, "t", (1,), {"b": 2}, 0, True]


async def test_a_sync_task_sees_itself_in_its_thread(broker: AsyncBroker) -> None:
    @broker.task("t", bind=True)
    def task(self: Any, a: int) -> tuple[Any, ...]:
        return self.request.id, a, threading.current_thread() is threading.main_thread()

    sent = await task.kiq(3)
    assert (await sent.wait_result()).return_value == (sent.task_id, 3, False)


async def test_what_a_task_sends_knows_where_it_came_from(broker: AsyncBroker) -> None:
    seen: list[Any] = []

    @broker.task("child")
    async def child() -> None:
        seen.append((current_task.request.root_id, current_task.request.parent_id))

    @broker.task("parent")
    async def parent() -> None:
        await child.kiq()

    sent = await parent.kiq()
    await child.kiq()
    assert seen[0] == (sent.task_id, sent.task_id)
    assert seen[1][1] is None
    assert current_task.request.called_directly


async def test_retries_in_place_run_at_once_and_end(broker: AsyncBroker) -> None:
    seen: list[int] = []

    @broker.task("t", bind=True, max_retries=2, default_retry_delay=100)
    async def task(self: Any) -> None:
        seen.append(self.request.retries)
        raise self.retry(exc=ValueError("no"))

    result = await (await task.kiq()).wait_result()
    assert seen == [0, 1, 2]
    assert isinstance(result.error, ValueError)


def test_the_options_of_a_policy_stay_with_the_task(broker: AsyncBroker) -> None:
    @broker.task("t", max_retries=None, autoretry_for=[OSError], retry_backoff=True, queue_name="high")
    async def task() -> None: ...

    assert isinstance(task, DurableTask)
    assert task.labels == {"queue_name": "high"}
    assert task.retry_policy == RetryPolicy(max_retries=None, autoretry_for=(OSError,), retry_backoff=True)


def test_a_bound_task_shows_what_its_callers_pass(broker: AsyncBroker) -> None:
    @broker.task("t", bind=True)
    def task(self: Any, a: int) -> int:
        return a + self.request.retries

    assert task(3) == 3


def test_threads_of_ones_own_see_the_task_with_the_context() -> None:
    found: list[Any] = []
    with entered(Running(Request(id="i"), RetryPolicy())):
        copied = contextvars.copy_context()
    thread = threading.Thread(target=copied.run, args=(lambda: found.append(current_task.request.id),))
    thread.start()
    thread.join()
    assert found == ["i"]


def test_under_celery_it_is_celerys_task(under_celery: None) -> None:
    app = Celery("tests", broker="memory://", set_as_current=False)
    seen: list[Any] = []

    @app.task(bind=True, shared=False, name="t", max_retries=7)
    def task(self: Any) -> None:
        seen.append((current_task.request.id, current_task.name, current_task.max_retries))

    task.apply(task_id="i")
    assert seen == [("i", "t", 7)]
    assert current_task.request.called_directly


def test_under_celery_a_retry_is_celerys(under_celery: None) -> None:
    app = Celery("tests", broker="memory://", set_as_current=False)
    attempts: list[int] = []

    @app.task(shared=False, name="t", max_retries=2)
    def task() -> None:
        attempts.append(current_task.request.retries)
        raise current_task.retry(countdown=0)

    task.apply()
    assert attempts == [0, 1, 2]


def test_a_retry_that_is_not_thrown_is_planned_beside_the_result() -> None:
    with entered(Running(Request(id="i", retries=1), RetryPolicy())) as task:
        assert isinstance(current_task.retry(throw=False, countdown=5), Retry)
    (planned,) = task.attempts
    assert (planned.retries, planned.countdown) == (2, 5)
