"""Schedulers of both systems in one lab, and what they sent: no worker takes it, so it can be counted."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from playbook.checks.simple_lab import task_modules
from playbook.contracts import CheckContext
from playbook.lab import Lab, LabError, Process, wait_until
from playbook.lab.programs import BEAT_READY, log_says
from playbook.models import Model, System

EVERY = 1.0
"""Seconds of the shortest interval in the lab; the application takes it from its settings."""

ENVIRONMENT = {"SQS_POLLING_TIMEOUT_SECONDS": "1", "PUBLIC_MODE": "true"}
"""What the lab sets for the application, so that every entry is there and some are due often."""

BEAT = "playbook.checks.probes.stamped_beat:app"
PATIENCE = 60.0


class Fired(Model):
    """A message that a scheduler sent: entry, slot and sending as Unix times (s), and who sent it."""

    entry: str
    slot: float
    at: float
    system: System

    @property
    def late(self) -> float:
        """Seconds from the due time to the sending."""
        return self.at - self.slot


class Ledger(Model):
    """What was due and what was sent in one situation; slots are (entry, Unix time in seconds)."""

    situation: str
    due: int
    fired: list[Fired]
    missed: list[tuple[str, float]]
    doubled: list[tuple[str, float]]

    @property
    def ok(self) -> bool:
        """Whether each due slot was sent once, and nothing else."""
        return not self.missed and not self.doubled and self.due == len(self.fired) > 0

    def row(self) -> dict[str, object]:
        """Return its line in a table. (How many were due depends on how fast the machine is.)"""
        return {
            "situation": self.situation,
            "due": self.due,
            "fired": len(self.fired),
            "missed": len(self.missed),
            "doubled": len(self.doubled),
            "by": ", ".join(self.systems),
        }

    @property
    def systems(self) -> list[System]:
        """Who sent something."""
        return sorted({fired.system for fired in self.fired})


def ledger(
    situation: str, fired: Sequence[Fired], due: Mapping[str, Sequence[float]] | None = None
) -> Ledger:
    """Hold what was sent against what was due.

    Args:
        situation: its name.
        fired: what was sent.
        due: due times by entry; None: every `EVERY` seconds from an entry's first slot to its last.
    """
    sent = Counter((one.entry, round(one.slot, 3)) for one in fired)
    if due is None:
        expected = {slot for name in {one.entry for one in fired} for slot in _grid(name, fired)}
    else:
        expected = {(name, round(slot, 3)) for name, slots in due.items() for slot in slots}
    return Ledger(
        situation=situation,
        due=len(expected),
        fired=list(fired),
        missed=sorted(expected - set(sent)),
        doubled=sorted(slot for slot, times in sent.items() if times > 1 or slot not in expected),
    )


def _grid(entry: str, fired: Sequence[Fired]) -> list[tuple[str, float]]:
    slots = [one.slot for one in fired if one.entry == entry]
    count = round((max(slots) - min(slots)) / EVERY) + 1
    return [(entry, round(min(slots) + number * EVERY, 3)) for number in range(count)]


class ScheduleLab:
    """A lab without workers, in which schedulers come and go."""

    def __init__(self, context: CheckContext) -> None:
        self.lab = Lab(
            context.workspace,
            context.work_dir / "lab",
            redis_url=context.redis_url,
            database_url=context.database_url,
        )
        self._prefix = f"{self.lab.redis.prefix}{{taskiq}}"
        self.lab.env |= ENVIRONMENT | {"TASKIQ_KEY_PREFIX": self._prefix}
        self.lab.env["PLAYBOOK_CELERY_APP"] = context.application.celery_app
        self._modules = task_modules(context)
        self._package = context.application.broker.partition(".broker:")[0]
        self._last = f"{self._prefix}:schedule:last"
        self.tasks: dict[str, str] = {}

    def __enter__(self) -> ScheduleLab:
        self.lab.start()
        self.redis: Any = self.lab.redis.client()
        return self

    def __exit__(self, *exc: object) -> None:
        self.lab.stop()

    def beat(self) -> Process:
        """Start beat."""
        state = str(self.lab.run_dir / "beat-state")
        command = [sys.executable, "-m", "celery", "-A", BEAT, "beat", "--loglevel", "INFO"]
        command += ["--schedule", state, "--pidfile", ""]
        return self.lab.spawn(command, name="beat", ready=log_says(BEAT_READY))

    def scheduler(self) -> Process:
        """Start a replica of the new scheduler."""
        command = [sys.executable, "-m", f"{self._package}.scheduler", *self._modules]
        return self.lab.spawn(command, name="scheduler", ready=log_says("the scheduler is running"))

    def listing(self) -> list[dict[str, str]]:
        """Return what the scheduler lists."""
        command = [sys.executable, "-m", f"{self._package}.scheduler", "--list", *self._modules]
        done = self.lab.run(command)
        if done.returncode:
            raise LabError(f"the scheduler cannot list its entries: {done.stderr[-500:]}")
        head, *rows = (line.split("\t") for line in done.stdout.splitlines())
        return [dict(zip(head, row, strict=True)) for row in rows]

    def route(self, system: str) -> None:
        """Set the live route of all tasks."""
        self.redis.hset(f"{self._prefix}:routes", "*", system)

    def rewind(self, seconds: float, *entries: str) -> dict[str, float]:
        """Set the last runs of entries back, as if nothing had run for so long; return them (s)."""
        then = int(self.redis.time()[0]) - seconds
        for entry in entries:
            self.redis.hset(self._last, entry, int(then * 1_000_000))
        return dict.fromkeys(entries, then)

    def forget(self) -> None:
        """Remove what was sent."""
        self.redis.delete(f"{self._prefix}:queue:default", f"{self.lab.redis.prefix}celery")

    def fired(self, *entries: str) -> list[Fired]:
        """Return what was sent (for some entries) since `forget`, in order of the slots."""
        found = []
        for entry_id, fields in self.redis.xrange(f"{self._prefix}:queue:default"):
            labels = json.loads(fields["data"])["labels"]
            at = int(entry_id.partition("-")[0]) / 1000
            found.append((labels["schedule_id"], labels["scheduled_for"], at, "taskiq"))
        for text in self.redis.lrange(f"{self.lab.redis.prefix}celery", 0, -1):
            headers = json.loads(text)["headers"]
            if "scheduled_for" not in headers:
                raise LabError(
                    f"beat sent {headers['task']} without claiming its slot: it is a beat of its own"
                )
            name = self.tasks.get(headers["task"], headers["task"])
            found.append((name, headers["scheduled_for"], headers["sent_at"], "celery"))
        all_fired = [
            Fired.model_validate(
                {"entry": name, "slot": datetime.fromisoformat(slot).timestamp(), "at": at, "system": system}
            )
            for name, slot, at, system in found
        ]
        return sorted((f for f in all_fired if not entries or f.entry in entries), key=lambda f: f.slot)

    def wait(self, count: int, *entries: str) -> list[Fired]:
        """Wait until so many more messages were sent (for some entries); return all since `forget`.

        Raises:
            LabError: they were not.
        """
        before = len(self.fired(*entries))
        if not wait_until(lambda: len(self.fired(*entries)) >= before + count, PATIENCE):
            raise LabError(f"the schedulers sent nothing for {', '.join(entries)}; see {self.lab.logs_dir}")
        return self.fired(*entries)
