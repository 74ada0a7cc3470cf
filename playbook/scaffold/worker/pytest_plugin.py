"""A plugin of pytest for the application's tests: their broker, and a worker beside them.

    pytest_plugins = ("app.worker.pytest_plugin",)              # in the conftest of the tests

    @pytest.mark.usefixtures("taskiq_session_worker")
    async def test_rename() -> None: ...

With `ENVIRONMENT=pytest` the broker runs tasks in memory. By itself it does so inside of the call that
sends them. That hides a message that is sent before the commit, and code that counts on a task's effect at
once. With this plugin, as with real workers:

- What is sent waits for ever, unless a worker of the tests runs and reads its queue.
- The worker runs it beside the test, one task or workflow after the other, in a thread and loop of its own.
- With `always_eager` it runs inside of the call; with `eager_propagates` its error is raised there.
"""

import asyncio
import contextlib
import importlib
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import Context
from copy import copy
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from taskiq import AsyncBroker, BrokerMessage, InMemoryBroker, TaskiqMessage
from taskiq.kicker import AsyncKicker

from . import workflow
from .broker import broker
from .in_place import run_in_place
from .plans import Edge, Plan
from .sending import aware

logger = logging.getLogger(__name__)

Job = Callable[[], Awaitable[None]]
CONFIG = ("always_eager", "eager_propagates", "default_queue")


