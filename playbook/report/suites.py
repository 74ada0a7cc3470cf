"""Tables and a figure of an application's own tests, before the migration and after it on each system."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from playbook.report.style import FAINT, Chart, colours, look
from playbook.report.views import View, plain, table

Coverage = Mapping[str, Mapping[str, float]]
"""Percent of the lines that are covered, by run and path."""

_ROW = 0.17  # inches per file
_MARKS = ("o", "|", "x", "+", "s")


def counts_table(counts: Mapping[str, Mapping[str, int]]) -> View:
    """Return what the sources of the tests hold, one column per side.

    Args:
        counts: by side, how many of each kind.
    """
    kinds = list(dict.fromkeys(kind for of in counts.values() for kind in of))
    return table(
        {"counted": kind, **{side: of.get(kind, 0) for side, of in counts.items()}} for kind in kinds
    )


def changes_table(findings: Iterable[Any]) -> View:
    """Return each difference between the tests of both sides, and what explains it."""
    rows = [plain(finding) for finding in findings]
    shown = ("path", "name", "kind", "before", "after")
    return table(
        {**{column: row[column] for column in shown}, "explained": row["explained"] or "by nothing"}
        for row in rows
    )


def runs_table(runs: Mapping[str, Any]) -> View:
    """Return how each run of the tests came out, and which system ran the tasks."""
    return table(
        {
            "run": name,
            "tests": len(run.collected),
            "passed": len(run.collected) - len(run.failed),
            "attempts of tasks on Celery": run.attempts("celery"),
            "on TaskIQ": run.attempts("taskiq"),
        }
        for name, run in runs.items()
    )


def coverage_table(coverage: Coverage, statements: Mapping[str, int]) -> View:
    """Return the coverage of each file in percent, one column per run.

    Args:
        coverage: see `Coverage`.
        statements: by path, of the files to show.
    """
    return table(
        {
            "file": path,
            "statements": count,
            **{run: f"{of[path]:.1f} %" if path in of else "" for run, of in coverage.items()},
        }
        for path, count in statements.items()
    )


def coverage_figure(coverage: Coverage, paths: Sequence[str]) -> Chart:
    """Return the coverage of each file as marks on a line, one mark per run; equal marks lie on each other.

    Args:
        coverage: see `Coverage`.
        paths: the files to show.
    """
    looks = colours(list(coverage))
    with look():
        chart = Chart(9.0, _ROW * len(paths) + 1.2)
        axis = chart.subplots()
        for mark, (run, of) in zip(_MARKS, coverage.items(), strict=False):
            known = [(of[path], row) for row, path in enumerate(paths) if path in of]
            axis.plot(
                [percent for percent, _ in known],
                [row for _, row in known],
                mark,
                color=looks[run][0],
                label=run,
                markersize=6,
                fillstyle="none",
            )
        axis.set_yticks(range(len(paths)), paths)
        axis.invert_yaxis()
        axis.set_xlabel("percent of the lines covered")
        axis.grid(True, color=FAINT, linewidth=0.5)
        chart.legend(loc="outside lower center", ncols=len(coverage), frameon=False)
    return chart
