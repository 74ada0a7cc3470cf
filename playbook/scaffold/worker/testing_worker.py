"""The worker of the tests, for what they send to TaskIQ (dual mode; cutover deletes this).

Invariants:

- It runs a task if a Celery worker of the tests (`celery.contrib.testing.worker`) runs and reads the task's
  queue. Otherwise the task waits for ever, as in a queue that nobody reads.
- It runs beside the test: one task or workflow after the other, in a thread and loop of its own, and never
  before the call that sent it has returned to the loop. So a test can wait for it as for Celery's worker.
- If tasks are eager (`task_always_eager`), they run inside of the call.
- Handlers of `before_task_publish` and `after_task_publish` hear of what is sent what Celery tells them.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context
from copy import copy
from datetime import datetime
from functools import partial
from typing import Any

from celery import current_app, signals
from celery.contrib.testing.worker import test_worker_started, test_worker_stopped
from taskiq import AsyncBroker, BrokerMessage, TaskiqResult

from .canvases import Workflow
from .plans import Edge
from .sending import aware

logger = logging.getLogger(__name__)

Job = Callable[[], Awaitable[None]]


class SuiteWorker:
    """A thread that runs what is sent to it; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._jobs: asyncio.Queue[Job | None] = asyncio.Queue()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._celery: list[tuple[Any, Any]] = []
        self._propagates: bool | None = None

    def __enter__(self) -> "SuiteWorker":
        test_worker_started.connect(self._started)
        test_worker_stopped.connect(self._stopped)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        test_worker_started.disconnect(self._started)
        test_worker_stopped.disconnect(self._stopped)
        self._loop.call_soon_threadsafe(self._jobs.put_nowait, None)
        self._thread.join()
        self._loop.close()

    def _started(self, worker: Any, consumer: Any, **_: object) -> None:
        self._celery.append((worker, consumer))

    def _stopped(self, worker: Any, **_: object) -> None:
        self._celery = [pair for pair in self._celery if pair[0] is not worker]

    def reads(self, queue: str) -> bool:
        """Tell whether a Celery worker of the tests reads a queue."""
        return any(
            queue == read.name for _, consumer in self._celery for read in consumer.task_consumer.queues
        )

    @contextlib.contextmanager
    def eager(self, propagates: bool) -> Iterator[None]:
        """Run what is sent inside of the call, and raise its error or not, for the time of a `with` block."""
        before, self._propagates = self._propagates, propagates
        try:
            yield
        finally:
            self._propagates = before

    def instead_of(self, send: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Return what takes the place of the `send` of a message or workflow."""

        async def sent(message: Any, client: AsyncBroker) -> None:
            propagates, conf = self._propagates, current_app.conf
            if propagates is None and conf.task_always_eager:
                propagates = bool(conf.task_eager_propagates)
            if propagates is None:
                return await self._send(partial(send, message), message, client)
            await send(message, client)
            if propagates:
                await _raise_error_of(message.id, client)

        return sent

    async def _send(self, send: Callable[..., Awaitable[None]], message: Any, client: AsyncBroker) -> None:
        first, *others = [*_calls(message), None]
        _tell_before(first)
        if not self.reads(first["routing_key"] if first else _queue(None)):
            logger.info("no worker of the tests reads the queue of %s", message.id)
        elif isinstance(message, Workflow):
            self._take(partial(send, client))
        else:
            posting = copy(client)
            posting.kick = partial(self._kick, client, _delay(message.options))  # type: ignore[method-assign]
            await send(posting)
        _tell_after(first)
        for call in others:
            _tell_before(call)
            _tell_after(call)

    async def _kick(self, client: AsyncBroker, delay: float, message: BrokerMessage) -> None:
        self._take(partial(client.kick, message), delay)

    def _take(self, job: Job, delay: float = 0) -> None:
        """Run a job after `delay` seconds, and after those before it."""
        put = partial(self._jobs.put_nowait, job)
        self._loop.call_soon_threadsafe(partial(self._loop.call_later, delay, put))

    async def _run(self) -> None:
        while (job := await self._jobs.get()) is not None:
            try:
                # A worker shares no context with the sender, nor a task with the one before it.
                await asyncio.create_task(_awaited(job), context=Context())
            except Exception:
                logger.exception("a task of the tests could not be run")


async def _awaited(job: Job) -> None:
    await job()


async def _raise_error_of(task_id: str, client: AsyncBroker) -> None:
    if await client.result_backend.is_result_ready(task_id):
        result: TaskiqResult[Any] = await client.result_backend.get_result(task_id)
        if result.error is not None:
            raise result.error


def _calls(message: Any) -> Iterator[dict[str, Any]]:
    """Yield the messages that are sent at once, as Celery tells its handlers of them."""
    if not isinstance(message, Workflow):
        options = message.options
        yield _call(message.task.task_name, message.id, message.args, message.kwargs, options)
        return
    nodes = message.plan.nodes
    edges: list[Edge] = list(message.plan.entries)
    while edges:
        node = nodes[edges.pop(0)[1]]
        edges += node.entries or []
        if node.call is not None:
            yield _call(node.call.task, node.id, node.call.args, node.call.kwargs, node.call.options)


def _call(name: str, task_id: str, args: Any, kwargs: Any, options: Any) -> dict[str, Any]:
    told = {key: options[key] for key in ("countdown", "eta", "expires") if options.get(key) is not None}
    made = current_app.amqp.create_task_message(task_id, name, tuple(args), dict(kwargs), **told)
    key = _queue(options.get("queue"))
    return {"sender": name, "body": made.body, "exchange": "", "routing_key": key, "headers": made.headers}


def _tell_before(call: dict[str, Any] | None) -> None:
    if call is not None:
        signals.before_task_publish.send(**call, declare=[], properties={}, retry_policy=None)


def _tell_after(call: dict[str, Any] | None) -> None:
    if call is not None:
        signals.after_task_publish.send(**call)


def _queue(name: str | None) -> str:
    return name or str(current_app.conf.task_default_queue)


def _delay(options: Any) -> float:
    if options.get("countdown"):
        return float(options["countdown"])
    eta = options.get("eta")
    return 0.0 if eta is None else max(0.0, (aware(eta) - datetime.now(aware(eta).tzinfo)).total_seconds())
