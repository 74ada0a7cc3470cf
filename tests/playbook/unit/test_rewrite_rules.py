"""Every rule does what its case file says, once, and what it writes compiles."""

import pytest

from playbook.rewrite.cases import Case, cases, cases_file, rule_classes
from playbook.rewrite.docs import PAGE, render

RULES = list(rule_classes())
CASES = [pytest.param(case, id=f"{rule.__name__}: {case.title}") for rule in RULES for case in cases(rule)]


@pytest.mark.parametrize("case", CASES)
def test_a_case_comes_out_as_written(case: Case) -> None:
    outcome = case.rule.apply(case.before)
    assert outcome.source == case.after
    assert len(outcome.refusals) == len(case.refused)
    for refusal, (line, reason) in zip(outcome.refusals, case.refused, strict=True):
        assert refusal.line == line
        assert refusal.reason.startswith(reason)


@pytest.mark.parametrize("case", CASES)
def test_a_second_application_changes_nothing(case: Case) -> None:
    assert case.rule.apply(case.after).source == case.after


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].language == "python"])
def test_the_output_compiles(case: Case) -> None:
    compile(case.after, "<after>", "exec")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_cases_of_both_kinds(rule: type) -> None:
    found = cases(rule)
    assert [c for c in found if c.transforms], f"{cases_file(rule).name} transforms nothing"
    assert [c for c in found if not c.transforms], f"{cases_file(rule).name} leaves nothing alone"
    assert rule.__doc__


def test_the_page_of_rules_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run python -m playbook.rewrite.docs"
