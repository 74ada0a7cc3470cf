"""Cases on real workers: a Redis of our own, worker processes of one system, and the driver."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

from playbook.lab import Process, RedisServer
from playbook.lab.errors import LabError
from playbook.lab.programs import TASKIQ_READY, log_says, taskiq_says
from playbook.lab.surroundings import child_env
from playbook.oracle.cases import Case
from playbook.oracle.observing import Observation, observations
from playbook.oracle.system import REDIS_VARIABLE

logger = logging.getLogger(__name__)

System = Literal["celery", "taskiq"]

WORKERS = 2
THREADS = 8
START_TIMEOUT = 60.0
RUN_TIMEOUT = 300.0
"""Seconds for the driver, which has limits of its own; this one is for a driver that does not keep them."""


def run_cases(cases: list[Case], system: System) -> list[Observation]:
    """Run all cases on one system, at the same time.

    Parameters:
        cases: the cases.
        system: `celery` or `taskiq`.

    Returns:
        What each case did, in the same order.

    Raises:
        LabError: a server, a worker or the driver failed.
    """
    with tempfile.TemporaryDirectory(prefix="oracle-") as name:
        folder = Path(name)
        with RedisServer(folder / "redis") as redis:
            workers: list[Process] = []
            try:
                _start_workers(system, folder, redis.url, workers)
                written = _drive(cases, system, folder, redis.url)
            finally:
                for worker in workers:
                    worker.stop()
    if not written["rested"]:
        logger.warning("tasks of some case still ran when all others had ended; they were given up")
    return observations(written)


def _start_workers(system: System, folder: Path, url: str, workers: list[Process]) -> None:
    env = child_env(variables={REDIS_VARIABLE: url})
    if system == "celery":
        commands = [_celery_worker(f"oracle-{number}@lab") for number in range(WORKERS)]
        ready = log_says(" ready.")
    else:
        commands = [_taskiq_worker()]
        ready = taskiq_says(TASKIQ_READY, WORKERS)
    for number, command in enumerate(commands):
        log = folder / f"worker-{number}.log"
        workers.append(Process(command, name=f"{system} worker", log_path=log, env=env))
    for worker in workers:
        worker.wait_ready(lambda worker=worker: ready(worker), START_TIMEOUT)  # type: ignore[misc]


def _celery_worker(node: str) -> list[str]:
    command = [sys.executable, "-m", "celery", "-A", "playbook.oracle.celery_side", "worker"]
    command += ["--pool", "threads", "--concurrency", str(THREADS), "--hostname", node]
    return [*command, "--without-mingle", "--without-gossip", "--loglevel", "INFO"]


def _taskiq_worker() -> list[str]:
    command = [sys.executable, "-m", "taskiq", "worker", "playbook.oracle.taskiq_side:broker"]
    return [*command, "--workers", str(WORKERS), "--log-level", "INFO"]


def _drive(cases: list[Case], system: System, folder: Path, url: str) -> dict[str, Any]:
    given, out = folder / "cases.json", folder / "out.json"
    given.write_text(json.dumps([{"structure": case.structure, "call": case.call} for case in cases]))
    command = [sys.executable, "-m", "playbook.oracle.driver", system, str(given), str(out)]
    env = child_env(variables={REDIS_VARIABLE: url})
    driver = Process(command, name="the driver", log_path=folder / "driver.log", env=env)
    try:
        if driver.wait(RUN_TIMEOUT):
            raise LabError(f"the driver failed; {driver.last_lines()}")
    finally:
        driver.kill()
    written: dict[str, Any] = json.loads(out.read_text())
    return written
