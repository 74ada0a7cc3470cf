"""What Redis knows at this moment: queues, workers, what runs, what waits for its time.

    print(Observer(broker).look().queues["default"].waiting)

Invariant: looking costs one command for each queue, whatever lies in it, and changes nothing. Metrics, probes
and the terminal view all look through this module.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .connections import client
from .keys import GROUP
from .lua import COMMON
from .streams import StreamBroker

LOOK = (
    COMMON
    + """
-- KEYS: stream, suspects, delayed, workers, dead letters. ARGV: group.
-- Answers: now, waiting, since when or "", delayed, suspects, what each consumer runs (flat: name, number),
--          ends of leases (flat: name, ms), dead letters.
local waiting, since, running = 0, nil, {}
for _, stream in ipairs({KEYS[1], KEYS[2]}) do
    waiting = waiting + redis.call('XLEN', stream)
    local after, groups = '-', redis.pcall('XINFO', 'GROUPS', stream)
    for _, group in ipairs(groups.err and {} or groups) do
        if field(group, 'name') == ARGV[1] then
            after = '(' .. field(group, 'last-delivered-id')
            local summary = redis.call('XPENDING', stream, ARGV[1])
            waiting = waiting - summary[1]
            for _, consumer in ipairs(summary[4] or {}) do
                table.insert(running, consumer[1])
                table.insert(running, consumer[2])
            end
        end
    end
    local first = redis.call('XRANGE', stream, after, '+', 'COUNT', 1)[1]
    local at = first and tonumber(string.match(first[1], '^%d+'))
    if at and (not since or at < since) then since = at end
end
-- What is due, and what no heartbeat has moved, waits as well.
local overdue = redis.call('ZCOUNT', KEYS[3], '-inf', ms(now))
local due = redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')[2]
if due and tonumber(due) <= now and (not since or tonumber(due) < since) then since = tonumber(due) end
return {ms(now), waiting + overdue, since and ms(since) or '', redis.call('ZCARD', KEYS[3]) - overdue,
        redis.call('XLEN', KEYS[2]), running, redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES'),
        redis.call('XLEN', KEYS[5])}
"""
)
"""See one queue."""

TASKS = (
    COMMON
    + """
-- KEYS: stream, suspects, delayed, payloads. ARGV: group, most.
-- Answers what runs (worker, ms since it was read, fields), and what waits for its time (due, fields).
local running, delayed = {}, {}
for _, stream in ipairs({KEYS[1], KEYS[2]}) do
    local found = redis.pcall('XPENDING', stream, ARGV[1], '-', '+', ARGV[2])
    for _, entry in ipairs(found.err and {} or found) do
        local fields = fields_of(stream, entry[1])
        if fields then table.insert(running, {entry[2], entry[3], fields}) end
    end
end
local found = redis.call('ZRANGE', KEYS[3], 0, ARGV[2] - 1, 'WITHSCORES')
for n = 1, #found, 2 do
    local packed = redis.call('HGET', KEYS[4], found[n])
    if packed then table.insert(delayed, {found[n + 1], cmsgpack.unpack(packed)}) end
end
return {running, delayed}
"""
)
"""See the tasks of one queue that run, and those that are due next."""


@dataclass(frozen=True)
class Worker:
    """A worker process, as one queue knows it.

    Attributes:
        name: host, process id and a random part.
        lease: seconds until others may take over; negative: it is gone, and they will.
        running: number of tasks that it holds.
    """

    name: str
    lease: float
    running: int


@dataclass(frozen=True)
class Queue:
    """A queue.

    Attributes:
        name: its name.
        waiting: tasks that a worker could start now.
        oldest: how long (s) the first of them has waited; 0: none does.
        delayed: tasks whose time has not come: countdown, eta, retries.
        suspects: tasks that have seen workers die; they are among those that wait or run.
        workers: who reads it.
    """

    name: str
    waiting: int
    oldest: float
    delayed: int
    suspects: int
    workers: tuple[Worker, ...]

    @property
    def running(self) -> int:
        """Tasks that workers hold."""
        return sum(worker.running for worker in self.workers)

    @property
    def alive(self) -> int:
        """Workers whose lease has not ended."""
        return sum(worker.lease > 0 for worker in self.workers)


@dataclass(frozen=True)
class State:
    """All queues; the number of dead letters; the time by Redis' clock (s)."""

    at: float
    queues: dict[str, Queue]
    dead: int


