"""Which slots come next, by Redis' clock: what a scheduler knows, without the talking.

Invariant: a slot follows from the last run that Redis has, never from this process' own memory of what it
did. The clock is never ahead of Redis' for longer than one answer.
"""

import time
from collections.abc import Mapping
from datetime import timedelta, tzinfo

from .crontab import crontab
from .schedule_entries import NEVER, Entry, zone_of
from .schedule_store import Answer, Slot, View, instant, microseconds

LOOK_EVERY = 1.0
"""Seconds between two looks at Redis: how soon an entry that was added at run time counts."""

AGAIN = 0.05
"""Seconds until the next try with a slot that is the other system's, or with a Redis that is away."""

DRIFT = 1e-4
"""Seconds by which two clocks may drift apart between two looks."""


def find_slot(entry: Entry, last: int | None, zone: tzinfo) -> Slot:
    """Return the slot that follows from an entry's last run.

    Args:
        entry: the entry.
        last: its last run (µs); None: it has none, and its first claim will give it one.
        zone: the zone of the application.
    """
    if last is None:
        return Slot(entry.name, entry.task, None, 0, 0, entry.stored, entry.once)
    zone = _zone(entry, zone)
    due = entry.schedule.following(instant(last), zone)
    after = entry.schedule.following(due, zone) if due < NEVER else NEVER
    times = (last, microseconds(due), microseconds(after))
    return Slot(entry.name, entry.task, *times, entry.stored, entry.once)


class Agenda:
    """The next slot of every entry, and what time it is."""

    def __init__(self, entries: Mapping[str, Entry], zone: tzinfo, deadline: float | None = None) -> None:
        """Create an agenda; it knows nothing before it has `seen` Redis.

        Args:
            entries: what the code schedules; entries that are added at run time come on top.
            zone: the zone of the application.
            deadline: seconds after which a missed slot of a crontab is let go; None: never.
        """
        self.entries = dict(entries)
        self._static = dict(entries)
        self._stored: dict[str, bytes] = {}
        self._zone = zone
        self._deadline = deadline
        self._slots: dict[str, Slot] = {}
        self._held: dict[str, float] = {}
        self._offset = float("-inf")
        self._look_at = 0.0

    @property
    def stale(self) -> bool:
        """Whether it is time to look at Redis."""
        return time.monotonic() >= self._look_at

    def see(self, view: View, stored: bool = True) -> None:
        """Learn the time, the last runs and, if `stored`, the entries that were added at run time."""
        self._offset -= DRIFT
        self._tell_time(view.now)
        self._look_at = time.monotonic() + LOOK_EVERY
        changed: set[str] = set()
        if stored and view.entries != self._stored:
            changed = {name for name in view.entries if view.entries[name] != self._stored.get(name)}
            self._stored = view.entries
            self.entries = self._static | view.stored_entries()
        for name in set(self._slots) - set(self.entries):
            del self._slots[name]
        for name, entry in self.entries.items():
            known, last = self._slots.get(name), view.last.get(name)
            if known is None or known.last != last or name in changed:
                self._slots[name] = find_slot(entry, last, self._zone)

    def due(self) -> list[Slot]:
        """Return the slots to claim now, the oldest first."""
        now, clock = self.now(), time.monotonic()
        found = (s for s in self._slots.values() if s.due <= now and self._held.get(s.entry, 0.0) <= clock)
        return sorted(found, key=lambda slot: slot.due)

    def pause(self) -> float:
        """Return the seconds until there is something to do."""
        now, clock = self.now(), time.monotonic()
        waits = (
            max((slot.due - now) / 1e6, self._held.get(slot.entry, 0.0) - clock)
            for slot in self._slots.values()
        )
        return max(0.0, min([*waits, self._look_at - clock]))

    def overdue(self) -> float:
        """Return how long (s) the slot that has been due the longest was not claimed; 0: none is due."""
        dues = [slot.due for slot in list(self._slots.values()) if slot.last is not None]
        return max(0.0, (self.now() - min(dues)) / 1e6) if dues else 0.0

    def hold(self, slot: Slot, seconds: float) -> None:
        """Leave a slot alone for some time."""
        self._held[slot.entry] = time.monotonic() + seconds

    def heed(self, slot: Slot, answer: Answer) -> None:
        """Do what the answer to a claim says."""
        entry = self.entries[slot.entry]
        over = answer.status == "sent" and entry.once
        self._tell_time(answer.now, early=answer.status == "early")
        if answer.status == "other":
            self.hold(slot, AGAIN)
        elif answer.status == "gone" or (over and entry.stored):
            self._slots.pop(slot.entry, None)
        elif answer.status != "early":
            self._slots[slot.entry] = find_slot(entry, None if over else answer.last, self._zone)

    def is_too_late(self, slot: Slot) -> bool:
        """Tell whether a slot is due, and none of its crontab lies between the deadline and now."""
        entry, now = self.entries[slot.entry], instant(self.now())
        if self._deadline is None or slot.last is None or not isinstance(entry.schedule, crontab):
            return False
        bound = now - timedelta(seconds=self._deadline, microseconds=1)
        return entry.schedule.following(bound, _zone(entry, self._zone)) > now

    def now(self) -> int:
        """Return the time by Redis' clock (µs), or slightly less."""
        return int((time.monotonic() + self._offset) * 1e6)

    def _tell_time(self, now: int, early: bool = False) -> None:
        """Learn from an answer what time it was; the fastest answer tells best, until it proves wrong."""
        offset = now / 1e6 - time.monotonic()
        self._offset = offset if early else max(self._offset, offset)


def _zone(entry: Entry, default: tzinfo) -> tzinfo:
    return default if entry.zone is None else zone_of(entry.zone)
