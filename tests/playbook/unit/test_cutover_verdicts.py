"""The verdicts on the cut-over application in its own environment: each fault fails one check."""

from collections.abc import Callable
from typing import Any

import pytest

from playbook.checks import cutover_fresh
from playbook.checks.cutover_fresh import Fresh
from playbook.checks.guide import judge
from playbook.checks.guide_cutover import CLAIMS, facts
from playbook.checks.suite_runs import SuiteRun
from playbook.config import Application
from playbook.contracts import CheckResult
from playbook.parity import Comparison, Finding
from playbook.tree import Tree

LOST = Finding(kind="missing", where="requests.zulip", explanation="no message was posted")
TESTS = ["t.py::test_a", "t.py::test_b"]
VERDICTS: dict[str, Callable[[Fresh], CheckResult]] = {
    "no_celery": cutover_fresh.no_celery,
    "same_tests": cutover_fresh.same_tests,
    "tests_pass": cutover_fresh.tests_pass,
    "processes": cutover_fresh.processes,
    "same_effects": cutover_fresh.same_effects,
}


def a_run(**changed: Any) -> SuiteRun:
    ran: dict[str, dict[str, int]] = {"celery": {}, "taskiq": {"app.rename": 2}}
    whole = {"collected": TESTS, "outcomes": dict.fromkeys(TESTS, "passed"), "ran": ran, "lines": {}}
    return SuiteRun(**{**whole, **changed})


def comparison(*findings: Finding) -> Comparison:
    return Comparison(
        scenario="upload", labels=["A", "A'", "B"], findings=list(findings), noise=[], compared={"rows": 3}
    )


def fresh(**changed: Any) -> Fresh:
    whole = {
        "packages": {"app": "1.0", "taskiq": "0.13.0"},
        "importable": [],
        "before": TESTS,
        "collected": TESTS,
        "run": a_run(),
        "comparisons": [comparison()],
        "healthy": 200,
        "scheduled": True,
        "old_names": [],
    }
    return Fresh(**{**whole, **changed})


def failing(found: Fresh) -> list[str]:
    return [name for name, verdict in VERDICTS.items() if not verdict(found).ok]


def test_a_good_cutover_passes() -> None:
    assert failing(fresh()) == []


@pytest.mark.parametrize(
    ("changed", "check"),
    [
        ({"packages": {"app": "1.0", "kombu": "5.7.0"}}, "no_celery"),
        ({"importable": ["celery"]}, "no_celery"),
        ({"collected": TESTS[:1]}, "same_tests"),
        ({"run": a_run(outcomes={TESTS[0]: "passed", TESTS[1]: "failed"})}, "tests_pass"),
        ({"run": a_run(outcomes={TESTS[0]: "passed", TESTS[1]: "skipped"})}, "tests_pass"),
        ({"run": a_run(collected=[], outcomes={})}, "tests_pass"),
        ({"healthy": 503}, "processes"),
        ({"scheduled": False}, "processes"),
        ({"old_names": ["beat"]}, "processes"),
        ({"comparisons": [comparison(LOST)]}, "same_effects"),
    ],
)
def test_a_fault_fails_its_check(changed: dict[str, Any], check: str) -> None:
    assert failing(fresh(**changed)) == [check]


@pytest.fixture
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    return Application(
        base=tmp_path_factory.getbasetemp(),
        name="app",
        root="app",
        tests="tests",
        celery_app="app.worker.app:app",
        broker="app.worker.broker:broker",
        loop_bridges=("app.bridge.asynctask",),
    )


BEFORE = Tree(
    {"app/db.py": "name = mapped_column(String)\n", "tests/test_a.py": "def test_a(celery_worker): ...\n"}
)
AFTER = Tree(
    {
        "app/db.py": BEFORE["app/db.py"],
        "app/pyproject.toml": '[project]\ndependencies = ["taskiq>=0.13", "taskiq-redis>=1.2"]\n',
        "app/live.py": "def start():\n    return process.delay_sync()\n",
        "tests/test_a.py": "def test_a(taskiq_worker): ...\n",
    }
)
GOOD = {"tests_pass": True, "same_tests": True, "processes": True}


def test_the_claims_come_out_as_on_record(application: Application) -> None:
    found = judge(CLAIMS, facts(application, BEFORE, AFTER, frozenset(), GOOD))
    assert [one.text for one in found if one.holds != one.expected] == []
    assert all(one.instead for one in found if not one.holds)


@pytest.mark.parametrize(
    ("path", "text", "claim"),
    [
        (
            "app/pyproject.toml",
            '[project]\ndependencies = ["celery[redis]>=5", "taskiq"]\n',
            "Celery and Flower",
        ),
        (
            "app/live.py",
            "@broker.task()\n@asynctask\nasync def f(): ...\n",
            "There is no need for @asynctask",
        ),
        ("app/db.py", "name = mapped_column(Text)\n", "No schema changes"),
        ("tests/test_a.py", "def test_a(celery_worker): ...\n", "Fixtures for TaskIQ"),
    ],
)
def test_a_claim_can_fail(application: Application, path: str, text: str, claim: str) -> None:
    found = judge(CLAIMS, facts(application, BEFORE, AFTER.with_file(path, text), frozenset(), GOOD))
    (verdict,) = [one for one in found if one.text.startswith(claim)]
    assert not verdict.holds
