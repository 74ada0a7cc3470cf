"""What it costs to measure: two workers, one with TASKIQ_HTTP_PORT, one without, in turns."""

import asyncio
import hashlib
import os
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from playbook.lab import Process, RedisServer, wait_until
from playbook.lab.surroundings import child_env
from playbook.lab.waiting import free_port
from playbook.scaffold.worker import lua
from tests.playbook.integration.scaffold import HERE, READY, TASKS, kick, our_broker

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]
ROUNDS = 9
COUNT = 2_000
QUEUE = "{taskiq}:queue:default"
END = "end of the count"
COMPLETE = hashlib.sha1(lua.COMPLETE.encode()).hexdigest()


class Side:
    """A worker of two processes on a database of its own."""

    def __init__(self, url: str, folder: Path, name: str, **env: str) -> None:
        self.url = url
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        command = [sys.executable, "-m", "playbook.scaffold.worker", TASKS, "--workers", "2"]
        command += ["--log-level", "WARNING"]
        variables = {"CELERY_BROKER_URL": url, "PATH": os.environ["PATH"], **env}
        self.process = Process(
            command, name=name, log_path=folder / f"{name}.log", env=child_env(HERE, variables=variables)
        )
        assert wait_until(lambda: self.redis.zcard("{taskiq}:workers:default") == 2, 30), READY

    def send(self, count: int) -> None:
        """Send tasks that do nothing."""

        async def main() -> None:
            broker = our_broker(self.url)
            for number in range(count):
                await kick(broker, "tests.nothing", number)
            await broker.shutdown()

        asyncio.run(main())

    def done(self) -> bool:
        """Wait until all have ended."""
        return wait_until(lambda: self.redis.xlen(QUEUE) == 0, 120, interval=0.005)

    def drain(self) -> tuple[float, float]:
        """Send while the processes stand still, then let them run; return s and CPU seconds for a task."""
        processes = psutil.Process(self.process.pid).children()
        for process in processes:
            process.suspend()
        self.send(COUNT)
        started, used = time.perf_counter(), cpu(processes)
        for process in processes:
            process.resume()
        assert self.done()
        return (time.perf_counter() - started) / COUNT, (cpu(processes) - used) / COUNT

    def commands(self, count: int) -> Counter[str]:
        """Count the commands that clients send for some tasks, but for reads and heartbeats."""
        seen: Counter[str] = Counter()

        def listen(monitor: Any) -> None:
            for event in monitor.listen():
                name, *args = event["command"].split()
                if name == "ECHO":
                    return
                if event["client_type"] != "lua" and (name == "XADD" or COMPLETE in args):
                    seen[name] += 1

        with self.redis.monitor() as monitor:
            listener = threading.Thread(target=listen, args=(monitor,), daemon=True)
            listener.start()
            self.send(count)
            assert self.done()
            self.redis.echo(END)
            listener.join(10)
        return seen


def cpu(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds that processes have used."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    """Without and with."""
    with RedisServer(tmp_path / "redis") as server:
        base = server.url.rpartition("/")[0]
        off = Side(f"{base}/1", tmp_path, "off")
        on = Side(f"{base}/2", tmp_path, "on", TASKIQ_HTTP_PORT=str(free_port()))
        try:
            yield off, on
        finally:
            off.process.kill()
            on.process.kill()


def test_cost_of_metrics(sides: tuple[Side, Side]) -> None:
    for side in sides:
        side.send(100)
        assert side.done()
    rounds = []
    for number in range(ROUNDS):
        # Each goes first in every other round.
        spent = {side: side.drain() for side in (sides if number % 2 else sides[::-1])}
        rounds.append((spent[sides[0]], spent[sides[1]]))
    print(f"\n{COUNT} tasks that do nothing, {ROUNDS} rounds in turns, with metrics / without, medians")
    wall, busy = (statistics.median(on[n] / off[n] for off, on in rounds) for n in (0, 1))
    each = statistics.median(off[1] for off, _ in rounds) * 1e6
    print(f"time {wall:.2f}, CPU {busy:.2f} (without: {each:.0f} µs for a task)")
    commands = [side.commands(500) for side in sides]
    print(f"commands for 500 tasks, without and with: {commands}")
    assert all(seen["XADD"] == 500 and seen["EVALSHA"] <= 500 for seen in commands)
    assert busy < 1.25
