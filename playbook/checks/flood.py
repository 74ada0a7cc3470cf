"""Calls at a steady rate while the route flips and workers are killed: who ran what, and how often."""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import psutil

from playbook.checks.simple_lab import taskiq_worker
from playbook.checks.simple_scenarios import WEBHOOK
from playbook.lab import Lab, LabError, Process, wait_until
from playbook.lab.scenarios import api_client, ask
from playbook.lab.tracing.trace_file import TraceReader
from playbook.models import Model, System, TaskEvent

PROBE = "playbook.checks.probes.flood"
RECEIVER = "flood"
RATE = 50
"""Calls per second."""

FLIP_EVERY, KILL_EVERY = 0.2, 2.0
AFTER = 75
"""Calls that go on after the route was set to TaskIQ, and again after it went back to Celery: more than a
second's worth, because a route is heeded within one."""

ANSWER = 0.05
"""Seconds that the receiver takes for a request, so that something is under way when a worker dies."""

PATIENCE = 120.0
IN_FLIGHT = 0.5
"""Seconds between the end of a task's body and its acknowledgement in Redis, at most, on a busy machine."""


class Kill(Model):
    """A TaskIQ worker that was killed: when (Unix time), and the ids of its processes."""

    at: float
    pids: tuple[int, ...]


class Call(Model):
    """One call: its number, its id, and the events of its attempts."""

    number: int
    id: str
    events: list[TaskEvent]

    @property
    def starts(self) -> list[TaskEvent]:
        """The starts of the first attempt; more than one if it was started again."""
        return [event for event in self.events if event.kind == "start" and event.attempt == 0]

    @property
    def systems(self) -> set[System]:
        """The systems that ran it."""
        return {event.system for event in self.events}


class Flood(Model):
    """What came of it. `received` counts the requests for each call's number; times are Unix times."""

    calls: list[Call]
    received: dict[int, int]
    kills: list[Kill]
    flips: int
    back_at: float
    back: int

    @property
    def lost(self) -> list[int]:
        """Numbers of the calls whose webhook never arrived."""
        return [call.number for call in self.calls if not self.received.get(call.number)]

    @property
    def doubled(self) -> list[Call]:
        """Calls that were started more than once."""
        return [call for call in self.calls if len(call.starts) > 1]

    @property
    def unexplained(self) -> list[int]:
        """Numbers of the calls that were started or received twice and were not in flight at a kill."""
        excess = {call.number for call in self.calls if self.received.get(call.number, 0) > len(call.starts)}
        return sorted(excess | {call.number for call in self.doubled if not self._in_flight(call)})

    def _in_flight(self, call: Call) -> bool:
        """Whether each start but the last one ended with its worker."""
        return all(self._killed_at(call, start) is not None for start in call.starts[:-1])

    def _killed_at(self, call: Call, start: TaskEvent) -> float | None:
        ends = [e.at for e in call.events if e.kind == "end" and e.worker == start.worker]
        for kill in self.kills:
            if (
                _pid(start) in kill.pids
                and start.at <= kill.at
                and all(end > kill.at - IN_FLIGHT for end in ends)
            ):
                return kill.at
        return None

    @property
    def on_both(self) -> list[int]:
        """Numbers of the calls that both systems ran."""
        return [call.number for call in self.calls if len(call.systems) > 1]

    def share(self, system: System) -> int:
        """How many of the calls made while the route flipped went to a system."""
        return sum(call.systems == {system} for call in self.calls[: len(self.calls) - 2 * AFTER])

    def starts_of(self, system: System) -> list[float]:
        """Unix times at which a system started the first attempt of a call."""
        return sorted(start.at for call in self.calls for start in call.starts if start.system == system)

    def figures(self) -> dict[str, float]:
        """The figures of this run, by what they count."""
        return {
            "calls": len(self.calls),
            "calls that Celery ran": sum(call.systems == {"celery"} for call in self.calls),
            "calls that TaskIQ ran": sum(call.systems == {"taskiq"} for call in self.calls),
            "flips of the route": self.flips,
            "workers killed": len(self.kills),
            "calls lost": len(self.lost),
            "calls started twice": len(self.doubled),
            "of these not in flight at a kill": len(self.unexplained),
            "seconds until TaskIQ's last start after the route went back": round(
                self.last_start_after_back, 1
            ),
        }

    @property
    def after_back(self) -> list[System]:
        """The systems of the calls made after the route went back, in order."""
        return [system for call in self.calls[self.back :] for system in sorted(call.systems)]

    @property
    def last_start_after_back(self) -> float:
        """Seconds from when the route went back until TaskIQ started its last task; 0: none after that."""
        return max(0.0, max(self.starts_of("taskiq"), default=0.0) - self.back_at)


class _Running:
    """What has started and not ended, read as the trace grows."""

    def __init__(self, lab: Lab) -> None:
        self._trace = TraceReader(lab.trace_path, lab.trace_path.stat().st_size)
        self._open: set[tuple[int, str, int]] = set()

    def pids(self) -> set[int]:
        """Processes in the middle of a task, be it that they were killed there."""
        for event in self._trace.news():
            attempt = _pid(event), event.id, event.attempt
            (self._open.add if event.kind == "start" else self._open.discard)(attempt)
        return {pid for pid, _, _ in self._open}


