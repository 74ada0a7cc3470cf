"""Move what is still queued from Celery to TaskIQ, or back.

    python -m PACKAGE.worker.transfer count
    python -m PACKAGE.worker.transfer to-taskiq MODULE ...      name every module that defines tasks
    python -m PACKAGE.worker.transfer results [--wait SECONDS]  tell those who wait for a Celery result
    python -m PACKAGE.worker.transfer to-celery

Order for a cutover: let all calls go to TaskIQ, stop beat, stop the Celery workers (SIGTERM: they finish what
they run and give back the rest), start the TaskIQ workers, `to-taskiq`, `count`. For a rollback the same the
other way round. Each command can be killed and run again.

Exit status: 0 done, 1 something is left, 2 unusable input. These modules (`transfer*.py`) import nothing of
Celery's; delete them when no rollback is wanted any more.
"""

import argparse
import asyncio
import importlib
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from redis import RedisCluster

from ..settings import settings
from .connections import ERRORS, client
from .keys import GROUP
from .streams import StreamBroker
from .transfer_celery import CeleryMessage, CeleryRedis, Found
from .transfer_lua import PUT, TAKE
from .transfer_plans import Chords, LeftError, Translation, units_of
from .transfer_results import tell_back, tell_results
from .transfer_taskiq import TaskiqRedis, returned, transferred


@dataclass
class Report:
    """What a transfer did.

    Attributes:
        moved: how many messages.
        workflows: how many of their units were more than one task.
        held: how many of the messages a stopped worker had held: it may have run them.
        left: what was not moved: where or which task, and why.
    """

    moved: int = 0
    workflows: int = 0
    held: int = 0
    left: list[dict[str, str]] = field(default_factory=list)


class Transfer:
    """One transfer.

    Parameters:
        broker: the TaskIQ broker, with all tasks.
        celery: Celery's part of Redis.
        taskiq: a client of the TaskIQ broker's Redis.
    """

    def __init__(self, broker: StreamBroker, celery: CeleryRedis, taskiq: Any) -> None:
        self.broker = broker
        self.celery = celery
        self.taskiq = taskiq
        self._put = taskiq.register_script(PUT)
        self._take = celery.broker.register_script(TAKE)
        self._one_redis = same_redis(celery.broker, taskiq)

    def count(self) -> dict[str, Any]:
        """Return what lies on either side."""
        return {"celery": celery_counts(self.celery), "taskiq": taskiq_counts(self.taskiq, self.broker)}

    def to_taskiq(self, dry_run: bool = False, end_incomplete: bool = False) -> Report:
        """Move Celery's messages to TaskIQ.

        Args:
            dry_run: change nothing.
            end_incomplete: whether chords that lack members end with an error, instead of being left.

        Raises:
            ValueError: workers run, and the two systems have Redis servers of their own.
        """
        report = Report()
        working = bool(self.celery.workers())
        self._refuse_race(working)
        found = self.celery.read()
        report.left += found.foreign
        chords = Chords(self.celery)
        for unit in units_of(found.messages, chords):
            translation = Translation(unit, chords, self.broker, end_incomplete and not working)
            try:
                if working and any(message.held for message in unit):
                    raise LeftError("a Celery worker holds it; stop the Celery workers first")
                data = asyncio.run(translation.data())
                if not dry_run and not self._move(data, unit):
                    raise LeftError("it is no longer there: a Celery worker has taken it")
            except LeftError as error:
                report.left += [{"where": f"task {m.task} {m.id}", "reason": str(error)} for m in unit]
                continue
            for group in () if dry_run else translation.groups:
                self.celery.forget_chord(group)
            report.moved += len(unit)
            report.workflows += not data["alone"]
            report.held += sum(message.held for message in unit)
        return report

    def to_celery(self, dry_run: bool = False) -> Report:
        """Move TaskIQ's messages to Celery; see `to_taskiq`."""
        report = Report()
        side = TaskiqRedis(self.broker, self.taskiq)
        working = side.workers()
        self._refuse_race(bool(working))
        for unit in list(side.units()):
            try:
                found = side.translated(unit, working)
                if not dry_run and not side.move(unit, found, self.celery, self._one_redis):
                    raise LeftError("it is no longer there: a TaskIQ worker has taken it")
            except LeftError as error:
                report.left += [{"where": f"task {m.fields.get('id')}", "reason": str(error)} for m in unit]
                continue
            report.moved += len(unit)
            report.workflows += unit[0].step[0] != "-"
            report.held += sum(m.place.kind == "stream" and bool(m.place.other) for m in unit)
        return report

    def _refuse_race(self, working: bool) -> None:
        """Refuse to move between two servers what a worker may take at the same time."""
        if working and not self._one_redis:
            raise ValueError("Celery and TaskIQ have Redis servers of their own: stop the workers first")

    def tell(self) -> tuple[int, int]:
        """Tell results to those who wait on the other side; return how many, and how many are to come."""
        keys, life = self.broker.keys, self.broker.result_ttl
        there = tell_results(self.celery, self.taskiq, keys, transferred(keys))
        back = tell_back(self.celery, self.taskiq, keys, returned(keys), life)
        return there[0] + back[0], there[1] + back[1]

    def _move(self, data: dict[str, Any], messages: list[CeleryMessage]) -> bool:
        sources = [source for message in messages for source in message.sources]
        keys = [f"{self.broker.keys.prefix}:moved:{messages[0].mark}", transferred(self.broker.keys)]
        lives = [self.broker.keys.prefix, self.broker.result_ttl, self.broker.workflow_ttl]
        index = self.celery.unacked_index
        flat = [part for s in sources for part in (s.key, s.tag or s.payload, index if s.tag else "")]
        unit = json.dumps(data)
        if self._one_redis:
            return bool(self._put(keys, [*lives, unit, *flat]))
        self._put(keys, [*lives, unit])
        return bool(self._take([], flat))


