"""The verdicts on three runs of a suite: each fault that a run can show is told, and no other."""

from collections.abc import Callable
from typing import Any

import pytest

from playbook.checks import suite_checks
from playbook.checks.suite_assertions import Finding
from playbook.checks.suite_checks import BEFORE, CELERY, TASKIQ, Proof
from playbook.checks.suite_runs import Lines, SuiteRun
from playbook.contracts import CheckResult

TESTS = ["t.py::test_a", "t.py::test_b"]
VERDICTS: dict[str, Callable[[Proof], CheckResult]] = {
    "same_tests": suite_checks.same_tests,
    "same_assertions": suite_checks.same_assertions,
    "nothing_skipped": suite_checks.nothing_skipped,
    "green_on_celery": lambda proof: suite_checks.green(proof, CELERY),
    "green_on_taskiq": lambda proof: suite_checks.green(proof, TASKIQ),
    "runs_where_routed": suite_checks.runs_where_routed,
    "same_coverage": suite_checks.same_coverage,
}


def a_run(system: str, **changed: Any) -> SuiteRun:
    ran: dict[str, dict[str, int]] = {"celery": {"celery.ping": 1}, "taskiq": {}}
    ran[system] = ran[system] | {"app.rename": 3}
    lines = {"app/a.py": Lines(statements=100, covered=90), "app/b.py": Lines(statements=0, covered=0)}
    whole = {"collected": TESTS, "outcomes": dict.fromkeys(TESTS, "passed"), "ran": ran, "lines": lines}
    return SuiteRun(**{**whole, **changed})


def proof(findings: list[Finding] | None = None, **changed: Any) -> Proof:
    runs = {BEFORE: a_run("celery"), CELERY: a_run("celery"), TASKIQ: a_run("taskiq", **changed)}
    found = {"files": 1, "test functions": 2, "assertions": 2, "skips": 0}
    return Proof(findings=findings or [], counts={"before": found, "after": found}, runs=runs)


def failing(given: Proof) -> list[str]:
    return [name for name, verdict in VERDICTS.items() if not verdict(given).ok]


def test_equal_runs_pass() -> None:
    assert failing(proof()) == []


FAULTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a test is not collected": ({"collected": TESTS[:1]}, ["same_tests"]),
    "a test fails": ({"outcomes": {TESTS[0]: "passed", TESTS[1]: "failed"}}, ["green_on_taskiq"]),
    "a fixture fails": ({"outcomes": {TESTS[0]: "passed", TESTS[1]: "error"}}, ["green_on_taskiq"]),
    "a test did not run": ({"outcomes": {TESTS[0]: "passed"}}, ["green_on_taskiq"]),
    "a test skips": (
        {"outcomes": {TESTS[0]: "passed", TESTS[1]: "skipped"}},
        ["nothing_skipped", "green_on_taskiq"],
    ),
    "a failure is expected": (
        {"outcomes": {TESTS[0]: "passed", TESTS[1]: "expected failure"}},
        ["nothing_skipped", "green_on_taskiq"],
    ),
    "a task went to Celery": (
        {"ran": {"celery": {"celery.ping": 1, "app.rename": 1}, "taskiq": {"app.rename": 2}}},
        ["runs_where_routed"],
    ),
    "a task never ran on TaskIQ": (
        {"ran": {"celery": {}, "taskiq": {"app.other": 3}}},
        ["runs_where_routed"],
    ),
    "coverage fell": (
        {
            "lines": {
                "app/a.py": Lines(statements=100, covered=89),
                "app/b.py": Lines(statements=0, covered=0),
            }
        },
        ["same_coverage"],
    ),
    "no file is known to all": ({"lines": {}}, ["same_coverage"]),
    "a file is left out of the coverage": (
        {"lines": {"app/a.py": Lines(statements=100, covered=90)}},
        ["same_coverage"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_run_is_told(fault: str) -> None:
    changed, expected = FAULTS[fault]
    assert failing(proof(**changed)) == expected


def test_a_file_that_the_migration_removes_is_not_left_out() -> None:
    removed = proof(lines={"app/a.py": Lines(statements=100, covered=90)})
    assert failing(removed.model_copy(update={"removed": ["app/b.py"]})) == []


def test_a_file_that_the_migration_adds_does_not_count() -> None:
    lines = a_run("taskiq").lines | {"app/worker/streams.py": Lines(statements=1000, covered=0)}
    assert failing(proof(lines=lines)) == []


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("removed", "same_assertions"), ("weakened", "same_assertions"), ("skipped", "nothing_skipped")],
)
def test_a_finding_of_the_sources_is_told(kind: Any, verdict: str) -> None:
    found = Finding("t.py", "test_a", kind, "assert a == 1", "assert a")
    assert failing(proof([found])) == [verdict]
    assert "test_a" in VERDICTS[verdict](proof([found])).detail
