"""A Redis, workers of one system, and a sender: what the faults strike, and the ledger that they do not."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil
from redis.exceptions import RedisError
from sqlalchemy import text

from playbook.checks.faults_ledger import Note, Strike, Tally, ended, read_ledger, tally
from playbook.checks.faults_load import Unit
from playbook.checks.probes.fault_bodies import CREATE, LEDGER_VARIABLE, SELECT, WORLD_VARIABLE
from playbook.lab import Process, RedisServer, World, wait_until
from playbook.lab.children import Children
from playbook.lab.databases import open_database
from playbook.lab.effects.rows import in_transaction
from playbook.lab.programs import TASKIQ_READY, taskiq_says
from playbook.lab.proxy import Proxy
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.tracing.trace_file import TRACE_VARIABLE
from playbook.models import System

PROBES = "playbook.checks.probes"
WORKERS = 2
SLOTS = 20
"""Tasks that one TaskIQ worker runs at the same time."""

PREFORKED = 4
"""Processes of one Celery worker: enough for the load."""

LEASE = 1.0
"""Seconds after which the tasks of a killed TaskIQ worker are taken over."""

PREFIX = "{taskiq}"
"""Begins the names of TaskIQ's keys in Redis."""

QUIET = 15.0
"""Seconds without any new line in the ledger after which nothing more is expected."""

DURABLE = {"appendonly": "yes", "appendfsync": "always"}
"""Settings with which Redis has on disk what it has answered."""


