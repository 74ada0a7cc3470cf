"""Figures and tables of systems under load side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.ticker import LogLocator

from playbook.report.style import FAINT, INK, Chart, colours, look
from playbook.report.views import BAD, GOOD, View, table

Estimates = Mapping[str, Any]
"""By system: a median (`value`) with the ends of its confidence interval (`low`, `high`)."""

_MARKS = ("o", "s", "^", "D")
_WORSE = "#D55E00"
_MUCH = 5.0
_TIMES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)


def bars_figure(panels: Mapping[str, Estimates], columns: int = 4) -> Chart:
    """Return one small bar chart for each measure, with the same colours for the systems in all of them.

    Args:
        panels: by title, the estimates of the systems. Whiskers are confidence intervals.
        columns: charts in a row.
    """
    names = list(dict.fromkeys(name for estimates in panels.values() for name in estimates))
    looks = colours(names)
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    with look():
        chart = Chart(2.45 * columns, 2.0 * rows + 0.4)
        axes = list(chart.subplots(rows, columns, squeeze=False).flat)
        for axis, (title, estimates) in zip(axes, panels.items(), strict=False):
            for place, name in enumerate(names):
                if name in estimates:
                    _bar(axis, place, name, estimates[name], looks[name][0])
            axis.set_title(title, fontsize=9)
            axis.set_xticks([])
            axis.set_xlim(-0.6, len(names) - 0.4)
            axis.margins(y=0.2)
            axis.tick_params(axis="y", labelsize=7)
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        _legend(chart, len(names))
    return chart


def _bar(axis: Any, place: int, name: str, found: Any, colour: str) -> None:
    reach = [[found.value - found.low], [found.high - found.value]]
    axis.bar(place, found.value, color=colour, label=name, yerr=reach, ecolor=INK, width=0.75)
    axis.annotate(
        _short(found.value),
        (place, found.high),
        (0, 2),
        textcoords="offset points",
        ha="center",
        fontsize=8,
    )


def lines_figure(panels: Mapping[str, Mapping[str, Mapping[int, Any]]], xlabel: str) -> Chart:
    """Return lines over a number (load, size, workers), with intervals as bands.

    Args:
        panels: by title and system, the estimate at each number.
        xlabel: what the number is.
    """
    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    looks = colours(names)
    with look():
        chart = Chart(4.6 * len(panels), 3.4)
        axes = chart.subplots(1, len(panels), squeeze=False).flat
        for axis, (title, panel) in zip(axes, panels.items(), strict=True):
            for mark, name in zip(_MARKS, names, strict=False):
                numbers = sorted(panel.get(name, {}))
                found = [panel[name][number] for number in numbers]
                colour = looks[name][0]
                axis.plot(
                    numbers, [e.value for e in found], f"{mark}-", color=colour, label=name, markersize=4
                )
                axis.fill_between(
                    numbers, [e.low for e in found], [e.high for e in found], color=colour, alpha=0.15
                )
            axis.set_xscale("log")
            ticks = sorted({number for found in panel.values() for number in found})
            axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            _scale(axis, [e.value for found in panel.values() for e in found.values()])
            axis.minorticks_off()
            axis.set_title(title, fontsize=9)
            axis.set_xlabel(xlabel)
            axis.grid(True, color=FAINT, linewidth=0.5)
        _legend(chart, len(names))
    return chart


def _scale(axis: Any, values: Sequence[float]) -> None:
    """What varies little begins at zero; what varies much is logarithmic."""
    if max(values) < _MUCH * min(values):
        axis.set_ylim(bottom=0)
        return
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")


def ratios_figure(ratios: Iterable[Any]) -> Chart:
    """Return how many times better the migrated application is than the others, a row for each respect.

    Args:
        ratios: with `label`, `other`, and `better`, an estimate of how many times better (below 1: worse).
    """
    rows = list(ratios)
    others = list(dict.fromkeys(row.other for row in rows))
    labels = list(dict.fromkeys(row.label for row in rows))
    looks = colours(others)
    with look():
        chart = Chart(8.6, 0.27 * len(labels) + 1.2)
        axis = chart.subplots()
        axis.set_xscale("log")
        for number, other in enumerate(others):
            of = [row for row in rows if row.other == other]
            found = [row.better for row in of]
            axis.errorbar(
                [e.value for e in found],
                [labels.index(row.label) + 0.22 * (number - (len(others) - 1) / 2) for row in of],
                xerr=[[e.value - e.low for e in found], [e.high - e.value for e in found]],
                fmt=_MARKS[number],
                color=looks[other][0],
                markersize=5,
                linewidth=1,
                label=f"than {other}",
            )
        left, right = axis.get_xlim()
        left, right = min(left, 0.5), max(right, 2.0)
        axis.axvspan(left, 1, color=_WORSE, alpha=0.08, linewidth=0)
        axis.axvline(1, color=INK, linewidth=0.8)
        axis.set_xlim(left, right)
        ticks = [tick for tick in _TIMES if left <= tick <= right]
        axis.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
        axis.minorticks_off()
        axis.set_yticks(range(len(labels)), labels)
        axis.set_ylim(len(labels) - 0.5, -0.5)
        axis.set_xlabel("times better on the migrated application; in the shaded part it is worse")
        axis.grid(True, axis="x", color=FAINT, linewidth=0.5)
        chart.legend(loc="outside lower center", ncols=len(others), frameon=False)
    return chart


def verdicts_table(compared: Sequence[Any]) -> View:
    """Return each ratio beside the bar that it is held to; what misses it is marked.

    Args:
        compared: with `promise`, `found` and `ok`.
    """
    rows = [
        {
            "promise": one.promise,
            "ratio": f"{one.found.value:.2f}",
            "95 % interval": f"{one.found.low:.2f} to {one.found.high:.2f}",
            "kept": one.ok,
        }
        for one in compared
    ]
    return table(rows, shades=[GOOD if one.ok else BAD for one in compared])


def speed_table(rows: Iterable[Mapping[str, Any]]) -> View:
    """Return measured values: a row for each measure, a column for each system.

    Args:
        rows: estimates are shown as their median, with the ends of their intervals.
    """
    return table({name: _told(value) for name, value in row.items()} for row in rows)


def _told(found: Any) -> Any:
    if not hasattr(found, "low"):
        return found
    return f"{_short(found.value)} ({_short(found.low)} to {_short(found.high)})"


def _legend(chart: Chart, columns: int) -> None:
    """One legend for all charts of a figure."""
    known = [axis.get_legend_handles_labels() for axis in chart.axes]
    handles = {label: handle for pair in known for handle, label in zip(*pair, strict=True)}
    chart.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False)


def _short(value: float) -> str:
    """A number with two or three digits that count."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
