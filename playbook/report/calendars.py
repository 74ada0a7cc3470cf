"""A year of due times as a calendar."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from playbook.report.style import FAINT, Chart, colours, look

_DAYS = ("Mon", "", "Wed", "", "Fri", "", "Sun")


def calendar_figure(due: Mapping[str, Mapping[str, Sequence[float]]], year: int) -> Chart:
    """Return a calendar for each system: a column for a week, a row for a weekday, a mark for a run.

    Args:
        due: for each system, for each entry, Unix times in seconds. Entries share a day's square.
        year: the year, in UTC.
    """
    entries = list(dict.fromkeys(name for slots in due.values() for name in slots))
    looks = colours(entries)
    first = date(year, 1, 1)
    monday = first - timedelta(days=first.weekday())
    with look():
        chart = Chart(9.0, 1.9 * len(due) + 0.6)
        axes = chart.subplots(len(due), squeeze=False)
        for axis, (system, slots) in zip(axes[:, 0], due.items(), strict=True):
            for number, entry in enumerate(entries):
                days = Counter(datetime.fromtimestamp(at, UTC).date() for at in slots.get(entry, ()))
                shift = (number + 0.5) / len(entries) - 0.5
                axis.scatter(
                    [(day - monday).days // 7 + shift * 0.8 for day in days],
                    [day.weekday() for day in days],
                    s=[6.0 * count for count in days.values()],
                    color=looks[entry][0],
                    label=entry if system == next(iter(due)) else None,
                )
            axis.set_title(f"{system}: {sum(len(times) for times in slots.values())} runs")
            axis.set_yticks(range(7), _DAYS)
            axis.invert_yaxis()
            months = [date(year, month, 1) for month in range(1, 13)]
            axis.set_xticks([(day - monday).days / 7 for day in months], [f"{day:%b}" for day in months])
            axis.xaxis.grid(True, color=FAINT, linewidth=0.5)
        chart.legend(loc="outside lower center", ncols=max(1, len(entries)), frameon=False)
    return chart
