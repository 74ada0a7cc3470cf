"""The faults, one by one, and what TaskIQ's side promises for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from playbook.checks import faults_strikes as strikes
from playbook.checks.faults_load import MIXED, Kind
from playbook.checks.faults_site import QUIET
from playbook.checks.faults_strikes import Strike
from playbook.lab.clock import JUMP_VARIABLE

HOUR = 3600


@dataclass(frozen=True)
class Case:
    """A fault that strikes a site at work.

    Attributes:
        fault: what happens.
        promise: what TaskIQ's side promises for it.
        strike: does it.
        seconds: that it lasts.
        site: options of `FaultSite`.
        kinds: the work; see `draw_units`.
        lossy: whether what was sent before the end of the fault may be lost.
        dead: dead letters that it makes.
        quiet: seconds without news after which nothing more is expected.
    """

    fault: str
    promise: str
    strike: Strike
    seconds: float = 0.0
    site: Mapping[str, Any] = field(default_factory=dict)
    kinds: Mapping[Kind, int] = field(default_factory=lambda: MIXED)
    lossy: bool = False
    dead: int = 0
    quiet: float = QUIET


_EMPTY = {"save": "", "appendonly": "no"}
_CLOCK = "playbook.lab.clock"


def _clock(seconds: int) -> dict[str, Any]:
    return {"modules": [_CLOCK], "env": {JUMP_VARIABLE: str(seconds)}}


CASES: tuple[Case, ...] = (
    Case("SIGKILL of a process that runs tasks", "what it ran runs again elsewhere", strikes.kill_process),
    Case(
        "SIGKILL of a worker with all its processes", "what it ran runs again elsewhere", strikes.kill_worker
    ),
    Case("SIGSTOP, SIGCONT within the lease", "nothing runs twice", strikes.pause, 0.5),
    Case(
        "SIGSTOP, SIGCONT after the lease",
        "others take over; of the stopped one nothing counts",
        strikes.pause,
        4.0,
    ),
    Case(
        "SIGTERM of a worker",
        "it ends what it runs and gives back the rest: nothing runs twice",
        strikes.terminate,
    ),
    Case("Redis killed, appendfsync always", "all is there again", strikes.restart_redis, 1.0),
    Case(
        "Redis killed, appendfsync everysec",
        "all is there again, but for what Redis had not written yet: up to two seconds if the disk is slow",
        strikes.restart_redis,
        1.0,
        site={"redis": {"appendonly": "yes", "appendfsync": "everysec"}},
    ),
    Case(
        "Redis killed, back from a snapshot",
        "what came after the snapshot is lost, what ended after it runs again; new work goes on",
        strikes.restore_snapshot,
        1.0,
        site={"redis": _EMPTY},
        lossy=True,
        quiet=5.0,
    ),
    Case(
        "Redis killed, back without data",
        "what it held is lost; nothing hangs and new work goes on",
        strikes.restart_redis,
        1.0,
        site={"redis": _EMPTY},
        lossy=True,
        quiet=5.0,
    ),
    Case("Redis full (maxmemory, noeviction)", "senders are told, all else waits", strikes.fill_redis, 3.0),
    Case("connections cut (CLIENT KILL)", "they are made again", strikes.kill_clients, 1.0),
    Case(
        "answers of Redis lost",
        "asked again; what a sender sends again may run twice",
        strikes.lose_answers,
        0.5,
        site={"proxy": True},
    ),
    Case(
        "network stalled for longer than the time-outs",
        "all goes on",
        strikes.stall,
        7.0,
        site={"proxy": True},
    ),
    Case(
        "database locked (SQLite) for longer than its time-out",
        "tasks fail, are tried again, and write once",
        strikes.lock_database,
        17.0,
        site={"database": "sqlite"},
        kinds={"written": 1},
        quiet=30.0,
    ),
    Case(
        "database gone (PostgreSQL killed)",
        "tasks fail, are tried again, and write once",
        strikes.stop_postgres,
        2.0,
        site={"database": "postgres"},
        kinds={"written": 1},
    ),
    Case(
        "outside world fails (503, dropped, slow)",
        "tasks fail, are tried again, and reach it",
        strikes.break_world,
        3.0,
        site={"world": True},
        kinds={"posted": 1},
    ),
    Case(
        "workers' clocks jump an hour forward",
        "countdowns count by Redis' clock",
        strikes.jump,
        site=_clock(HOUR),
    ),
    Case(
        "workers' clocks jump an hour back",
        "countdowns count by Redis' clock",
        strikes.jump,
        site=_clock(-HOUR),
    ),
    Case(
        "poison: not a message, unknown task, task that kills its workers",
        "each is a dead letter, and nothing else suffers",
        strikes.poison,
        60.0,
        dead=strikes.POISONED,
    ),
)
