"""The guide's criteria of success: what shows them exists, and each judgement follows from it."""

import pytest

from playbook.contracts import CheckResult
from playbook.criteria import CRITERIA, judge
from playbook.phases import PHASES
from playbook.report import criteria_table
from playbook.results import PhaseResult


def results(failed: str = "", missing: str = "") -> list[PhaseResult]:
    return [
        PhaseResult(
            name=phase.name,
            title=phase.title,
            summary=phase.summary,
            status="signed_off",
            checks=[
                CheckResult(check.name != failed, "found", name=check.name, title=check.title)
                for check in phase.checks
                if check.name != missing
            ],
        )
        for phase in PHASES
    ]


def test_every_criterion_is_shown_by_checks_that_exist() -> None:
    known = {(phase.name, check.name) for phase in PHASES for check in phase.checks}
    named = [(phase, name) for one in CRITERIA for phase, names in one.evidence.items() for name in names]

    assert len(CRITERIA) == 7
    assert all(any(criterion.evidence.values()) for criterion in CRITERIA)
    assert [place for place in named if place not in known] == []


def test_all_hold_when_all_has_passed() -> None:
    assert {judgement.holds for judgement in judge(results())} == {True}


@pytest.mark.parametrize(("failed", "missing", "holds"), [("year", "", False), ("", "year", None)])
def test_a_check_decides_over_its_own_criterion(failed: str, missing: str, holds: bool | None) -> None:
    judged = {judgement.text: judgement.holds for judgement in judge(results(failed, missing))}

    assert judged.pop("Scheduled tasks running reliably") is holds
    assert set(judged.values()) == {True}


def test_the_table_names_every_check_and_what_failed() -> None:
    text = criteria_table(judge(results("year"))).markdown
    rows = [line for line in text.splitlines() if "| 04_scheduler |" in line]

    assert len(rows) == 1
    assert "✗ does not hold" in rows[0]
    assert "over a year (FAILED); Also on the days" in rows[0]
    assert "…" not in text


def test_nothing_holds_before_anything_has_run() -> None:
    assert {judgement.holds for judgement in judge([])} == {None}
