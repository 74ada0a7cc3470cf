"""Celery's messages as they lie in Redis; read and written without Celery.

What is where (kombu 5.7, transport/redis.py; celery 5.7, app/amqp.py and backends/redis.py):

    QUEUE, QUEUE\\x06\\x16N        lists, one for each priority step: messages that no worker has taken
    unacked, unacked_index         hash and sorted set: messages that a worker holds: those that it has read
                                   ahead, or that wait there for their ETA or retry
    _kombu.binding.EXCHANGE        sets: which queues there are
    celery-taskset-meta-GROUP.*    a chord in flight: `.s` its size, `.t` members added, `.j` results so far
    celery-task-meta-ID            results

Invariant: nothing here guesses. What is no message of a task in Celery's protocol 2, as uncompressed JSON, is
named with a reason and not touched.
"""

import base64
import hashlib
import itertools
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import ResponseError

from .serialization import Serializer

SEP = "\x06\x16"
PRIORITIES = range(1, 256)
CONTROL = ("celeryev", "celery.pidbox", "reply.celery.pidbox")
"""Exchanges of events and remote control; their queues hold no tasks."""
DEFAULT_QUEUE = "celery"
RESULT_EXPIRES = 86_400
"""Seconds; Celery's default of `result_expires`."""

HEADERS = {
    **dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "root_id", "parent_id")),
    **{"lang": "py", "retries": 0, "timelimit": [None, None], "origin": "transfer", "ignore_result": False},
    **{"replaced_task_nesting": 0, "stamped_headers": None, "stamps": {}},
}
"""The headers of a message about which there is nothing to say."""

Raw = dict[str, Any]
"""A signature as Celery writes it."""

_serializer = Serializer()


class ForeignMessageError(Exception):
    """What lies there cannot be read as the message of a task; says why."""


@dataclass(frozen=True)
class Source:
    """Where a message lies: a list with its payload, or the hash of unacknowledged ones with its tag."""

    key: str
    payload: bytes
    tag: str = ""


@dataclass
class CeleryMessage:
    """A message.

    Attributes:
        sources: where it lies.
        queue: name of its queue.
        headers: `task`, `id`, `retries`, `eta`, `expires`, `group`, `group_index`, `root_id`, `parent_id`.
        args, kwargs: its arguments.
        embed: what follows it: `callbacks`, `errbacks`, `chain` (the next step is the last), `chord`.
        mark: names this sending of it.
    """

    sources: list[Source]
    queue: str
    headers: dict[str, Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    embed: dict[str, Any]
    mark: str

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.headers["id"])

    @property
    def task(self) -> str:
        """The task's name."""
        return str(self.headers["task"])

    @property
    def held(self) -> bool:
        """Whether a worker holds it."""
        return any(source.tag for source in self.sources)


@dataclass
class Chord:
    """A chord in flight.

    Attributes:
        size: how many members its header has.
        results: of those that have ended: id, state, result, place in the header.
        structure: how the results are nested (celery/result.py, `GroupResult.as_tuple`), if they are.
    """

    size: int
    results: list[tuple[str, str, Any, float]] = field(default_factory=list)
    structure: list[Any] | None = None


@dataclass
class Found:
    """All that lies there: messages in the order in which they would run, and what is none, with reasons."""

    messages: list[CeleryMessage] = field(default_factory=list)
    foreign: list[dict[str, str]] = field(default_factory=list)