def same_redis(one: Any, other: Any) -> bool:
    """Tell whether two clients use the same database of the same server."""
    if isinstance(one, RedisCluster) or isinstance(other, RedisCluster):
        return False
    ids = [client.info("server").get("run_id") for client in (one, other)]
    databases = [int(client.connection_pool.connection_kwargs.get("db") or 0) for client in (one, other)]
    return ids[0] == ids[1] and databases[0] == databases[1]


def celery_counts(celery: CeleryRedis) -> dict[str, Any]:
    """Return how much of what lies in Celery's Redis."""
    found: Found = celery.read()
    now = datetime.now(UTC).isoformat()
    waiting = [m for m in found.messages if not m.held]
    chords = {m.headers.get("group") for m in found.messages if m.embed.get("chord")}
    return {
        "queued": dict(sorted(Counter(message.queue for message in waiting).items())),
        "held": len(found.messages) - len(waiting),
        "for later": sum((m.headers.get("eta") or "") > now for m in found.messages),
        "retries": sum(bool(m.headers.get("retries")) for m in found.messages),
        "with further steps": sum(
            any(m.embed.get(n) for n in ("chain", "callbacks")) for m in found.messages
        ),
        "chords": len(chords),
        "foreign": found.foreign,
        "workers": len(celery.workers()),
    }


def taskiq_counts(redis: Any, broker: StreamBroker) -> dict[str, Any]:
    """Return how much of what lies in this runtime's Redis."""
    keys = broker.keys
    queued: dict[str, int] = {}
    delayed = running = workers = 0
    now = time.time() * 1000
    for queue in broker.queues:
        size = 0
        for stream in (keys.stream(queue), keys.suspects(queue)):
            size += redis.xlen(stream)
            if redis.exists(stream) and redis.xinfo_groups(stream):
                running += redis.xpending(stream, GROUP)["pending"]
        queued[queue] = size
        delayed += redis.zcard(keys.delayed(queue))
        workers = max(workers, redis.zcount(keys.workers(queue), now, "+inf"))
    workflows = 0
    for key in redis.scan_iter(match=f"{keys.workflow('')}*", count=1000):
        workflows += int(redis.hget(key, "active") or 0) > 0
    return {
        "queued": queued,
        "running": running,
        "for later": delayed,
        "workflows": workflows,
        "dead letters": redis.xlen(keys.dead),
        "results to tell": redis.scard(transferred(broker.keys)),
        "workers": workers,
    }


def main() -> int:
    """Run the command line; return its exit status."""
    options = _parser().parse_args()
    for module in options.modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            print(f"transfer: {module} cannot be imported: {error}", file=sys.stderr)
            return 2
    try:
        return _run(options)
    except ValueError as error:
        print(f"transfer: {error}", file=sys.stderr)
    except ERRORS as error:
        print(f"transfer: Redis: {error}", file=sys.stderr)
    return 2


def _run(options: argparse.Namespace) -> int:
    from .broker import broker

    if not isinstance(broker, StreamBroker):
        raise ValueError("there is no Redis broker here: ENVIRONMENT is pytest")
    taskiq_url = settings.TASKIQ_REDIS_URL or settings.CELERY_BROKER_URL
    broker_url = getattr(settings, "CELERY_BROKER_URL", None) or taskiq_url
    backend_url = getattr(settings, "CELERY_RESULT_BACKEND", None) or broker_url
    celery = CeleryRedis(client(broker_url), client(backend_url), options.celery_prefix)
    transfer = Transfer(broker, celery, client(taskiq_url))
    if options.command == "count":
        counts = transfer.count()
        _print(counts, options.json)
        left = counts["celery"]
        return int(bool(left["queued"] or left["held"] or left["foreign"]))
    if options.command == "results":
        return _results(transfer, options)
    if options.command == "to-celery":
        report = transfer.to_celery(options.dry_run)
    else:
        report = transfer.to_taskiq(options.dry_run, options.end_incomplete)
    _print(asdict(report), options.json)
    return int(bool(report.left))


def _results(transfer: Transfer, options: argparse.Namespace) -> int:
    ends = time.monotonic() + options.wait
    told = 0
    while True:
        now, left = transfer.tell()
        told += now
        if not left or time.monotonic() >= ends:
            break
        time.sleep(0.1)
    _print({"told": told, "left": left}, options.json)
    return int(left > 0)


def _print(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if isinstance(value, dict):
            _print({f"{name}: {inner}": one for inner, one in value.items()}, as_json)
        elif isinstance(value, list):
            print(f"{name}: {len(value)}")
            for one in value:
                print(f"  {one['where']}: {one['reason']}")
        else:
            print(f"{name}: {value}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}.transfer", description="Celery <-> TaskIQ"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    texts = {
        "count": "show what lies on either side",
        "to-taskiq": "move Celery's messages to TaskIQ",
        "to-celery": "move TaskIQ's messages to Celery",
        "results": "tell the results of moved tasks to Celery's clients",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--json", action="store_true", help="print one JSON object")
        command.add_argument("--celery-prefix", default="", help="Celery's global_keyprefix")
        command.set_defaults(modules=[])
        if name.startswith("to-"):
            command.add_argument("--dry-run", action="store_true", help="change nothing")
        if name == "to-taskiq":
            command.add_argument("modules", nargs="+", metavar="MODULE", help="modules that define tasks")
            command.add_argument("--end-incomplete", action="store_true", help="end chords that lost members")
        if name == "results":
            command.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="wait so long")
    return parser


if __name__ == "__main__":
    sys.exit(main())
