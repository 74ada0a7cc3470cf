"""The last run of every entry, in Redis, and the one step that moves it.

Invariant: a due slot is claimed once, whoever looks after it: replicas of the scheduler, and in dual mode
beat. A claim names the last run that it was computed from, and counts only while Redis still has that one.
For TaskIQ the claim and the message are one atomic step: a slot is claimed exactly if its message is sent.

All times here are microseconds by Redis' clock.
"""

import logging
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from .keys import Keys
from .lua import COMMON
from .messages import Outgoing
from .schedule_entries import Entry, ScheduleError

logger = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NOTHING = Outgoing(queue="", task_id="", data=b"")

Status = Literal["sent", "first", "moved", "early", "other", "gone"]

CLAIM = (
    COMMON
    + """
-- KEYS: last runs, runs, stored entries, routes; for each claim stream, delayed, payloads.
-- ARGV, for each claim: entry, last run as the caller knows it or "", due, the slot after it, system;
--       task, share of TaskIQ if no route says otherwise or "" if routes do not matter, the slot's number;
--       "stored" or "", "once" or "", whether it counts as a run ("" or not);
--       and what to send: task id, message or "", due, expires, token.
-- The new last run is the slot, or now if the one after it has passed as well: both are made up by one.
-- Answers for each claim: status, last run, now.
local us = time[1] * 1000000 + time[2]

local function share(route)
    route = string.gsub(string.lower(route), '[%s%%]', '')
    if route == 'taskiq' then return 100 end
    if route == 'celery' then return 0 end
    return tonumber(route) or 0
end

local function claim(key, arg)
    local name, known, due, after, system = unpack(ARGV, arg, arg + 4)
    local task, default, number, stored, once, counts = unpack(ARGV, arg + 5, arg + 10)
    local id, data, wait, expires, token = unpack(ARGV, arg + 11, arg + 15)
    local function answer(status, last) return {status, last, ms(us)} end

    if stored ~= '' and redis.call('HEXISTS', KEYS[3], name) == 0 then return answer('gone', '') end
    local last = redis.call('HGET', KEYS[1], name)
    if not last then
        redis.call('HSET', KEYS[1], name, ms(us))
        return answer('first', ms(us))
    end
    if last ~= known then return answer('moved', last) end
    if tonumber(due) > us then return answer('early', last) end
    if default ~= '' then
        local route = redis.call('HGET', KEYS[4], task) or redis.call('HGET', KEYS[4], '*') or default
        local named = tonumber(number) < share(route) and 'taskiq' or 'celery'
        if named ~= system then return answer('other', last) end
    end

    last = tonumber(after) > us and due or ms(us)
    if data ~= '' then
        enqueue(KEYS[key], KEYS[key + 1], KEYS[key + 2], id, data, moment(wait), moment(expires), token)
    end
    if once ~= '' then
        redis.call('HDEL', KEYS[3], name)
        redis.call('HDEL', KEYS[1], name)
    else
        redis.call('HSET', KEYS[1], name, last)
    end
    if counts ~= '' then redis.call('HSET', KEYS[2], name, ms(us) .. ' ' .. system) end
    return answer('sent', last)
end

local answers = {}
for n = 0, #ARGV / 16 - 1 do answers[n + 1] = claim(5 + 3 * n, 1 + 16 * n) end
return answers
"""
)
"""Claim slots, and send the message of each if there is one."""

RELEASE = """
-- KEYS: last runs. ARGV: entry, last run that was claimed, last run before. Takes a claim back.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
"""
"""Take a claim back whose message could not be sent."""

ADD = """
-- KEYS: stored entries, last runs. ARGV: entry, JSON, last run or "" (now).
local time = redis.call('TIME')
local us = string.format('%.0f', time[1] * 1000000 + time[2])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3] ~= '' and ARGV[3] or us)
"""
"""Store an entry; it counts from now on, or from the last run that is given."""

LOOK = """
-- KEYS: last runs, runs, stored entries. Answers: now, and the three hashes.
local time = redis.call('TIME')
local us = string.format('%.0f', time[1] * 1000000 + time[2])
return {us, redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3])}
"""
"""See everything at one moment."""


def microseconds(time: datetime) -> int:
    """Return an aware time as microseconds."""
    return (time - EPOCH) // timedelta(microseconds=1)


def instant(us: int) -> datetime:
    """Return microseconds as a time in UTC."""
    return EPOCH + timedelta(microseconds=us)


