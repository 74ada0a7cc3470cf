"""A task that proves the whole way: sender, Redis, worker, result.

    python -m PACKAGE.worker.health [--timeout SECONDS] [--queue NAME]

sends it, waits for its result and prints that. Exit status: 0: it came; 1: no worker answered in time, or the
task failed; 2: Redis cannot be reached.
"""

import argparse
import asyncio
import importlib
import json
import sys
import time
from datetime import UTC, datetime

from taskiq.exceptions import TaskiqError

from .broker import broker
from .connections import ERRORS
from .sending import send

LOOK = 0.05
"""Seconds between two looks for the result."""


@broker.task(task_name=f"{__name__}.health_check")
async def health_check() -> dict[str, str]:
    """Return `{"status": "healthy", "timestamp": <ISO 8601, UTC>}` from the worker that ran it."""
    return {"status": "healthy", "timestamp": datetime.now(UTC).isoformat()}


class UnhealthyError(Exception):
    """No worker has answered in time, or the task failed."""


async def round_trip(patience: float, queue: str | None = None) -> dict[str, object]:
    """Send the task, and return its result with the `seconds` that it took.

    It is not started any more when nobody waits for it.

    Args:
        patience: seconds to wait for the result.
        queue: the queue; None: the first that workers read.

    Raises:
        UnhealthyError: no worker has run it in time, or it failed.
        redis.exceptions.RedisError, OSError, taskiq.exceptions.TaskiqError: Redis cannot be reached.
    """
    started = time.monotonic()
    try:
        async with asyncio.timeout(patience):
            sent = await send(health_check, queue=queue, expires=patience)
            result = await sent.wait_result(check_interval=LOOK)
    except TimeoutError:
        raise UnhealthyError(f"no worker has answered within {patience:g} s") from None
    if result.is_err:
        raise UnhealthyError(f"the task failed: {result.error!r}")
    return {**result.return_value, "seconds": round(time.monotonic() - started, 3)}


async def _run(patience: float, queue: str | None) -> int:
    try:
        print(json.dumps(await round_trip(patience, queue)))
        return 0
    except UnhealthyError as error:
        print(f"unhealthy: {error}", file=sys.stderr)
        return 1
    except (*ERRORS, TaskiqError) as error:
        print(f"unhealthy: Redis cannot be reached: {error.__cause__ or error}", file=sys.stderr)
        return 2
    finally:
        await broker.shutdown()


def main() -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description="Send a task and wait for its result.")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait (10)")
    parser.add_argument("--queue", help="the queue (the first that workers read)")
    options = parser.parse_args()
    return asyncio.run(_run(options.timeout, options.queue))


if __name__ == "__main__":
    # Not this module's own task: workers know it by the module's real name.
    sys.exit(importlib.import_module(__spec__.name).main())