class CeleryRedis:
    """Celery's part of Redis.

    Parameters:
        broker: client of the Redis with the queues.
        backend: client of the Redis with results and chords.
        prefix: Celery's `global_keyprefix`, if it has one.
    """

    def __init__(self, broker: Any, backend: Any, prefix: str = "") -> None:
        self.broker = broker
        self.backend = backend
        self.prefix = prefix
        self.unacked, self.unacked_index = f"{prefix}unacked", f"{prefix}unacked_index"

    def workers(self) -> list[str]:
        """Return the addresses of Celery workers that are connected.

        A worker waits for messages with BRPOP, on a connection that does nothing else. Where Redis does not
        tell its clients, those are counted that listen to remote control.
        """
        database = str(self.broker.connection_pool.connection_kwargs.get("db") or 0)
        try:
            clients = self.broker.client_list()
        except ResponseError:
            count = self.broker.publish(f"{self.prefix}/{database}.celery.pidbox", _ping())
            return ["a worker that listens to remote control"] * int(count)
        return [one["addr"] for one in clients if one["cmd"] == "brpop" and one["db"] == database]

    def queues(self) -> list[str]:
        """Return the names of the queues of tasks, the default one first."""
        found: set[str] = {DEFAULT_QUEUE}
        start = f"{self.prefix}_kombu.binding."
        for key in self.broker.scan_iter(match=f"{start}*", count=1000):
            if key.decode().removeprefix(start) not in CONTROL:
                found |= {member.decode().split(SEP)[-1] for member in self.broker.smembers(key)}
        return sorted(found, key=lambda name: (name != DEFAULT_QUEUE, name))

    def lists(self, queue: str) -> list[tuple[str, int]]:
        """Return the lists of a queue that hold something, the most urgent first, with their lengths."""
        names = [queue, *(f"{queue}{SEP}{step}" for step in PRIORITIES)]
        with self.broker.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.type(self.prefix + name)
            kinds = pipe.execute()
        keys = [self.prefix + name for name, kind in zip(names, kinds, strict=True) if kind == b"list"]
        return [(key, self.broker.llen(key)) for key in keys]

    def read(self) -> Found:
        """Return all messages: of each queue by priority and age, then those that workers hold."""
        found = Found()
        by_mark: dict[str, CeleryMessage] = {}

        def add(source: Source, payload: bytes, queue: str | None) -> None:
            try:
                message = parsed(source, payload, queue)
            except ForeignMessageError as error:
                where = source.key.replace(SEP, ":") + (f" {source.tag}" if source.tag else "")
                found.foreign.append({"where": where, "reason": str(error)})
                return
            if message.mark in by_mark:
                # The same sending, seen twice because it moved while we read.
                by_mark[message.mark].sources += message.sources
                return
            by_mark[message.mark] = message
            found.messages.append(message)

        for queue in self.queues():
            for key, _ in self.lists(queue):
                for payload in reversed(self.broker.lrange(key, 0, -1)):
                    add(Source(key, payload), payload, queue)
        for tag, packed in self.broker.hgetall(self.unacked).items():
            add(Source(self.unacked, packed, tag.decode(errors="replace")), packed, None)
        return found

    def chord(self, group: str) -> Chord | None:
        """Return a chord in flight; None if Celery knows no size of it: it has ended, or is being sent."""
        key = f"{self.prefix}celery-taskset-meta-{group}"
        size, added, saved = self.backend.mget(f"{key}.s", f"{key}.t", key)
        if size is None:
            return None
        # A list, where the order does not matter (`result_chord_ordered`).
        if self.backend.type(f"{key}.j") == b"list":
            parts = list(zip(self.backend.lrange(f"{key}.j", 0, -1), itertools.count(), strict=False))
        else:
            parts = self.backend.zrange(f"{key}.j", 0, -1, withscores=True)
        results = [(*json.loads(part)[1:4], float(index)) for part, index in parts]
        structure = json.loads(saved)["result"][1] if saved else None
        return Chord(int(size) + int(added or 0), results, structure)

    def chord_ended(self, group: str, body: str) -> bool:
        """Tell whether a chord has called its body, or has failed."""
        claim = self.backend.get(f"{self.prefix}celery-taskset-meta-{group}.c")
        return claim == b"done" or bool(self.backend.exists(f"{self.prefix}celery-task-meta-{body}"))

    def save_chord(self, group: str, size: int, parts: Sequence[tuple[str, str, Any, int]]) -> None:
        """Store a chord in flight, as `chord` reads it: parts are id, state, result, place."""
        key = f"{self.prefix}celery-taskset-meta-{group}"
        with self.backend.pipeline() as pipe:
            pipe.delete(f"{key}.c")
            pipe.set(f"{key}.s", size, ex=RESULT_EXPIRES)
            for task_id, state, result, index in parts:
                pipe.zadd(f"{key}.j", {json.dumps([1, task_id, state, result]): index})
                pipe.sadd(f"{key}.d", f"{task_id}:{index}")
            for part in (".j", ".d"):
                pipe.expire(key + part, RESULT_EXPIRES)
            pipe.execute()

    def result(self, task_id: str) -> dict[str, Any] | None:
        """Return the result of a task that has ended, as Celery keeps it; None: there is none."""
        data = self.backend.get(f"{self.prefix}celery-task-meta-{task_id}")
        found: dict[str, Any] | None = json.loads(data) if data else None
        return found if found and found["status"] in ("SUCCESS", "FAILURE", "REVOKED") else None

    def forget_chord(self, group: str) -> None:
        """Delete what Celery keeps of a chord."""
        key = f"{self.prefix}celery-taskset-meta-{group}"
        self.backend.delete(key, *(f"{key}{part}" for part in (".s", ".t", ".j", ".d", ".c")))

    def tell(self, task_id: str, status: str, result: Any, ended: str) -> None:
        """Store a result where Celery's clients look for it, and wake them (backends/redis.py, `_set`)."""
        key = f"{self.prefix}celery-task-meta-{task_id}"
        meta = {"status": status, "result": result, "traceback": None, "children": []}
        value = json.dumps(meta | {"date_done": ended, "task_id": task_id})
        with self.backend.pipeline() as pipe:
            pipe.set(key, value, ex=RESULT_EXPIRES)
            pipe.publish(key, value)
            pipe.execute()


