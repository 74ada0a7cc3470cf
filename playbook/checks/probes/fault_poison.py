"""Send three messages that nobody can run: `fault_poison.py SYSTEM`.

One cannot be parsed, one names a task that nobody has, one is of a task that kills each of its workers.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys

from redis import Redis
from taskiq.kicker import AsyncKicker

GARBAGE = "this is no message"


async def poison_taskiq() -> None:
    """Send them to TaskIQ."""
    tasks = importlib.import_module("playbook.checks.probes.fault_tasks")
    await tasks.broker.redis.xadd(tasks.broker.queue_name, {"id": "garbage", "data": GARBAGE})
    await AsyncKicker("faults.unknown", tasks.broker, {}).kiq()
    await tasks.lethal.kiq("lethal")


def poison_celery() -> None:
    """Send them to Celery."""
    tasks = importlib.import_module("playbook.checks.probes.fault_celery")
    importlib.import_module("celery").current_app.send_task("faults.unknown")
    tasks.lethal.delay("lethal")
    Redis.from_url(os.environ["CELERY_BROKER_URL"]).lpush("celery", GARBAGE)


if sys.argv[1] == "taskiq":
    asyncio.run(poison_taskiq())
else:
    poison_celery()
print("null")