class Signal:
    """Something that handlers are told of; they are called with keywords."""

    def __init__(self) -> None:
        self._handlers: list[Callable[..., Any]] = []

    def connect(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Call `handler` from now on; return it."""
        self._handlers.append(handler)
        return handler

    def disconnect(self, handler: Callable[..., Any]) -> None:
        """Call `handler` no more."""
        self._handlers = [known for known in self._handlers if known != handler]

    def send(self, **told: Any) -> None:
        """Call the handlers."""
        for handler in list(self._handlers):
            handler(**told)


before_task_publish, after_task_publish = Signal(), Signal()
"""Told of each message that is sent: `sender` (the task's name), `body` (args, kwargs and {}), `headers`
(`id` and `task`), `routing_key` (the queue) and `exchange`. Of a workflow: of those that are sent at once."""


class SuiteWorker:
    """A thread that runs what the tests send.

    Attributes:
        default_queue: where messages go that name no queue.
        always_eager: whether tasks run inside of the call that sends them.
        eager_propagates: whether their errors are raised there, too.
    """

    def __init__(self) -> None:
        self.default_queue = "taskiq"
        self.always_eager = self.eager_propagates = False
        self._reading: list[Sequence[str]] = []
        self._loop = asyncio.new_event_loop()
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, if it was started."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._jobs.put_nowait, None)
            self._thread.join()
        self._loop.close()

    @property
    def accept_content(self) -> list[str]:
        """What messages are written in, and what alone is read: `json`, or `binary` if it is not JSON."""
        message = TaskiqMessage(task_id="1", task_name="none", labels={}, args=[], kwargs={})
        try:
            json.loads(broker.formatter.dumps(message).message)
        except ValueError:
            return ["binary"]
        return ["json"]

    @contextlib.contextmanager
    def reading(self, *queues: str) -> Iterator["SuiteWorker"]:
        """Read queues for the time of a `with` block; by default the default queue of now."""
        read = queues or (self.default_queue,)
        self._reading.append(read)
        try:
            yield self
        finally:
            self._reading.remove(read)

    async def take(self, first: dict[str, Any] | None, in_place: Job, delay: float = 0) -> None:
        """Run a task or workflow now, later or never.

        Args:
            first: what handlers are told of it, None: nothing is sent at once.
            in_place: runs it to its end.
            delay: seconds until it may start.
        """
        queue = first["routing_key"] if first else self.default_queue
        if self.always_eager:
            await in_place()
        elif any(queue in read for read in self._reading):
            put = partial(self._jobs.put_nowait, in_place)
            self._loop.call_soon_threadsafe(partial(self._loop.call_later, delay, put))
        else:
            logger.info("no worker of the tests reads the queue %s", queue)

    async def _run(self) -> None:
        while (job := await self._jobs.get()) is not None:
            try:
                # A worker shares no context with the sender, nor a task with the one before it.
                await asyncio.create_task(_awaited(job), context=Context())
            except Exception:
                logger.exception("a task of the tests could not be run")


suite = SuiteWorker()


async def _awaited(job: Job) -> None:
    await job()


# The broker


@pytest.fixture(scope="session", autouse=True)
def taskiq_suite() -> Iterator[SuiteWorker]:
    """Send what the application and its tests send to the worker of the tests."""
    assert isinstance(broker, InMemoryBroker), "set ENVIRONMENT=pytest before the application is imported"
    at_once, kiq = copy(broker), AsyncKicker.kiq

    async def kick(message: BrokerMessage) -> None:
        if "_retries" in message.labels:
            # A further attempt belongs to the first one.
            return await at_once.kick(message)
        before_task_publish.send(**(told := _told_of(message)))
        await suite.take(told, partial(at_once.kick, message), _delay(message.labels))
        after_task_publish.send(**told)

    async def start(plan: Plan, _: AsyncBroker) -> None:
        told = list(_told_of_plan(plan))
        for one in told[:1]:
            before_task_publish.send(**one)
        await suite.take(told[0] if told else None, partial(run_in_place, plan, at_once))
        for one in told[:1]:
            after_task_publish.send(**one)
        for one in told[1:]:
            before_task_publish.send(**one)
            after_task_publish.send(**one)
        await _raise_error_of(plan.final)

    async def kiq_and_raise(self: Any, *args: Any, **kwargs: Any) -> Any:
        sent = await kiq(self, *args, **kwargs)
        await _raise_error_of(sent.task_id)
        return sent

    suite.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(broker, "kick", kick)
        patch.setattr(workflow, "run_in_place", start)
        patch.setattr(AsyncKicker, "kiq", kiq_and_raise)
        yield suite


def pytest_unconfigure() -> None:
    """End the worker's thread.

    Not before: the greenlets of a thread that ends, and a tracer of coverage that knows greenlets, may lock
    each other up. By now nothing is traced.
    """
    suite.stop()


@pytest.fixture(scope="session")
def taskiq_config() -> dict[str, Any]:
    """What the conftest may say instead: `always_eager`, `eager_propagates`, `default_queue`.

    The fixtures that it asks for are there before a worker is.
    """
    return {}


@pytest.fixture(scope="session")
def taskiq_includes() -> Sequence[str]:
    """What the conftest may say instead: modules that define tasks, besides those that tests import."""
    return ()


@pytest.fixture(scope="session")
def taskiq_worker_parameters() -> dict[str, Any]:
    """What the conftest may say instead: `queues`, those that workers of the tests read."""
    return {}


@pytest.fixture(scope="session")
def taskiq_broker(taskiq_config: dict[str, Any], taskiq_includes: Sequence[str]) -> AsyncBroker:
    """The application's broker, with its tasks."""
    for module in taskiq_includes:
        importlib.import_module(module)
    for name, value in taskiq_config.items():
        if name not in CONFIG:
            raise pytest.UsageError(f"taskiq_config has {name!r}; known are {', '.join(CONFIG)}")
        setattr(suite, name, value)
    return broker


@pytest.fixture(scope="session")
def taskiq_session_worker(
    taskiq_broker: AsyncBroker, taskiq_worker_parameters: dict[str, Any]
) -> Iterator[SuiteWorker]:
    """A worker, from the first test that asks for it to the end of the run."""
    with suite.reading(*taskiq_worker_parameters.get("queues", ())):
        yield suite


@pytest.fixture
def taskiq_worker(
    taskiq_broker: AsyncBroker, taskiq_worker_parameters: dict[str, Any]
) -> Iterator[SuiteWorker]:
    """A worker for the time of a test."""
    with suite.reading(*taskiq_worker_parameters.get("queues", ())):
        yield suite


async def _raise_error_of(task_id: str) -> None:
    if not (suite.always_eager and suite.eager_propagates):
        return
    if await broker.result_backend.is_result_ready(task_id):
        result = await broker.result_backend.get_result(task_id)
        if result.error is not None:
            raise result.error


# What handlers are told


def _told_of(message: BrokerMessage) -> dict[str, Any]:
    sent = broker.formatter.loads(message.message)
    return _told(sent.task_name, sent.task_id, sent.args, sent.kwargs, sent.labels.get("queue_name"))


def _told_of_plan(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield what is sent at once: the first steps, also those of groups."""
    edges: list[Edge] = list(plan.entries)
    while edges:
        node = plan.nodes[edges.pop(0)[1]]
        edges += node.entries or []
        if node.call is not None:
            call = node.call
            yield _told(call.task, node.id, call.args, call.kwargs, call.options.get("queue"))


def _told(name: str, task_id: str, args: Sequence[Any], kwargs: Any, queue: Any) -> dict[str, Any]:
    return {
        "sender": name,
        "body": (tuple(args), dict(kwargs), {}),
        "headers": {"id": task_id, "task": name},
        "routing_key": queue or suite.default_queue,
        "exchange": "",
    }


def _delay(labels: dict[str, Any]) -> float:
    if labels.get("countdown"):
        return float(labels["countdown"])
    if not labels.get("eta"):
        return 0.0
    eta = aware(datetime.fromisoformat(str(labels["eta"])))
    return max(0.0, (eta - datetime.now(eta.tzinfo)).total_seconds())
