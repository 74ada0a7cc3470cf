"""Waiting for a condition instead of for a fixed time, or for several things at once; and free ports."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

INTERVAL = 0.05


def wait_until(condition: Callable[[], object], timeout: float, interval: float = INTERVAL) -> bool:
    """Poll a condition until it is true.

    Parameters:
        condition: called again and again; exceptions are not caught.
        timeout: seconds after which to give up. The condition is checked at least once.
        interval: seconds between two checks.

    Returns:
        Whether the condition became true in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
    return True


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Call functions at the same time, each in a thread; most of them wait for a process.

    Returns:
        What they return, when all have ended.

    Raises:
        Exception: the first error, when all have ended.
    """
    with ThreadPoolExecutor(len(functions) or 1) as threads:
        futures = [threads.submit(function) for function in functions]
    return [future.result() for future in futures]


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
