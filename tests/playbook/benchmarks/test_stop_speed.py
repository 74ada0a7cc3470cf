"""How long an idle worker needs to stop, with each of the two command lines.

The moment of the signal is spread over a second, because taskiq's manager looks once a second.
"""

import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from playbook.lab import RedisServer, wait_until
from tests.playbook.integration.scaffold import BROKER, READY, TASKS, Site, gone, site_on

pytestmark = pytest.mark.benchmark
STOPS = 20
LINES = {
    "taskiq worker": ["taskiq", "worker", BROKER],
    "python -m PACKAGE.worker": ["playbook.scaffold.worker"],
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with RedisServer(tmp_path / "redis") as server, site_on(server, tmp_path) as started:
        yield started


def stopped(site: Site, line: list[str]) -> float:
    """Start an idle worker, stop it at a random moment, and return the seconds that took."""
    worker = site.start([sys.executable, "-m", *line, TASKS, "--workers", "2"], READY)
    assert wait_until(lambda: site.redis.info("clients")["blocked_clients"] == 2, 10)
    time.sleep(random.random())
    manager = psutil.Process(worker.pid)
    asked = time.monotonic()
    manager.terminate()
    assert wait_until(lambda: gone(manager), 20, interval=0.01)
    taken = time.monotonic() - asked
    assert worker.wait(10) == 0
    return taken


def test_idle_stops(site: Site) -> None:
    times: dict[str, list[float]] = {name: [] for name in LINES}
    for _ in range(STOPS):
        for name, line in LINES.items():
            times[name].append(stopped(site, line))
    print(f"\nseconds until an idle worker has stopped, {STOPS} stops each")
    for name, taken in times.items():
        print(f"{name:25} median {statistics.median(taken):.2f}  most {max(taken):.2f}")
    assert statistics.median(times["python -m PACKAGE.worker"]) < statistics.median(times["taskiq worker"])
