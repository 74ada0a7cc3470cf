"""Schedulers of both systems on one Redis, and what they sent: no worker takes it, so it can be counted."""

import base64
import json
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from playbook.lab import Process, RedisServer, wait_until
from playbook.lab.surroundings import child_env
from tests.playbook.integration.scaffold import HERE, QUEUE, Site

SCHEDULER = "playbook.scaffold.worker.scheduler"
LAST, ENTRIES, ROUTES = "{taskiq}:schedule:last", "{taskiq}:schedule:entries", "{taskiq}:routes"
READY = {"own": "the scheduler is running", "taskiq": "Startup completed", "beat": "beat: Starting..."}
WITHIN = 30.0


@dataclass(frozen=True)
class Fired:
    """A message that a scheduler sent: for which entry and slot, by which system, when (s)."""

    entry: str
    slot: datetime
    system: str
    at: float

    @property
    def late(self) -> float:
        """Seconds from the due time to the sending."""
        return self.at - self.slot.timestamp()


class ScheduleSite(Site):
    """A Redis and schedulers on it, all with the same schedule."""

    def __init__(self, server: RedisServer, folder: Path, schedule: dict[str, Any]) -> None:
        super().__init__(server, folder)
        self.env = {"SCHEDULE": json.dumps(schedule)}

    def scheduler(self, kind: str = "own", **env: str) -> Process:
        """Start a scheduler: `own` (python -m), `taskiq` (its command line), `beat`."""
        command = {
            "own": [SCHEDULER, "schedule_app"],
            "taskiq": ["taskiq", "scheduler", f"{SCHEDULER}:scheduler", "schedule_app"],
            "beat": ["celery", "-A", "schedule_app", "beat", "--loglevel", "INFO", "--pidfile", ""],
        }[kind]
        command += ["--schedule", str(self.folder / "beat")] if kind == "beat" else []
        return self.start([sys.executable, "-m", *command], READY[kind], **self.env, **env)

    def listing(self) -> list[list[str]]:
        """Return the lines of `--list`."""
        variables = {"CELERY_BROKER_URL": self.server.url, **self.env}
        command = [sys.executable, "-m", SCHEDULER, "--list", "schedule_app"]
        run = subprocess.run(
            command, env=child_env(HERE, variables=variables), capture_output=True, text=True, timeout=60
        )
        assert run.returncode == 0, run.stderr
        return [line.split("\t") for line in run.stdout.splitlines()]

    def code(self, text: str) -> str:
        """Run Python in a process of its own, after `schedule_app`; return what it printed."""
        variables = {"CELERY_BROKER_URL": self.server.url, **self.env}
        prelude = "import asyncio, schedule_app\nfrom playbook.scaffold.worker.scheduler import source\n"
        run = subprocess.run(
            [sys.executable, "-c", prelude + text],
            env=child_env(HERE, variables=variables),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    def fired(self, *entries: str) -> list[Fired]:
        """Return what was sent (for some entries), in order of time."""
        found = []
        for entry_id, fields in self.redis.xrange(QUEUE):
            labels = json.loads(fields["data"])["labels"]
            at = int(entry_id.partition("-")[0]) / 1000
            found.append(Fired(labels["schedule_id"], _time(labels["scheduled_for"]), "taskiq", at))
        for text in self.redis.lrange("celery", 0, -1):
            message = json.loads(text)
            name = json.loads(base64.b64decode(message["body"]))[0][0]
            headers = message["headers"]
            found.append(Fired(name, _time(headers["scheduled_for"]), "celery", headers["sent_at"]))
        return sorted((f for f in found if not entries or f.entry in entries), key=lambda f: f.at)

    def wait_fired(self, count: int, *entries: str, within: float = WITHIN) -> list[Fired]:
        """Wait until so many messages were sent since now (for some entries); return all."""
        before = len(self.fired(*entries))
        assert wait_until(lambda: len(self.fired(*entries)) >= before + count, within), (
            "nothing more was sent"
        )
        return self.fired(*entries)

    def last(self, entry: str, ago: float | None = None) -> datetime:
        """Return an entry's last run; with `ago`, first set it to so many seconds before now."""
        if ago is not None:
            seconds, micro = self.redis.time()
            self.redis.hset(LAST, entry, int((seconds - ago) * 1e6) + micro)
        return datetime.fromtimestamp(int(self.redis.hget(LAST, entry)) / 1e6).astimezone()


def faults(fired: list[Fired], schedule: dict[str, float]) -> dict[str, list[datetime]]:
    """Return the slots of intervals that were missed and doubled, from the first to the last sent."""
    slots: dict[str, list[datetime]] = defaultdict(list)
    for one in fired:
        slots[one.entry].append(one.slot)
    doubled = [slot for found in slots.values() for slot, n in Counter(found).items() if n > 1]
    missed = []
    for entry, found in slots.items():
        every, sent = timedelta(seconds=schedule[entry]), set(found)
        expected = min(sent)
        while expected < max(sent):
            if expected not in sent:
                missed.append(expected)
            expected += every
    return {"missed": missed, "doubled": doubled}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
