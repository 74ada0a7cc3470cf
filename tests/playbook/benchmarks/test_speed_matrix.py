"""Celery prefork and threads, stock TaskIQ and the migrated runtime under the same load, at full size.

It draws docs/figures/speed_*.png and fan_in.png, writes all medians and ratios to docs/speed_numbers.md, and
holds the ratios to the bars. SPEED_ROUNDS sets another number of rounds.

What favours whom: tasks do nothing, compute or wait, so that all of the rest is the systems' own; Celery's
sender is synchronous and its prefork pool runs one task per process; both TaskIQ systems and Celery's threads
run up to 20 at once in each.
"""

import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from playbook.checks.speed import BARS, Compared, compared
from playbook.checks.speed_pipeline import measure_pipeline
from playbook.checks.speed_runs import FULL, Sample, measure
from playbook.checks.speed_views import better, lines, panels, rows
from playbook.config import load_application
from playbook.contracts import CheckContext
from playbook.phases import apply_phase, find_phase
from playbook.report.speed import bars_figure, lines_figure, ratios_figure, speed_table, verdicts_table
from playbook.report.style import Chart, png
from playbook.workspace import Workspace

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7_200)]
DOCS = Path(__file__).parents[3] / "docs"
INTRO = """# Speed: the numbers

Written by `make benchmark` (`tests/playbook/benchmarks/test_speed_matrix.py`): {rounds} rounds, {cpus} cores,
Python {python}. Medians over the rounds; in brackets 95 % confidence intervals. What is measured and how:
[speed.md](speed.md)."""

Draw = Callable[[list[Sample]], Chart]
DRAWN: dict[str, Draw] = {
    "speed_bars": lambda s: bars_figure(panels(s, 1)),
    "speed_ratios": lambda s: ratios_figure(better(s, 1)),
    "speed_ratios_4": lambda s: ratios_figure(better(s, 4)),
    "speed_workers": lambda s: lines_figure(
        lines(s, "noop", ("throughput", "memory"), over="workers"), "worker processes"
    ),
    "speed_load": lambda s: lines_figure(lines(s, "growing", ("p50", "p99")), "tasks sent a second"),
    "fan_in": lambda s: lines_figure(lines(s, "chord", ("fan_in", "fan_in_cost")), "members"),
}


def all_samples(tmp_path: Path) -> list[Sample]:
    application = load_application()
    workspace = Workspace(tmp_path, application)
    apply_phase(find_phase("05"), workspace)
    (tmp_path / "work").mkdir()
    context = CheckContext(application, workspace.path, tmp_path, tmp_path / "work")
    rounds = int(os.environ.get("SPEED_ROUNDS", FULL.rounds))
    plan = FULL.model_copy(update={"rounds": rounds, "pipelines": rounds})
    samples = measure(plan, workspace.path, tmp_path / "load", lambda text: print(text, flush=True))
    return samples + measure_pipeline(context, plan.pipelines)


def publish(samples: list[Sample], held: list[Compared]) -> None:
    """Write figures and numbers to the documentation."""
    for name, draw in DRAWN.items():
        (DOCS / "figures" / f"{name}.png").write_bytes(png(draw(samples)))
    rounds = 1 + max(sample.round for sample in samples)
    intro = INTRO.format(rounds=rounds, cpus=os.cpu_count(), python=platform.python_version())
    bars = f"## Bars\n\n{verdicts_table(held)}"
    text = f"{intro}\n\n{bars}\n\n## Medians\n\n{speed_table(rows(samples))}\n"
    (DOCS / "speed_numbers.md").write_text(text)
    print(f"\n{text}")


def test_speed_matrix(tmp_path: Path) -> None:
    samples = all_samples(tmp_path)
    held = [one for name in BARS for one in compared(samples, name, True)]
    publish(samples, held)
    assert not [one.promise for one in held if not one.ok]
