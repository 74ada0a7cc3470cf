"""A figure of attempts: when each task ran, and where its worker was killed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from playbook.report.style import FAINT, INK, PALETTE, PAPER, Chart, look, short

_ROW = 0.3  # inches per task
_THIN = 0.004  # of the time axis: bars never become thinner than this
_DONE, _DIED = PALETTE[0], PALETTE[1]


@dataclass(frozen=True)
class Attempt:
    """One attempt of a task: from when to when (Unix times), and whether it ended with its worker."""

    task: str
    start: float
    end: float
    died: bool


def attempts_figure(attempts: Sequence[Attempt]) -> Chart:
    """Return the attempts of all tasks, one row per task, on one scale.

    Args:
        attempts: of one run. Rows stand in the order in which tasks first started.
    """
    ordered = sorted(attempts, key=lambda attempt: attempt.start)
    rows = {task: row for row, task in enumerate(dict.fromkeys(attempt.task for attempt in ordered))}
    origin = ordered[0].start if ordered else 0.0
    span = max((attempt.end - origin for attempt in ordered), default=1.0)
    with look():
        chart = Chart(9.0, _ROW * len(rows) + 1.0)
        axis = chart.subplots()
        for attempt in ordered:
            row, width = rows[attempt.task], max(attempt.end - attempt.start, span * _THIN)
            axis.barh(
                row,
                width,
                left=attempt.start - origin,
                height=0.7,
                color=_DIED if attempt.died else _DONE,
                hatch="///" if attempt.died else "",
                edgecolor=PAPER,
                linewidth=0,
            )
            if attempt.died:
                axis.plot(attempt.end - origin, row, "X", color=INK, markeredgecolor=PAPER, markersize=8)
        axis.set_yticks(range(len(rows)), [short(task) for task in rows])
        axis.invert_yaxis()
        axis.set_xlabel("seconds since the first start")
        axis.grid(axis="x", color=FAINT, linewidth=0.6)
        axis.set_axisbelow(True)
        chart.legend(
            handles=[
                Patch(facecolor=_DONE, edgecolor=PAPER, label="ran to its end"),
                Patch(facecolor=_DIED, edgecolor=PAPER, hatch="///", label="in flight when its worker died"),
                Line2D([], [], linestyle="", marker="X", color=INK, label="SIGKILL"),
            ],
            loc="outside lower center",
            ncols=3,
            frameon=False,
        )
    return chart
