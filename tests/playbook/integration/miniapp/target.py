"""The tiny application as the lab sees it."""

from pathlib import Path

from playbook.lab import Services, Target

WORKSPACE = Path(__file__).parent
BUCKET = "mini-bucket"
QUEUE = "mini-queue"


def settings(services: Services) -> dict[str, str]:
    return {
        "MINI_REDIS_URL": services.redis_url,
        "MINI_DATABASE_URL": services.database_url,
        "MINI_WORLD_URL": services.world_url,
        "MINI_DATA_DIR": str(services.data_dir),
    }


MINI = Target(
    celery_app="mini.celery_app:app",
    asgi_app="mini.api:app",
    broker="mini.broker:broker",
    scheduler="mini.broker:scheduler",
    health_path="/health",
    setup=("-m", "mini.database"),
    buckets=(BUCKET,),
    queues=(QUEUE,),
    settings=settings,
)

SEND_CELERY = """
import json, sys
from mini.celery_app import app
name, args = sys.argv[1], json.loads(sys.argv[2])
print(json.dumps(app.send_task(name, args=args).id))
"""

SEND_TASKIQ = """
import asyncio, json, sys
from mini.broker import broker
from mini import taskiq_tasks
name, args = sys.argv[1], json.loads(sys.argv[2])
async def main():
    await broker.startup()
    task = await broker.find_task(name).kiq(*args)
    await broker.shutdown()
    return task.task_id
print(json.dumps(asyncio.run(main())))
"""
