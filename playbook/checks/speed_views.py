"""What the notebook and the benchmark show of the samples, arranged for the figures in `playbook.report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from playbook.checks.speed import FASTER
from playbook.checks.speed_numbers import Estimate, combinations, median, ratio
from playbook.checks.speed_runs import UNITS, Sample
from playbook.lab.load_systems import MIGRATED, PREFORK, STOCK, SYSTEMS, THREADS

NAMES = tuple(system.name for system in SYSTEMS)
MORE = {*FASTER, "enqueue"}
"""Metrics of which more is better."""

PANELS = (
    ("noop", "throughput", "no-op tasks/s"),
    ("io_async", "throughput", "tasks/s that wait 100 ms, async"),
    ("io_sync", "throughput", "tasks/s that wait 100 ms, sync"),
    ("cpu", "throughput", "tasks/s that compute"),
    ("noop", "p50", "latency p50, ms"),
    ("noop", "p99", "latency p99, ms"),
    ("noop", "cpu", "CPU of a no-op, µs"),
    ("noop", "memory", "MB per worker process"),
    ("noop", "commands", "Redis commands per task"),
    ("noop", "queued", "bytes in Redis, waiting"),
    ("noop", "kept", "bytes in Redis, ended"),
    ("noop", "enqueue", "tasks/s that one sender sends"),
)


KINDS = {
    "noop": "no-op",
    "io_async": "waiting, async",
    "io_sync": "waiting, sync",
    "cpu": "computing",
    "chord": "chord",
    "growing": "growing load",
    "later": "due later",
    "pipeline": "file pipeline",
}
METRICS = {
    "throughput": "throughput",
    "enqueue": "sending",
    "p50": "latency p50",
    "p99": "latency p99",
    "wall": "wall time",
    "fan_in": "fan-in latency",
    "fan_in_cost": "time per member",
    "cpu": "CPU of workers",
    "redis_cpu": "CPU of Redis",
    "commands": "Redis commands",
    "memory": "memory per worker",
    "queued": "bytes in Redis, waiting",
    "kept": "bytes in Redis, ended",
}
"""In the order of the figure."""


@dataclass(frozen=True)
class Better:
    """How many times better the migrated application is than another system, in one respect."""

    label: str
    other: str
    better: Estimate


def panels(samples: Sequence[Sample], workers: int) -> dict[str, dict[str, Estimate]]:
    """Return what `bars_figure` shows: by title, the estimates of the systems."""
    found = {title: _of_systems(samples, kind, metric, workers, None) for kind, metric, title in PANELS}
    return {title: estimates for title, estimates in found.items() if estimates}


def lines(
    samples: Sequence[Sample], kind: str, metrics: Sequence[str], over: str = "at", workers: int = 1
) -> dict[str, dict[str, dict[int, Estimate]]]:
    """Return what `lines_figure` shows: by title and system, the estimate at each load, size or number.

    Args:
        samples: what was measured.
        kind: of the tasks.
        metrics: one chart for each.
        over: `at`, or `workers` for the number of worker processes.
        workers: how many there were, if the lines are not over them.
    """
    found: dict[str, dict[str, dict[int, Estimate]]] = {}
    for metric in metrics:
        of = [s for s in samples if (s.kind, s.metric) == (kind, metric)]
        if over == "at":
            of = [s for s in of if s.workers == workers and s.at is not None]
            places = {s.at: (workers, s.at) for s in of}
        else:
            places = {s.workers: (s.workers, None) for s in of}
        title = f"{KINDS[kind]}: {UNITS[metric]}"
        found[title] = {}
        for name in NAMES:
            at = {
                place: estimate
                for place, where in sorted(places.items())
                if place is not None and (estimate := median(of, name, kind, metric, *where))
            }
            if at:
                found[title][name] = at
    return {title: by for title, by in found.items() if by}


def better(samples: Sequence[Sample], workers: int) -> list[Better]:
    """Return how many times better the migrated application is, in each respect and than each system."""
    places = [place for place in combinations(samples) if place[0] != "growing" and place[2] == workers]
    order = list(METRICS)
    found = []
    for kind, metric, number, at in sorted(places, key=lambda place: order.index(place[1])):
        label = f"{METRICS[metric]}: {KINDS[kind]}" + (f" of {at:,}" if at else "")
        for other in (PREFORK, THREADS, STOCK):
            pair = (MIGRATED, other) if metric in MORE else (other, MIGRATED)
            if got := ratio(samples, *pair, kind, metric, number, at):
                found.append(Better(label, other, got))
    return found


def rows(samples: Sequence[Sample]) -> list[dict[str, object]]:
    """Return the medians of all that was measured: a row for each measure, a column for each system."""
    return [
        {
            "kind": kind,
            "measure": UNITS[metric],
            "workers": workers,
            "at": "" if at is None else at,
            **_of_systems(samples, kind, metric, workers, at),
        }
        for kind, metric, workers, at in combinations(samples)
    ]


def _of_systems(
    samples: Sequence[Sample], kind: str, metric: str, workers: int, at: int | None
) -> dict[str, Estimate]:
    found = {name: median(samples, name, kind, metric, workers, at) for name in NAMES}
    return {name: estimate for name, estimate in found.items() if estimate is not None}
