"""A cut-over application over a real Redis, where Celery cannot be imported: worker, senders, results."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from playbook.lab import Process, RedisServer
from playbook.lab.programs import TASKIQ_READY, taskiq_says
from playbook.lab.surroundings import child_env
from playbook.rewrite import cutover
from tests.playbook import bakery

pytestmark = pytest.mark.integration

PROGRAM = """
import asyncio, json, threading
from bakery import bread, cake, orders
from bakery.worker.sent import Handle

async def ordered(loaves):
    return await orders.order(loaves)

# Each with a loop of its own, which is gone afterwards.
ids = [asyncio.run(ordered(number)) for number in range(3)]
found = {"loops": [Handle(task_id).get(20) for task_id in ids]}

def in_thread():
    found["thread"] = cake.stir.delay_sync(1).get(20)

thread = threading.Thread(target=in_thread)
thread.start()
thread.join()

async def inside():
    later = await cake.stir.apply_async((5,), countdown=0.5)
    early = await later.aready()
    return [early, await later.aget(20), cake.stir.delay_sync(6).id is not None]

found["inside"] = asyncio.run(inside())
found["retried"] = bread.deliver.delay_sync("here", failures=2).get(20)
found["cake"] = orders.order_cake(1).get(20)
found["burnt"] = repr(cake.burn.delay_sync().get(20, propagate=False))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    application = bakery.make(tmp_path_factory.mktemp("bakery"))
    folder = tmp_path_factory.mktemp("cut")
    bakery.settle(cutover.slice_(application, bakery.dual(application)).tree, folder)
    return folder


@pytest.fixture(scope="module")
def environment(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        # The old name: operators may still set it.
        yield child_env(folder, variables={"CELERY_BROKER_URL": server.url})


@pytest.fixture(scope="module")
def worker(folder: Path, environment: dict[str, str]) -> Iterator[Process]:
    modules = ["bakery.main", "bakery.bread", "bakery.cake"]
    command = [sys.executable, "-m", "bakery.worker", *modules, "--workers", "1"]
    log = folder / "worker.log"
    with Process(command, name="worker", log_path=log, env=environment, cwd=folder) as process:
        yield process.wait_ready(lambda: taskiq_says(TASKIQ_READY)(process), 60)


def run(folder: Path, environment: dict[str, str], program: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)


def test_celery_cannot_be_imported(folder: Path, environment: dict[str, str]) -> None:
    done = run(folder, environment, "import celery")
    assert "ModuleNotFoundError" in done.stderr


def test_calls_from_loops_threads_and_tasks_reach_the_worker(
    folder: Path, environment: dict[str, str], worker: Process
) -> None:
    done = run(folder, environment, PROGRAM)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "loops": [0, 1, 2],
        "thread": 2,
        "inside": [False, 6, True],
        "retried": ["here", 2],
        "cake": {"layers": [2, 3], "colour": "red", "task": "bakery.cake.decorate"},
        "burnt": "ValueError('burnt')",
    }
    assert done.stderr.count("CELERY_BROKER_URL is deprecated") == 1
