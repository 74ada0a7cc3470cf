"""The application as an operator sees it: processes that answer on ports, and commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from playbook.checks.simple_lab import LEASE
from playbook.contracts import CheckContext
from playbook.inventory import inventory
from playbook.lab import Lab, LabError, Process, wait_until
from playbook.lab.loopback import http_client
from playbook.lab.programs import BROKER_VARIABLE, TASKIQ_READY, TASKIQ_TRACE, taskiq_says
from playbook.lab.waiting import free_port

PATIENCE = 30.0
SEND = "playbook.checks.probes.operations_send"

Counts = dict[str, dict[str, int]]
"""How often tasks ended: by task and outcome."""


class Site:
    """A lab with workers and schedulers that answer."""

    def __init__(self, context: CheckContext) -> None:
        self.lab = Lab(
            context.workspace,
            context.work_dir / "operations",
            redis_url=context.redis_url,
            database_url=context.database_url,
        )
        self.broker = context.application.broker
        self.package = self.broker.partition(".broker:")[0]
        self.lab.env["TASKIQ_KEY_PREFIX"] = f"{self.lab.redis.prefix}{{taskiq}}"
        self.lab.env["TASKIQ_LEASE"] = str(LEASE)
        self.lab.env[BROKER_VARIABLE] = self.broker
        # The modules of tasks are the same before and after; the workspace may have no Celery left to find.
        found = sorted({task.module for task in inventory(context.application.root_path).tasks})
        self.modules = [f"{self.package}.health", *found]

    def __enter__(self) -> Site:
        self.lab.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.lab.stop()

    def worker(self, modules: Sequence[str], workers: int) -> Answering:
        """Start a worker, with tracing, on a port of its own."""
        command = [sys.executable, "-m", self.package, TASKIQ_TRACE, *modules, "--workers", str(workers)]
        return self._start("worker", command, TASKIQ_READY, workers)

    def scheduler(self) -> Answering:
        """Start a scheduler on a port of its own."""
        command = [sys.executable, "-m", f"{self.package}.scheduler", *self.modules]
        return self._start("scheduler", command, "the scheduler is running", 1)

    def _start(self, name: str, command: Sequence[str], ready: str, times: int) -> Answering:
        port = free_port()
        env = {"TASKIQ_HTTP_PORT": str(port)}
        process = self.lab.spawn(command, name=name, env=env, ready=taskiq_says(ready, times))
        return Answering(process, port)

    def command(self, module: str, *args: str) -> tuple[int, Any]:
        """Run a command of the worker package; return exit status and output, parsed if it is JSON."""
        done = self.lab.run([sys.executable, "-m", f"{self.package}.{module}", *args])
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode, done.stdout.strip()

    def send(self, *calls: tuple[str, int, Mapping[str, object]]) -> list[str]:
        """Send tasks: name, how often, keyword arguments. Returns their ids."""
        ids: list[str] = self.lab.probe(SEND, self.broker, json.dumps(calls))
        return ids

    def traced(self) -> Counts:
        """Return what the tasks themselves did, as the lab's tracing has it."""
        return counted((event.task, event.outcome) for event in self.lab.trace() if event.kind == "end")


class Answering:
    """A process that answers on a port."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self._http = http_client(f"http://127.0.0.1:{port}", timeout=10.0)

    def status(self, probe: str) -> int:
        """Return the status of a probe, `/livez` or `/readyz`."""
        return self._http.get(probe).status_code

    def becomes(self, probe: str, status: int) -> int:
        """Wait until a probe has a status; return it.

        Raises:
            LabError: it does not.
        """
        if not wait_until(lambda: self.status(probe) == status, PATIENCE, interval=0.02):
            raise LabError(f"{self.process.name} does not answer {probe} with {status}")
        return status

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Return the samples of a metric: labels and value."""
        families = text_string_to_metric_families(self._http.get("/metrics").text)
        found = [sample for family in families for sample in family.samples if sample.name == name]
        return [(sample.labels, sample.value) for sample in found]

    def total(self, name: str) -> float:
        """Return the sum of a metric's samples."""
        return sum(value for _, value in self.samples(name))

    def ended(self) -> Counts:
        """Return how tasks ended, as the metrics have it, without those that never did."""
        found: Counts = {}
        for labels, value in self.samples("taskiq_tasks_total"):
            if value:
                found.setdefault(labels["task"], {})[labels["outcome"]] = int(value)
        return found


def counted(ends: Any) -> Counts:
    """Count pairs of task and outcome."""
    found: Counts = {}
    for task, outcome in ends:
        found.setdefault(task, {}).setdefault(outcome, 0)
        found[task][outcome] += 1
    return found
