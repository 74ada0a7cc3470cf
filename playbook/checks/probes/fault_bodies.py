"""What the tasks of the fault tests do, on either system, and the ledger in which they note it.

The ledger is a file that no fault touches, named by PLAYBOOK_LEDGER: one JSON object per line, written by
one call in append mode, so that a killed process leaves whole lines. Its times are those of the machine's
monotonic clock, which all processes share and no jump of a wall clock moves; the latter's is noted as well.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

LEDGER_VARIABLE = "PLAYBOOK_LEDGER"
WORLD_VARIABLE = "PLAYBOOK_WORLD"
CREATE = "CREATE TABLE fault_rows (key TEXT)"
INSERT = "INSERT INTO fault_rows VALUES (:key)"
SELECT = "SELECT key FROM fault_rows"

PATIENCE = 2.0
"""Seconds until a request of `post` is given up."""

retries: Callable[[], int] = int
"""Returns how often the running task was tried before; set by the module that registers the tasks."""


class Stumble(Exception):  # noqa: N818 - it is planned
    """What a task raises that is to be tried again."""


RETRIED: dict[str, Any] = {
    "autoretry_for": (Stumble, SQLAlchemyError, OSError, httpx.HTTPError),
    "max_retries": 100,
    "retry_kwargs": {"countdown": 0.2},
}
"""Options of the tasks that may fail, on either system."""


def note(what: str, key: str, **more: Any) -> None:
    """Append a line to the ledger."""
    entry = {
        "what": what,
        "key": key,
        "pid": os.getpid(),
        "at": time.monotonic(),
        "wall": time.time(),
        **more,
    }
    target = os.open(os.environ[LEDGER_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(target, json.dumps(entry).encode() + b"\n")
    finally:
        os.close(target)


async def work(key: str, seconds: float) -> str:
    """Take some time; return the key."""
    note("start", key)
    await asyncio.sleep(seconds)
    note("end", key)
    return key


async def stumble(key: str, seconds: float, failures: int) -> str:
    """Fail so many times, then work."""
    attempt = retries()
    note("start", key, attempt=attempt)
    await asyncio.sleep(seconds)
    if attempt < failures:
        note("fail", key, attempt=attempt)
        raise Stumble(key)
    note("end", key, attempt=attempt)
    return key


async def follow(previous: str, key: str, seconds: float) -> str:
    """Work after another task of the same unit."""
    if previous.partition(".")[0] != key.partition(".")[0]:
        note("wrong", key)
    return await work(key, seconds)


async def join(keys: list[str], key: str, seconds: float, size: int) -> str:
    """Work after all members of a group; they must be complete and in order."""
    unit = key.partition(".")[0]
    if keys != [f"{unit}.{number}" for number in range(size)]:
        note("wrong", key)
    return await work(key, seconds)


async def lethal(key: str) -> None:
    """Kill the process that runs it."""
    note("lethal", key)
    os.kill(os.getpid(), signal.SIGKILL)


async def write(key: str) -> str:
    """Insert a row in a transaction of the application's own."""
    note("start", key, attempt=retries())
    sessions = importlib.import_module("reflector.db").get_session_context
    async with sessions() as session:
        await session.execute(text(INSERT), {"key": key})
    note("end", key, attempt=retries())
    return key


async def post(key: str) -> str:
    """Tell a service of the outside world."""
    note("start", key, attempt=retries())
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE) as client:  # noqa: S501
        url = f"{os.environ[WORLD_VARIABLE]}/webhooks/faults"
        (await client.post(url, json={"key": key})).raise_for_status()
    note("end", key, attempt=retries())
    return key