@dataclass(frozen=True)
class Task:
    """A task that runs or waits for its time.

    Attributes:
        id: the task's id.
        name: its name; empty: the message cannot be read.
        queue: its queue.
        retries: number of attempts before this one that asked for another.
        worker: who runs it; empty: nobody yet.
        seconds: since it was started, or until it is due.
        workflow: id of the workflow that it is a step of; empty: none.
    """

    id: str
    name: str
    queue: str
    retries: int
    worker: str
    seconds: float
    workflow: str


class Observer:
    """Looks at the Redis of a broker, with a connection of its own. For one thread at a time."""

    def __init__(self, broker: StreamBroker) -> None:
        self._redis = client(broker.url)
        self._look = self._redis.register_script(LOOK)
        self._tasks = self._redis.register_script(TASKS)
        self._keys = broker.keys
        self._queues = broker.queues

    def look(self) -> State:
        """Return the state of all queues that the settings name.

        Raises:
            redis.exceptions.RedisError, OSError: Redis cannot be reached (`connections.ERRORS`).
        """
        keys, queues, at, dead = self._keys, {}, 0.0, 0
        for name in self._queues:
            names = [key(name) for key in (keys.stream, keys.suspects, keys.delayed, keys.workers)]
            answer = self._look([*names, keys.dead], [GROUP])
            now, waiting, since, delayed, suspects, running, leases, dead = answer
            at = int(now) / 1000
            oldest = max(0.0, at - int(since) / 1000) if since else 0.0
            found = _workers(running, leases, int(now))
            queues[name] = Queue(name, waiting, oldest, delayed, suspects, found)
        return State(at, queues, dead)

    def tasks(self, state: State, most: int = 20) -> tuple[list[Task], list[Task]]:
        """Return what runs, the longest first, and what is due next; of each queue at most `most`."""
        keys, running, delayed = self._keys, list[Task](), list[Task]()
        for name in self._queues:
            names = [key(name) for key in (keys.stream, keys.suspects, keys.delayed, keys.payloads)]
            active, later = self._tasks(names, [GROUP, most])
            running += [_task(fields, name, worker.decode(), idle / 1000) for worker, idle, fields in active]
            delayed += [_task(fields, name, "", int(due) / 1000 - state.at) for due, fields in later]
        return sorted(running, key=lambda t: -t.seconds), sorted(delayed, key=lambda t: t.seconds)

    def close(self) -> None:
        """Close the connection."""
        self._redis.close()


def _workers(running: Sequence[Any], leases: Sequence[bytes], now: int) -> tuple[Worker, ...]:
    held: dict[str, int] = {}
    for name, count in _pairs(running):
        held[name] = held.get(name, 0) + int(count)
    ends = {name: (float(end) - now) / 1000 for name, end in _pairs(leases)}
    return tuple(
        Worker(name, ends.get(name, 0.0), held.get(name, 0)) for name in sorted(ends.keys() | held.keys())
    )


def _pairs(flat: Sequence[bytes]) -> list[tuple[str, bytes]]:
    return [(name.decode(), value) for name, value in zip(flat[::2], flat[1::2], strict=True)]


def _task(flat: Sequence[bytes], queue: str, worker: str, seconds: float) -> Task:
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    try:
        message = json.loads(fields[b"data"])
        name, retries = message["task_name"], int(message["labels"].get("_retries", 0))
    except (KeyError, ValueError):
        name, retries = "", 0
    workflow = fields.get(b"step", b"").decode().partition(" ")[0].strip("-")
    return Task(fields.get(b"id", b"").decode(), name, queue, retries, worker, seconds, workflow)
