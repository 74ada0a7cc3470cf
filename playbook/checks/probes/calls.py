"""Calls of every kind, through the router: `calls.py`. Prints what their callers get, as JSON.

The route is what it is in Redis. A call that must not run is followed by one that shows when it had its
chance.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from reflector.worker.flags import flags
from reflector.worker.routing import dispatch, dispatch_after_commit, dispatch_apply
from sqlalchemy import text

from playbook.checks.probes.call_tasks import annotated, described, failing, note, pinned, sender
from reflector.db import get_session_context
from reflector.worker import app as celery  # noqa: F401 - makes Reflector's app the current one

DELAY = 0.6
PATIENCE = 5.0
MOMENT = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
VALUES: list[Any] = [MOMENT, date(2026, 2, 28), UUID(int=7), Decimal("1.10"), b"bytes", "007", 7, 1.0, None]


async def send() -> dict[str, tuple[Any, float]]:
    """Make the calls; return handle and time of the first moment at which each may start, by case."""
    sent: dict[str, tuple[Any, float]] = {}

    async def call(case: str, sending: Callable[[], Awaitable[Any]], wait: float = 0.0) -> None:
        earliest = time.time() + wait
        sent[case] = await sending(), earliest

    def in_a_moment() -> datetime:
        return datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=DELAY)

    async def send_later(case: str) -> Any:
        return dispatch_after_commit(session, note, case)

    over = datetime.now(UTC) - timedelta(seconds=5)
    await call("positional", lambda: dispatch(note, "positional", *VALUES))
    await call("by name", lambda: dispatch(note, "by name", values={"of": VALUES, "list": [[MOMENT]]}))
    await call("other types", lambda: dispatch(annotated, "other types", "007", "", 7))
    await call("fails", lambda: dispatch(failing, "fails"))
    await call("a route of its own", lambda: dispatch(pinned, "a route of its own"))
    await call("sends a task", lambda: dispatch(sender, "sends a task"))
    await call("countdown", lambda: dispatch_apply(note, ("countdown",), countdown=DELAY), DELAY)
    await call("due time", lambda: dispatch_apply(note, ("due time",), eta=in_a_moment()), DELAY)
    await call("too late", lambda: dispatch_apply(note, ("too late",), expires=over))
    quiet = "a queue without workers"
    await call(quiet, lambda: dispatch_apply(note, (quiet,), queue="quiet"))
    async with get_session_context() as session:
        await session.execute(text("SELECT 1"))
        await call("rolled back", lambda: send_later("rolled back"))
        await session.rollback()
        await session.execute(text("SELECT 1"))
        await call("committed", lambda: send_later("committed"), DELAY / 2)
        await asyncio.sleep(DELAY / 2)
    await call("last", lambda: dispatch_apply(note, ("last",), countdown=DELAY), DELAY)
    return sent


async def outcome(handle: Any) -> dict[str, Any]:
    """What the caller of a task gets."""
    try:
        return {"result": described(await handle.aget(timeout=PATIENCE))}
    except TimeoutError:
        return {"error": "nothing in time"}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


SILENT = ("too late", "a queue without workers", "rolled back")


async def main() -> None:
    """Send, and wait for those that are to run."""
    flags.set("celery", pinned.name)
    sent = await send()
    heard = [case for case in sent if case not in SILENT]
    outcomes = await asyncio.gather(*(outcome(sent[case][0]) for case in heard))
    got = dict(zip(heard, outcomes, strict=True))
    calls = ((case, handle.id, at) for case, (handle, at) in sent.items())
    print(json.dumps({case: {"id": id_, "earliest": at, **got.get(case, {})} for case, id_, at in calls}))


if __name__ == "__main__":
    asyncio.run(main())
