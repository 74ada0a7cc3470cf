"""A loop for coroutines that do not belong to the caller's loop: one thread per process.

Connections belong to the loop that opened them. A web server, Celery's children and a synchronous script
have many loops, short ones, or none. What talks to Redis for them lives here instead.

Invariant: the thread is started when it is first needed, and again after a fork. It runs this package's own
coroutines only, so that nothing in it ever waits for the thread itself.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _forget() -> None:
    # A forked child has the parent's loop, but not the thread that ran it.
    global _lock, _loop
    _lock, _loop = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)


def background_loop() -> asyncio.AbstractEventLoop:
    """Return this process's background loop, running."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="background-loop", daemon=True).start()
        return _loop


def submit(coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
    """Start a coroutine on the background loop, with the caller's context variables."""
    return asyncio.run_coroutine_threadsafe(coroutine, background_loop())


async def in_background(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the background loop and await its result."""
    return await asyncio.wrap_future(submit(coroutine))


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a loop of its own, from wherever: also below a running loop.

    For code that may itself come back to synchronous code, such as a task that is run in place.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(asyncio.run(coroutine))
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, name="nested-loop").start()
    return result.result()
