"""What arrives of a call: arguments with their types, options, results, errors; the same on both systems.

Effects of the application show only what the application uses. The router promises more: any task may be
called with any of these.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from playbook.contracts import CheckResult
from playbook.lab import Lab
from playbook.models import System

PROBE = "playbook.checks.probes.calls"
TASKS = "playbook.checks.probes.call_tasks"
FILE_VARIABLE = "PLAYBOOK_CALLS"
PINNED = "a route of its own"
SECOND = "sent by a task"
SILENT = ("a queue without workers", "rolled back", "too late")

Arrived = dict[str, dict[str, Any]]
"""What is to be equal on both systems, by the call's name."""


def observe(lab: Lab, system: System, record: Path, prefix: str) -> Arrived:
    """Make the calls on the system that the route names, and return what came of them.

    Args:
        lab: with a worker of either system that knows `TASKS` and whose `FILE_VARIABLE` is `record`.
        system: what the route is set to.
        record: the file that the tasks write to.
        prefix: of TaskIQ's keys.
    """
    record.write_text("", encoding="utf-8")
    redis = lab.redis.client()
    try:
        env = {FILE_VARIABLE: str(record), "TASKIQ_QUEUES": "default,quiet"}
        told = lab.probe(PROBE, env=env)
        lines = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    finally:
        redis.hdel(f"{prefix}:routes", "calls.pinned")
        redis.delete(f"{lab.redis.prefix}quiet", f"{prefix}:queue:quiet")
    return arrived(told, lines, system)


def arrived(
    told: Mapping[str, Mapping[str, Any]], lines: Iterable[Mapping[str, Any]], system: System
) -> Arrived:
    """Return what came of the calls.

    Args:
        told: by call its id, when it could start at the earliest (Unix time), and what its caller got.
        lines: what the tasks have noted.
        system: what the route was.
    """
    found: Arrived = {}
    noted = list(lines)
    for case in sorted({*told, SECOND}):
        runs = [line for line in noted if line["case"] == case]
        call = told.get(case, {})
        entry: dict[str, Any] = {
            "runs": len(runs),
            "the caller gets": {key: call[key] for key in ("result", "error") if key in call},
        }
        if runs:
            run, parent = runs[0], told["sends a task"]["id"]
            asked = "celery" if case == PINNED else system
            entry |= {
                "arguments": [run["args"], run["kwargs"]],
                "id": case == SECOND or run["id"] == call["id"],
                "in time": case == SECOND or run["at"] >= call["earliest"],
                "where the route says": run["system"] == asked,
                "sent by a task": run["parent"] == parent,
                "retries": run["retries"],
            }
        found[case] = entry
    return found


def _as_asked(case: str, entry: Mapping[str, Any]) -> bool:
    runs: int = entry["runs"]
    if case in SILENT:
        return runs == 0
    return runs == 1 and all(entry[field] for field in ("id", "in time", "where the route says"))


def calls_arrive(celery: Arrived, taskiq: Arrived) -> CheckResult:
    """Whether all calls came to the same, and on Celery to what they ask for."""
    odd = [case for case, entry in celery.items() if not _as_asked(case, entry)]
    if odd:
        return CheckResult.failed(f"On Celery these calls did not run as asked for: {', '.join(odd)}", celery)
    differences = [
        f"{case}: {field} {entry.get(field)!r}, on Celery {expected!r}"
        for case, wanted in celery.items()
        for field, expected in wanted.items()
        if (entry := taskiq.get(case, {})).get(field) != expected
    ]
    if differences:
        return CheckResult.failed(f"{len(differences)} differences: {differences[0]}", differences)
    return CheckResult.passed(f"{len(celery)} kinds of calls come to the same on both systems", taskiq)
