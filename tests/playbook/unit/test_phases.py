"""The registry of phases, and what applying one comes to."""

from __future__ import annotations

from pathlib import Path

import pytest

from playbook import phases
from playbook.config import load_application
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.errors import PlaybookError, WorkspaceError
from playbook.git import Git
from playbook.phases import PHASES, apply_phase, find_phase, plan_phase
from playbook.tree import read_tree
from playbook.workspace import Workspace
from tests.playbook.integration import tiny


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(phases, "PHASES", tiny.PHASES)
    application = load_application(tiny.make_shop(tmp_path / "base") / "playbook.toml")
    return Workspace(tmp_path / "run", application)


@pytest.mark.parametrize("name", ["01_poc", "poc", "01", "1"])
def test_a_phase_has_short_names(name: str) -> None:
    assert find_phase(name).name == "01_poc"


def test_an_unknown_phase_is_answered_with_the_known_ones() -> None:
    with pytest.raises(PlaybookError, match="unknown phase 7; known are 00_inventory, 01_poc"):
        find_phase("7")


def test_phases_are_ordered_and_need_only_earlier_ones() -> None:
    names = [phase.name for phase in PHASES]
    assert names == sorted(names)
    for position, phase in enumerate(PHASES):
        assert set(phase.needs) <= set(names[:position])


def test_checks_have_names_of_their_own() -> None:
    for phase in PHASES:
        names = [check.name for check in phase.checks]
        assert len(names) == len(set(names))


def test_a_plan_writes_nothing(workspace: Workspace) -> None:
    planned = plan_phase(find_phase("poc"), workspace)
    assert planned.changed
    assert [change.path for change in planned.changes] == ["shop/broker.py", "shop/settings.py"]
    assert planned.refusals[0].construct == "solar(...)"
    assert "+broker = 'redis'" in planned.diff
    assert not workspace.run_dir.exists()


def test_applying_twice_changes_nothing(workspace: Workspace) -> None:
    first, second = (apply_phase(find_phase("poc"), workspace) for _ in range(2))
    assert (first.changed, second.changed) == (True, False)
    assert first.changes == second.changes
    assert first.diff == second.diff
    assert len(Git(workspace.path).lines("log", "--format=%h")) == 2
    assert not plan_phase(find_phase("poc"), workspace).changed


def test_a_phase_that_applies_nothing_has_nothing_to_do(workspace: Workspace) -> None:
    applied = apply_phase(find_phase("0"), workspace)
    assert not applied.changed
    assert workspace.applied() == []


def test_a_slice_of_older_rules_is_replaced(workspace: Workspace) -> None:
    workspace.ensure()
    workspace.commit("01_poc", workspace.tree().with_file("shop/old.py", ""), "m")
    assert apply_phase(find_phase("poc"), workspace).changed
    assert "shop/old.py" not in read_tree(workspace.path)
    assert workspace.after("01_poc")["shop/broker.py"] == "broker = 'redis'\n"


def test_but_not_if_commits_by_hand_stand_on_it(workspace: Workspace) -> None:
    workspace.ensure()
    workspace.commit("01_poc", workspace.tree().with_file("shop/old.py", ""), "m")
    (workspace.path / "shop" / "mine.py").touch()
    Git(workspace.path)("add", "--all")
    Git(workspace.path)("commit", "-m", "mine")
    with pytest.raises(WorkspaceError, match="commits made by hand"):
        apply_phase(find_phase("poc"), workspace)
    assert (workspace.path / "shop" / "mine.py").exists()


def test_a_check_that_breaks_is_a_check_that_fails(workspace: Workspace) -> None:
    def broken(context: CheckContext) -> CheckResult:
        raise RuntimeError("no\nway")

    context = CheckContext(workspace.application, workspace.path, workspace.run_dir, workspace.run_dir)
    result = Check("a", "is a?", broken)(context)
    assert result == CheckResult(False, "the check itself failed: RuntimeError: no way", None, "a", "is a?")


def test_the_repositorys_own_configuration_is_sound() -> None:
    application = load_application(start=Path(__file__).parent)
    assert application.name == "reflector"
    assert application.phases.poc is not None
