"""The proof that the migrated application is as fast as before, and what it costs: bars on ratios.

Seconds depend on the machine and on who else uses it; ratios of systems that take turns depend on it much
less. At the quick size only what lies far from its bar is held to a bar, a wide one; at full size the bars
are the project's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from playbook.checks.once import once
from playbook.checks.speed_numbers import Estimate, ratio
from playbook.checks.speed_pipeline import measure_pipeline
from playbook.checks.speed_runs import FULL, QUICK, Sample, measure
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.lab.load_systems import MIGRATED, PREFORK, STOCK

FASTER = ("throughput",)
"""Metrics of which more is better; of all others, less."""


@dataclass(frozen=True)
class Bar:
    """What a ratio must reach: the migrated application's figure, divided by another system's.

    Attributes:
        kind: of the tasks.
        metric: what is compared.
        other: the other system.
        quick: the bar at the quick size; None: it says nothing there.
        full: the bar at full size.
    """

    kind: str
    metric: str
    other: str
    quick: float | None
    full: float

    def bound(self, full: bool) -> float | None:
        """The bar at a size."""
        return self.full if full else self.quick

    def holds(self, found: Estimate, full: bool) -> bool:
        """Whether the ratio reaches it: the median, or at full size, where there are enough rounds to know
        how sure it is, the better end of its interval."""
        bound = self.bound(full)
        assert bound is not None
        if self.metric in FASTER:
            return (found.high if full else found.value) >= bound
        return (found.low if full else found.value) <= bound


BARS: dict[str, tuple[Bar, ...]] = {
    "throughput": (
        Bar("noop", "throughput", PREFORK, 1.5, 2.5),
        Bar("noop", "throughput", STOCK, None, 1.0),
        Bar("io_async", "throughput", PREFORK, 5.0, 10.0),
        Bar("io_async", "throughput", STOCK, 0.7, 1.0),
        Bar("io_sync", "throughput", STOCK, None, 1.0),
        Bar("cpu", "throughput", PREFORK, None, 0.9),
    ),
    "latency": (
        Bar("noop", "p50", PREFORK, 1.5, 1.0),
        Bar("noop", "p50", STOCK, None, 1.0),
        Bar("noop", "p99", PREFORK, None, 1.0),
        Bar("noop", "p99", STOCK, None, 1.0),
        Bar("pipeline", "wall", PREFORK, None, 1.0),
    ),
    "cost": (
        Bar("noop", "cpu", PREFORK, 0.8, 0.5),
        Bar("noop", "commands", PREFORK, 0.5, 0.5),
        Bar("noop", "commands", STOCK, 1.0, 1.0),
        Bar("noop", "memory", PREFORK, 1.1, 1.0),
        Bar("noop", "memory", STOCK, 1.1, 1.0),
    ),
    "fan_in": (
        Bar("chord", "fan_in_cost", PREFORK, 1.0, 0.8),
        Bar("chord", "fan_in_cost", STOCK, 1.0, 0.8),
        Bar("chord", "fan_in", PREFORK, None, 1.0),
        Bar("chord", "fan_in", STOCK, 1.0, 1.0),
    ),
}


@dataclass(frozen=True)
class Compared:
    """A ratio, and the bar that it is held to.

    `promise` is the bar in words: without the figures that were measured, which differ between runs.
    """

    promise: str
    found: Estimate
    ok: bool


def is_full(context: CheckContext) -> bool:
    """Whether the full size is asked for."""
    return bool(getattr(context.parameters, "full", False))


@once
def look(context: CheckContext) -> list[Sample]:
    """Put the systems under load, once.

    Raises:
        PlaybookError: a system could not be measured. It is not tried again.
    """
    plan = FULL if is_full(context) else QUICK
    found = measure(plan, context.workspace, context.work_dir / "speed")
    return found + measure_pipeline(context, plan.pipelines)


def compared(samples: Sequence[Sample], name: str, full: bool) -> list[Compared]:
    """Hold what was measured to the bars of a check."""
    found = []
    for bar in BARS[name]:
        places = {(s.workers, s.at or 0) for s in samples if (s.kind, s.metric) == (bar.kind, bar.metric)}
        for workers, at in sorted(places) if bar.bound(full) is not None else ():
            got = ratio(samples, MIGRATED, bar.other, bar.kind, bar.metric, workers, at or None)
            if got is not None:
                found.append(Compared(_promise(bar, workers, at, full), got, bar.holds(got, full)))
    return found


def _promise(bar: Bar, workers: int, at: int, full: bool) -> str:
    place = f" of {at} members" if at else ""
    size = f"{workers} worker process{'es' if workers > 1 else ''}"
    bound = f"{'at least' if bar.metric in FASTER else 'at most'} {bar.bound(full)} times {bar.other}'s"
    return f"{bar.kind}{place}, {bar.metric}, {size}: {bound}"


def verdict(samples: Sequence[Sample], name: str, full: bool) -> CheckResult:
    """Return whether all ratios of a check reach their bars."""
    found = compared(samples, name, full)
    missed = [
        f"{one.promise}; it is {one.found.value:.2f} ({one.found.low:.2f} to {one.found.high:.2f})"
        for one in found
        if not one.ok
    ]
    if missed or not found:
        return CheckResult.failed("; ".join(missed) or "nothing was measured", missed)
    return CheckResult.passed(f"{len(found)} ratios reach their bars", [one.promise for one in found])


def _check(name: str, title: str) -> Check:
    return Check(
        name, title, lambda context: verdict(look(context), name.removeprefix("speed_"), is_full(context))
    )


CHECKS: tuple[Check, ...] = (
    _check("speed_throughput", "Throughput is kept, or better"),
    _check("speed_latency", "Latency is kept, or better"),
    _check("speed_cost", "Processor time, memory and Redis commands are kept, or less"),
    _check("speed_fan_in", "Chords are as fast as before"),
)
