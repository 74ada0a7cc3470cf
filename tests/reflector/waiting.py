"""Waiting for a condition, with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from reflector.db import Session, get_session_context


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """Return the first true result of `condition`, asked again and again; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"Waited {seconds} s in vain for: {what}")
        time.sleep(0.02)
    return result


async def wait_for_row(load: Callable[[Session], Awaitable[Any]], what: str, seconds: float = 20) -> Any:
    """Return the first true result of `load`, given a new session each time; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        async with get_session_context() as session:
            if result := await load(session):
                return result
        if time.monotonic() > deadline:
            pytest.fail(f"Waited {seconds} s in vain for: {what}")
        await asyncio.sleep(0.02)
