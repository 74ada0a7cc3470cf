"""Figures of retries and routes: when attempts were planned, and what ran where while routes changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from playbook.report.style import FAINT, INK, Chart, colours, look

_ROW = 0.22  # inches per line of attempts
_BINS = 40


def retry_figure(planned: Mapping[str, Mapping[str, Sequence[float]]]) -> Chart:
    """Return when each attempt was planned, one line per task and run, on one scale.

    Args:
        planned: for each task, for each run, the seconds between its attempts.
    """
    runs = list(dict.fromkeys(run for lines in planned.values() for run in lines))
    looks = colours(runs)
    height = _ROW * sum(len(lines) for lines in planned.values()) + 0.15 * len(planned) + 1.1
    with look():
        chart = Chart(9.0, height)
        axis = chart.subplots()
        places, row = {}, 0.0
        for task, lines in planned.items():
            places[task] = row + (len(lines) - 1) / 2
            for run, delays in lines.items():
                minutes = [0.0, *(seconds / 60 for seconds in accumulate(delays))]
                axis.plot(
                    minutes, [row] * len(minutes), "o-", color=looks[run][0], markersize=3, linewidth=0.6
                )
                row += 1
            row += 0.7
        axis.set_yticks(list(places.values()), list(places))
        axis.invert_yaxis()
        axis.set_xlabel("minutes, as planned, since the first attempt")
        axis.xaxis.grid(True, color=FAINT, linewidth=0.5)
        handles = [axis.plot([], [], "o-", color=looks[run][0], markersize=3, label=run)[0] for run in runs]
        chart.legend(handles=handles, loc="outside lower center", ncols=len(runs), frameon=False)
    return chart


def route_figure(starts: Mapping[str, Sequence[float]], marks: Mapping[str, Sequence[float]]) -> Chart:
    """Return how many tasks each system started over time, with moments marked.

    Args:
        starts: for each system, Unix times in seconds.
        marks: for each kind of moment, Unix times in seconds.
    """
    everything = [at for times in (*starts.values(), *marks.values()) for at in times]
    first = min(everything, default=0.0)
    looks = colours([*starts, *marks])
    with look():
        chart = Chart(9.0, 2.6)
        axis = chart.subplots()
        axis.hist(
            [[at - first for at in times] for times in starts.values()],
            bins=_BINS,
            stacked=True,
            color=[looks[name][0] for name in starts],
            label=list(starts),
        )
        for name, times in marks.items():
            for number, at in enumerate(times):
                label = name if number == 0 else None
                axis.axvline(
                    at - first, color=INK, linestyle="--" if name == next(iter(marks)) else ":", label=label
                )
        axis.set_xlabel("seconds")
        axis.set_ylabel("tasks started")
        chart.legend(loc="outside lower center", ncols=len(looks), frameon=False)
    return chart
