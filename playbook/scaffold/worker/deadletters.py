"""Messages that could not be run: look at them, send them again, delete them.

    python -m PACKAGE.worker.deadletters list
    python -m PACKAGE.worker.deadletters replay ENTRY
    python -m PACKAGE.worker.deadletters delete ENTRY

Nothing removes a dead letter but these commands.
"""

import argparse
import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

from . import lua
from .connections import ERRORS, is_outage
from .streams import StreamBroker


@dataclass(frozen=True)
class DeadLetter:
    """One of them.

    Attributes:
        entry_id: its id in the dead-letter stream.
        task_id: the task's id, if the message had one.
        queue: where it came from.
        reason: why it was not run.
        at: when that was found, by Redis' clock.
        data: the message.
    """

    entry_id: str
    task_id: str | None
    queue: str
    reason: str
    at: datetime
    data: bytes | None


class DeadLetters:
    """The dead letters of a broker."""

    def __init__(self, broker: StreamBroker) -> None:
        self._redis = broker.redis
        self._keys = broker.keys
        self._replay = self._redis.register_script(lua.REPLAY)

    async def count(self) -> int:
        """Return how many there are."""
        return int(await self._redis.xlen(self._keys.dead))

    async def newest(self, limit: int) -> list[DeadLetter]:
        """Return the newest, at most `limit`, the newest first."""
        found = await self._redis.xrevrange(self._keys.dead, count=limit)
        return [_letter(id, fields) for id, fields in found]

    async def list(self, limit: int = 100) -> list[DeadLetter]:
        """Return the oldest, at most `limit`."""
        return [_letter(id, fields) for id, fields in await self._redis.xrange(self._keys.dead, count=limit)]

    async def replay(self, entry_id: str) -> bool:
        """Send a message again, as if no worker had ever seen it; return whether it was there.

        What was no message in the first place (an entry without fields) stays where it is.
        """
        found = await self._redis.xrange(self._keys.dead, entry_id, entry_id)
        if not found:
            return False
        queue = _letter(*found[0]).queue
        return bool(await self._replay([self._keys.dead, self._keys.stream(queue)], [entry_id]))

    async def delete(self, entry_id: str) -> bool:
        """Delete one; return whether it was there."""
        return bool(await self._redis.xdel(self._keys.dead, entry_id))


def _letter(id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    task_id = fields.get(b"id")
    return DeadLetter(
        entry_id=id.decode(),
        task_id=task_id.decode() if task_id else None,
        queue=fields[b"_queue"].decode(),
        reason=fields[b"_reason"].decode(errors="replace"),
        at=datetime.fromtimestamp(int(fields[b"_at"]) / 1000, UTC),
        data=fields.get(b"data"),
    )


async def _run(broker: StreamBroker, command: str, entry: str | None) -> int:
    letters = DeadLetters(broker)
    try:
        if entry is None:
            for letter in await letters.list():
                print(letter.entry_id, letter.at.isoformat(), letter.queue, letter.task_id, letter.reason)
            return 0
        act = letters.replay if command == "replay" else letters.delete
        if await act(entry):
            return 0
        print(f"there is no dead letter {entry} that could be sent; see `list`", file=sys.stderr)
        return 1
    except ERRORS as error:
        print(f"{entry or 'the dead letters'}: {error}", file=sys.stderr)
        return 1 if is_outage(error) else 2
    finally:
        await broker.shutdown()


def main() -> int:
    """Run the command line; return its exit status."""
    from .broker import broker

    parser = argparse.ArgumentParser(description="Messages that could not be run.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show the oldest 100")
    for name, text in (("replay", "send one again"), ("delete", "delete one")):
        commands.add_parser(name, help=text).add_argument("entry", metavar="ENTRY")
    options = parser.parse_args()
    if not isinstance(broker, StreamBroker):
        parser.error("there is no Redis broker here: ENVIRONMENT is pytest")
    return asyncio.run(_run(broker, options.command, getattr(options, "entry", None)))


if __name__ == "__main__":
    sys.exit(main())
