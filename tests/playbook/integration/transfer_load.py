"""A cutover and a rollback under load: the site of `transfer_site`, and the operator's steps."""

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.lab import Process, RedisServer, wait_until
from playbook.lab.programs import log_says
from playbook.lab.surroundings import child_env
from tests.playbook.integration.scaffold import BROKER, HERE, READY

SITE = "transfer_site"
SETTLE = 120.0


@dataclass
class Outcome:
    """What became of the tasks of a run.

    Attributes:
        sent: how many tasks were sent, those of beat included.
        lost: tasks that never ran to an end: id and number of their last attempt.
        doubled: attempts that started more than once.
        moved, held: of the transfers, in order.
    """

    sent: int
    lost: set[str]
    doubled: list[str]
    moved: list[int]
    held: list[int]


class Load:
    """The site under load.

    Parameters:
        server: its Redis.
        folder: for logs.
        rate: tasks per second.
    """

    def __init__(self, server: RedisServer, folder: Path, rate: float) -> None:
        self.redis = server.client()
        self.folder = folder
        self.rate = rate
        self.env = {"CELERY_BROKER_URL": server.url, "TASKIQ_LEASE": "5"}
        self.processes: list[Process] = []
        self.reports: list[dict[str, Any]] = []

    def start(self, name: str, command: list[str], ready: str = "") -> Process:
        """Start a program; wait until its log says that it is ready."""
        log = self.folder / f"{len(self.processes)}-{name}.log"
        env = child_env(HERE, variables=self.env)
        process = Process([sys.executable, *command], name=name, log_path=log, env=env)
        self.processes.append(process)
        return process.wait_ready(lambda: not ready or log_says(ready)(process), 60)

    def celery_workers(self) -> list[Process]:
        """Start two Celery workers."""
        command = ["-m", "celery", "-A", SITE, "worker", "--pool", "threads", "--concurrency", "8"]
        command += ["--without-mingle", "--without-gossip", "--loglevel", "WARNING"]
        names = [f"w{time.monotonic_ns()}@lab", f"x{time.monotonic_ns()}@lab"]
        started = [self.start("celery", [*command, "-n", name]) for name in names]
        return started

    def beat(self) -> Process:
        """Start Celery's scheduler."""
        state = str(self.folder / f"beat-{len(self.processes)}")
        return self.start("beat", ["-m", "celery", "-A", SITE, "beat", "--schedule", state, "--pidfile", ""])

    def taskiq_worker(self) -> Process:
        """Start TaskIQ workers."""
        command = ["-m", "taskiq", "worker", BROKER, SITE, "--workers", "2", "--log-level", "INFO"]
        return self.start("taskiq", command, READY)

    def producer(self) -> Process:
        """Start what sends."""
        return self.start("producer", [str(HERE / f"{SITE}.py"), str(self.rate)])

    def route(self, system: str) -> None:
        """Tell the producer where to send."""
        self.redis.set("site:route", system)

    def transfer(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run the command line; return exit status and report."""
        command = [sys.executable, "-m", "playbook.scaffold.worker.transfer", *arguments, "--json"]
        env = child_env(HERE, variables=self.env)
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.stdout, done.stderr[-2000:]
        return done.returncode, json.loads(done.stdout)

    def starts(self) -> int:
        """How many attempts have started."""
        return int(self.redis.llen("site:starts"))

    def run_on(self, seconds: float) -> None:
        """Let time pass, until so many seconds' worth of tasks have started."""
        goal = self.starts() + seconds * self.rate
        assert wait_until(lambda: self.starts() >= goal, SETTLE), "nothing runs"

    def cut_over(self, beat: Process, workers: list[Process]) -> None:
        """Do what an operator does: flag, beat, Celery workers, transfer, verify."""
        self.route("taskiq")
        beat.stop()
        for worker in workers:
            worker.stop(60)
        status, report = self.transfer("to-taskiq", SITE)
        assert (status, report["left"]) == (0, []), report["left"][:3]
        self.reports.append(report)
        assert self.transfer("count")[0] == 0

    def roll_back(self, taskiq: Process) -> None:
        """The same the other way round."""
        self.route("celery")
        taskiq.stop(60)
        status, report = self.transfer("to-celery")
        assert (status, report["left"]) == (0, []), report["left"][:3]
        self.reports.append(report)
        counts = self.transfer("count")[1]["taskiq"]
        assert not any(counts["queued"].values()), counts
        assert counts["for later"] == counts["running"] == counts["workflows"] == 0, counts

    def settled(self) -> Outcome:
        """Wait until all that was sent has ended, and count."""

        def missing() -> set[str]:
            return set(self.redis.smembers("site:sent")) - set(self.redis.lrange("site:ends", 0, -1))

        wait_until(lambda: not missing(), SETTLE, interval=0.5)
        attempts = Counter(self.redis.lrange("site:starts", 0, -1))
        return Outcome(
            sent=self.redis.scard("site:sent"),
            lost=missing(),
            doubled=[attempt for attempt, times in attempts.items() if times > 1],
            moved=[report["moved"] for report in self.reports],
            held=[report["held"] for report in self.reports],
        )

    def stop(self) -> None:
        """Stop all processes."""
        for process in self.processes:
            process.kill()


def cutover_and_rollback(server: RedisServer, folder: Path, rate: float, seconds: float) -> Outcome:
    """Run on Celery, cut over to TaskIQ, roll back to Celery; each system runs for some seconds' worth."""
    load = Load(server, folder, rate)
    try:
        taskiq, beat, celery = load.taskiq_worker(), load.beat(), load.celery_workers()
        producer = load.producer()
        load.run_on(seconds)
        load.cut_over(beat, celery)
        load.run_on(seconds)
        load.roll_back(taskiq)
        load.celery_workers()
        load.beat()
        load.run_on(seconds)
        load.redis.set("site:stop", 1)
        producer.wait(30)
        return load.settled()
    finally:
        load.stop()
