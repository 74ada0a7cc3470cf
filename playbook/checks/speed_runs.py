"""Runs the load on all systems in turn, round after round, and keeps each figure that was measured."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playbook.lab.load import LoadedSystem, milliseconds
from playbook.lab.load_systems import PREFORK, SYSTEMS
from playbook.lab.redis_server import RedisServer
from playbook.lab.waiting import together
from playbook.models import Model

DRAINED = ("noop", "io_async", "io_sync", "cpu")
"""The kinds of tasks (`probes/load_work.py`) that are sent while workers stand still."""

MEGA, MICRO = 1e-6, 1e6


class Plan(Model):
    """How much is measured.

    Attributes:
        workers: numbers of worker processes, one after the other.
        slots: tasks that one process runs at a time, where it can.
        rounds: how often everything is repeated; the systems take turns in being the first.
        tasks: how many tasks of a kind are drained, for each worker process.
        one_by_one: how many tasks that wait a system gets that runs one at a time in a process.
        singles: how many tasks are sent for the latency, at `rate` a second on average.
        few: how often that is repeated which differs little (memory, commands) or takes long (growing load,
            the largest chord, tasks that are due later).
        sizes: of chords.
        largest: size of a chord that is run with one worker process only.
        rates: of the growing load (tasks a second), with one worker process; each for two seconds.
        later: how many tasks are sent that are due later, with one worker process.
        pipelines: how often the file pipeline runs on each system.
    """

    workers: tuple[int, ...]
    slots: int
    rounds: int
    tasks: dict[str, int]
    one_by_one: int
    singles: int
    rate: float
    few: int
    sizes: tuple[int, ...]
    largest: int = 0
    rates: tuple[int, ...] = ()
    later: int = 0
    pipelines: int = 0


QUICK = Plan(
    workers=(1,),
    slots=20,
    rounds=3,
    tasks={"noop": 250, "io_async": 40, "cpu": 20},
    one_by_one=4,
    singles=40,
    rate=100,
    few=1,
    sizes=(50,),
)
FULL = Plan(
    workers=(1, 2, 4),
    slots=20,
    rounds=7,
    tasks={"noop": 2_000, "io_async": 100, "io_sync": 100, "cpu": 100},
    one_by_one=10,
    singles=300,
    rate=100,
    few=3,
    sizes=(10, 100, 1_000),
    largest=5_000,
    rates=(50, 100, 200, 400, 800, 1_600, 3_200),
    later=300,
    pipelines=7,
)


class Sample(Model):
    """One figure.

    Attributes:
        system: whose.
        workers: worker processes that it had.
        round: in which round it was measured.
        kind: of the tasks.
        metric: what was measured, see `UNITS`.
        value: in that unit.
        at: the offered load (tasks a second) or the size of the chord, where it varies.
    """

    system: str
    workers: int
    round: int
    kind: str
    metric: str
    value: float
    at: int | None = None


UNITS = {
    "enqueue": "tasks sent a second by one sender",
    "throughput": "tasks a second",
    "p50": "ms from sending (or due) to end, median",
    "p99": "ms from sending (or due) to end, 99 %",
    "cpu": "microseconds of processor time of the workers for one task",
    "redis_cpu": "microseconds of Redis' processor time for one task",
    "queued": "bytes in Redis for a task that waits",
    "kept": "bytes in Redis for a task that has ended",
    "commands": "Redis commands for one task",
    "memory": "MB for each worker process, the main one included",
    "fan_in": "ms from the last member's end to the body's start",
    "fan_in_cost": "ms from sending to the body's start, per member",
    "wall": "s from the start of the pipeline's first task to the end of its last",
}


def measure(
    plan: Plan, workspace: Path, work_dir: Path, say: Callable[[str], None] = lambda _: None
) -> list[Sample]:
    """Put all systems under load.

    Parameters:
        plan: how much.
        workspace: the migrated copy; what runs is a copy of it.
        work_dir: folder for that and for logs; created.
        say: told what is done next.

    Raises:
        LabError: a system does not start, or does not end its tasks.
    """
    found: list[Sample] = []
    source = work_dir / "source"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(workspace, source, ignore=shutil.ignore_patterns(".git", "tests"))
    for workers in plan.workers:
        folder = work_dir / f"{workers}-workers"
        with RedisServer(folder / "redis") as server, ExitStack() as stack:
            loaded = [LoadedSystem(s, server, source, folder, workers, plan.slots) for s in SYSTEMS]
            for one in loaded:
                stack.callback(one.stop)
            together(*(one.start for one in loaded))
            for number in range(plan.rounds):
                say(f"{workers} worker processes, round {number + 1} of {plan.rounds}")
                for one in _in_turn(loaded, number):
                    found += _round(one, plan, number)
            for number in range(plan.few):
                for one in _in_turn(loaded, number):
                    found += _costs(one, plan, number)
            if workers == 1:
                say("growing load, tasks that are due later")
                found += _alone(loaded, plan)
    return found


def _in_turn(loaded: Sequence[LoadedSystem], number: int) -> list[LoadedSystem]:
    """Each goes first in turn."""
    first = number % len(loaded)
    return [*loaded[first:], *loaded[:first]]


def _sampler(one: LoadedSystem, number: int) -> Callable[..., Sample]:
    def sample(kind: str, metric: str, value: float, at: int | None = None) -> Sample:
        fields: dict[str, Any] = {"system": one.system.name, "workers": one.workers, "round": number}
        return Sample(**fields, kind=kind, metric=metric, value=value, at=at)

    return sample


def _round(one: LoadedSystem, plan: Plan, number: int) -> Iterator[Sample]:
    sample = _sampler(one, number)
    for kind, count in plan.tasks.items():
        waits = kind.startswith("io") and one.system.name == PREFORK
        drained = one.drain(kind, (plan.one_by_one if waits else count) * one.workers)
        yield sample(kind, "throughput", drained.throughput)
        yield sample(kind, "cpu", drained.cpu * MICRO)
        if kind == "noop":
            yield sample(kind, "enqueue", drained.enqueue)
            yield sample(kind, "redis_cpu", drained.redis_cpu * MICRO)
            yield sample(kind, "queued", drained.queued)
            yield sample(kind, "kept", drained.kept)
    p50, p99 = milliseconds(one.paced("noop", plan.singles, plan.rate, number))
    yield sample("noop", "p50", p50)
    yield sample("noop", "p99", p99)
    for size in plan.sizes:
        yield from _fan_in(one, sample, size)


def _fan_in(one: LoadedSystem, sample: Callable[..., Sample], size: int) -> Iterator[Sample]:
    latency, cost = one.fan_in(size)
    yield sample("chord", "fan_in", latency * 1e3, size)
    yield sample("chord", "fan_in_cost", cost * 1e3, size)


def _costs(one: LoadedSystem, plan: Plan, number: int) -> Iterator[Sample]:
    """What is counted apart from the load, because counting disturbs it."""
    sample = _sampler(one, number)
    yield sample("noop", "commands", one.commands_per_task("noop", plan.tasks["noop"]))
    yield sample("noop", "memory", one.memory_per_worker() * MEGA)


def _alone(loaded: Sequence[LoadedSystem], plan: Plan) -> Iterator[Sample]:
    """What is measured with one worker process only."""
    for number in range(plan.few if plan.rates else 0):
        for rate in plan.rates:
            for one in _in_turn(loaded, number):
                sample = _sampler(one, number)
                p50, p99 = milliseconds(one.paced("noop", 2 * rate, rate, number))
                yield sample("growing", "p50", p50, rate)
                yield sample("growing", "p99", p99, rate)
    for number in range(plan.few if plan.largest else 0):
        for one in _in_turn(loaded, number):
            sample = _sampler(one, number)
            yield from _fan_in(one, sample, plan.largest)
            yield sample("chord", "queued", one.waiting_member(1_000), 1_000)
    for number in range(plan.few if plan.later else 0):
        for one in _in_turn(loaded, number):
            sample = _sampler(one, number)
            with one.scheduler():
                p50, p99 = milliseconds(one.later("noop", plan.later, 3.0, 5.0))
            yield sample("later", "p50", p50)
            yield sample("later", "p99", p99)
