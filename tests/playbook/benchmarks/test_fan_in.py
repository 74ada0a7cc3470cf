"""What a chord costs as it grows: beside Celery's chord and beside `gather` on stock TaskIQ, in one run.

Latency is from the end of the last member to the start of the body; cost is the time from the first send to
the start of the body, for each member; memory is what Redis needs for a member that waits. What favours
whom: members do nothing; Celery's pool forks and runs one task per process; both TaskIQ systems run many at
once.
"""

import asyncio
import itertools
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import psutil
import pytest
import redis

from playbook.lab import Process, RedisServer
from playbook.lab.surroundings import child_env
from tests.playbook.benchmarks.test_broker_speed import CELERY, TASKIQ

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
HERE = Path(__file__).parent
FIGURE = Path(__file__).parents[3] / "docs" / "figures" / "fan_in.png"
SIZES = (10, 100, 1_000, 5_000)
ROUNDS = 3
NAMES = ("Celery", "gather", "ours")


class System:
    """One of the systems, with its workers; `run(size, waiting)` runs one chord."""

    def __init__(self, name: str, database: Any, worker: Process, run: Callable[..., list[float]]) -> None:
        self.name = name
        self.redis = database
        self.worker = worker
        self.run = run
        self.latency: dict[int, list[float]] = defaultdict(list)
        self.cost: dict[int, list[float]] = defaultdict(list)
        self.memory: dict[int, float] = {}

    def measure(self, size: int) -> None:
        """Run one chord."""
        started = time.time()
        last, body = self.run(size)
        self.latency[size].append(body - last)
        self.cost[size].append((body - started) / size)

    def weigh(self, size: int) -> None:
        """Note the memory of a chord that nobody works on yet, in an empty database."""
        processes = [psutil.Process(self.worker.pid)]
        processes += processes[0].children(recursive=True)
        for process in processes:
            process.suspend()
        try:
            self.redis.flushdb()
            self.run(size, False)
            keys = list(self.redis.scan_iter())
            self.memory[size] = sum(self.redis.memory_usage(key, samples=0) for key in keys) / size
        finally:
            for process in processes:
                process.resume()


def in_loop(coroutine: Callable[..., Any]) -> Callable[..., list[float]]:
    """Return a function that runs a coroutine in one loop, which is its own."""
    loop = asyncio.new_event_loop()
    return lambda *args: loop.run_until_complete(coroutine(*args))


@pytest.fixture
def systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[System]]:
    """The three systems, warmed up."""
    with RedisServer(tmp_path / "redis") as server:
        base = server.url.rpartition("/")[0]
        monkeypatch.setenv("SPEED_REDIS_URL", base)
        monkeypatch.syspath_prepend(HERE)
        # Another benchmark may have loaded it for a Redis that is no more.
        monkeypatch.delitem(sys.modules, "speed_apps", raising=False)
        monkeypatch.delitem(sys.modules, "fan_in_apps", raising=False)
        import fan_in_apps

        env = child_env(HERE, variables={"SPEED_REDIS_URL": base, "PATH": os.environ["PATH"]})
        celery = [word.replace("speed_apps", "fan_in_apps") for word in CELERY]
        runs = {
            "Celery": (3, celery, fan_in_apps.celery_chord_of),
            "gather": (1, [*TASKIQ, "fan_in_apps:stock"], in_loop(fan_in_apps.gather_of)),
            "ours": (2, [*TASKIQ, "fan_in_apps:ours"], in_loop(fan_in_apps.chord_of)),
        }
        found: list[System] = []
        try:
            for name, (number, command, run) in runs.items():
                process = Process(command, name=name, log_path=tmp_path / f"{name}.log", env=env)
                client = redis.Redis.from_url(f"{base}/{number}", decode_responses=True)
                found.append(System(name, client, process, run))
            for system in found:
                system.run(10)
            yield found
        finally:
            for system in found:
                system.worker.kill()


def test_fan_in(systems: list[System]) -> None:
    for size, number in itertools.product(SIZES, range(ROUNDS)):
        for system in systems[number % 3 :] + systems[: number % 3]:
            system.measure(size)
    for system in systems:
        system.weigh(1_000)
    report(systems)
    draw(systems)
    celery, gather, ours = systems
    for size in SIZES:
        for other in (celery, gather):
            assert statistics.median(ours.latency[size]) < statistics.median(other.latency[size])
            assert statistics.median(ours.cost[size]) < statistics.median(other.cost[size])


def report(systems: list[System]) -> None:
    print(f"\nmedians of {ROUNDS} rounds, two worker processes each")
    print(f"{'members':>8}" + "".join(f"{f'{s.name}: latency ms':>22}{'us per member':>16}" for s in systems))
    for size in SIZES:
        figures = (
            f"{statistics.median(s.latency[size]) * 1e3:22.1f}{statistics.median(s.cost[size]) * 1e6:16.0f}"
            for s in systems
        )
        print(f"{size:8}" + "".join(figures))
    print("bytes per waiting member: " + ", ".join(f"{s.name} {s.memory[1_000]:.0f}" for s in systems))


def draw(systems: list[System]) -> None:
    """Draw latency and cost over the number of members."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    styles = dict(zip(NAMES, ("s:", "^--", "o-"), strict=True))
    for system in systems:
        latency = [statistics.median(system.latency[size]) * 1e3 for size in SIZES]
        cost = [statistics.median(system.cost[size]) * 1e3 for size in SIZES]
        left.loglog(SIZES, latency, styles[system.name], label=system.name)
        right.loglog(SIZES, cost, styles[system.name], label=system.name)
    left.set_ylabel("last member's end to body's start (ms)")
    right.set_ylabel("first send to body's start, per member (ms)")
    for axes in (left, right):
        axes.set_xlabel("members")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    figure.suptitle("Fan-in: chord on Celery, gather on stock TaskIQ, chord on our workflows")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)
