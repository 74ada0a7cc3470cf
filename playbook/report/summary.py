"""A run as a few tables in Markdown: what a CI job shows beside its log."""

from __future__ import annotations

from collections.abc import Iterable

from playbook.report.tables import checks_table, claims_table, criteria_table
from playbook.report.views import table
from playbook.results import PhaseResult, RunResult

_STATES = {
    "signed_off": "✓ signed off",
    "stopped": "✗ stopped",
    "running": "… not finished",
    "pending": "– not run",
}


def summary(result: RunResult, criteria: Iterable[object] = ()) -> str:
    """Return a run as Markdown: its phases, the criteria, and of each phase that ran checks and claims.

    Args:
        result: the run.
        criteria: judgements of the criteria of success; none: they are left out.
    """
    parts = [
        f"## {result.application['name']}: from Celery to TaskIQ",
        table(_row(phase) for phase in result.phases).markdown,
    ]
    if judged := list(criteria):
        parts += ["### Criteria of success", criteria_table(judged).markdown]
    for phase in result.phases:
        if phase.status == "pending":
            continue
        parts += [f"### {phase.name} {phase.title}", phase.message or "", checks_table(phase.checks).markdown]
        if phase.claims:
            claims = ["<details><summary>Claims of the guide</summary>", claims_table(phase.claims).markdown]
            parts += [*claims, "</details>"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(phase: PhaseResult) -> dict[str, str]:
    passed = sum(check.ok for check in phase.checks)
    return {
        "phase": phase.name,
        "outcome": _STATES[phase.status],
        "checks passed": f"{passed} of {len(phase.checks)}" if phase.checks else "",
        "refused": str(len(phase.refusals) or ""),
    }
