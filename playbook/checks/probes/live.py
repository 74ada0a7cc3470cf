"""A client's view of the running TaskIQ worker: round trip, results in Redis, calls inside a transaction."""

import asyncio
import json
from typing import Any

from redis.asyncio import Redis
from reflector.worker.broker import broker
from reflector.worker.health import health_check

from playbook.checks.probes.live_tasks import echo, room_exists
from reflector import db
from reflector.db.rooms import rooms_controller
from reflector.settings import settings

TIMEOUT = 20


async def value(task: Any) -> Any:
    """The result of a sent task."""
    return (await task.wait_result(timeout=TIMEOUT)).return_value


async def stored_result(task_id: str) -> tuple[bool, bool]:
    """Whether what Redis keeps under the task's id is JSON, and whether it expires."""
    async with Redis.from_url(settings.TASKIQ_REDIS_URL or settings.CELERY_BROKER_URL) as redis:
        (key,) = [key async for key in redis.scan_iter(match=f"*{task_id}*")]
        raw, expires = await redis.get(key), await redis.ttl(key)
    try:
        json.loads(raw or "")
    except ValueError:
        return False, expires > 0
    return True, expires > 0


async def main() -> dict[str, Any]:
    """Try all, one after the other."""
    facts: dict[str, Any] = {"health": (await value(await health_check.kiq()))["status"]}
    sent = await echo.kiq({"text": "ü", "numbers": [1, 2.5, None]})
    facts["echo"] = await value(sent)
    facts["result_is_json"], facts["result_expires"] = await stored_result(sent.task_id)
    async with db.get_session_context() as session:
        await rooms_controller.add(session, "announced")
        facts["worker_sees_uncommitted"] = await value(await room_exists.kiq("announced"))
    facts["worker_sees_committed"] = await value(await room_exists.kiq("announced"))
    await broker.shutdown()
    return facts


print(json.dumps(asyncio.run(main())))
