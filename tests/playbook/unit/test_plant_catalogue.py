"""The catalogue of planted faults names checks that exist and is in the docs; an edit fits, or is refused.

That every fault fits the migrated source is tried in integration/test_plants.
"""

from __future__ import annotations

import pytest

from playbook.checks.trials.bench import titles
from playbook.phases import PHASES
from playbook.plants import PLANTS, Edit, Plant, PlantError, find_plant, planted
from playbook.plants.docs import PAGE, render
from playbook.tree import Tree

LOST_BY_HAND = (
    "live-processing-never-started",
    "all-schedules-gone",
    "one-schedule-gone",
    "chord-becomes-sends",
    "chain-becomes-sends",
    "failed-consent-stops-nothing",
    "webhook-retries-gone",
    "retry-header-always-0",
    "cleanup-retries-gone",
    "transaction-gone",
    "guard-against-processing-twice-gone",
    "positional-arguments-never-run",
    "task-names-changed",
    "log-context-gone",
    "waiting-tools-do-not-wait",
    "start-script-calls-celery",
    "test-that-cannot-fail",
)
SOURCE = Tree({"a.py": "x = 1\ny = 1\n", "run.sh": "exec celery\n"})


def plant(*edits: Edit) -> Plant:
    return Plant("fault", "01_poc", "a fault", edits, "sources", ("same_tests",))


def test_the_catalogue_is_large_and_holds_what_was_lost_by_hand() -> None:
    names = [fault.name for fault in PLANTS]
    assert len(names) == len(set(names)) >= 30
    assert {fault.name for fault in PLANTS if fault.by_hand} >= set(LOST_BY_HAND)


def test_every_fault_names_a_phase_and_its_checks() -> None:
    checks = {phase.name: {check.name for check in phase.checks} for phase in PHASES}
    for fault in PLANTS:
        assert fault.caught_by, fault.name
        assert set(fault.caught_by) <= checks[fault.phase], fault.name
        assert bool(fault.tests) == (fault.trial == "suite"), fault.name


def test_names_of_checks_are_titled() -> None:
    assert all(titles().values())


def test_the_page_is_made_from_the_catalogue() -> None:
    assert PAGE.read_text(encoding="utf-8") == render()


def test_an_edit_is_made_once() -> None:
    assert planted(SOURCE, [plant(Edit("a.py", "x = 1", "x = 2"))])["a.py"] == "x = 2\ny = 1\n"
    assert planted(SOURCE, [plant(Edit("run.sh", "celery", "taskiq"))])["run.sh"] == "exec taskiq\n"


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (Edit("b.py", "x", "y"), "there is no b.py"),
        (Edit("a.py", "= 1", "= 2"), "stands there 2 times"),
        (Edit("a.py", "z = 1", "z = 2"), "stands there 0 times"),
        (Edit("a.py", "x = 1", "x = ="), "makes a.py:1 no Python"),
    ],
)
def test_what_does_not_fit_is_refused(edit: Edit, says: str) -> None:
    with pytest.raises(PlantError, match=f"fault .*{says}"):
        planted(SOURCE, [plant(edit)])


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(PlantError, match="no planted fault nobody"):
        find_plant("nobody")
    assert find_plant(PLANTS[0].name) is PLANTS[0]