def parsed(source: Source, payload: bytes, queue: str | None) -> CeleryMessage:
    """Read a message; raise `ForeignMessageError` for what is none."""
    try:
        message = json.loads(payload)
        if queue is None:
            message, _, queue = message
        headers, properties = message["headers"], message["properties"]
        body = message["body"]
    except (ValueError, TypeError, KeyError):
        raise ForeignMessageError("it is no message of kombu's") from None
    if not isinstance(headers, dict) or not headers.get("task") or not headers.get("id"):
        raise ForeignMessageError("it is no task of Celery's protocol 2")
    kind, packed = message.get("content-type"), headers.get("compression")
    if kind != "application/json" or packed:
        raise ForeignMessageError(f"task {headers['task']}: its body is {packed or kind}, not plain JSON")
    try:
        raw = base64.b64decode(body) if properties.get("body_encoding") == "base64" else body.encode()
        args, kwargs, embed = _serializer.loadb(raw)
    except (ValueError, TypeError, AttributeError) as error:
        raise ForeignMessageError(f"task {headers['task']}: its body cannot be read: {error}") from None
    mark = str(properties.get("delivery_tag") or hashlib.sha256(payload).hexdigest())
    return CeleryMessage([source], str(queue), headers, args, kwargs, embed or {}, mark)


def written(queue: str, headers: Raw, args: Sequence[Any], kwargs: Mapping[str, Any], embed: Raw) -> bytes:
    """Return a message as a Celery worker reads it from the list of its queue.

    Args:
        queue: name of the queue.
        headers: `task`, `id`, and what else is not None (celery/app/amqp.py, `as_task_v2`).
        args: positional arguments.
        kwargs: keyword arguments.
        embed: what follows: `callbacks`, `errbacks`, `chain`, `chord`.
    """
    body = _serializer.dumpb([list(args), dict(kwargs), embed])
    headers = {**HEADERS, "argsrepr": repr(list(args)), "kwargsrepr": repr(dict(kwargs)), **headers}
    properties = {
        "correlation_id": headers["id"],
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    message = {"body": base64.b64encode(body).decode(), "content-encoding": "utf-8"}
    return json.dumps(
        message | {"content-type": "application/json", "headers": headers, "properties": properties}
    ).encode()


def _ping() -> str:
    """Return a request of remote control that asks for no answer."""
    body = base64.b64encode(json.dumps({"method": "ping", "arguments": {}}).encode()).decode()
    properties = {
        "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    message = {"body": body, "content-encoding": "utf-8", "content-type": "application/json"}
    return json.dumps(message | {"headers": {}, "properties": properties})
