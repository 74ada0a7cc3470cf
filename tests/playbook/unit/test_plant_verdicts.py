"""The verdicts on planted faults and on calls can fail, and do for the right reason."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from playbook.checks.calls import PINNED, SECOND, SILENT, Arrived, arrived, calls_arrive
from playbook.checks.plant_runs import Bites, Tried, trials_of
from playbook.checks.plants import plants_caught, unchanged_copy
from playbook.contracts import CheckResult
from playbook.models import System
from playbook.plants import Plant

PLANT = Plant("fault", "01_poc", "a fault", (), "live", ("order",))


def result(ok: bool, name: str = "order") -> CheckResult:
    return CheckResult(ok, "it says", name=name)


def bites(*results: CheckResult, unchanged: bool = True, error: str = "") -> Bites:
    tried = Tried(plant=PLANT, results=list(results), error=error)
    return Bites(tried=[tried], unchanged=[{"live": [result(unchanged)]}])


def test_a_fault_is_caught_by_the_check_that_has_to() -> None:
    found = bites(result(False), result(True, "other"))
    assert found.ok
    assert plants_caught(found).ok
    assert unchanged_copy(found).ok


@pytest.mark.parametrize(
    ("results", "error", "says"),
    [
        ([result(True)], "", "missed by order"),
        ([result(True), result(False, "other")], "", "missed by order"),
        ([], "", "missed by order"),
        ([], "no worker", "not tried: no worker"),
    ],
)
def test_a_fault_that_is_not_caught_is_told(results: list[CheckResult], error: str, says: str) -> None:
    found = bites(*results, error=error)
    assert not found.ok
    assert says in plants_caught(found).detail
    assert not plants_caught(found).ok


def test_a_false_alarm_is_told() -> None:
    found = bites(result(False), unchanged=False)
    assert not found.ok
    assert "live: order: it says" in unchanged_copy(found).detail


def test_nothing_tried_is_no_success() -> None:
    empty = Bites(tried=[], unchanged=[])
    assert not plants_caught(empty).ok
    assert not unchanged_copy(empty).ok


def test_one_trial_serves_all_its_faults() -> None:
    assert list(trials_of([PLANT, PLANT])) == ["live"]


# Calls


def told() -> dict[str, dict[str, Any]]:
    """What callers get, of one call of each kind that counts."""
    cases = ("sends a task", "countdown", PINNED, *SILENT)
    return {
        case: {"id": case, "earliest": 10.0} | ({} if case in SILENT else {"result": []}) for case in cases
    }


def lines(system: System) -> list[dict[str, Any]]:
    """What tasks note."""
    ran = ("sends a task", "countdown", PINNED)
    common = {"args": ["str 'a'"], "kwargs": {}, "at": 11.0, "retries": 0, "parent": None}
    notes = [{"case": c, "id": c, "system": "celery" if c == PINNED else system, **common} for c in ran]
    second = {"case": SECOND, "id": "x", "system": system, **common, "parent": "sends a task"}
    return [*notes, second]


def seen(system: System = "taskiq", change: Callable[[list[dict[str, Any]]], Any] | None = None) -> Arrived:
    noted = copy.deepcopy(lines(system))
    if change:
        change(noted)
    return arrived(told(), noted, system)


def test_equal_calls_pass() -> None:
    assert calls_arrive(seen("celery"), seen("taskiq")).ok


CHANGES: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "runs": lambda noted: noted.append(noted[0]),
    "arguments": lambda noted: noted[1].update(args=["int 7"]),
    "id": lambda noted: noted[1].update(id="another"),
    "in time": lambda noted: noted[1].update(at=9.0),
    "where the route says": lambda noted: noted[2].update(system="taskiq"),
    "sent by a task": lambda noted: noted[3].update(parent=None),
    "retries": lambda noted: noted[1].update(retries=1),
}


@pytest.mark.parametrize("field", CHANGES)
def test_each_difference_of_a_call_is_told(field: str) -> None:
    found = calls_arrive(seen("celery"), seen("taskiq", CHANGES[field]))
    assert not found.ok
    assert f": {field} " in found.detail


def test_what_must_not_run_and_does_is_told() -> None:
    extra = {**lines("taskiq")[0], "case": SILENT[0], "id": SILENT[0]}
    assert not calls_arrive(seen("celery"), seen("taskiq", lambda noted: noted.append(extra))).ok


def test_a_control_that_went_wrong_proves_nothing() -> None:
    late = seen("celery", CHANGES["in time"])
    assert "On Celery" in calls_arrive(late, late).detail
