"""The faults that strike a site while it works. Each lasts so many seconds, and returns when it is over."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from typing import TypeAlias

import psutil
from sqlalchemy import make_url

from playbook.checks.faults_site import PROBES, FaultSite, runners, tree
from playbook.lab import PostgresServer, World, wait_until
from playbook.lab.clock import JUMP_SIGNAL

STOP_GRACE = 30.0
"""Seconds that a worker has after SIGTERM until it is killed; more than it takes by itself."""

Strike: TypeAlias = Callable[[FaultSite, float], None]


# Workers


def kill_process(site: FaultSite, seconds: float) -> None:
    """SIGKILL a process that runs tasks. Its manager starts another."""
    victim = runners(site.next_worker())[0]
    with site.strike("SIGKILL of a process", [victim.pid]):
        victim.kill()


def kill_worker(site: FaultSite, seconds: float) -> None:
    """SIGKILL a worker with all its processes, as when its machine is gone; another one is started."""
    worker = site.oldest()
    with site.strike("SIGKILL of a worker", [process.pid for process in tree(worker)]):
        worker.kill()
    site.add_worker()


def pause(site: FaultSite, seconds: float) -> None:
    """SIGSTOP a process that runs tasks, and SIGCONT it later."""
    victim = runners(site.next_worker())[0]
    with site.strike("SIGSTOP, SIGCONT", [victim.pid]):
        victim.suspend()
        time.sleep(seconds)
        victim.resume()


def terminate(site: FaultSite, seconds: float) -> None:
    """SIGTERM a worker, and start another one, as a deployment does."""
    worker = site.oldest()
    site.add_worker()
    with site.strike("SIGTERM"):
        worker.stop(STOP_GRACE)


def jump(site: FaultSite, seconds: float) -> None:
    """Let the clocks of all workers jump, as far as `playbook.lab.clock` was told."""
    with site.strike("clock jumps"):
        for worker in site.workers:
            processes = tree(worker.result()) if site.system == "celery" else runners(worker.result())
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(JUMP_SIGNAL)


# Redis


def restart_redis(site: FaultSite, seconds: float) -> None:
    """SIGKILL Redis, and start it again later. What it comes back with depends on its settings."""
    with site.strike("Redis restarted", site.pids() if site.forgetful else (), senders=True, outage=True):
        site.kill_redis()
        time.sleep(seconds)
        site.redis.start()


def restore_snapshot(site: FaultSite, seconds: float) -> None:
    """Let Redis save a snapshot and go on for a while; then SIGKILL it, and start it from the snapshot."""
    with site.strike("Redis back from a snapshot", site.pids(), senders=True, outage=True):
        with site.redis.client() as redis:
            redis.save()
        time.sleep(seconds)
        site.kill_redis()
        site.redis.start()


def fill_redis(site: FaultSite, seconds: float) -> None:
    """Leave Redis no memory for a while (maxmemory, noeviction)."""
    with site.strike("Redis full", outage=True), site.redis.client() as redis:
        redis.config_set("maxmemory-policy", "noeviction")
        redis.config_set("maxmemory", "1")
        time.sleep(seconds)
        redis.config_set("maxmemory", "0")


# The network between Redis and all others


def kill_clients(site: FaultSite, seconds: float) -> None:
    """Let Redis close all connections of workers and senders again and again."""
    ends = time.monotonic() + seconds
    with site.strike("CLIENT KILL", senders=True, outage=True), site.redis.client() as redis:
        while time.monotonic() < ends:
            redis.client_kill_filter(_type="normal", skipme=True)
            time.sleep(0.2)


def lose_answers(site: FaultSite, seconds: float) -> None:
    """Let requests arrive at Redis and its answers get lost, then break the connections."""
    assert site.network is not None
    with site.strike("answers lost", senders=True, outage=True):
        site.network.lose_answers()
        time.sleep(seconds)
        site.network.heal()


def stall(site: FaultSite, seconds: float) -> None:
    """Let nothing through for a while, and then all of it."""
    assert site.network is not None
    with site.strike("network stalled", senders=True, outage=True):
        site.network.stall()
        time.sleep(seconds)
        site.network.heal()


# What tasks use


def lock_database(site: FaultSite, seconds: float) -> None:
    """Hold SQLite's lock for writers."""
    path = make_url(site.env["DATABASE_URL"]).database
    with site.strike("database locked"), contextlib.closing(sqlite3.connect(str(path))) as database:
        database.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        database.rollback()


def stop_postgres(site: FaultSite, seconds: float) -> None:
    """SIGKILL PostgreSQL, and start it again on its data."""
    assert isinstance(site.database, PostgresServer)
    with site.strike("database gone"):
        site.database.crash()
        time.sleep(seconds)
        site.database.serve()


def break_world(site: FaultSite, seconds: float) -> None:
    """Let the service that tasks call answer 503, drop connections, take long, and vanish for a while."""
    assert isinstance(site.world, World)
    with site.strike("the outside world fails"):
        site.world.fail("webhooks", status=503, times=20)
        site.world.fail("webhooks", drop=True, times=20)
        site.world.fail("webhooks", delay=seconds, times=20)


# Messages


def poison(site: FaultSite, seconds: float) -> None:
    """Send what cannot be parsed, a task that nobody knows, and one that kills its worker each time."""
    with site.strike("poison", pids := list[int]()):
        site.probe(f"{PROBES}.fault_poison", site.system)
        wait_until(lambda: site.dead() >= POISONED, seconds)
        pids += {note.pid for note in site.notes() if note.what == "lethal"}


POISONED = 3
"""Messages that `poison` sends."""

DRAWN: tuple[tuple[Strike, float], ...] = (
    (kill_process, 0.0),
    (kill_worker, 0.0),
    (pause, 4.0),
    (terminate, 0.0),
    (restart_redis, 2.0),
    (fill_redis, 3.0),
    (kill_clients, 1.0),
    (lose_answers, 1.0),
    (stall, 4.0),
)
"""What is drawn at random, and how many seconds it lasts at most."""
