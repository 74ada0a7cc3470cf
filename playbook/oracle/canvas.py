"""Canvases of a case file: replayed on the TaskIQ runtime, or recorded from Celery."""

from __future__ import annotations

from typing import Any

from playbook.oracle.cases import Case, CaseFile
from playbook.oracle.comparison import canonical, differences, staged
from playbook.oracle.lab import System, run_cases
from playbook.oracle.observing import Observation

ROUNDS = 2
"""How often each case is recorded; it is stable if all rounds agree."""


def replay(cases: CaseFile, system: System = "taskiq") -> dict[str, Any]:
    """Run the cases of a file and compare what they do with what is allowed.

    Parameters:
        cases: the file.
        system: where to run them.

    Returns:
        {"cases": number, "passed": number, "failed": [{"id", "expected", "got"}]}.

    Raises:
        LabError: they could not be run.
    """
    seen = run_cases(list(cases.cases), system)
    found = [differences(case, one) for case, one in zip(cases.cases, seen, strict=True)]
    failed = [difference for difference in found if difference is not None]
    return {"cases": len(found), "passed": len(found) - len(failed), "failed": failed}


def record(cases: CaseFile) -> dict[str, Any]:
    """Run the cases of a file on Celery and return its content with what Celery did.

    Raises:
        LabError: they could not be run.
    """
    import celery

    count = len(cases.cases)
    seen = run_cases(list(cases.cases) * ROUNDS, "celery")
    rounds = [seen[start : start + count] for start in range(0, count * ROUNDS, count)]
    oracles = [_oracle(case, list(one)) for case, *one in zip(cases.cases, *rounds, strict=True)]
    return cases.with_oracles(celery.__version__, oracles)


def _oracle(case: Case, rounds: list[Observation]) -> dict[str, Any]:
    first = rounds[0]
    lists = _stages(case, [one.lists for one in rounds])
    alike = {canonical([one.ending, one.counts, one.runs, one.handle]) for one in rounds}
    return {
        **first.ending,
        "counts": first.counts,
        "lists": lists,
        "runs": first.runs,
        "stable": len(alike) == 1 and all(staged(one.lists, lists) for one in rounds),
        "result_type": first.handle,
    }


def _stages(case: Case, rounds: list[dict[str, list[Any]]]) -> dict[str, list[list[Any]]]:
    """Return lists in stages: as the case says if that fits, else as fine as all rounds allow."""
    for side in (case.expect, case.oracle):
        if "lists" in side and all(staged(one, side["lists"]) for one in rounds):
            stages: dict[str, list[list[Any]]] = side["lists"]
            return stages
    return {key: _finest([one.get(key, []) for one in rounds]) for key in rounds[0]}


def _finest(orders: list[list[Any]]) -> list[list[Any]]:
    first = orders[0]
    stages, start = [], 0
    for end in range(1, len(first) + 1):
        if len({canonical(sorted(map(canonical, order[:end]))) for order in orders}) == 1:
            stages.append(first[start:end])
            start = end
    return stages + ([first[start:]] if start < len(first) else [])
