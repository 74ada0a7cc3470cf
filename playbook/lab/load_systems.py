"""The systems that are put under load side by side, and the command lines of their workers.

All have the same number of worker processes. Those that run several tasks in one process have the same number
of slots in each: Celery's threads, TaskIQ's coroutines and threads. Celery's prefork pool runs one task in a
process at a time; that is what it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

PROBES = "playbook.checks.probes"
PREFORK, THREADS, STOCK, MIGRATED = "Celery prefork", "Celery threads", "stock TaskIQ", "migrated"

Commands = Callable[[int, int], list[list[str]]]
"""From the number of worker processes and of slots in each to the command lines."""


@dataclass(frozen=True)
class System:
    """One system.

    Attributes:
        name: for tables and figures.
        module: what defines its tasks and sends them.
        database: number of its Redis database.
        commands: the command lines of its workers.
        scheduler: command line of what it needs besides for tasks that are due later; empty: nothing.
    """

    name: str
    module: str
    database: int
    commands: Commands
    scheduler: tuple[str, ...] = ()


def _celery(pool: str) -> list[str]:
    # Mingle and gossip only synchronise several workers with one another.
    command = [sys.executable, "-m", "celery", "-A", f"{PROBES}.load_celery:app", "worker", "-l", "WARNING"]
    return [*command, "-P", pool, "--without-mingle", "--without-gossip"]


def _prefork(workers: int, slots: int) -> list[list[str]]:
    return [[*_celery("prefork"), "-c", str(workers)]]


def _threads(workers: int, slots: int) -> list[list[str]]:
    return [[*_celery("threads"), "-c", str(slots), "-n", f"{number}@load"] for number in range(workers)]


def _options(workers: int, slots: int) -> list[str]:
    limits = ["--max-async-tasks", str(slots), "--max-threadpool-threads", str(slots)]
    return ["--workers", str(workers), *limits, "--log-level", "WARNING"]


def _stock(workers: int, slots: int) -> list[list[str]]:
    command = [sys.executable, "-m", "taskiq", "worker", f"{PROBES}.load_stock:broker"]
    return [[*command, *_options(workers, slots)]]


def _migrated(workers: int, slots: int) -> list[list[str]]:
    command = [sys.executable, "-m", "reflector.worker", f"{PROBES}.load_migrated"]
    return [[*command, *_options(workers, slots)]]


_SCHEDULER = (sys.executable, "-m", "taskiq", "scheduler", f"{PROBES}.load_stock:scheduler")
_EACH_SECOND = ("--update-interval", "1", "--log-level", "WARNING")  # its default is once a minute

SYSTEMS = (
    System(PREFORK, f"{PROBES}.load_celery", 1, _prefork),
    System(THREADS, f"{PROBES}.load_celery", 2, _threads),
    System(STOCK, f"{PROBES}.load_stock", 3, _stock, (*_SCHEDULER, *_EACH_SECOND)),
    System(MIGRATED, f"{PROBES}.load_migrated", 4, _migrated),
)