@dataclass(frozen=True)
class ScheduleKeys:
    """Names of the keys; they share the hash tag of all others."""

    keys: Keys

    @property
    def last(self) -> str:
        """Hash: entry -> the last slot that was claimed, or when the entry was first seen."""
        return f"{self.keys.prefix}:schedule:last"

    @property
    def runs(self) -> str:
        """Hash: entry -> when it was last sent, and by which system."""
        return f"{self.keys.prefix}:schedule:runs"

    @property
    def entries(self) -> str:
        """Hash: entry -> JSON of an entry that was added at run time."""
        return f"{self.keys.prefix}:schedule:entries"

    @property
    def seen(self) -> list[str]:
        """The keys that `LOOK` reads."""
        return [self.last, self.runs, self.entries]

    @property
    def routes(self) -> str:
        """Hash: task -> route, in dual mode (`flags`)."""
        return f"{self.keys.prefix}:routes"


@dataclass(frozen=True)
class Slot:
    """A due slot of an entry, as it follows from the last run.

    Attributes:
        entry: name of the entry.
        task: name of its task.
        last: the last run it was computed from; None: unknown.
        due: when it is due.
        after: when the next one is due.
        stored, once: see `Entry`.
    """

    entry: str
    task: str
    last: int | None
    due: int
    after: int
    stored: bool = False
    once: bool = False

    @property
    def number(self) -> int:
        """A number from 0 to 99, which says who gets the slot when the route is a percentage."""
        return zlib.crc32(f"{self.entry} {self.due}".encode()) % 100


@dataclass(frozen=True)
class Claim:
    """An attempt to get a slot.

    Attributes:
        slot: the slot.
        system: who claims it: `taskiq`, `celery`.
        share: TaskIQ's percentage if no live route says otherwise; None: routes do not matter.
        counts: whether the slot is run; if not, it is let go.
        send: what to send with the claim; None: nothing.
    """

    slot: Slot
    system: str
    share: int | None = None
    counts: bool = True
    send: Outgoing | None = None

    def args(self) -> list[Any]:
        """Return its arguments for `CLAIM`."""
        slot, sent = self.slot, self.send or NOTHING
        route = [slot.task, "" if self.share is None else self.share, slot.number]
        kind = ["stored" if slot.stored else "", "once" if slot.once else "", "run" if self.counts else ""]
        last = "" if slot.last is None else slot.last
        message = [sent.task_id, sent.data, sent.due, sent.expires, uuid.uuid4().hex]
        return [slot.entry, last, slot.due, slot.after, self.system, *route, *kind, *message]


def claim_call(names: ScheduleKeys, claims: Sequence[Claim]) -> tuple[list[str], list[Any]]:
    """Return keys and arguments of `CLAIM` for some claims."""
    keys = [names.last, names.runs, names.entries, names.routes]
    args: list[Any] = []
    for claim in claims:
        keys += (claim.send or NOTHING).keys(names.keys)
        args += claim.args()
    return keys, args


@dataclass(frozen=True)
class Answer:
    """What became of a claim.

    Attributes:
        status: `sent`: it is ours, and its message is sent; `first`: the entry was not known, its last run is
            now; `moved`: the slot had been claimed, `last` is the last run; `early`: not due yet; `other`:
            the routes name the other system; `gone`: the entry was removed.
        last: the entry's last run now.
        now: the time.
    """

    status: Status
    last: int
    now: int

    @classmethod
    def all(cls, replies: Sequence[Sequence[bytes]]) -> "list[Answer]":
        """Read the script's answers."""
        return [cls(_status(status), int(last or 0), int(now)) for status, last, now in replies]


@dataclass(frozen=True)
class View:
    """Everything at one moment: the time, last runs, when and by whom each was sent, stored entries."""

    now: int
    last: dict[str, int]
    runs: dict[str, tuple[int, str]]
    entries: dict[str, bytes]

    @classmethod
    def of(cls, reply: Sequence[Any]) -> "View":
        """Read the answer of `LOOK`."""
        now, last, runs, entries = reply
        return cls(int(now), _hash(last, int), _hash(runs, _run), _hash(entries, bytes))

    def stored_entries(self) -> dict[str, Entry]:
        """Return the entries that were added at run time; those that cannot be read are logged."""
        entries = {}
        for name, text in self.entries.items():
            try:
                entries[name] = Entry.loads(name, text)
            except ScheduleError as error:
                logger.error("%s", error)
        return entries


def _hash(flat: Sequence[bytes], read: Callable[[bytes], Any]) -> dict[str, Any]:
    return {name.decode(): read(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _status(name: bytes) -> Any:
    return name.decode()


def _run(value: bytes) -> tuple[int, str]:
    at, _, system = value.decode().partition(" ")
    return int(at), system
