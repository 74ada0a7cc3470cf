"""Tables and a figure of faults: what was promised for each, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from playbook.report.style import FAINT, PALETTE, Chart, look
from playbook.report.views import BAD, GOOD, View, plain, table

COUNTS = ("tasks", "lost", "doubled", "late", "dead")


def faults_table(outcomes: Iterable[Any]) -> View:
    """Return each fault with its promise, the counts of one system, and whether the promise was kept.

    Args:
        outcomes: `Outcome`s of the system that promises.
    """
    rows = [plain(outcome) for outcome in outcomes]
    return table(
        [
            {
                "fault": row["fault"],
                "promise": row["promise"],
                "kept": "✗ " + "; ".join(row["problems"]) if row["problems"] else "✓",
                **_counts(row),
                "observed": row["observed"],
            }
            for row in rows
        ],
        shades=[BAD if row["problems"] else GOOD for row in rows],
    )


def beside_table(ours: Iterable[Any], theirs: Iterable[Any]) -> View:
    """Return the faults that struck both systems: what was lost, ran again and came late on each.

    Args:
        ours: `Outcome`s of TaskIQ.
        theirs: those of Celery; a fault that is missing here is left out.
    """
    found = {row["fault"]: row for row in map(plain, theirs)}
    rows = [(row, found[row["fault"]]) for row in map(plain, ours) if row["fault"] in found]
    return table(
        {
            "fault": one["fault"],
            **{f"{count}, TaskIQ": _number(one[count]) for count in COUNTS},
            **{f"{count}, Celery": _number(other[count]) for count in COUNTS[:-1]},
            "observed on Celery": other["observed"],
        }
        for one, other in rows
    )


def storms_table(storms: Iterable[Any]) -> View:
    """Return the counts of faults at random, one row per seed."""
    rows = [plain(storm) for storm in storms]
    return table(
        [
            {
                "seed": row["seed"],
                "faults": len(row["strikes"]),
                "tasks": row["tally"]["tasks"],
                "lost": len(row["tally"]["lost"]),
                "doubled": len(row["tally"]["doubled"]),
                "of these unexplained": len(row["tally"]["unexplained"]),
                "late": row["tally"]["late"],
                "longest wait": f"{row['tally']['latest']} s",
                "refused to the sender": row["tally"]["refused"],
                "dead letters": row["tally"]["dead"],
            }
            for row in rows
        ]
    )


def storm_figure(storm: Any, width: float) -> Chart:
    """Return how many tasks had ended when, with the faults that struck meanwhile.

    Args:
        storm: a `Storm`.
        width: seconds for which its counts of ended tasks stand.
    """
    ended: Sequence[int] = storm.ended
    with look():
        chart = Chart(9.0, 1.6 + 0.18 * len(storm.strikes))
        above, below = chart.subplots(2, 1, sharex=True, height_ratios=(1.4, 0.18 * len(storm.strikes) + 0.1))
        above.step(
            [(place + 1) * width for place in range(len(ended))], list(accumulate(ended)), where="post"
        )
        above.set_ylabel("tasks ended")
        above.grid(True, color=FAINT, linewidth=0.5)
        for row, strike in enumerate(storm.strikes):
            lasted = max(strike.until - strike.since, width / 5)
            below.barh(row, lasted, left=strike.since, color=PALETTE[5])
            above.axvspan(strike.since, strike.since + lasted, color=PALETTE[5], alpha=0.15, linewidth=0)
        below.set_yticks(range(len(storm.strikes)), [strike.fault for strike in storm.strikes])
        below.invert_yaxis()
        below.set_xlabel("seconds since the first task was sent")
    return chart


def _counts(row: dict[str, Any]) -> dict[str, Any]:
    return {count: _number(row[count]) for count in COUNTS}


def _number(count: int | None) -> str:
    return "" if count is None else str(count)
