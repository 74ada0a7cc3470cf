"""When a case passes: the rule of the case files.

The outcome equals `oracle` (what Celery did); where `expect` (the sane reading) differs, equal to `expect`
passes too; where Celery never resolves, ending with the error that stopped it passes. Fields absent from both
are not compared, nor are tasks that `runs` does not name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from playbook.oracle.cases import Case
from playbook.oracle.observing import ENDING, Observation

SAYS = {"IgnoredError": {"Ignore", "Reject"}}
"""The runtime's error for a canvas that a task has stopped without an error -> what the task raised."""


def differences(case: Case, seen: Observation) -> dict[str, Any] | None:
    """Compare an observation with what its case allows.

    Parameters:
        case: the case.
        seen: what happened.

    Returns:
        None if it passes, else {"id", "expected", "got"} with the parts that differ. `expected` is a list
        where `oracle` and `expect` allow different things.
    """
    parts = list(_parts(case, seen))
    wrong = [(name, allowed, got) for name, allowed, got, right in parts if not right]
    if not wrong:
        return None
    return {
        "id": case.id,
        "expected": {name: _shown(allowed) for name, allowed, _ in wrong},
        "got": {name: got for name, _, got in wrong},
    }


def _parts(case: Case, seen: Observation) -> Iterator[tuple[str, list[Any], Any, bool]]:
    """Yield name, what is allowed, what happened, and whether that is right, for all that is compared."""
    allowed = [_ending(side) for side in (case.oracle, case.expect)]
    allowed = [ending for ending in allowed if ending]
    if allowed:
        right = any(_ends_so(seen.ending, ending) for ending in allowed) or _stopped(case, seen)
        yield "ending", allowed, seen.ending, right
    checks: tuple[tuple[str, Any, Callable[[Any, Any], bool]], ...] = (
        ("lists", seen.lists, staged),
        ("counts", seen.counts, _same),
    )
    for name, got, agrees in checks:
        allowed = [side[name] for side in (case.oracle, case.expect) if name in side]
        if allowed:
            yield name, allowed, got, any(agrees(got, one) for one in allowed)
    sides = [side["runs"] for side in (case.oracle, case.expect) if "runs" in side]
    for task in sorted({task for side in sides for task in side if not task.startswith("celery.")}):
        times = [side[task] for side in sides if task in side]
        got = seen.runs.get(task, 0)
        yield f"runs of {task}", times, got, got in times


def _ending(side: dict[str, Any]) -> dict[str, Any]:
    return {key: side[key] for key in ENDING if key in side}


def _ends_so(got: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Tell whether an ending is the wanted one. A message is compared only if one is wanted."""
    return _same({key: value for key, value in got.items() if key != "message" or key in wanted}, wanted)


def _stopped(case: Case, seen: Observation) -> bool:
    """Tell whether a canvas that Celery leaves unresolved has ended with the error that stopped it."""
    error = seen.ending.get("error")
    if error is None or "error" in case.expect or not case.oracle.get("timeout"):
        return False
    return error in seen.raised or bool(SAYS.get(error, set()) & seen.raised)


def staged(entries: dict[str, list[Any]], stages: dict[str, list[list[Any]]]) -> bool:
    """Tell whether lists were written in stages, each complete before the next began.

    Parameters:
        entries: list -> entries in the order in which they were written.
        stages: list -> stages; within one the order is free.
    """
    if entries.keys() != stages.keys():
        return False
    return all(_in_stages(entries[key], wanted) for key, wanted in stages.items())


def _in_stages(entries: list[Any], stages: list[list[Any]]) -> bool:
    rest = list(map(canonical, entries))
    for stage in stages:
        part, rest = rest[: len(stage)], rest[len(stage) :]
        if sorted(part) != sorted(map(canonical, stage)):
            return False
    return not rest


def canonical(value: Any) -> str:
    """Return a text that is the same for equal values."""
    return json.dumps(value, sort_keys=True)


def _same(one: Any, other: Any) -> bool:
    return canonical(one) == canonical(other)


def _shown(allowed: list[Any]) -> Any:
    different = {canonical(one): one for one in allowed}
    return next(iter(different.values())) if len(different) == 1 else list(different.values())
