"""The result of a call, the same for both systems (dual mode; cutover deletes this).

handle = await dispatch(rename, transcript_id, "new")
handle.id, await handle.aready(), await handle.aget(timeout=10)     # in async code
handle.ready(), handle.get(timeout=10), handle.state                # in sync code, as Celery's AsyncResult

Handle(task_id)                                                     # of a task that was sent earlier
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from celery import _state as celery_state
from celery import states
from celery.exceptions import TimeoutError as CeleryTimeoutError
from celery.result import AsyncResult, ResultSet
from taskiq import AsyncBroker, TaskiqResult

from .clients import with_client, with_client_sync
from .flags import System
from .running import running
from .sent import outcome

POLL = 0.1
"""Seconds between two looks at a result that somebody waits for."""


class ResultTimeoutError(CeleryTimeoutError, TimeoutError):
    """The result did not come in time. The task goes on."""


class Handle:
    """A task that was sent, and its result.

    Attributes:
        id: the task's id.
    """

    def __init__(self, id: str, system: System | None = None, sent: Any = None) -> None:
        """Create a handle.

        Args:
            id: the task's id.
            system: where the task went; None: unknown, both are asked.
            sent: the object that Celery returned.
        """
        self.id = id
        self._system = system
        # Made here, because Celery's current app may be another one, or none, in another thread.
        self._celery = AsyncResult(id) if sent is None else sent

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"

    @property
    def task_id(self) -> str:
        """The id, under Celery's other name for it."""
        return self.id

    def ready(self) -> bool:
        """Tell whether the task has ended. Blocks for the look into Redis."""
        return self._look() is not None or self._celery_ready()

    async def aready(self) -> bool:
        """Tell whether the task has ended."""
        return await self._alook() is not None or await asyncio.to_thread(self._celery_ready)

    def get(
        self, timeout: float | None = None, propagate: bool = True, disable_sync_subtasks: bool = True
    ) -> Any:
        """Wait for the task and return what it returned. Blocks the thread.

        Args:
            timeout: seconds to wait; None: for ever.
            propagate: raise the task's error; if not, return it.
            disable_sync_subtasks: refuse to wait inside of a Celery task, as Celery does.

        Raises:
            ResultTimeoutError: there was no result in time.
            RuntimeError: the wait could never end: it would block the worker that is to run the task.
        """
        if self._system == "celery":
            return self._celery_get(timeout, propagate, disable_sync_subtasks)
        if disable_sync_subtasks and celery_state.task_join_will_block():  # type: ignore[attr-defined]
            raise RuntimeError("get() in a Celery task may wait for a worker that waits for it")
        ends = _deadline(timeout)
        while not self.ready():
            _refuse_in_a_worker_loop()
            time.sleep(_pause(ends, self.id))
        return self._value(self._look(), propagate)

    wait = get

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> Any:  # noqa: ASYNC109
        """Wait for the task and return what it returned; see `get`."""
        ends = _deadline(timeout)
        while not await self.aready():  # noqa: ASYNC110 - what is waited for is in Redis
            await asyncio.sleep(_pause(ends, self.id))
        found = await self._alook()
        return await asyncio.to_thread(self._value, found, propagate)

    @property
    def state(self) -> str:
        """Celery's name of the state: PENDING, SUCCESS, FAILURE; on Celery also RETRY and others."""
        found = self._look()
        if found is not None:
            return states.FAILURE if found.is_err else states.SUCCESS
        return states.PENDING if self._system == "taskiq" else _celery_state(self._celery)

    status = state

    @property
    def result(self) -> Any:
        """What the task returned, or its error; None if it has not ended."""
        return self.get(propagate=False) if self.ready() else None

    def successful(self) -> bool:
        """Tell whether the task has ended without an error."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Tell whether the task has ended with an error."""
        return self.state == states.FAILURE

    def _value(self, found: TaskiqResult[Any] | None, propagate: bool) -> Any:
        """Return the value of a task that has ended: on TaskIQ if `found` is given, else on Celery."""
        if found is None:
            return self._celery.get(propagate=propagate, disable_sync_subtasks=False)
        if self._system == "taskiq":
            return outcome(found, propagate)
        # Found by its id alone, a chord's body has an error of its own, as under Celery.
        if found.error is not None and propagate:
            raise found.error
        return found.return_value if found.error is None else found.error

    def _celery_ready(self) -> bool:
        return self._system != "taskiq" and bool(self._celery.ready())

    def _celery_get(self, timeout: float | None, propagate: bool, guard: bool) -> Any:
        try:
            return self._celery.get(timeout=timeout, propagate=propagate, disable_sync_subtasks=guard)
        except CeleryTimeoutError as error:
            raise ResultTimeoutError(f"task {self.id} has no result after {timeout} s") from error

    def _look(self) -> TaskiqResult[Any] | None:
        return None if self._system == "celery" else with_client_sync(_reader(self.id))

    async def _alook(self) -> TaskiqResult[Any] | None:
        return None if self._system == "celery" else await with_client(_reader(self.id))


def _celery_state(sent: Any) -> str:
    """Return the state of what Celery returned; that of a group has no name there."""
    if not isinstance(sent, ResultSet):
        state: str = sent.state
        return state
    if sent.failed():
        return states.FAILURE
    return states.SUCCESS if sent.successful() else states.PENDING


def _reader(task_id: str) -> Callable[[AsyncBroker], Any]:
    async def read(broker: AsyncBroker) -> TaskiqResult[Any] | None:
        if not await broker.result_backend.is_result_ready(task_id):
            return None
        return await broker.result_backend.get_result(task_id)

    return read


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _pause(ends: float | None, task_id: str) -> float:
    """Return how long to sleep before the next look."""
    left = POLL if ends is None else ends - time.monotonic()
    if left <= 0:
        raise ResultTimeoutError(f"task {task_id} has no result in time")
    return min(POLL, left)


def _refuse_in_a_worker_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if running.get() is not None:
        raise RuntimeError("get() in an async task blocks its worker: use `await handle.aget()`")
