"""What was sent, a task or a workflow, and its result.

    handle = await rename.delay(transcript_id, "new")
    handle.id, await handle.aready(), await handle.aget(timeout=10)     # in async code
    handle.ready(), handle.get(timeout=10), handle.state                # in sync code

    Handle(task_id)                                                     # of a task that was sent earlier

Invariant: it may be asked from any loop, thread or child process.
"""

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain, repeat
from typing import Any

from taskiq import AsyncBroker, TaskiqResult

from .clients import with_client, with_client_sync
from .errors import ChordError
from .running import running

POLLS = (0.01, 0.02, 0.05, 0.1)
"""Seconds between looks at a result that somebody waits for; the last for all further ones."""

PENDING, SUCCESS, FAILURE = "PENDING", "SUCCESS", "FAILURE"


class ResultTimeoutError(TimeoutError):
    """The result did not come in time. The task goes on."""


class Handle:
    """A task or a workflow that was sent, and its result.

    Attributes:
        id: the task's id; of a chain the last task's, of a chord the body's, of a group the group's.
    """

    def __init__(self, id: str, *, own: bool = False) -> None:
        """Create a handle.

        Args:
            id: the id.
            own: it comes from whoever sent it. What kept a chord's body from running is the error of the
                whole then; found by its id alone, the body has an error of its own (celery/result.py,
                `maybe_throw`).
        """
        self.id = id
        self._own = own

    def __repr__(self) -> str:
        return f"<Handle {self.id}>"

    @property
    def task_id(self) -> str:
        """The id, under another name for it."""
        return self.id

    def ready(self) -> bool:
        """Tell whether it has ended. Blocks for the look into Redis."""
        return self._look() is not None

    async def aready(self) -> bool:
        """Tell whether it has ended."""
        return await self._alook() is not None

    def get(self, timeout: float | None = None, propagate: bool = True) -> Any:
        """Wait for the result. Blocks the thread.

        Args:
            timeout: seconds to wait; None: for ever.
            propagate: raise the error; if not, return it.

        Returns:
            What the task, the last task of a chain or the body of a chord returned; of a group the list of
            what its members did.

        Raises:
            ResultTimeoutError: there is none in time.
            RuntimeError: an async task waits here; it would block its worker.
            BaseException: the task's error, or the first that keeps a workflow from its end.
        """
        pauses = _pauses(timeout, self.id)
        while (found := self._look()) is None:
            _refuse_in_a_worker_loop()
            time.sleep(next(pauses))
        return self._value(found, propagate)

    wait = get

    async def aget(self, timeout: float | None = None, propagate: bool = True) -> Any:  # noqa: ASYNC109
        """Wait for the result; see `get`."""
        pauses = _pauses(timeout, self.id)
        while (found := await self._alook()) is None:  # noqa: ASYNC110 - what is waited for is in Redis
            await asyncio.sleep(next(pauses))
        return self._value(found, propagate)

    @property
    def state(self) -> str:
        """`PENDING`, `SUCCESS` or `FAILURE`."""
        found = self._look()
        if found is None:
            return PENDING
        return FAILURE if found.is_err else SUCCESS

    status = state

    @property
    def result(self) -> Any:
        """What the task returned, or its error; None if it has not ended."""
        found = self._look()
        return None if found is None else self._value(found, propagate=False)

    def successful(self) -> bool:
        """Tell whether it has ended without an error."""
        return self.state == SUCCESS

    def failed(self) -> bool:
        """Tell whether it has ended with an error."""
        return self.state == FAILURE

    def _value(self, found: TaskiqResult[Any], propagate: bool) -> Any:
        if self._own:
            return outcome(found, propagate)
        if found.error is not None and propagate:
            raise found.error
        return found.return_value if found.error is None else found.error

    def _look(self) -> TaskiqResult[Any] | None:
        return with_client_sync(partial(_read, self.id))

    async def _alook(self) -> TaskiqResult[Any] | None:
        return await with_client(partial(_read, self.id))


def outcome(found: TaskiqResult[Any], propagate: bool = True) -> Any:
    """Return what a workflow returned; raise its error, or return it.

    What kept a chord's body from running is the error of the whole, as under Celery (celery/result.py,
    `maybe_throw`).
    """
    error = found.error
    if not found.is_err:
        return found.return_value
    while isinstance(error, ChordError) and error.__cause__ is not None:
        error = error.__cause__
    error = error or RuntimeError("the task failed, and its error was not recorded")
    if propagate:
        raise error
    return error


async def _read(id: str, client: AsyncBroker) -> TaskiqResult[Any] | None:
    if not await client.result_backend.is_result_ready(id):
        return None
    return await client.result_backend.get_result(id)


def _pauses(timeout: float | None, id: str) -> Iterator[float]:
    """Yield how long to sleep before each further look; raise when the time is over."""
    ends = None if timeout is None else time.monotonic() + timeout
    for pause in chain(POLLS, repeat(POLLS[-1])):
        left = pause if ends is None else ends - time.monotonic()
        if left <= 0:
            raise ResultTimeoutError(f"{id} has no result in time")
        yield min(pause, left)


def _refuse_in_a_worker_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if running.get() is not None:
        raise RuntimeError("get() in an async task blocks its worker: use `await handle.aget()`")
