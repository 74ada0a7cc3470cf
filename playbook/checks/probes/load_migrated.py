"""The load on the runtime that the migrated application has received."""

import asyncio
import os
import time
from typing import Any

from reflector.worker.broker import broker
from reflector.worker.plans import Plan
from reflector.worker.sending import send as send_with
from reflector.worker.workflow import chord, start

from playbook.checks.probes import load_work

RESULT = os.environ["TASKIQ_KEY_PREFIX"] + ":result:"
FUNCTIONS = {
    "noop": load_work.noop_async,
    "cpu": load_work.cpu,
    "io_sync": load_work.io_sync,
    "io_async": load_work.io_async,
    "body": load_work.body,
}
tasks: dict[str, Any] = {name: broker.task(name)(function) for name, function in FUNCTIONS.items()}


async def send(kind: str) -> str:
    """Send a task; return its id."""
    return str((await tasks[kind].kiq(time.time())).task_id)


async def send_later(kind: str, delay: float) -> str:
    """Send a task that is due in `delay` seconds."""
    return str((await send_with(tasks[kind], (time.time() + delay,), countdown=delay)).task_id)


async def fan_in(size: int, waiting: bool = True) -> Any:
    """Run a chord; return what its body returns. Without `waiting`, only send it."""
    now = time.time()
    plan = Plan.of(chord([tasks["noop"].s(now) for _ in range(size)], tasks["body"].s()))
    await start(plan, broker)
    if not waiting:
        return None
    while not await broker.result_backend.is_result_ready(plan.final):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return (await broker.result_backend.get_result(plan.final)).return_value
