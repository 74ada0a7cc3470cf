"""A bakery on Celery that uses much of it: what a cutover finds in applications that are not the bundled
one."""

from __future__ import annotations

from pathlib import Path

from playbook.config import Application, load_application
from playbook.phases import PHASES
from playbook.tree import Tree, read_tree

FILES = {
    "playbook.toml": """
[application]
name = "bakery"
root = "bakery"
celery_app = "bakery.main:celery"
broker = "bakery.worker.broker:broker"
loop_bridges = ["bakery.bridge.run_async"]

[phases.01_poc]
twin = "bakery.cake.stir"
""",
    "bakery/__init__.py": "",
    "bakery/worker/__init__.py": "",
    "bakery/pyproject.toml": """
[project]
name = "bakery"
version = "1"
dependencies = ["celery[redis]>=5.4", "flower", "pydantic-settings"]
""",
    "bakery/requirements-dev.txt": """
celery-types
pytest
kombu==5.5
""",
    "bakery/settings.py": """
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    ENVIRONMENT: str = "production"
    CELERY_BROKER_URL: str = "redis://localhost:6379/5"


settings = Settings()
""",
    "bakery/db.py": """
async def get_session_context():
    yield None
""",
    "bakery/bridge.py": """
import asyncio
import functools


def run_async(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return asyncio.run(function(*args, **kwargs))

    return wrapper
""",
    "bakery/main.py": """
from celery import Celery
from celery.schedules import crontab
from celery.signals import task_failure, worker_ready

from bakery.settings import settings

FAILED = []

celery = Celery("bakery", broker=settings.CELERY_BROKER_URL, include=["bakery.bread", "bakery.cake"])
celery.conf.timezone = "Europe/Berlin"
celery.conf.task_time_limit = 600
celery.conf.beat_schedule = {
    "early": {"task": "bread.bake", "schedule": crontab(hour=4, minute=30), "args": (20,)},
}


@task_failure.connect
def note(sender, exception, **_):
    FAILED.append((sender.name, str(exception)))


@worker_ready.connect
def open_shop(**_):
    print("open")
""",
    "bakery/bread.py": """
from celery import Task
from celery.exceptions import Ignore, SoftTimeLimitExceeded
from celery.utils.log import get_task_logger

from bakery.bridge import run_async
from bakery.main import celery

logger = get_task_logger(__name__)
BAKED = []


@celery.task(name="bread.bake", acks_late=True)
@run_async
async def bake(loaves, kind="rye"):
    BAKED.append((loaves, kind))
    return loaves


@celery.task(bind=True, max_retries=2)
def deliver(self: Task, address, failures=0):
    if self.request.retries < failures:
        raise self.retry(countdown=0)
    return [address, self.request.retries]


@celery.task(autoretry_for=(OSError,), retry_backoff=True, soft_time_limit=30)
def knead(minutes):
    try:
        return minutes
    except SoftTimeLimitExceeded:
        raise Ignore() from None


@celery.task(rate_limit="1/m")
def taste(loaf):
    return loaf
""",
    "bakery/cake.py": """
from celery import current_task, shared_task


@shared_task
def stir(n):
    return n + 1


@shared_task
def decorate(layers, colour="white"):
    return {"layers": layers, "colour": colour, "task": current_task.name}


@shared_task
def burn():
    raise ValueError("burnt")
""",
    "bakery/orders.py": """
from celery.result import AsyncResult

from bakery.bread import bake, deliver, knead
from bakery.cake import decorate, stir


async def order(loaves):
    return (bake.delay(loaves, kind="spelt")).id


async def taste_at_once(loaves):
    return bake(loaves)


def order_for_later(address):
    call = deliver.s(address)
    return call.apply_async(countdown=5)


def order_cake(n):
    from celery import chain, group

    return chain(group(stir.s(n), stir.s(n + 1)), decorate.s(colour="red")).delay()


def urgent(minutes):
    return knead.apply_async((minutes,), priority=9)


def found(task_id) -> AsyncResult:
    return AsyncResult(task_id)


def by_name():
    from bakery.main import celery

    return celery.send_task("bread.bake", (1,))


def of_kind(kind):
    from bakery import cake

    task = getattr(cake, kind)
    return task.delay(1)
""",
    "bakery/Procfile": "worker: celery -A bakery.main worker -l info\nbeat: celery -A bakery.main beat\n",
    "bakery/README.md": "# Bakery\n\nOrders are baked by Celery.\n",
}


BY_HAND = {
    "bakery/bread.py": {
        "from bakery.main import celery\n": "",
        '@celery.task(rate_limit="1/m")': '@broker.task(task_name="bakery.bread.taste")',
    },
    "bakery/main.py": {
        "from celery.signals import worker_ready\n": "",
        '@worker_ready.connect\ndef open_shop(**_):\n    print("open")\n': "",
    },
    "bakery/orders.py": {
        ", priority=9": "",
        "    from bakery.main import celery\n\n": "",
        'celery.send_task("bread.bake", (1,))': "bake.delay_sync(1)",
        "return task.delay(1)": "return task.delay_sync(1)",
    },
}
"""What the refusals ask for: old text, new text."""

WITHOUT_CELERY = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"celery", "kombu", "billiard", "vine", "amqp"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
"""


def make(folder: Path) -> Application:
    """Write the bakery to a folder."""
    for path, text in FILES.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.lstrip("\n"), encoding="utf-8")
    return load_application(folder / "playbook.toml")


def dual(application: Application) -> Tree:
    """The bakery in dual mode: everything that can be moved has been."""
    tree = read_tree(application.base, application.folders)
    for phase in PHASES:
        if phase.slice is not None and phase.name < "06":
            tree = phase.slice(application, tree).tree
    return tree


def settle(tree: Tree, folder: Path) -> None:
    """Write a cut-over bakery to a folder, its refusals settled by hand, where Celery cannot be imported."""
    for path, changes in BY_HAND.items():
        text = tree[path]
        for old, new in changes.items():
            if old not in text:
                raise ValueError(f"{path} has no {old!r}")
            text = text.replace(old, new)
        tree = tree.with_file(path, text)
    for path in tree:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(tree[path], encoding="utf-8")
    (folder / "sitecustomize.py").write_text(WITHOUT_CELERY, encoding="utf-8")