class FaultSite(Children):
    """Starts empty; a context manager. Everything of it ends with it.

    Parameters:
        workspace: the migrated application's root.
        run_dir: folder for logs, ledger and Redis' data; created.
        package: the package with the runtime, in the workspace.
        system: whose workers run.
        redis: settings of the Redis server.
        env: more environment variables for all processes.
        modules: more modules for the workers to import.
        database: "sqlite" or "postgres" for one with the table that tasks write to; None: none.
        world: whether there is an outside world that tasks call.
        proxy: whether workers and senders reach Redis through a network that can fail.
    """

    def __init__(
        self,
        workspace: Path,
        run_dir: Path,
        *,
        package: str = "reflector.worker",
        system: System = "taskiq",
        redis: Mapping[str, str] = DURABLE,
        env: Mapping[str, str] | None = None,
        modules: Sequence[str] = (),
        database: Literal["sqlite", "postgres"] | None = None,
        world: bool = False,
        proxy: bool = False,
    ) -> None:
        super().__init__(REFLECTOR, workspace, run_dir, port=0)
        self.system: System = system
        self.redis = RedisServer(self.run_dir / "redis", redis)
        self.network = Proxy(self.redis.url) if proxy else None
        url = self.network.url if self.network else self.redis.url
        self.ledger = self.run_dir / "ledger.jsonl"
        self.workers: list[Future[Process]] = []
        self.strikes: list[Strike] = []
        self.revived = 0
        self.units: list[Unit] = []
        self._package, self._modules = package, modules
        self._threads = ThreadPoolExecutor()
        self.env = {
            "CELERY_BROKER_URL": url,
            "CELERY_RESULT_BACKEND": url,
            "REDIS_URL": url,
            "TASKIQ_KEY_PREFIX": PREFIX,
            "TASKIQ_LEASE": str(LEASE),
            "PLAYBOOK_RUNTIME": package,
            "PLAYBOOK_CELERY_APP": REFLECTOR.celery_app,
            LEDGER_VARIABLE: str(self.ledger),
            TRACE_VARIABLE: str(self.run_dir / "trace.jsonl"),
            **(env or {}),
        }
        self.database = open_database("postgres" if database == "postgres" else None, self.run_dir)
        self.world = World(self.logs_dir)
        self._needs = (database is not None, world)
        self.env |= {"DATABASE_URL": self.database.url, WORLD_VARIABLE: self.world.url}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _start(self) -> None:
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.redis.start()
        if self.network:
            self.network.__enter__()
        needs_database, needs_world = self._needs
        if needs_database:
            self.database.start()
            in_transaction(self.database.url, lambda c: c.execute(text(CREATE)))
        if needs_world:
            self.world.start()
        for _ in range(WORKERS):
            self.add_worker()
        for worker in self.workers:
            worker.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()
        for process in self._processes:
            process.kill()
        if self.network:
            self.network.__exit__(None, None, None)
        self.kill_redis()
        self.world.stop()
        self.database.stop()

    # Workers

    def add_worker(self) -> None:
        """Start one more worker, in the background."""
        self.workers.append(self._threads.submit(self._start_worker))

    def _start_worker(self) -> Process:
        if self.system == "celery":
            modules = [f"{PROBES}.fault_celery", *self._modules]
            return self.celery_worker(pool="prefork", concurrency=PREFORKED, modules=modules)
        modules = [f"{PROBES}.fault_tasks", *self._modules]
        command = [sys.executable, "-m", self._package, *modules, "--workers", "1"]
        command += ["--max-async-tasks", str(SLOTS), "--log-level", "INFO"]
        return self.spawn(command, name="taskiq", ready=taskiq_says(TASKIQ_READY))

    def oldest(self) -> Process:
        """Return the oldest worker, which is no longer one of `workers`."""
        return self.workers.pop(0).result()

    def revive(self) -> None:
        """Start a worker for each that has ended by itself, as a supervisor does."""
        gone = [one for one in self.workers if one.done() and (one.exception() or not one.result().alive)]
        for worker in gone:
            self.workers.remove(worker)
            self.add_worker()
            self.revived += 1

    def next_worker(self) -> Process:
        """Return a worker, each in its turn."""
        self.workers.append(self.workers.pop(0))
        return self.workers[-1].result()

    def pids(self) -> list[int]:
        """Return the ids of all processes that run tasks now."""
        return [process.pid for worker in self.workers for process in tree(worker.result())]

    def kill_redis(self) -> None:
        """SIGKILL Redis."""
        if self.redis.process is not None:
            self.redis.process.kill()
            self.redis.process = None

    @property
    def forgetful(self) -> bool:
        """Whether Redis keeps nothing on disk."""
        return self.redis.options.get("appendonly") != "yes"

    # Work

    def send(self, units: Sequence[Unit], rate: float) -> Process:
        """Start to send units, so many tasks per second; return the sender. Once for each site."""
        self.units = list(units)
        plan = self.run_dir / "plan.json"
        plan.write_text(json.dumps({"rate": rate, "units": [unit.model_dump() for unit in units]}))
        command = [sys.executable, "-m", f"{PROBES}.fault_sender", self.system, str(plan)]
        return self.spawn(command, name="sender")

    def notes(self) -> list[Note]:
        """Return the ledger."""
        return read_ledger(self.ledger)

    def settle(self, sender: Process, quiet: float = QUIET) -> None:
        """Wait until all that was sent has ended and nothing waits, or nothing happens any more for `quiet`
        seconds, not counting those in which a worker starts. A sender that hangs is killed then."""
        seen, since = -1, time.monotonic()
        keys = {key for unit in self.units for key in unit.keys}
        while time.monotonic() - since < quiet:
            notes = self.notes()
            if not sender.alive and keys <= ended(notes) and not self.waiting():
                break
            if len(notes) != seen or not all(worker.done() for worker in self.workers):
                seen, since = len(notes), time.monotonic()
            self.revive()
            time.sleep(0.2)
        sender.kill()

    def waiting(self) -> int:
        """Return how many messages wait for a worker or lie with one."""
        with self.redis.client() as redis, contextlib.suppress(RedisError):
            kinds = ("queue", "suspects", "delayed")
            queues = [f"{PREFIX}:{kind}:default" for kind in kinds]
            found = redis.xlen(queues[0]) + redis.xlen(queues[1]) + redis.zcard(queues[2])
            return int(found) + int(redis.llen("celery")) + int(redis.hlen("unacked"))
        return 1

    def held(self) -> int:
        """Return how many messages Celery holds for workers, also dead ones, until its visibility timeout."""
        with self.redis.client() as redis:
            return int(redis.hlen("unacked"))

    def dead(self) -> int:
        """Return how many dead letters there are."""
        with self.redis.client() as redis:
            return int(redis.xlen(f"{PREFIX}:dead"))

    def tally(self) -> Tally:
        """Return what has come of all that was sent."""
        counted = tally(self.notes(), self.units, self.strikes)
        return counted.model_copy(update={"dead": self.dead()})

    # Faults

    @contextlib.contextmanager
    def strike(self, fault: str, pids: Sequence[int] = (), **hits: bool) -> Iterator[None]:
        """Note a fault for the time of the block, and what it hits; see `Strike`."""
        since = time.monotonic()
        yield
        self.strikes.append(
            Strike(fault=fault, since=since, until=time.monotonic(), pids=tuple(pids), **hits)
        )

    def rows(self) -> list[str]:
        """Return the keys that tasks have written to the database."""
        found = in_transaction(self.database.url, lambda c: c.execute(text(SELECT)).all())
        return [key for (key,) in found]

    def started(self, count: int) -> bool:
        """Wait until so many starts are in the ledger; return whether they came."""
        return wait_until(lambda: sum(note.what == "start" for note in self.notes()) >= count, 60)


def tree(worker: Process) -> list[psutil.Process]:
    """Return a worker's processes, itself first; none if it has ended."""
    try:
        main = psutil.Process(worker.pid)
        return [main, *main.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def runners(worker: Process, until: float = 30.0) -> list[psutil.Process]:
    """Return the processes that run a worker's tasks, when there are some."""

    def found() -> list[psutil.Process]:
        return [child for child in tree(worker)[1:] if _runs_tasks(child)]

    wait_until(found, until)
    return found()


def _runs_tasks(child: psutil.Process) -> bool:
    try:
        return child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline())
    except psutil.NoSuchProcess:
        return False
