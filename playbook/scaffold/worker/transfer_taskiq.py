"""TaskIQ's messages as they lie in Redis: read, and taken.

Invariant: a message that a living worker holds is not touched.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from .keys import GROUP, Keys
from .streams import StreamBroker
from .transfer_back import Place, Return, Returned, Waiting
from .transfer_celery import CeleryRedis
from .transfer_lua import READ_DELAYED, READ_WORKFLOW, RETURN_PUT, RETURN_TAKE
from .transfer_plans import LeftError


def transferred(keys: Keys) -> str:
    """Return the key of the ids of tasks that came from Celery and whose results nobody was told yet."""
    return f"{keys.prefix}:transferred"


def returned(keys: Keys) -> str:
    """Return the key of the same for tasks that went back to Celery."""
    return f"{keys.prefix}:returned"


class TaskiqRedis:
    """TaskIQ's part of Redis.

    Parameters:
        broker: the broker; its keys and queues count.
        redis: a client of its Redis.
    """

    def __init__(self, broker: StreamBroker, redis: Any) -> None:
        self.redis = redis
        self.keys = broker.keys
        self.queues = broker.queues
        self._read_delayed = redis.register_script(READ_DELAYED)
        self._read_workflow = redis.register_script(READ_WORKFLOW)
        self._take = redis.register_script(RETURN_TAKE)

    def workers(self) -> set[str]:
        """Return the names of the workers whose lease runs."""
        now = time.time() * 1000
        found = (self.redis.zrangebyscore(self.keys.workers(queue), now, "+inf") for queue in self.queues)
        return {name.decode() for names in found for name in names}

    def read(self) -> Iterator[Waiting]:
        """Yield all messages: of each queue those in its streams by age, then those for later by time."""
        for queue in self.queues:
            for stream in (self.keys.stream(queue), self.keys.suspects(queue)):
                holders = self._holders(stream)
                for entry, fields in self.redis.xrange(stream):
                    place = Place("stream", stream, entry.decode(), holders.get(entry, ""))
                    yield Waiting(place, queue, _text(fields.items()))
            keys = [self.keys.delayed(queue), self.keys.payloads(queue)]
            for token, fields in self._read_delayed(keys):
                place = Place("delayed", keys[0], token.decode(), keys[1])
                yield Waiting(place, queue, _text(zip(fields[::2], fields[1::2], strict=True)))

    def _holders(self, stream: str) -> dict[bytes, str]:
        """Return who holds which entry of a stream."""
        if not self.redis.exists(stream) or not self.redis.xinfo_groups(stream):
            return {}
        count = self.redis.xpending(stream, GROUP)["pending"]
        found = self.redis.xpending_range(stream, GROUP, "-", "+", count) if count else []
        return {one["message_id"]: one["consumer"].decode() for one in found}

    def workflow(self, id: str) -> dict[str, Any]:
        """Return a workflow as a whole."""
        found: dict[str, Any] = json.loads(self._read_workflow([self.keys.workflow(id)]))
        return found

    def units(self) -> Iterator[list[Waiting]]:
        """Yield messages by what must move together."""
        flows: dict[str, list[Waiting]] = {}
        for message in self.read():
            if message.step[0] == "-":
                yield [message]
            else:
                flows.setdefault(message.step[0], []).append(message)
        yield from flows.values()

    def translated(self, unit: list[Waiting], working: set[str]) -> Returned:
        """Return a unit for Celery; raise `LeftError` if it has no form there, or a worker holds it."""
        if any(message.place.other in working for message in unit):
            raise LeftError("a TaskIQ worker runs it; stop the TaskIQ workers first")
        if any("data" not in message.fields for message in unit):
            raise LeftError("it is no message of a task")
        if any(self.redis.zscore(self.keys.revoked, message.fields["id"]) for message in unit):
            raise LeftError("it is revoked, which Celery would not know; a TaskIQ worker drops it")
        id = unit[0].step[0]
        flow = None if id == "-" else self.workflow(id)
        return Return(unit, flow, self.queues[0]).data()

    def move(self, unit: list[Waiting], found: Returned, celery: CeleryRedis, one_redis: bool) -> bool:
        """Move a unit; return whether all of it was still there."""
        # First, because it harms nobody as long as no message asks for it, and says the same each time.
        for group, (size, parts) in found.chords.items():
            celery.save_chord(group, size, parts)
        messages = [part for queue, data in found.messages for part in (celery.prefix + queue, data)]
        places = [message.place for message in unit]
        flat = [part for p in places for part in (p.kind, p.key, p.id, p.other)]
        keys = [self.keys.workflow(unit[0].step[0]), transferred(self.keys), returned(self.keys)]
        if not one_redis:
            put = celery.broker.register_script(RETURN_PUT)
            put([f"{celery.prefix}taskiq:returned:{places[0].key}:{places[0].id}"], messages)
            messages = []
        args = [GROUP, len(places), *flat, len(messages) // 2, *messages, *found.ids]
        return bool(self._take(keys, args))


def _text(fields: Any) -> dict[str, str]:
    return {
        name.decode(): value.decode() if isinstance(value, bytes) else str(value) for name, value in fields
    }
