"""Find a task by its id: where it is, and what became of it.

Invariant: finding changes nothing, and Redis is never busy with it for long: long streams are read in pages.
"""

import json
from dataclasses import asdict
from typing import Any

from . import workflow
from .connections import client
from .keys import GROUP
from .lua import COMMON
from .streams import StreamBroker

PAGE = 1000
"""Entries that are looked at in one step."""

IN_STREAM = (
    COMMON
    + """
-- KEYS: stream. ARGV: task's id, entry to begin after or "-", most.
-- Answers the last entry that was looked at (none: that was all), and the one that was found, with fields.
local last
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])) do
    if field(entry[2], 'id') == ARGV[1] then return {entry[1], entry[1], entry[2]} end
    last = entry[1]
end
return {last}
"""
)
"""Look for a task in a part of a stream."""

IN_DELAYED = (
    COMMON
    + """
-- KEYS: delayed, payloads. ARGV: task's id, number to begin with, most.
-- Answers how many were looked at (0: that was all), and due time and fields of the one that was found.
local tokens = redis.call('ZRANGE', KEYS[1], ARGV[2], ARGV[2] + ARGV[3] - 1, 'WITHSCORES')
for n = 1, #tokens, 2 do
    local packed = redis.call('HGET', KEYS[2], tokens[n])
    local fields = packed and cmsgpack.unpack(packed)
    if fields and field(fields, 'id') == ARGV[1] then return {n, tokens[n + 1], fields} end
end
return {#tokens / 2}
"""
)
"""Look for a task in a part of those that are not due yet."""


class Finder:
    """Finds tasks in the Redis of a broker."""

    def __init__(self, broker: StreamBroker) -> None:
        self._redis = client(broker.url)
        self._in_stream = self._redis.register_script(IN_STREAM)
        self._in_delayed = self._redis.register_script(IN_DELAYED)
        self._keys, self._queues = broker.keys, broker.queues

    def find(self, id: str) -> dict[str, Any]:
        """Return all that is known of a task, as JSON values.

        Returns:
            `id` and `state`: waiting, running, delayed, dead, done, failed, or unknown. As far as they apply:
            `task`, `args`, `kwargs`, `retries`, `queue`, `workflow`, `deaths`, `worker` and `seconds` that it
            has run, `due` (Unix time, s), `reason` and `entry` of a dead letter, `result` as it is stored.
        """
        found = self._waiting(id) or self._delayed(id) or self._dead(id) or {"state": "unknown"}
        if result := self._redis.get(self._keys.result(id)):
            stored = json.loads(result)
            ended = {"state": "failed" if stored["is_err"] else "done", "result": stored}
            found = {**found, **(ended if found["state"] == "unknown" else {"result": stored})}
        return {"id": id, **found}

    def _waiting(self, id: str) -> dict[str, Any] | None:
        for queue in self._queues:
            for stream in (self._keys.stream(queue), self._keys.suspects(queue)):
                if found := self._find_in(stream, id):
                    entry, fields = found
                    held = (
                        self._redis.xpending_range(stream, GROUP, entry, entry, 1)
                        if self._read(stream)
                        else []
                    )
                    if not held:
                        return {"state": "waiting", "queue": queue, **_told(fields)}
                    idle = held[0]["time_since_delivered"] / 1000
                    runs = {"worker": held[0]["consumer"].decode(), "seconds": idle}
                    return {"state": "running", "queue": queue, **_told(fields), **runs}
        return None

    def _delayed(self, id: str) -> dict[str, Any] | None:
        for queue in self._queues:
            keys, start = [self._keys.delayed(queue), self._keys.payloads(queue)], 0
            while (answer := self._in_delayed(keys, [id, start, PAGE]))[0]:
                if len(answer) > 1:
                    due = {"state": "delayed", "queue": queue, "due": int(answer[1]) / 1000}
                    return {**due, **_told(_fields(answer[2]))}
                start += int(answer[0])
        return None

    def _dead(self, id: str) -> dict[str, Any] | None:
        found = self._find_in(self._keys.dead, id)
        if found is None:
            return None
        entry, fields = found
        letter = {"queue": fields["_queue"], "reason": fields["_reason"], "entry": entry}
        return {"state": "dead", **letter, **_told(fields)}

    def _find_in(self, stream: str, id: str) -> tuple[str, dict[str, str]] | None:
        start = "-"
        while answer := self._in_stream([stream], [id, start, PAGE]):
            if len(answer) > 1:
                return answer[1].decode(), _fields(answer[2])
            start = f"({answer[0].decode()}"
        return None

    def _read(self, stream: str) -> bool:
        """Tell whether any worker has ever read a stream."""
        return any(group["name"] == GROUP.encode() for group in self._redis.xinfo_groups(stream))


async def inspect(finder: Finder, id: str) -> dict[str, Any]:
    """Return what `Finder.find` finds, and under `steps` the workflow of that id or of that task."""
    found = finder.find(id)
    steps = await workflow.status(found.get("workflow") or id)
    if steps and found["state"] == "unknown":
        found["state"] = next((step.state for step in steps if step.id == id), "unknown")
    return {**found, "steps": [asdict(step) for step in steps]} if steps else found


def _fields(flat: list[bytes]) -> dict[str, str]:
    texts = [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _told(fields: dict[str, str]) -> dict[str, Any]:
    """Return what a message says of its task."""
    told: dict[str, Any] = {}
    try:
        message = json.loads(fields.get("data", ""))
        told = {"task": message["task_name"], "args": message["args"], "kwargs": message["kwargs"]}
        told["retries"] = int(message["labels"].get("_retries", 0))
    except (ValueError, KeyError, TypeError):
        told["data"] = fields.get("data", "")
    if deaths := int(fields.get("deaths", 0)):
        told["deaths"] = deaths
    if (step := fields.get("step", "").partition(" ")[0]) not in ("", "-"):
        told["workflow"] = step
    return told
