"""The lab: all that one application needs, around one workspace folder."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from playbook.lab.aws import Aws
from playbook.lab.children import START_TIMEOUT, Children, tail
from playbook.lab.databases import open_database
from playbook.lab.effects.files import empty_folder, list_files
from playbook.lab.effects.rows import delete_rows, read_rows
from playbook.lab.effects.websocket import Recorder
from playbook.lab.errors import LabError
from playbook.lab.redis_server import ExternalRedis, RedisServer
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.target import Services, Target
from playbook.lab.tracing.trace_file import TRACE_VARIABLE, TraceReader, by_time
from playbook.lab.waiting import free_port, together
from playbook.lab.world import World
from playbook.models import Effects, Observation, System, TaskEvent

ACTIVITY_INTERVAL = 0.2


class Scenario(Protocol):
    """Something that is done to a running application, and waited for."""

    @property
    def name(self) -> str:
        """The name under which observations are compared."""

    def __call__(self, lab: Lab) -> None:
        """Do it, and return when the application has come to rest."""


class Lab(Children):
    """Redis, S3 and SQS, the outside world and a database for one application, and its own processes.

    A context manager: entering starts the services, all empty, and creates the application's tables; leaving
    stops everything that was started. If this process dies, all of it ends within ten seconds. Everything is
    synchronous and works while an event loop runs, as in a notebook.

    Parameters:
        workspace: folder that holds the application's package; children run in it and import from it first.
        run_dir: folder for logs, trace, data and the default database; created.
        target: the application.
        redis_url: None for a Redis of our own. An external one is never flushed; our keys carry a prefix and
            are removed by name.
        database_url: None for SQLite in `run_dir`; `"postgres"` for a PostgreSQL of our own; else the URL of
            a PostgreSQL server, in which a database is created and dropped by name.
        env: environment variables for the application, on top of or instead of the target's settings.
    """

    def __init__(
        self,
        workspace: Path,
        run_dir: Path,
        *,
        target: Target = REFLECTOR,
        redis_url: str | None = None,
        database_url: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(target, workspace, run_dir, free_port())
        self.data_dir = self.run_dir / "data"
        self.trace_path = self.run_dir / "trace.jsonl"
        self.redis: RedisServer | ExternalRedis
        if redis_url is None:
            self.redis = RedisServer(self.logs_dir)
        else:
            self.redis = ExternalRedis(redis_url, prefix=f"playbook-{self.run_dir.name}-{self._port}:")
        self.database = open_database(database_url, self.run_dir)
        self.aws = Aws(self.logs_dir, target.buckets, target.queues)
        self.world = World(self.logs_dir)
        self._recorders: list[Recorder] = []
        self._reader = TraceReader(self.trace_path)
        self._events: list[TaskEvent] = []
        self.env = {**self._settings(), **(env or {})}

    def _settings(self) -> dict[str, str]:
        services = Services(
            redis_url=self.redis.url,
            redis_prefix=self.redis.prefix,
            database_url=self.database.url,
            world_url=self.world.url,
            api_url=self.api_url,
            aws=self.aws,
            data_dir=self.data_dir,
        )
        settings = {**self.target.settings(services), TRACE_VARIABLE: str(self.trace_path)}
        if self.redis.prefix:
            settings["CELERY_CONFIG_MODULE"] = "playbook.lab.celery_prefix"
            settings["PLAYBOOK_REDIS_PREFIX"] = self.redis.prefix
        return settings

    @property
    def redis_url(self) -> str:
        """Where Redis is, credentials included."""
        return self.redis.url

    @property
    def database_url(self) -> str:
        """Where the database is, credentials included."""
        return self.database.url

    # Starting and stopping

    def start(self) -> Self:
        """Start the services in parallel and create the application's tables."""
        self.logs_dir.mkdir(parents=True, exist_ok=True)
        empty_folder(self.data_dir)
        self.trace_path.write_bytes(b"")
        self._forget_trace()
        try:
            together(self.redis.start, self.aws.start, self.world.start, self._start_database)
        except BaseException:
            self.stop()
            raise
        return self

    def _start_database(self) -> None:
        self.database.start()
        done = self.run([sys.executable, *self.target.setup], timeout=START_TIMEOUT)
        if done.returncode:
            raise LabError(f"the application could not create its tables:\n{tail(done.stderr)}")

    def stop(self) -> None:
        """Stop the application's processes, then the services. Logs, trace and data stay."""
        self._close_recorders()
        try:
            together(*(process.stop for process in self._processes))
        finally:
            self._processes.clear()
            together(self.redis.stop, self.aws.stop, self.world.stop, self.database.stop)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Observing

    def listen(self, path: str, channel: str) -> Recorder:
        """Connect a WebSocket client to the API that records what it receives, for the effects.

        Parameters:
            path: below `api_url`, for instance `/v1/events`.
            channel: name under which the messages are kept.
        """
        recorder = Recorder(f"{self.api_url.replace('http', 'ws', 1)}{path}", channel)
        self._recorders.append(recorder)
        return recorder

    def trace(self) -> list[TaskEvent]:
        """Return the task events since the last `reset`."""
        self._events = by_time([*self._events, *self._reader.news()])
        return list(self._events)

    def effects(self) -> Effects:
        """Read what the application has left behind: rows, requests, messages, objects, queues, files."""
        return Effects(
            rows=read_rows(self.database_url),
            requests=self.world.requests(),
            messages=[message for recorder in self._recorders for message in recorder.messages],
            objects=self.aws.objects(),
            queue_messages=self.aws.queue_messages(),
            files=list_files(self.data_dir),
        )

    def reset(self) -> None:
        """Empty the database's tables, buckets, queues, data folder, record and trace; forget planned faults.

        Workers and API may go on. Redis is left alone, because running workers keep what they need there.
        """
        self._close_recorders()
        delete_rows(self.database_url)
        self.aws.reset()
        self.world.clear()
        self.world.calm()
        empty_folder(self.data_dir)
        self._forget_trace(self.trace_path.stat().st_size)

    def observe(self, scenario: Scenario, label: str, system: System) -> Observation:
        """Reset, run a scenario, and collect what it left behind.

        Parameters:
            scenario: what to do; it returns when the application has come to rest.
            label: name of this run, for instance `A`.
            system: which system the tasks are expected to run on.
        """
        self.reset()
        scenario(self)
        effects = self.effects()
        self._close_recorders()
        return Observation(
            scenario=scenario.name, label=label, system=system, effects=effects, trace=self.trace()
        )

    def wait_quiet(self, done: Callable[[], object], *, quiet: float = 5.0, timeout: float = 120.0) -> bool:
        """Wait until the application has come to rest.

        Parameters:
            done: tells whether what was expected has happened.
            quiet: seconds without any task event, request or message after which nothing more is expected.
            timeout: seconds after which to give up.

        Returns:
            Whether it is done. Returns at once when it is and every attempt of a task that started has ended;
            else when it has been quiet (an attempt whose worker was killed never ends).

        Raises:
            LabError: it did not come to rest in time.
        """
        deadline = time.monotonic() + timeout
        last_seen, since = self._activity(), time.monotonic()
        while not (done() and self._all_ended()):
            if (seen := self._activity()) != last_seen:
                last_seen, since = seen, time.monotonic()
            now = time.monotonic()
            if now - since >= quiet:
                return bool(done())
            if now >= deadline:
                raise LabError(
                    f"the application did not come to rest within {timeout:g} s; see {self.logs_dir}"
                )
            time.sleep(ACTIVITY_INTERVAL)
        return True

    def _activity(self) -> tuple[int, ...]:
        messages = sum(len(recorder.messages) for recorder in self._recorders)
        return self.trace_path.stat().st_size, len(self.world.requests()), messages

    def _all_ended(self) -> bool:
        balance: Counter[tuple[str, int]] = Counter()
        for event in self.trace():
            balance[event.id, event.attempt] += 1 if event.kind == "start" else -1
        return not any(balance.values())

    def _forget_trace(self, offset: int = 0) -> None:
        self._reader = TraceReader(self.trace_path, offset)
        self._events = []

    def _close_recorders(self) -> None:
        for recorder in self._recorders:
            recorder.close()
        self._recorders.clear()
