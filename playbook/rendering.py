"""What the command line shows to people: tables on stdout. For programs there is `--json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from playbook.contracts import CheckResult, Refusal
from playbook.results import RunResult

if TYPE_CHECKING:
    from playbook.inventory import Inventory
    from playbook.inventory.plan import Plan

STATUS_WORDS = {
    "pending": "not run",
    "running": "running, or interrupted",
    "signed_off": "signed off",
    "stopped": "stopped",
}


def print_checks(console: Console, results: Sequence[CheckResult]) -> None:
    """One row per check."""
    _print_table(
        console,
        ["", "check", "outcome"],
        [["passed" if result.ok else "FAILED", result.title, result.detail] for result in results],
    )
    passed = sum(result.ok for result in results)
    console.print(f"{passed} of {len(results)} checks passed", highlight=False)


def check_as_json(result: CheckResult) -> dict[str, Any]:
    """A check's result as plain values."""
    return asdict(result)


def print_rows(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows of text."""
    _print_table(console, columns, rows)


def print_refusals(console: Console, refusals: Iterable[Refusal]) -> None:
    """One line per construct that is left alone."""
    for refusal in refusals:
        line = f"left alone: {refusal.path}:{refusal.line}: {refusal.construct}: {refusal.reason}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_run(console: Console, result: RunResult, page: Path) -> None:
    """How each phase of a run came out, and where to read about it."""
    rows = []
    for entry in result.phases:
        checks = f"{sum(check.ok for check in entry.checks)} of {len(entry.checks)}" if entry.checks else ""
        refuted = sum(not claim.holds for claim in entry.claims)
        claims = f"{len(entry.claims)}, {refuted} do not hold" if entry.claims else ""
        rows.append([entry.name, STATUS_WORDS[entry.status], checks, claims])
    _print_table(console, ["phase", "status", "checks passed", "claims of the guide"], rows)
    console.print(f"report: {page}", highlight=False, soft_wrap=True)


def print_status(console: Console, result: RunResult, applied: Sequence[str]) -> None:
    """What is applied and what has signed off."""
    rows = []
    for entry in result.phases:
        timing = result.timings.get(entry.name)
        when = timing.started if timing else ""
        in_place = "applied" if entry.name in applied else ""
        rows.append([entry.name, in_place, STATUS_WORDS[entry.status], when, entry.message or ""])
    _print_table(console, ["phase", "workspace", "status", "last run", "message"], rows)


def print_inventory(console: Console, found: Inventory) -> None:
    """What was found, but for touchpoints, which are many; they are counted."""
    data = found.to_json()
    for kind in ("tasks", "calls", "canvases", "schedules", "refused"):
        print_entries(console, kind, data[kind], _COLUMNS[kind])
    console.print(", ".join(f"{len(entries)} {kind}" for kind, entries in data.items()), highlight=False)


def print_plan(console: Console, planned: Plan) -> None:
    """Tasks in the order of risk, what each phase moves, what is refused."""
    risks = [[risk.task, str(risk.score), risk.phase, ", ".join(risk.reasons)] for risk in planned.order]
    _print_table(console, ["task", "risk", "phase", "because"], risks, "tasks, least risky first")
    counts = [[phase.phase, _counted(item.list for item in phase.items)] for phase in planned.phases]
    _print_table(console, ["phase", "moves"], counts, "phases")
    refused = [[f"{item.path}:{item.line}", item.label, item.reason] for item in planned.refused]
    if refused:
        _print_table(console, ["where", "what", "reason"], refused, "refused")


def _counted(kinds: Iterable[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in Counter(kinds).items()) or "nothing"


def print_entries(
    console: Console, title: str, entries: Sequence[dict[str, Any]], columns: Sequence[str]
) -> None:
    """A table of entries that stand somewhere in the source."""
    if entries:
        rows = [[f"{e['path']}:{e['line']}", *(_plain(e[column]) for column in columns)] for e in entries]
        _print_table(console, ["where", *columns], rows, title)


_COLUMNS = {
    "tasks": ["name", "decorators"],
    "calls": ["task", "method", "function"],
    "canvases": ["function", "structure"],
    "schedules": ["entry", "task", "schedule", "condition"],
    "refused": ["construct", "reason"],
}


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _print_table(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = ""
) -> None:
    table = Table(*columns, title=title or None, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)
