"""A worker is killed in each of the ten tasks of one live pipeline, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from playbook.checks.driver import Driver
from playbook.checks.pipelines_lab import DRIVER
from playbook.checks.pipelines_scenarios import (
    CONSENT,
    DIARIZATION,
    LIVE,
    PROCESS,
    QUIET,
    SUMMARIES,
    TIMEOUT,
    TITLE,
    ZULIP,
    Recording,
    ended,
)
from playbook.checks.simple_lab import open_lab, taskiq_worker
from playbook.contracts import CheckContext
from playbook.lab import Lab, LabError, Process, wait_until
from playbook.lab.gate import GATES_VARIABLE, Point, gate, waiting_at
from playbook.lab.waiting import together
from playbook.models import Model, Observation, TaskEvent

WAVEFORM = f"{LIVE}task_pipeline_waveform"
KILLED: tuple[tuple[str, Point], ...] = (
    (PROCESS, "request"),
    (TITLE, "request"),
    (WAVEFORM, "commit"),
    (f"{LIVE}task_pipeline_convert_to_mp3", "commit"),
    (f"{LIVE}task_pipeline_upload_mp3", "commit"),
    (f"{LIVE}task_pipeline_remove_upload", "commit"),
    (DIARIZATION, "request"),
    (CONSENT, "commit"),
    (SUMMARIES, "request"),
    (ZULIP, "request"),
)
"""Where the worker is killed: a task that asks a service just before it asks, another one when its files are
written and its transaction is not committed yet."""

LEASE = 1.0
"""Seconds after which the tasks of a killed worker are taken over."""

STANDING_BY = 2
MODULE = "playbook.lab.gate"


class Kill(Model):
    """One kill: the task that was held, when (Unix time), and the processes that went."""

    task: str
    at: float
    pids: tuple[int, ...]


class Kills(Model):
    """The pipeline that survived: all that was observed, and the kills in order."""

    observation: Observation
    kills: list[Kill]

    def died(self, event: TaskEvent) -> bool:
        """Whether a start is one that a kill ended."""
        ends = {(e.id, e.attempt, e.worker) for e in self.observation.trace if e.kind == "end"}
        killed = {pid for kill in self.kills for pid in kill.pids}
        ended = (event.id, event.attempt, event.worker) in ends
        return event.kind == "start" and _pid(event) in killed and not ended

    @property
    def as_if_unharmed(self) -> Observation:
        """The observation without the starts that kills ended: what an unharmed run would look like."""
        trace = [event for event in self.observation.trace if not self.died(event)]
        return self.observation.model_copy(update={"trace": trace})

    @property
    def spans(self) -> list[tuple[TaskEvent, float, bool]]:
        """Each start with the time (Unix) at which that attempt ended, and whether a kill ended it."""
        ends = {(e.id, e.attempt, e.worker): e.at for e in self.observation.trace if e.kind == "end"}
        found = []
        for event in (event for event in self.observation.trace if event.kind == "start"):
            end = ends.get((event.id, event.attempt, event.worker))
            died = [kill.at for kill in self.kills if _pid(event) in kill.pids]
            found.append((event, min(died, default=event.at) if end is None else end, end is None))
        return found

    def again_after(self, kill: Kill) -> float | None:
        """Seconds from a kill until its task started again; None if it never did."""
        starts = (e.at for e in self.observation.trace if e.kind == "start" and e.task == kill.task)
        return min((at - kill.at for at in starts if at > kill.at), default=None)


@dataclass
class _Workers:
    """Workers that stand by; the one that a task is held in is killed, and another started."""

    lab: Lab
    modules: Sequence[str]
    threads: ThreadPoolExecutor
    starting: list[Future[Process]] = field(default_factory=list)

    def add(self) -> None:
        """Start one more, in the background."""
        self.starting.append(self.threads.submit(taskiq_worker, self.lab, [*self.modules, MODULE]))

    def kill(self, pids: set[int]) -> tuple[int, ...]:
        """SIGKILL the worker that one of the processes belongs to; return all its processes."""
        for future in self.starting:
            if not future.done():
                continue
            tree = _tree(future.result())
            if tree & pids:
                self.starting.remove(future)
                future.result().kill()
                return tuple(sorted(tree))
        raise LabError(f"no worker of the lab has the processes {sorted(pids)}")


def _pid(event: TaskEvent) -> int:
    return int(event.worker.rpartition(":")[2])


def _tree(worker: Process) -> set[int]:
    return {worker.pid, *(child.pid for child in psutil.Process(worker.pid).children(recursive=True))}


@dataclass
class KilledInEachTask:
    """The scenario `live`, with one kill in each of its tasks. Compared with the unharmed one by its name."""

    driver: Driver
    recording: Recording
    workers: _Workers
    gates: Path
    name: str = "live"
    kills: list[Kill] = field(default_factory=list)

    def __call__(self, lab: Lab) -> None:
        """Run it, and return when the pipeline has ended and all is quiet.

        Raises:
            LabError: a task did not come to the place where it is killed, or the pipeline did not end.
        """
        for task, point in KILLED:
            gate(self.gates, task, point).touch()
        # Its transaction would lock SQLite's database, and with it the title.
        gate(self.gates, WAVEFORM, "start").touch()
        self.recording.upload(lab, self.driver)
        for task, point in KILLED:
            if task == WAVEFORM:
                self._must(lambda: ended(lab, {TITLE: 1}), "the title did not end")
                gate(self.gates, WAVEFORM, "start").unlink()
            self._kill_in(task, point)
        self._must(lambda: ended(lab, {ZULIP: 1}), "the pipeline did not end")
        lab.wait_quiet(lambda: False, quiet=QUIET)

    def _kill_in(self, task: str, point: Point) -> None:
        held = partial(waiting_at, self.gates, task, point)
        self._must(held, f"{task} did not come to its {point}")
        pids = self.workers.kill(held())
        self.kills.append(Kill(task=task, at=time.time(), pids=pids))
        gate(self.gates, task, point).unlink()
        if len(self.kills) + STANDING_BY <= len(KILLED) + 1:  # one must be left
            self.workers.add()

    def _must(self, condition: Callable[[], object], otherwise: str) -> None:
        if not wait_until(condition, TIMEOUT, interval=0.02):
            raise LabError(f"{otherwise}; see {self.workers.lab.logs_dir}")


def kill_in_each_task(context: CheckContext, recording: Recording, modules: Sequence[str]) -> Kills:
    """Run a live pipeline on TaskIQ in a lab of its own, and kill its worker in each task.

    Parameters:
        context: of the phase.
        recording: what is uploaded.
        modules: what TaskIQ workers are told.

    Raises:
        LabError: the pipeline did not end.
    """
    lab = open_lab(context, "kills", LEASE)
    gates = lab.run_dir / "gates"
    gates.mkdir(parents=True, exist_ok=True)
    for left in gates.iterdir():
        left.unlink()
    lab.env |= {GATES_VARIABLE: str(gates), "TASKIQ_ROUTE": "taskiq"}
    with lab, ThreadPoolExecutor() as threads:
        workers = _Workers(lab, modules, threads)
        for _ in range(STANDING_BY):
            workers.add()
        _, driver = together(lab.api, lambda: Driver(lab, program=DRIVER))
        for future in list(workers.starting):
            future.result()
        scenario = KilledInEachTask(driver, recording, workers, gates)
        observation = lab.observe(scenario, "B, killed", "taskiq")
        for future in workers.starting:
            future.result()
    return Kills(observation=observation, kills=scenario.kills)
