"""Which system runs a call: Celery or TaskIQ (dual mode; cutover deletes this).

    TASKIQ_ROUTE=25                                         a quarter of all calls
    TASKIQ_ROUTES='{"app.tasks.rename": "taskiq"}'          one task
    python -m PACKAGE.worker.flags set celery               all, now, in every process
    python -m PACKAGE.worker.flags set taskiq --task NAME   one task, now
    python -m PACKAGE.worker.flags show | clear

A route is `celery`, `taskiq`, or the percentage of calls that TaskIQ gets; which calls, their ids decide, so
that the same call gets the same answer everywhere. What stands in Redis counts more than the environment, and
a task's own route more than the one for all.

Invariant: a change in Redis is heeded within a second. Without Redis the last routes that were read count,
and if there were none, the environment.
"""

import argparse
import asyncio
import functools
import logging
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from redis.exceptions import RedisError

from ..settings import settings
from .connections import client

logger = logging.getLogger(__name__)

System = Literal["celery", "taskiq"]

ALL = "*"
"""Stands for every task."""

REFRESH = 0.5
"""Seconds that routes from Redis are believed."""

PATIENCE = 0.5
"""Seconds that a call waits for Redis to tell the routes."""


class RouteError(ValueError):
    """A route is `celery`, `taskiq` or a whole percentage from 0 to 100."""


def share(route: str) -> int:
    """Return the percentage of calls that a route gives to TaskIQ; raise `RouteError` if it is no route."""
    text = route.strip().lower().removesuffix("%")
    if text in ("celery", "taskiq"):
        return 100 if text == "taskiq" else 0
    if text.isdecimal() and int(text) <= 100:
        return int(text)
    raise RouteError(f"{route!r} is no route: use celery, taskiq or a percentage from 0 to 100")


def choose(percentage: int, task_id: str) -> System:
    """Return the system that a call gets, by its id."""
    return "taskiq" if zlib.crc32(task_id.encode()) % 100 < percentage else "celery"


@dataclass(frozen=True)
class Routes:
    """Percentages by task name; `ALL` stands for the tasks that have none of their own."""

    shares: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, routes: Mapping[str, str]) -> "Routes":
        """Read routes; raise `RouteError` with the name of the task if one is none."""
        shares = {}
        for name, route in routes.items():
            try:
                shares[name] = share(route)
            except RouteError as error:
                raise RouteError(f"route of {'all tasks' if name == ALL else name}: {error}") from None
        return cls(shares)

    def share(self, task_name: str) -> int | None:
        """Return the percentage for a task, None if nothing is said about it."""
        return self.shares.get(task_name, self.shares.get(ALL))


class Flags:
    """The routes of the environment, and above them those in Redis."""

    def __init__(self, environment: Routes, key: str, url: str | None) -> None:
        """Create the flags; Redis is asked when a call needs a route.

        Args:
            environment: what counts if Redis says nothing.
            key: hash in Redis: task name or `*` -> route.
            url: where Redis is; None: the environment alone counts.
        """
        self._environment = environment
        self._key = key
        self._url = url
        self._live = Routes()
        self._read_at = -REFRESH
        self._reading: asyncio.Task[None] | None = None

    def system(self, task_name: str, task_id: str) -> System:
        """Return the system for one call. If the flags are `stale`, refresh them first."""
        live = self._live.share(task_name)
        percentage = self._environment.share(task_name) if live is None else live
        return choose(percentage or 0, task_id)

    @property
    def stale(self) -> bool:
        """Whether it is time to look at Redis again."""
        return self._url is not None and time.monotonic() - self._read_at >= REFRESH

    async def refresh(self) -> None:
        """Read the routes, once for all calls that wait for them. Runs on the background loop."""
        reading = self._reading
        if reading is None or reading.get_loop() is not asyncio.get_running_loop():
            reading = self._reading = asyncio.create_task(self._read())
        await asyncio.wait({reading}, timeout=PATIENCE)
        self._read_at = time.monotonic()

    async def _read(self) -> None:
        try:
            self._live = Routes.of(await asyncio.to_thread(self.stored))
        except (RedisError, OSError, RouteError) as error:
            logger.warning("cannot read the routes in Redis, the last ones count: %s", error)
        finally:
            self._reading = None

    def stored(self) -> dict[str, str]:
        """Return the routes that stand in Redis."""
        found = self._redis.hgetall(self._key)
        return {name.decode(): route.decode() for name, route in found.items()}

    def set(self, route: str, task: str = ALL) -> None:
        """Set a route for all processes; raise `RouteError` if it is none."""
        share(route)
        self._redis.hset(self._key, task, route)

    def clear(self, task: str | None = None) -> None:
        """Remove the route of a task (`ALL`: the one for all tasks), or, for None, every route."""
        if task is None:
            self._redis.delete(self._key)
        else:
            self._redis.hdel(self._key, task)

    @functools.cached_property
    def _redis(self) -> Any:
        if self._url is None:
            raise RouteError("there are no live routes here, the environment alone counts")
        return client(self._url)


def create_flags() -> Flags:
    """Return the flags that the settings ask for; raise `RouteError` if the environment names no route."""
    environment = Routes.of({ALL: settings.TASKIQ_ROUTE, **settings.TASKIQ_ROUTES})
    url = settings.TASKIQ_REDIS_URL or settings.CELERY_BROKER_URL
    in_tests = settings.ENVIRONMENT == "pytest"
    return Flags(environment, f"{settings.TASKIQ_KEY_PREFIX}:routes", None if in_tests else url)


flags = create_flags()


def main() -> None:
    """Show or change the live routes."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name if __spec__ else __name__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("show", help="print the routes in Redis")
    setting = commands.add_parser("set", help="set a route")
    setting.add_argument("route", help="celery, taskiq or a percentage")
    clearing = commands.add_parser("clear", help="remove a route, or all")
    for command in (setting, clearing):
        command.add_argument("--task", help="name of one task")
    options = parser.parse_args()
    try:
        if options.command == "set":
            flags.set(options.route, options.task or ALL)
        elif options.command == "clear":
            flags.clear(options.task)
        for name, route in sorted(flags.stored().items()):
            print(f"{name} {route}")
    except (RedisError, OSError, RouteError) as error:
        raise SystemExit(f"flags: {error}") from None


if __name__ == "__main__":
    main()
