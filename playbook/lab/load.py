"""One system under load: its workers, what sends to them, and what the load takes and costs.

Every task returns when it was sent, started and ended, so that throughput and latency come from the tasks
themselves: nothing has to watch closely while they run.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis

from playbook.lab.errors import LabError
from playbook.lab.load_systems import PROBES, System
from playbook.lab.loopback import answers, http_client
from playbook.lab.process import Process
from playbook.lab.redis_server import RedisServer
from playbook.lab.surroundings import child_env
from playbook.lab.waiting import free_port, together, wait_until

START_TIMEOUT = 60.0
TIMEOUT = 300.0
LOOK = 0.05
"""Seconds between two looks whether all has ended."""

WARM_UP = 40
PREFIX = "{load}"
END = "the count ends"


@dataclass(frozen=True)
class Drained:
    """What a load came to.

    Attributes:
        enqueue: tasks a second that one sender could send.
        throughput: tasks a second, from the first moment at which workers could work to the end of the last.
        latencies: seconds from sending (or due time) to end, of each task.
        cpu: seconds of processor time that the workers took for one task.
        redis_cpu: the same for Redis.
        queued: bytes in Redis for a task that waits.
        kept: bytes in Redis for a task that has ended: its result, and what else stays of it.
    """

    enqueue: float
    throughput: float
    latencies: list[float]
    cpu: float
    redis_cpu: float
    queued: float
    kept: float


class LoadedSystem:
    """A system, its workers and what sends to them.

    Parameters:
        system: which.
        server: the Redis, started; the system has a database of its own in it.
        workspace: what child processes import the application from; compiled modules are written there.
        logs: folder for logs.
        workers: number of worker processes.
        slots: tasks that one process runs at a time, where it can.
    """

    def __init__(
        self, system: System, server: RedisServer, workspace: Path, logs: Path, workers: int, slots: int
    ) -> None:
        self.system, self.workers, self.slots = system, workers, slots
        self.redis: Any = redis.Redis.from_url(f"{server.url.rpartition('/')[0]}/{system.database}")
        url = f"{server.url.rpartition('/')[0]}/{system.database}"
        variables = {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url, "REDIS_URL": url}
        # Compiled modules are kept, as in production: compiling takes memory that no process gives back.
        variables |= {"TASKIQ_KEY_PREFIX": PREFIX, "PYTHONDONTWRITEBYTECODE": ""}
        self._env = child_env(workspace, variables=variables)
        self._workspace, self._logs = workspace, logs
        self._processes: list[Process] = []
        self._worker_processes: list[Process] = []
        self._driver = f"http://127.0.0.1:{free_port()}"

    def start(self) -> None:
        """Start its processes, and run the first tasks. Stop it, also if this fails."""
        driver = [sys.executable, "-m", f"{PROBES}.load_driver", self.system.module]
        started = self._spawn("driver", [*driver, self._driver.rpartition(":")[2]])
        started.wait_ready(lambda: answers(f"{self._driver}/ready"), START_TIMEOUT)
        commands = self.system.commands(self.workers, self.slots)
        self._worker_processes = [self._spawn("worker", command) for command in commands]
        self._results(self._ask("burst", kind="noop", count=WARM_UP * self.workers)["keys"])

    def stop(self) -> None:
        """Stop all processes of the system."""
        together(*(process.kill for process in self._processes))
        self.redis.close()

    def _spawn(self, role: str, command: Sequence[str]) -> Process:
        name = f"{self.system.name.replace(' ', '-')}-{role}"
        log = self._logs / f"{name}.log"
        process = Process(command, name=name, log_path=log, env=self._env, cwd=self._workspace)
        self._processes.append(process)
        return process

    @contextmanager
    def scheduler(self) -> Iterator[None]:
        """Run what the system needs for tasks that are due later."""
        if not self.system.scheduler:
            yield
            return
        process = self._spawn("scheduler", self.system.scheduler)
        try:
            yield
        finally:
            process.kill()

    # Loads

    @contextmanager
    def _standing_still(self) -> Iterator[list[psutil.Process]]:
        processes = self._tree()
        for process in processes:
            process.suspend()
        try:
            yield processes
        finally:
            for process in processes:
                process.resume()

    def drain(self, kind: str, count: int) -> Drained:
        """Send while the workers stand still; then let them run until all have ended."""
        with self._standing_still() as processes:
            empty = self._held()
            sent = self._ask("burst", kind=kind, count=count)
            full, cpu = self._held(), self._cpu(processes)
            started = time.time()
        times = self._results(sent["keys"])
        used = [after - before for after, before in zip(self._cpu(processes), cpu, strict=True)]
        return Drained(
            enqueue=count / sent["seconds"],
            throughput=count / (max(ended for _, _, ended in times) - started),
            latencies=[ended - since for since, _, ended in times],
            cpu=used[0] / count,
            redis_cpu=used[1] / count,
            queued=(full - empty) / count,
            kept=self._size(sent["keys"]) / count + (self._held() - empty) / count,
        )

    def paced(self, kind: str, count: int, rate: float, seed: int) -> list[float]:
        """Send tasks at random moments, `rate` a second; return for each the seconds from sending to end."""
        sent = self._ask("paced", kind=kind, count=count, rate=rate, seed=seed)
        return [ended - since for since, _, ended in self._results(sent["keys"])]

    def later(self, kind: str, count: int, begin: float, end: float) -> list[float]:
        """Send tasks that are due in `begin` to `end` seconds; return by how many seconds each was late."""
        sent = self._ask("later", kind=kind, count=count, **{"from": begin, "to": end})
        return [started - due for due, started, _ in self._results(sent["keys"])]

    def fan_in(self, size: int) -> tuple[float, float]:
        """Run a chord. Returns the seconds from the end of its last member to the start of its body, and
        from sending to the start of its body for each member."""
        sent, last, body = self._ask("fan_in", size=size, waiting=True)
        return body - last, (body - sent) / size

    def waiting_member(self, size: int) -> float:
        """Return the bytes in Redis for each member of a chord that nobody works on yet."""
        with self._standing_still():
            empty = self._held()
            self._ask("fan_in", size=size, waiting=False)
            held = self._held() - empty
        # What is sent after it ends when almost all of it has ended.
        self._results(self._ask("burst", kind="noop", count=1)["keys"])
        return held / size

    # Costs

    def memory_per_worker(self) -> float:
        """Return the memory of all processes of the workers, for each worker process (bytes, PSS): what
        several share is counted once."""
        return sum(process.memory_full_info().pss for process in self._tree()) / self.workers

    def commands_per_task(self, kind: str, count: int) -> float:
        """Count the commands that clients send for a task, from sending it to acknowledging it."""
        seen: list[str] = []
        with self.redis.monitor() as monitor:
            listener = threading.Thread(
                target=_collect, args=(monitor, seen, self.system.database), daemon=True
            )
            listener.start()
            self._results(self._ask("burst", kind=kind, count=count)["keys"])
            self.redis.echo(END)
            listener.join(10)
        return len(seen) / count

    def _tree(self) -> list[psutil.Process]:
        mains = [psutil.Process(process.pid) for process in self._worker_processes]
        return [process for main in mains for process in (main, *main.children(recursive=True))]

    def _cpu(self, processes: list[psutil.Process]) -> tuple[float, float]:
        """Processor time so far (s): of the workers, and of Redis."""
        used = sum(sum(process.cpu_times()[:2]) for process in processes)
        info = self.redis.info("cpu")
        return used, float(info["used_cpu_user"] + info["used_cpu_sys"])

    def _held(self) -> int:
        """Bytes of all queues, and of workflows."""
        kinds = ("stream", "list", "hash")
        return self._size([key for kind in kinds for key in self.redis.scan_iter(count=10_000, _type=kind)])

    def _size(self, keys: Sequence[Any]) -> int:
        with self.redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.memory_usage(key, samples=0)
            return sum(size or 0 for size in pipeline.execute())

    def _results(self, keys: list[str]) -> list[list[float]]:
        """Wait for results; return for each when it was sent (or due), started and ended."""
        if not wait_until(lambda: self.redis.exists(*keys) == len(keys), TIMEOUT, LOOK):
            logs = "; ".join(process.last_lines() for process in self._worker_processes)
            raise LabError(
                f"{self.system.name}: {self.redis.exists(*keys)} of {len(keys)} tasks ended; {logs}"
            )
        values = [json.loads(text) for text in self.redis.mget(keys)]
        return [value["result"] if "result" in value else value["return_value"] for value in values]

    def _ask(self, path: str, **body: Any) -> Any:
        with http_client(self._driver, TIMEOUT) as http:
            response = http.post(f"/{path}", json=body)
        if response.is_error:
            raise LabError(
                f"{self.system.name} could not send {path} {body}; {self._processes[0].last_lines()}"
            )
        return response.json()


def _collect(monitor: Any, seen: list[str], database: int) -> None:
    """Keep the commands of a system's clients, but for those of the lab itself."""
    for event in monitor.listen():
        command = event["command"]
        if event["db"] != database or event["client_type"] == "lua":
            continue
        if command.startswith("ECHO"):
            return
        if not command.startswith(("EXISTS", "MGET", "CLIENT", "HELLO", "SELECT", "PING", "INFO")):
            seen.append(command)


def milliseconds(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return cuts[49] * 1e3, cuts[98] * 1e3
