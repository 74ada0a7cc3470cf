"""Figures of what ran when: timelines of whole runs, and the order that runs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from playbook.models import Observation, TaskEvent
from playbook.report.style import FAINT, INK, PAPER, Chart, colours, look, short

_THIN = 0.004  # of the time axis: bars never become thinner than this
_ROW, _BAR = 0.32, 0.8  # inches per row, part of a row that a bar fills


@dataclass(frozen=True)
class _Bar:
    task: str
    worker: str
    start: float
    end: float
    outcome: str


def timeline(observations: Sequence[Observation], titles: Sequence[str] = ()) -> Chart:
    """Return timelines one above the other, on one scale, with a bar for every attempt of a task.

    Args:
        observations: The runs; seconds count from the first thing recorded in each.
        titles: One per run. Default: the labels.

    A bar that ends with a cross failed or was retried. Marks in the row `requests` are HTTP requests that the
    outside world received.
    """
    titles = list(titles) or [observation.label for observation in observations]
    bars = [_bars(observation) for observation in observations]
    rows = [_rows(each) for each in bars]
    looks = colours(
        list(dict.fromkeys(bar.task for each in bars for bar in sorted(each, key=lambda b: b.start)))
    )
    heights = [len(each) + 1 for each in rows]
    span = max(
        [
            1e-3,
            *(bar.end for each in bars for bar in each),
            *(_seconds(o)[-1] for o in observations if _seconds(o)),
        ]
    )
    legend = -(-len(looks) // 2)
    with look():
        chart = Chart(9.0, sum(heights) * _ROW + 0.75 * len(bars) + 0.2 * legend + 0.2)
        axes = chart.subplots(len(bars), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        for place, axis in enumerate(axes):
            _draw(axis, bars[place], rows[place], _seconds(observations[place]), looks, span)
            axis.set_title(titles[place])
        axes[-1].set_xlabel("seconds since the first event")
        patches = [
            Patch(facecolor=colour, hatch=hatch, edgecolor=PAPER, label=short(task))
            for task, (colour, hatch) in looks.items()
        ]
        if patches:
            chart.legend(handles=patches, loc="outside lower center", ncols=2, frameon=False)
    return chart


def _origin(observation: Observation) -> float:
    moments = [event.at for event in observation.trace] + [
        request.at for request in observation.effects.requests
    ]
    return min(moments, default=0.0)


def _seconds(observation: Observation) -> list[float]:
    """Return when requests came, in order."""
    origin = _origin(observation)
    return sorted(request.at - origin for request in observation.effects.requests)


def _bars(observation: Observation) -> list[_Bar]:
    """Return a bar per attempt; an attempt without an end reaches to the last event."""
    origin, workers = _origin(observation), _workers(observation.trace)
    last = max((event.at for event in observation.trace), default=origin)
    open_: dict[tuple[str, int], TaskEvent] = {}
    found = []
    for event in sorted(observation.trace, key=lambda event: event.at):
        key = event.id, event.attempt
        if event.kind == "start":
            open_[key] = event
        elif key in open_:
            start = open_.pop(key)
            outcome = event.outcome or "success"
            found.append(
                _Bar(event.task, workers[start.worker], start.at - origin, event.at - origin, outcome)
            )
    found += [
        _Bar(event.task, workers[event.worker], event.at - origin, last - origin, "no end")
        for event in open_.values()
    ]
    return sorted(found, key=lambda bar: bar.start)


def _workers(trace: Sequence[TaskEvent]) -> dict[str, str]:
    """Return a name for each worker that does not tell host and process."""
    names = dict.fromkeys((event.system, event.worker) for event in sorted(trace, key=lambda event: event.at))
    numbers: dict[str, int] = {}
    found = {}
    for system, worker in names:
        numbers[system] = numbers.get(system, 0) + 1
        found[worker] = f"{system} worker {numbers[system]}"
    return found


def _rows(bars: Sequence[_Bar]) -> list[list[_Bar]]:
    """Return the bars by rows: workers in order, and a row more for what one worker ran at the same time."""
    rows: list[list[_Bar]] = []
    for worker in sorted({bar.worker for bar in bars}):
        own: list[list[_Bar]] = []
        for bar in (bar for bar in bars if bar.worker == worker):
            free = next((row for row in own if row[-1].end <= bar.start), None)
            if free is None:
                own.append([bar])
            else:
                free.append(bar)
        rows += own
    return rows


def _draw(
    axis: Axes,
    bars: Sequence[_Bar],
    rows: Sequence[Sequence[_Bar]],
    requests: Sequence[float],
    looks: dict[str, tuple[str, str]],
    span: float,
) -> None:
    for level, row in enumerate(rows):
        for bar in row:
            colour, hatch = looks[bar.task]
            width = max(bar.end - bar.start, span * _THIN)
            axis.barh(
                level,
                width,
                left=bar.start,
                height=_BAR,
                color=colour,
                hatch=hatch,
                edgecolor=PAPER,
                linewidth=0.8,
            )
            if bar.outcome != "success":
                axis.plot(
                    bar.start + width, level, marker="X", color=INK, markeredgecolor=PAPER, markersize=7
                )
    axis.plot(requests, [len(rows)] * len(requests), "|", color=INK, markersize=9)
    names = [
        row[0].worker if level == 0 or rows[level - 1][0].worker != row[0].worker else ""
        for level, row in enumerate(rows)
    ]
    axis.set_yticks(range(len(rows) + 1), [*names, "requests"])
    axis.set_ylim(len(rows) + 0.6, -0.6)
    axis.set_xlim(-span * 0.01, span * 1.02)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines["left"].set_visible(False)
