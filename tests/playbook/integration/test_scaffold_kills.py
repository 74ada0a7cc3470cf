"""Workers die under load: nothing is lost, and only what was running runs again."""

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import psutil
import pytest

from playbook.lab import Process, wait_until
from tests.playbook.integration.scaffold import QUEUE, Site, kick, our_broker

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration


def children(worker: Process) -> list[psutil.Process]:
    """The processes that run tasks."""
    found = psutil.Process(worker.pid).children()
    return [p for p in found if "resource_tracker" not in " ".join(p.cmdline())]


async def flood(site: Site, task: str, arguments: Iterable[tuple[Any, ...]]) -> None:
    broker = our_broker(site.server.url)
    for args in arguments:
        await kick(broker, task, *args)
    await broker.shutdown()


def kill_until_done(site: Site, worker: Process, count: int, every: float, most: int | None) -> list[int]:
    """Kill a random process of the worker every few seconds until all tasks have ended; return the pids."""
    killed: list[int] = []
    next_kill, deadline = time.monotonic() + every, time.monotonic() + 240
    while (left := site.redis.xlen(QUEUE) + site.redis.xlen("{taskiq}:suspects:default")) or len(
        ended(site)
    ) < count:
        assert time.monotonic() < deadline, f"{left} tasks are left"
        if time.monotonic() >= next_kill and (most is None or len(killed) < most):
            running = children(worker)
            if running:
                victim = random.choice(running)
                victim.kill()
                killed.append(victim.pid)
            next_kill = time.monotonic() + every
        time.sleep(0.05)
    return killed


def ended(site: Site) -> set[str]:
    return {line.split(":")[1] for line in site.log() if line.startswith("end:")}


def check(site: Site, count: int, killed: list[int]) -> str:
    """None is lost; every start but a task's last was in a process that was killed. Return the figures."""
    starts: dict[str, list[str]] = defaultdict(list)
    for line in site.log():
        kind, number, pid = line.split(":")
        if kind == "start":
            starts[number].append(pid)
    assert len(ended(site)) == len(starts) == count
    victims = set(map(str, killed))
    duplicates = {number: pids for number, pids in starts.items() if len(pids) > 1}
    repeated = list(itertools.chain.from_iterable(pids[:-1] for pids in duplicates.values()))
    assert set(repeated) <= victims
    assert site.redis.xlen("{taskiq}:dead") == 0
    return f"{count} tasks, {len(killed)} kills, 0 lost, {len(duplicates)} ran again, all of them in flight"


def run(site: Site, count: int, seconds: float, every: float, most: int | None) -> None:
    worker = site.worker("--workers", "2", "--max-async-tasks", "10", TASKIQ_LEASE="1")
    asyncio.run(flood(site, "tests.work", [(number, seconds) for number in range(count)]))
    killed = kill_until_done(site, worker, count, every, most)
    print(f"\n{check(site, count, killed)}")
    assert killed


def test_a_thousand_tasks_and_three_kills(site: Site) -> None:
    """The size of every day; the full one is below."""
    run(site, 1_000, 0.08, every=1.5, most=3)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_thousand_tasks_and_a_kill_every_two_seconds(site: Site) -> None:
    """The full size of `test_a_thousand_tasks_and_three_kills`."""
    run(site, 10_000, 0.05, every=2.0, most=None)


def test_memory_is_given_back(site: Site) -> None:
    """The size of every day; the full one is below."""
    memory_after(site, 5_000)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_memory_is_given_back_after_a_hundred_thousand_tasks(site: Site) -> None:
    """The full size of `test_memory_is_given_back`."""
    memory_after(site, 100_000)


def memory_after(site: Site, count: int) -> None:
    """Redis' memory after many tasks, their results expired, is what it was before."""
    site.worker("--workers", "2", TASKIQ_RESULT_TTL="1")
    batch = 500
    for _ in range(4):
        quiet(site, batch)
    before = memory(site)
    for _ in range(count // batch):
        quiet(site, batch)
    after = memory(site)
    print(f"\n{count} tasks: {before} bytes before, {after} after ({(after / before - 1):+.1%})")
    assert after <= before * 1.05


def quiet(site: Site, count: int) -> None:
    """Send tasks that leave nothing but their results, and wait until they are done."""
    asyncio.run(flood(site, "tests.nothing", [(number,) for number in range(count)]))
    assert wait_until(lambda: site.redis.xlen(QUEUE) == 0, 60, interval=0.01)


def memory(site: Site) -> int:
    """Bytes that Redis has allocated, when all results have expired."""
    assert wait_until(lambda: not list(site.redis.scan_iter("{taskiq}:result:*")), 20)
    site.redis.memory_purge()
    return int(site.redis.memory_stats()["total.allocated"])
