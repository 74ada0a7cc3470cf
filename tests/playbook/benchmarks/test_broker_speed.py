"""How fast our broker is, beside stock taskiq-redis and Celery, on the same Redis in the same minutes.

What favours whom: the task does nothing, so that all of the time is the system's own; Celery's sender is
synchronous and its pool forks; TaskIQ runs many tasks at once in each process, Celery one.
"""

import asyncio
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from playbook.lab import Process, RedisServer, wait_until
from playbook.lab.surroundings import child_env

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]
HERE = Path(__file__).parent
WORKERS = 2
ROUNDS = 7
TASKS = 2_000
SINGLES = 200
PAUSE = 0.01
"""Seconds between two single tasks, so that each finds an idle worker."""
TASKIQ = [sys.executable, "-m", "taskiq", "worker", "--workers", str(WORKERS), "--log-level", "WARNING"]
CELERY = [
    sys.executable,
    "-m",
    "celery",
    "-A",
    "speed_apps:app",
    "worker",
    "-c",
    str(WORKERS),
    "-l",
    "warning",
]


class System:
    """One of the systems, with its workers.

    Parameters:
        name: for the table.
        database: its Redis database.
        worker: the running worker.
        send_many: sends n tasks.
        result: reads the value from a stored result.
    """

    def __init__(
        self, name: str, database: Any, worker: Process, send_many: Callable[[int, float], None], result: str
    ) -> None:
        self.name = name
        self.redis = database
        self.worker = worker
        self.send_many = send_many
        self.result = result
        self.enqueue: list[float] = []
        self.drain: list[float] = []
        self.latency: list[float] = []
        self.calls = 0.0

    def done(self, before: int, count: int) -> bool:
        """Wait until so many results are there."""
        return wait_until(lambda: self.redis.dbsize() >= before + count, 120, interval=0.005)

    def processes(self) -> list[psutil.Process]:
        """All processes of the worker."""
        main = psutil.Process(self.worker.pid)
        return [main, *main.children(recursive=True)]

    def throughput(self, count: int) -> None:
        """Send while the workers stand still; then let them run."""
        for process in self.processes():
            process.suspend()
        before = self.redis.dbsize()
        started = time.perf_counter()
        self.send_many(count, 0)
        self.enqueue.append(count / (time.perf_counter() - started))
        started = time.perf_counter()
        for process in self.processes():
            process.resume()
        assert self.done(before, count)
        self.drain.append(count / (time.perf_counter() - started))

    def singles(self, count: int) -> None:
        """Send one at a time; each result is how long it took until the task ran."""
        known = set(self.redis.scan_iter(count=10_000))
        self.send_many(count, PAUSE)
        keys = wait_for_new(self.redis, known, count)
        values = (json.loads(value) for value in self.redis.mget(keys))
        self.latency += [value[self.result] for value in values]

    def count_calls(self, count: int) -> None:
        """Count the commands that clients send for some tasks, from sending to acknowledging."""
        seen: list[str] = []
        with self.redis.monitor() as monitor:
            listener = threading.Thread(target=collect, args=(monitor, seen), daemon=True)
            listener.start()
            before = self.redis.dbsize()
            self.send_many(count, 0)
            assert self.done(before, count)
            self.redis.echo(END)
            listener.join(10)
        self.calls = len(seen) / count


END = "end of the count"


def collect(monitor: Any, seen: list[str]) -> None:
    """Keep the commands that come from clients, but for the ones of this benchmark."""
    for event in monitor.listen():
        if event["client_type"] == "lua":
            continue
        if event["command"].startswith("ECHO"):
            return
        if not event["command"].startswith(("DBSIZE", "CLIENT", "HELLO", "SELECT", "PING")):
            seen.append(event["command"])


def wait_for_new(database: Any, known: set[str], count: int) -> list[str]:
    """Return the names of the results that were not there before."""
    found: list[str] = []

    def complete() -> bool:
        names = database.scan_iter(count=10_000, _type="string")
        found[:] = [name for name in names if name not in known]
        return len(found) >= count

    assert wait_until(complete, 60)
    return found


def taskiq_sender(task: Any) -> Callable[[int, float], None]:
    """Return what sends n tasks, with a pause (s) after each."""
    loop = asyncio.new_event_loop()

    async def send(count: int, pause: float) -> None:
        for _ in range(count):
            await task.kiq(time.time())
            if pause:
                await asyncio.sleep(pause)

    return lambda count, pause: loop.run_until_complete(send(count, pause))


def celery_sender(task: Any) -> Callable[[int, float], None]:
    """The same for Celery."""

    def send(count: int, pause: float) -> None:
        for _ in range(count):
            task.delay(time.time())
            if pause:
                time.sleep(pause)

    return send


@pytest.fixture
def systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[System]]:
    """The three systems, warmed up."""
    with RedisServer(tmp_path / "redis") as server:
        base = server.url.rpartition("/")[0]
        monkeypatch.setenv("SPEED_REDIS_URL", base)
        monkeypatch.syspath_prepend(HERE)
        # Another benchmark may have loaded it for a Redis that is no more.
        monkeypatch.delitem(sys.modules, "speed_apps", raising=False)
        import speed_apps

        env = child_env(HERE, variables={"SPEED_REDIS_URL": base, "PATH": os.environ["PATH"]})

        def start(name: str, database: int, command: list[str], send: Any, result: str) -> System:
            process = Process(command, name=name, log_path=tmp_path / f"{name}.log", env=env)
            client = redis.Redis.from_url(f"{base}/{database}", decode_responses=True)
            return System(name, client, process, send, result)

        stock, ours = taskiq_sender(speed_apps.stock_speed), taskiq_sender(speed_apps.our_speed)
        found = [
            start("taskiq-redis", 1, [*TASKIQ, "speed_apps:stock"], stock, "return_value"),
            start("ours", 2, [*TASKIQ, "speed_apps:ours"], ours, "return_value"),
            start("Celery", 3, CELERY, celery_sender(speed_apps.celery_speed), "result"),
        ]
        try:
            for system in found:
                before = system.redis.dbsize()
                system.send_many(50, 0)
                assert system.done(before, 50), system.worker.tail()
            yield found
        finally:
            for system in found:
                system.worker.kill()


def test_speed(systems: list[System]) -> None:
    for number in range(ROUNDS):
        # Each goes first in turn.
        for system in systems[number % 3 :] + systems[: number % 3]:
            system.throughput(TASKS)
            system.singles(SINGLES)
    for system in systems:
        system.count_calls(500)
    print(f"\n{TASKS} tasks, {ROUNDS} rounds, {WORKERS} worker processes each; medians")
    print(f"{'':14}{'enqueue/s':>10}{'drain/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'commands per task':>19}")
    for system in systems:
        percentiles = statistics.quantiles(system.latency, n=100)
        print(
            f"{system.name:14}{statistics.median(system.enqueue):10.0f}{statistics.median(system.drain):10.0f}"
            f"{percentiles[49] * 1000:9.2f}{percentiles[98] * 1000:9.2f}{system.calls:19.2f}"
        )
    stock, ours, _ = systems
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours.drain, stock.drain, strict=True))
    print(f"drain, ours / taskiq-redis, median of the rounds: {ratio:.2f}")
    assert ratio >= 0.95
    assert ours.calls <= stock.calls
