"""The loop bridge: async functions as tasks of Celery's synchronous worker."""

import asyncio
import contextvars
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def asynctask(func: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Return a synchronous function that runs `func` to its end in an event loop of its own.

    If the calling thread already runs a loop (a task called directly from async code), the new loop gets a
    thread of its own, because a thread can run only one. The caller's loop waits for it.
    """

    @functools.wraps(func)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(func(*args, **kwargs))
        context = contextvars.copy_context()
        with ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(context.run, asyncio.run, func(*args, **kwargs)).result()

    return wrapper