@dataclass
class _Workers:
    """TaskIQ workers, of which the oldest is killed. New ones start in the background."""

    lab: Lab
    modules: list[str]
    threads: ThreadPoolExecutor
    running: _Running

    def __post_init__(self) -> None:
        self.waiting: deque[Future[Process]] = deque()

    def add(self, worker: Process | None = None) -> None:
        """Add one that runs, or start one more."""
        start = partial(taskiq_worker, self.lab, self.modules)
        self.waiting.append(self.threads.submit(lambda: worker or start()))

    def kill(self) -> Kill:
        """SIGKILL the oldest in the middle of its work."""
        victim = self.waiting.popleft().result()
        pids = {victim.pid, *(child.pid for child in psutil.Process(victim.pid).children(recursive=True))}
        wait_until(lambda: self.running.pids() & pids, KILL_EVERY, interval=0.01)
        victim.kill()
        return Kill(at=time.time(), pids=tuple(sorted(pids)))


def run_flood(lab: Lab, modules: list[str], calls: int, kills: int, worker: Process | None = None) -> Flood:
    """Send `calls` calls while the route flips and `kills` workers are killed; then go back to Celery.

    Parameters:
        lab: with API and a Celery worker that run. TaskIQ workers are started here; none is left in the end.
        modules: what TaskIQ workers are told.
        worker: a TaskIQ worker that runs already, to be the first that is killed.

    Raises:
        LabError: not all that was sent came to an end in time.
    """
    lab.reset()
    with ThreadPoolExecutor() as threads:
        running = _Running(lab)
        workers = _Workers(lab, modules, threads, running)
        workers.add(worker)
        workers.add()
        plan = _plan(lab, calls, max(calls / RATE, KILL_EVERY * kills + 1))
        sending = threads.submit(lab.probe, PROBE, json.dumps(plan), timeout=plan["seconds"] + PATIENCE)
        killed = []
        wait_until(lambda: lab.world.requests(RECEIVER) or sending.done(), PATIENCE)
        began = time.monotonic()
        for number in range(1, kills + 1):
            due = began + number * KILL_EVERY
            wait_until(partial(_is_due, due, sending), KILL_EVERY)
            killed.append(workers.kill())
            if number < kills:
                workers.add()
        sent = sending.result()
        flood = _settled(lab, sent, killed, running)
        for last in workers.waiting:
            last.result().kill()
    return flood


def _plan(lab: Lab, calls: int, seconds: float) -> dict[str, Any]:
    """Make the transcript and the room whose webhook is called."""
    lab.world.fail(RECEIVER, status=200, delay=ANSWER, times=2 * (calls + 2 * AFTER))
    with api_client(lab) as api:
        url = f"{lab.world.url}/{RECEIVER}/hook"
        room = ask(api, "POST", "/rooms", json={"name": RECEIVER, "webhook_url": url})
        transcript = ask(api, "POST", "/transcripts", json={"name": RECEIVER, "room_id": room["id"]})
    return {
        "task": WEBHOOK,
        "args": [transcript["id"]],
        "kwargs": {"room_id": room["id"]},
        "calls": calls,
        "seconds": seconds,
        "every": FLIP_EVERY,
        "after": AFTER,
    }


def _settled(lab: Lab, sent: dict[str, Any], kills: list[Kill], running: _Running) -> Flood:
    """Wait until nothing is under way any more, and return what is found."""
    ids = sent["ids"]
    killed = {pid for kill in kills for pid in kill.pids}
    if not wait_until(lambda: _is_empty(lab) and running.pids() <= killed, PATIENCE + len(ids) / 5):
        raise LabError(f"what was sent did not come to an end in time; see {lab.logs_dir}")
    events: dict[str, list[TaskEvent]] = defaultdict(list)
    for event in lab.trace():
        events[event.id].append(event)
    received: dict[int, int] = defaultdict(int)
    for request in lab.world.requests(RECEIVER):
        received[int(request.body["event_id"])] += 1
    calls = [Call(number=n, id=i, events=events[i]) for n, i in zip(count(), ids, strict=False)]
    figures = {name: sent[name] for name in ("flips", "back_at", "back")}
    return Flood(calls=calls, received=received, kills=kills, **figures)


def _is_due(due: float, sending: Future[Any]) -> bool:
    return time.monotonic() >= due or sending.done()


def _is_empty(lab: Lab) -> bool:
    """Whether nothing waits for a worker, or lies with one, in either system."""
    redis, prefix = lab.redis.client(), lab.redis.prefix
    queue = f"{lab.env['TASKIQ_KEY_PREFIX']}:queue:default"
    taskiq = redis.xlen(queue) + redis.xlen(f"{queue}:suspects") + redis.zcard(f"{queue}:delayed")
    return not (taskiq + redis.llen(f"{prefix}celery") + redis.hlen(f"{prefix}unacked"))


def _pid(event: TaskEvent) -> int:
    return int(event.worker.rpartition(":")[2])
