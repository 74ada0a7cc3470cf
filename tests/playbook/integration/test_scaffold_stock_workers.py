"""What becomes of a stock worker that is told to stop, cut off from Redis, or killed by a task (T6 to T8).

Beside each stands what ours does. Options of the stock broker shorten what takes minutes otherwise.
"""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from playbook.lab import Process, RedisServer, wait_until
from tests.playbook.integration.scaffold import (
    BROKER,
    GROUP,
    QUEUE,
    READY,
    TASKS,
    Site,
    child,
    gone,
    pending,
    send,
    site_on,
)

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration

WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from taskiq.__main__ import main; main()"
"""uvloop hears signals by itself. An application that does not ask for it gets asyncio's loop."""

STOCK = ("stock_tasks:broker", "--workers", "1")
OURS = (BROKER, TASKS, "--workers", "1")


def start(site: Site, arguments: tuple[str, ...], **options: object) -> Process:
    """Start `taskiq worker` on asyncio's loop, with options for the stock broker."""
    command = [sys.executable, "-c", WITHOUT_UVLOOP, "worker", *arguments]
    return site.start(command, READY, STOCK_OPTIONS=json.dumps(options), TASKIQ_LEASE="1")


def add(site: Site, task: str, *args: object) -> str:
    """Send a task to the stock broker; return the id of its entry."""
    message = {"task_id": os.urandom(8).hex(), "task_name": task, "labels": {}, "args": args, "kwargs": {}}
    return str(site.redis.xadd(QUEUE, {"data": json.dumps(message)}))


def told_to_stop(site: Site, worker: Process) -> None:
    """Ask for a stop, and wait until taskiq's manager has told the process that runs tasks."""
    assert wait_until(lambda: site.redis.info("clients")["blocked_clients"], 10), "it reads"
    os.kill(worker.pid, signal.SIGTERM)
    assert wait_until(lambda: "Stopped process worker-0" in worker.log_path.read_text(), 10)


def test_t6_a_stock_worker_that_was_told_to_stop_still_takes_a_task(site: Site) -> None:
    """On every Python: a signal does not wake asyncio's loop, so the read that waits goes on.

    What it took is run or stays in the list of pending entries (T5): that is a race.
    """
    worker = start(site, STOCK, xread_block=4000)
    told_to_stop(site, worker)
    late = add(site, "tests.note", "late")
    assert wait_until(lambda: site.redis.xinfo_groups(QUEUE)[0]["last-delivered-id"] == late, 10)
    worker.wait(10)


def test_t6_an_idle_stock_worker_does_not_stop_on_python_3_11(site: Site) -> None:
    """Its reads last 0.1 s. One of them swallows the only cancellation, in `asyncio.wait_for`, and reading
    goes on; the next task ends it. Since Python 3.12 `wait_for` lets the cancellation through, and it stops.
    """
    worker = start(site, STOCK, xread_block=100)
    told_to_stop(site, worker)
    if sys.version_info >= (3, 12):
        worker.wait(10)
        return
    assert not wait_until(lambda: not worker.alive, 3)
    add(site, "tests.note", "late")
    assert wait_until(lambda: site.log() == ["late"], 10)


def test_t6_an_idle_worker_of_ours_stops_and_takes_nothing_more(site: Site) -> None:
    worker = start(site, OURS)
    told_to_stop(site, worker)
    worker.wait(3)
    assert worker.returncode == 0
    send(site, ("tests.note", "late"))
    assert site.redis.xlen(QUEUE) == 1
    assert site.log() == []


def test_t7_a_redis_outage_ends_a_stock_worker_and_its_task(tmp_path: Path) -> None:
    """Ours: test_a_redis_outage_does_not_touch_running_tasks."""
    server, file = RedisServer(tmp_path / "redis"), tmp_path / "ended"
    with server, site_on(server, tmp_path) as site:
        worker = start(site, STOCK)
        runs = child(worker)
        add(site, "tests.touch", str(file), 5)
        assert wait_until(lambda: pending(site) == 1, 10)
        site.redis.save()
        server.stop()
        assert wait_until(lambda: gone(runs), 10)
        assert not file.exists(), "the task died with its process"
        server.start()
        assert wait_until(lambda: worker.log_path.read_text().count(READY) > 1, 15)
        assert pending(site) == 1, "and nobody runs it again before ten minutes have passed"


def test_t7_a_stock_worker_that_reads_longer_than_the_time_out_restarts_for_ever(site: Site) -> None:
    """redis-py's time-out is 5 s by default; here both are shorter.

    Ours: test_a_worker_survives_that_redis_stands_still.
    """
    worker = start(site, STOCK, xread_block=1000, socket_timeout=0.2)
    assert wait_until(lambda: worker.log_path.read_text().count("worker-0 is dead") > 1, 15)
    assert "Timeout reading from" in worker.log_path.read_text()


def test_t8_poison_runs_without_end_on_stock_and_drags_others_along(site: Site) -> None:
    """Ours: test_a_task_that_kills_its_worker_is_a_dead_letter_and_drags_none_along, three runs."""
    start(site, ("stock_tasks:broker", "--workers", "2"), xread_block=100, idle_timeout=100)
    add(site, "tests.kill", "poison")
    add(site, "tests.sleep", "innocent", 0.5)

    def five_times() -> bool:
        # Stock looks for what the dead have left only after it has read something new (T2).
        add(site, "tests.note", "traffic")
        return site.log().count("start:poison") >= 5

    assert wait_until(five_times, 30, interval=0.2)
    assert site.log().count("start:innocent") > 1
    held = site.redis.xpending_range(QUEUE, GROUP, "-", "+", 1)
    assert held[0]["times_delivered"] >= 5, "and it is still there"
