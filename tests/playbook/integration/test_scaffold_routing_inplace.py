"""Routed calls in an application's own tests, where tasks run in place; what stock TaskIQ does (T19, T20)."""

import asyncio
import json
import subprocess
import sys

import pytest
from taskiq import InMemoryBroker
from taskiq_redis import RedisStreamBroker

from playbook.lab import RedisServer
from playbook.lab.surroundings import child_env
from tests.playbook.integration.scaffold import HERE

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration


def test_tasks_run_in_place_whoever_calls() -> None:
    variables = {"ENVIRONMENT": "pytest", "TASKIQ_ROUTE": "taskiq"}
    done = subprocess.run(
        [sys.executable, HERE / "inplace_probe.py"],
        env=child_env(HERE, variables=variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "in place": [1, True],
        "in the caller's loop": True,
        "below the loop": 2,
        "in a thread": 3,
        "nested": 7,
        "with options": 4,
        "error": "ValueError('no')",
        "before the commit": [],
        "after the commit": [[5], 5],
        "without a loop": 6,
    }


async def test_stock_runs_a_task_before_the_commit_and_hides_its_error() -> None:
    """Ours waits for the commit, and its handle raises the error: the probe above."""
    broker = InMemoryBroker(await_inplace=True)
    order: list[str] = []

    @broker.task("t")
    async def t() -> None:
        order.append("run")
        raise ValueError("no")

    await t.kiq()
    order.append("commit")
    assert order == ["run", "commit"]


def test_stock_breaks_when_synchronous_code_sends_twice(server: RedisServer) -> None:
    """The routed counterpart is `threads` in test_scaffold_routing.py: new loops, threads, forks."""
    broker = RedisStreamBroker(server.url)

    async def nothing() -> None: ...

    task = broker.register_task(nothing, "nothing")
    errors = []
    for _ in range(4):
        try:
            asyncio.run(task.kiq())
        except Exception as error:
            errors.append(repr(error.__cause__))
    assert errors
    assert all("Event loop is closed" in error for error in errors)
    assert server.client().xlen("taskiq") == 4, "it was sent all the same"
