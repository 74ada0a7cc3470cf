"""A view of the queues in the terminal: what waits, runs, is tried again, is dead, is due next.

    python -m PACKAGE.worker.top                    # until Ctrl-C
    python -m PACKAGE.worker.top --once | --json    # one look
    python -m PACKAGE.worker.top inspect ID         # all that is known of a task, as JSON
    python -m PACKAGE.worker.top revoke ID          # a task or a workflow is not started any more
    python -m PACKAGE.worker.top replay ENTRY | --all    # send dead letters again

Looking costs a few commands each time, however long the queues are. Exit status: 0; 1: there is no such task
or dead letter; 2: wrong use, or Redis cannot be reached.
"""

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from taskiq.exceptions import TaskiqError

from .clients import with_client
from .connections import ERRORS
from .deadletters import DeadLetter, DeadLetters
from .find import Finder, inspect
from .schedule_entries import ScheduleError
from .scheduler import Line, scheduler
from .state import Observer, State, Task
from .streams import StreamBroker
from .workflow import revoke

MOST = 20
"""Lines of each table."""

CLEAR = "\x1b[H\x1b[2J"
"""Tells a terminal to forget what it shows."""


@dataclass(frozen=True)
class Seen:
    """One look.

    Attributes:
        state: queues and workers.
        running, delayed: tasks.
        dead: the newest dead letters.
        schedule: entries by their next due time; labels of tasks are in `scheduler --list MODULE ...`.
    """

    state: State
    running: Sequence[Task]
    delayed: Sequence[Task]
    dead: Sequence[DeadLetter]
    schedule: Sequence[Line]

    def as_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(asdict(self), default=_plain)


async def look(observer: Observer) -> Seen:
    """Look at everything once.

    Raises:
        redis.exceptions.RedisError, OSError: Redis cannot be reached.
    """
    state = observer.look()
    running, delayed = observer.tasks(state, MOST)

    async def letters(client: Any) -> list[DeadLetter]:
        return await DeadLetters(client).newest(MOST)

    return Seen(state, running, delayed, await with_client(letters), await scheduler.lines())


def drawn(seen: Seen, width: int) -> str:
    """Return a look as text, no line longer than `width`."""
    state = seen.state
    at = datetime.fromtimestamp(state.at, UTC)
    tables: list[tuple[Sequence[str], list[Sequence[object]]]] = [
        (
            ("QUEUE", "WAITING", "OLDEST", "RUNNING", "DELAYED", "SUSPECTS", "WORKERS"),
            [
                (q.name, q.waiting, _span(q.oldest), q.running, q.delayed, q.suspects, q.alive)
                for q in state.queues.values()
            ],
        ),
        (
            ("WORKER", "QUEUE", "RUNNING", "LEASE"),
            [
                (w.name, q.name, w.running, _span(w.lease) if w.lease > 0 else "over")
                for q in state.queues.values()
                for w in q.workers
            ],
        ),
        (
            ("RUNNING TASK", "ID", "RETRIES", "FOR", "WORKER"),
            [(t.name, t.id, t.retries, _span(t.seconds), t.worker) for t in seen.running],
        ),
        (
            ("WAITS FOR ITS TIME", "ID", "RETRIES", "IN", "QUEUE"),
            [(t.name, t.id, t.retries, _span(t.seconds), t.queue) for t in seen.delayed],
        ),
        (
            ("DEAD LETTER", "TASK ID", "AGE", "REASON"),
            [(d.entry_id, d.task_id or "-", _span((at - d.at).total_seconds()), d.reason) for d in seen.dead],
        ),
        (
            ("SCHEDULED", "TASK", "IN", "LAST BY"),
            [
                (line.name, line.task, _span((line.next_due - at).total_seconds()), line.system or "-")
                for line in seen.schedule[:MOST]
                if line.next_due
            ],
        ),
    ]
    parts = [f"{at:%Y-%m-%d %H:%M:%S} UTC   dead letters: {state.dead}"]
    parts += [_table(head, rows) for head, rows in tables if rows]
    return "\n".join(line[:width].rstrip() for part in parts for line in [*part.splitlines(), ""])


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def _span(seconds: float) -> str:
    """Return a length of time in at most two units: `0.4s`, `12s`, `3m05s`, `2h10m`, `4d03h`."""
    if abs(seconds) < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for unit, size, below, part in (("d", 86_400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // part:02}{below}"
    return f"{whole}s"


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)


async def _replay(entries: Sequence[str]) -> int:
    """Send dead letters again; none named: all that there are now. Return the exit status."""

    async def run(client: Any) -> int:
        letters = DeadLetters(client)
        named = entries or [letter.entry_id for letter in await letters.list(await letters.count() or 1)]
        missing = [entry for entry in named if not await letters.replay(entry)]
        for entry in missing:
            print(f"there is no dead letter {entry} that could be sent", file=sys.stderr)
        print(f"{len(named) - len(missing)} sent again")
        return int(bool(missing))

    return await with_client(run)


async def _inspect(broker: StreamBroker, id: str) -> int:
    found = await inspect(Finder(broker), id)
    print(json.dumps(found, indent=2))
    return int(found["state"] == "unknown")


async def _revoke(id: str) -> int:
    count = await revoke(id)
    print(f"{count} will not start" if count else "nothing was left to revoke: it has ended")
    return int(not count)


async def _watch(broker: StreamBroker, options: argparse.Namespace) -> int:
    observer = Observer(broker)
    while True:
        seen = await look(observer)
        size = shutil.get_terminal_size()
        if options.json:
            print(seen.as_json())
        elif options.once:
            print(drawn(seen, size.columns if sys.stdout.isatty() else 1000))
        else:
            text = "\n".join(drawn(seen, size.columns).splitlines()[: size.lines - 1])
            print(CLEAR + text, flush=True)
        if options.json or options.once:
            return 0
        await asyncio.sleep(options.every)


async def _run(broker: StreamBroker, options: argparse.Namespace) -> int:
    match options.command:
        case "inspect":
            return await _inspect(broker, options.id)
        case "revoke":
            return await _revoke(options.id)
        case "replay":
            return await _replay(options.entries)
    return await _watch(broker, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="What waits, runs, is tried again, is dead, is due next.")
    parser.add_argument("--once", action="store_true", help="look once, and end")
    parser.add_argument("--json", action="store_true", help="look once, and print JSON")
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="between two looks (1)")
    commands = parser.add_subparsers(dest="command")
    for name, text in (("inspect", "show a task"), ("revoke", "keep a task or workflow from starting")):
        commands.add_parser(name, help=text).add_argument("id", metavar="ID")
    replay = commands.add_parser("replay", help="send dead letters again")
    which = replay.add_mutually_exclusive_group(required=True)
    which.add_argument("entries", nargs="*", default=[], metavar="ENTRY")
    which.add_argument("--all", action="store_true", help="all that there are now")
    return parser


def main() -> int:
    """Run the command line; return its exit status."""
    parser = _parser()
    options = parser.parse_args()
    broker = scheduler.broker
    if not isinstance(broker, StreamBroker):
        parser.error("there is no Redis broker here: ENVIRONMENT is pytest")
    try:
        return asyncio.run(_run(broker, options))
    except KeyboardInterrupt:
        return 0
    except (*ERRORS, TaskiqError) as error:
        print(f"Redis cannot be reached: {error}", file=sys.stderr)
    except ScheduleError as error:
        print(f"the schedule cannot be read: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
