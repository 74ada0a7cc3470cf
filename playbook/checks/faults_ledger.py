"""What the ledger says after faults: what was lost, what ran twice and why, what came late. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from playbook.checks.faults_load import Unit
from playbook.models import Model

LATE = 1.0
"""Seconds after a unit was sent, or was due, from which its first start is late."""

SLACK = 0.5
"""Seconds at most between a note in the ledger and the step in Redis that it stands for."""

UNWRITTEN = 2.0
"""Seconds after the end of a task, or of an outage, until its outcome is in Redis, at most: so long takes a
Redis that waits for a slow disk."""

MILLISECOND = 0.002


class Note(Model):
    """A line of the ledger; see `probes/fault_bodies.py`. `at` and `since` are monotonic seconds.

    `since` is when the sending of a unit began, `wall` the time by the process's wall clock.
    """

    what: Literal["start", "end", "fail", "wrong", "lethal", "sent", "refused"]
    key: str
    pid: int
    at: float
    wall: float
    attempt: int = 0
    since: float = 0.0
    error: str = ""


class Strike(Model):
    """A fault while it lasted.

    Attributes:
        fault: what happened.
        since: when it began (monotonic seconds).
        until: when it was over.
        pids: processes whose work it may have interrupted.
        senders: whether senders may not have heard that they had sent.
        outage: whether workers could not write outcomes meanwhile.
    """

    fault: str
    since: float
    until: float
    pids: tuple[int, ...] = ()
    senders: bool = False
    outage: bool = False

    def lasted(self, since: float, until: float) -> bool:
        """Whether it lasted at some time between these."""
        return since <= self.until + SLACK and until >= self.since - SLACK


class Tally(Model):
    """Counts of one run.

    Attributes:
        tasks: tasks that the system has accepted.
        unsent: tasks that it has not.
        ended: of the accepted ones, how many ran to their end.
        lost: names of those that did not.
        doubled: names of those that were started more often than they were to.
        unexplained: of these, the names of those that no fault explains.
        lost_later: names of those that were sent after the last fault and did not run to their end.
        wrong: names of those that got something else than what came before returned.
        late: units whose first start came late.
        latest: seconds that the latest of them waited.
        failed: attempts that did not come to their end and were followed by another.
        skew: seconds by which the workers' clocks and the sender's come to differ at most.
        early: delayed units that were started before they were due.
        refused: sendings that the system refused; the caller was told, and sent again.
        dead: dead letters.
    """

    tasks: int
    unsent: int
    ended: int
    lost: list[str]
    doubled: list[str]
    unexplained: list[str]
    lost_later: list[str]
    wrong: list[str]
    late: int
    latest: float
    failed: int
    skew: int
    early: int
    refused: int
    dead: int = 0


def read_ledger(path: Path) -> list[Note]:
    """Read the whole lines of a ledger; a missing one is empty."""
    if not path.exists():
        return []
    text = path.read_bytes()
    return [Note.model_construct(**json.loads(line)) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def ended(notes: Iterable[Note]) -> set[str]:
    """Return the names of the tasks that have ended."""
    return {note.key for note in notes if note.what == "end"}


def tally(notes: Sequence[Note], units: Sequence[Unit], strikes: Sequence[Strike]) -> Tally:
    """Hold what happened against what was sent.

    Args:
        notes: the ledger.
        units: what was to be sent; those that the ledger does not know as sent are left out.
        strikes: the faults.
    """
    sent = {note.key: note for note in notes if note.what == "sent"}
    known = [unit for unit in units if str(unit.number) in sent]
    over = max((strike.until for strike in strikes), default=0.0) + SLACK
    done, runs = ended(notes), _runs(notes)
    keys = {key: sent[str(unit.number)] for unit in known for key in unit.keys}
    waits = _waits(known, sent, runs)
    doubled = sorted({key for (key, _), found in runs.items() if len(found) > 1 and key in keys})
    return Tally(
        tasks=len(keys),
        unsent=sum(len(unit.keys) for unit in units) - len(keys),
        ended=len(done & set(keys)),
        lost=sorted(set(keys) - done),
        doubled=doubled,
        unexplained=[key for key in doubled if not _explained(key, runs, keys[key], strikes)],
        lost_later=sorted(key for key in set(keys) - done if keys[key].since > over),
        wrong=sorted({note.key for note in notes if note.what == "wrong"}),
        failed=sum(attempt > 0 for _, attempt in runs),
        skew=_skew(notes),
        late=sum(wait > LATE for wait, _ in waits),
        latest=round(max((wait for wait, _ in waits), default=0.0), 1),
        early=sum(early for _, early in waits),
        refused=sum(note.what == "refused" for note in notes),
    )


Runs = dict[tuple[str, int], list[tuple[Note, float]]]
"""By task and attempt: each start with the time of its end (infinite: it never came)."""


def _runs(notes: Sequence[Note]) -> Runs:
    ends = {(n.key, n.attempt, n.pid): n.at for n in notes if n.what in ("end", "fail")}
    runs: Runs = defaultdict(list)
    for start in sorted((n for n in notes if n.what == "start"), key=lambda n: n.at):
        end = ends.get((start.key, start.attempt, start.pid), float("inf"))
        runs[start.key, start.attempt].append((start, end))
    return runs


def _explained(key: str, runs: Runs, sent: Note, strikes: Sequence[Strike]) -> bool:
    """Whether a fault struck while the task was sent, or all but one of its runs were a struck worker's.

    Which one does not matter: a worker that was stopped for longer than its lease begins what it has read
    after others have run it.
    """
    if any(strike.senders and strike.lasted(sent.since, sent.at) for strike in strikes):
        return True
    return all(
        sum(not _struck(start, end, strikes) for start, end in found) <= 1
        for (name, _), found in runs.items()
        if name == key
    )


def _struck(start: Note, end: float, strikes: Sequence[Strike]) -> bool:
    written = _written(end, strikes)
    return any(start.pid in strike.pids and strike.lasted(start.at, written) for strike in strikes)


def _written(end: float, strikes: Sequence[Strike]) -> float:
    """When the outcome of a run that has ended was written at the latest: outages are waited for."""
    latest = end + UNWRITTEN
    for outage in sorted((strike for strike in strikes if strike.outage), key=lambda strike: strike.since):
        if outage.lasted(end, latest):
            latest = max(latest, outage.until + UNWRITTEN)
    return latest


def _waits(units: Sequence[Unit], sent: dict[str, Note], runs: Runs) -> list[tuple[float, bool]]:
    """For each unit: seconds from when it was due to its first start, and whether that was too early.

    Redis counts whole milliseconds, and a countdown begins while the unit is sent.
    """
    first = {key: found[0][0].at for (key, attempt), found in runs.items() if attempt == 0}
    started = [(unit, sent[str(unit.number)], first[unit.keys[0]]) for unit in units if unit.keys[0] in first]
    return [
        (at - note.at - unit.countdown, at < note.since + unit.countdown - MILLISECOND)
        for unit, note, at in started
    ]


def _skew(notes: Sequence[Note]) -> int:
    """The largest difference, with its sign, to the clock of whoever wrote the first line."""
    offsets = [note.wall - note.at for note in notes]
    return max((round(offset - offsets[0]) for offset in offsets), key=abs, default=0)
