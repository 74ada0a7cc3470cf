"""The verdicts on speed: a loss is told, noise is not, and what was not measured does not pass."""

from collections.abc import Callable

import pytest

from playbook.checks.speed import BARS, verdict
from playbook.checks.speed_numbers import estimate, ratio
from playbook.checks.speed_runs import Sample
from playbook.checks.speed_views import better, lines, panels, rows
from playbook.lab.load_systems import MIGRATED, PREFORK, STOCK, THREADS
from playbook.report.speed import bars_figure, lines_figure, ratios_figure, speed_table, verdicts_table
from playbook.report.style import png

ROUNDS = 7
NOISE = (1.0, 0.7, 1.4, 1.1, 0.8, 1.3, 0.9)
"""What the machine does to all systems in a round."""

USUAL = {
    ("noop", "throughput"): (500, 500, 1_500, 3_500),
    ("io_async", "throughput"): (10, 170, 175, 180),
    ("io_sync", "throughput"): (10, 170, 175, 180),
    ("cpu", "throughput"): (230, 220, 220, 235),
    ("noop", "p50"): (2.2, 1.9, 0.8, 0.75),
    ("noop", "p99"): (5.4, 4.0, 2.3, 2.0),
    ("noop", "cpu"): (1_500, 1_600, 600, 200),
    ("noop", "commands"): (17, 17, 3.2, 2.0),
    ("noop", "memory"): (70, 56, 75, 66),
    ("chord", "fan_in"): (10, 10, 280, 3),
    ("chord", "fan_in_cost"): (2.5, 2.5, 4.0, 0.6),
    ("pipeline", "wall"): (2.0, 2.0, 2.0, 1.9),
}
NOISELESS = ("commands", "memory")


def measured(slower: Callable[[str, str], float] = lambda kind, metric: 1.0) -> list[Sample]:
    """Samples of all rounds; the migrated application's figures are multiplied by `slower`."""
    found = []
    for (kind, metric), values in USUAL.items():
        for system, value in zip((PREFORK, THREADS, STOCK, MIGRATED), values, strict=True):
            for number, noise in enumerate(NOISE):
                factor = slower(kind, metric) if system == MIGRATED else 1.0
                at = 100 if kind == "chord" else None
                value_now = value * factor * (1.0 if metric in NOISELESS else noise)
                found.append(
                    Sample(
                        system=system,
                        workers=1,
                        round=number,
                        kind=kind,
                        metric=metric,
                        value=value_now,
                        at=at,
                    )
                )
    return found


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", BARS)
def test_what_is_measured_on_a_noisy_machine_passes(name: str, full: bool) -> None:
    assert verdict(measured(), name, full).ok


@pytest.mark.parametrize("full", [False, True])
def test_five_milliseconds_of_sleep_in_each_task_are_told(full: bool) -> None:
    """5 ms on the loop for each task: 200 tasks a second, and 5 ms more latency."""
    slow = {"throughput": 200 / 3_500, "p50": 5.75 / 0.75, "p99": 3.0, "fan_in_cost": 9.0}
    found = measured(lambda kind, metric: 1.0 if kind in ("cpu", "pipeline") else slow.get(metric, 1.0))
    for name in ("throughput", "latency", "fan_in"):
        result = verdict(found, name, full)
        assert not result.ok
        assert "times Celery prefork's" in result.detail


@pytest.mark.parametrize(
    ("name", "kind", "metric"), [("cost", "noop", "memory"), ("cost", "noop", "commands")]
)
def test_what_costs_twice_as_much_is_told(name: str, kind: str, metric: str) -> None:
    found = measured(lambda of, what: 2.0 if (of, what) == (kind, metric) else 1.0)
    assert metric in verdict(found, name, False).detail


@pytest.mark.parametrize("name", BARS)
def test_what_was_not_measured_does_not_pass(name: str) -> None:
    assert not verdict([], name, True).ok


def test_details_of_equal_verdicts_are_equal() -> None:
    once = verdict(measured(), "throughput", True)
    again = verdict(measured(lambda kind, metric: 1.01), "throughput", True)
    assert (once.detail, once.evidence) == (again.detail, again.evidence)


def test_ratios_are_formed_within_rounds() -> None:
    found = ratio(measured(), MIGRATED, STOCK, "noop", "throughput", 1)
    assert found is not None
    assert found.value == pytest.approx(3_500 / 1_500)
    assert (found.low, found.high) == (pytest.approx(found.value), pytest.approx(found.value))
    assert ratio(measured(), MIGRATED, STOCK, "noop", "throughput", 2) is None


def test_an_interval_holds_its_median_and_widens_with_the_noise() -> None:
    calm, noisy = estimate([10, 10.1, 9.9, 10, 10.2]), estimate([10, 15, 5, 12, 8])
    for found in (calm, noisy):
        assert found.low <= found.value <= found.high
    assert calm.high - calm.low < noisy.high - noisy.low
    assert estimate([3.0]).low == estimate([3.0]).high == 3.0


def test_figures_and_tables_can_be_drawn() -> None:
    samples = measured()
    growing = [
        s.model_copy(update={"kind": "growing", "at": rate})
        for s in samples
        for rate in (50, 100)
        if s.metric in ("p50", "p99")
    ]
    for figure in (
        bars_figure(panels(samples, 1)),
        ratios_figure(better(samples, 1)),
        lines_figure(lines(growing, "growing", ("p50", "p99")), "tasks a second"),
        lines_figure(lines(samples, "noop", ("throughput",), over="workers"), "worker processes"),
    ):
        assert png(figure).startswith(b"\x89PNG")
    assert "Celery prefork" in repr(speed_table(rows(samples)))
    losses = [one for one in better(samples, 1) if one.better.value < 1]
    assert [(one.label, one.other) for one in losses] == [("memory per worker: no-op", THREADS)]


def test_the_table_marks_what_misses_its_bar() -> None:
    from playbook.checks.speed import compared

    slow = measured(lambda kind, metric: 0.01 if metric == "throughput" else 1.0)
    assert "| no |" in repr(verdicts_table(compared(slow, "throughput", False)))
