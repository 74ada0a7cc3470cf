"""A twin runs what the Celery task runs, and leaves the Celery task alone."""

import asyncio
import functools
import inspect
import threading
from typing import Any

import pytest
from celery import Celery
from taskiq import AsyncTaskiqDecoratedTask, InMemoryBroker
from taskiq.receiver import Receiver

from playbook.scaffold.worker.twins import Twin, native
from playbook.scaffold.worker.wire import wire_signature


def bridge(function: Any) -> Any:
    """A loop bridge, as applications write them."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(function(*args, **kwargs))

    return wrapper


def with_session(function: Any) -> Any:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function("session", *args, **kwargs)

    wrapper.__wire_signature__ = wire_signature(function, first=1)  # type: ignore[attr-defined]
    return wrapper


@pytest.fixture
def app() -> Celery:
    return Celery("tests", set_as_current=False)


def register(twin: Twin, broker: InMemoryBroker) -> Twin:
    twin.broker = broker
    broker.local_task_registry[twin.task_name] = twin
    return twin


async def run(twin: Twin, *args: Any, **kwargs: Any) -> Any:
    register(twin, InMemoryBroker(await_inplace=True))
    result = await (await twin.kiq(*args, **kwargs)).wait_result()
    result.raise_for_error()
    return result.return_value


async def test_a_twin_runs_the_coroutine_below_the_loop_bridge(app: Celery) -> None:
    @app.task(name="t", shared=False)
    @bridge
    async def task() -> int:
        return threading.get_ident()

    assert await run(Twin(task, "t")) == threading.get_ident()


async def test_a_twin_runs_a_plain_function(app: Celery) -> None:
    @app.task(name="t", shared=False)
    def task(x: int, y: int = 2) -> int:
        return x + y

    assert await run(Twin(task, "t"), 1, y=5) == 6


async def test_positional_arguments_are_not_taken_for_the_session(app: Celery) -> None:
    @app.task(name="t", shared=False)
    @bridge
    @with_session
    async def task(session: str, number: int, code: str) -> list[Any]:
        return [session, number, code]

    assert await run(Twin(task, "t"), 1, "007") == ["session", 1, "007"]


async def test_stock_takes_the_first_argument_for_the_session() -> None:
    """The wrapper shows the signature of what it wraps, so each argument is parsed as its left neighbour."""

    async def task(session: str, number: int, year: str) -> list[Any]:
        return [number, year]

    @functools.wraps(task)
    async def naive(*args: Any, **kwargs: Any) -> Any:
        return await task("session", *args, **kwargs)

    stock = InMemoryBroker(await_inplace=True).register_task(naive, task_name="stock")
    result = await (await stock.kiq(1, "007")).wait_result()
    assert result.return_value == [1, 7]


async def test_arguments_arrive_as_they_were_sent(app: Celery) -> None:
    """Celery converts nothing; TaskIQ would make 5 of "5" for an int."""

    @app.task(name="t", shared=False)
    def task(x: int) -> Any:
        return x

    assert await run(Twin(task, "t"), "5") == "5"
    stock = InMemoryBroker(await_inplace=True).register_task(lambda x: x, task_name="stock")
    stock.original_func.__annotations__["x"] = int
    assert (await (await stock.kiq("5")).wait_result()).return_value == 5


async def test_annotations_that_exist_for_type_checkers_only(app: Celery) -> None:
    def task(x: Any) -> Any:
        return x

    task.__annotations__["x"] = "Missing"
    twin = Twin(app.task(task, name="t", shared=False), "t")
    assert await run(twin, 1) == 1
    with pytest.raises(NameError, match="Missing"):
        InMemoryBroker().register_task(task, task_name="stock")


def test_a_twin_does_not_look_at_the_task_when_it_is_made(app: Celery) -> None:
    @app.task(name="t", lazy=True, shared=False)
    def task() -> None: ...

    twin = Twin(task, "t")
    assert not task.__evaluated__(), "Celery would bind the task, and freeze its options"
    assert twin.original_func is not None
    assert task.__evaluated__()


def test_a_twin_does_not_rename_the_function_that_celery_names_its_task_after() -> None:
    def task() -> None: ...

    AsyncTaskiqDecoratedTask(InMemoryBroker(), "t", task, {})
    assert task.__name__ == "task__taskiq_original", "TaskIQ no longer renames; Twin can be simpler"

    app = Celery("tests", set_as_current=False)

    def other() -> None: ...

    celery_task = app.task(other, lazy=True, shared=False)
    twin = Twin(celery_task, f"{__name__}.other")
    Receiver(register_all(twin))
    assert other.__name__ == "other"
    assert f"{__name__}.other" in app.tasks


def register_all(twin: Twin) -> InMemoryBroker:
    broker = InMemoryBroker()
    register(twin, broker)
    return broker


def test_native_shows_the_wire_signature_without_annotations() -> None:
    @bridge
    @with_session
    async def task(session: str, number: int, *, code: str = "x") -> None: ...

    function = native(task)
    assert str(inspect.signature(function)) == "(number, *, code='x')"
    assert function.__annotations__ == {}
    assert function.__name__ == "task"


def test_the_wire_signature_does_not_reach_celery(app: Celery) -> None:
    """Celery must go on accepting at `.delay()` what it accepted before."""

    def stating(function: Any) -> Any:
        wrapper = with_session(function)
        wrapper.__signature__ = wrapper.__wire_signature__
        return wrapper

    async def function(session: str, *, name: str) -> None: ...

    naive = app.task(bridge(stating(function)), name="naive", shared=False)
    with pytest.raises(TypeError):
        naive.__header__(1, 2, 3)
    ours = app.task(bridge(with_session(function)), name="ours", shared=False)
    ours.__header__(1, 2, 3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"first": 1}, "(a, *, b=1, **rest)"),
        ({"named": ("b",)}, "(session, a, **rest)"),
        ({"first": 1, "named": ("b",), "adds": ("c",)}, "(a, *, c, **rest)"),
        ({"first": 1, "adds": ("a",)}, "(a, *, b=1, **rest)"),
    ],
)
def test_wire_signature(options: dict[str, Any], expected: str) -> None:
    def function(session, a, *, b=1, **rest): ...  # type: ignore[no-untyped-def]

    assert str(wire_signature(function, **options)) == expected
