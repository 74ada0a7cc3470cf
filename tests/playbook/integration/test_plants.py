"""Faults that are planted in the migrated source are caught by their checks; a copy without one passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from playbook.checks.plant_runs import try_plants
from playbook.checks.plants import ROUNDS
from playbook.checks.trials.bench import Bench
from playbook.cli import app
from playbook.config import load_application
from playbook.contracts import CheckContext
from playbook.phases import apply_phase, find_phase
from playbook.plants import PLANTS, find_plant, planted
from playbook.tree import Tree
from playbook.workspace import Workspace

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[3]
SOME = (
    "types-become-text",
    "webhook-retries-gone",
    "dropped-barrier",
)
"""What is tried every day; the rest is long."""


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which everything is migrated."""
    path = tmp_path_factory.mktemp("runs") / "plants"
    path.mkdir()
    apply_phase(find_phase("05_validation"), Workspace(path, load_application(ROOT / "playbook.toml")))
    return path


@pytest.fixture(scope="module")
def context(run_dir: Path) -> CheckContext:
    application = load_application(ROOT / "playbook.toml")
    work_dir = run_dir / "work"
    work_dir.mkdir()
    parameters = find_phase("05_validation").parameters()
    workspace = Workspace(run_dir, application).path
    return CheckContext(application, workspace, run_dir, work_dir, parameters=parameters)


@pytest.fixture(scope="module")
def bench(context: CheckContext) -> Iterator[Bench]:
    with Bench(context) as opened:
        yield opened


@pytest.fixture(scope="module")
def migrated(context: CheckContext) -> Tree:
    return Workspace(context.run_dir, context.application).tree()


def test_every_fault_fits_the_migrated_source(migrated: Tree) -> None:
    for fault in PLANTS:
        assert planted(migrated, [fault]) != migrated, fault.name


@pytest.mark.parametrize("name", SOME)
def test_a_planted_fault_is_caught(bench: Bench, name: str) -> None:
    fault = find_plant(name)
    failed = {result.name for result in bench.try_plant(fault) if not result.ok}
    assert failed >= set(fault.caught_by)


@pytest.mark.parametrize("name", ["types-become-text", "dropped-barrier"])
def test_a_copy_without_a_fault_passes(bench: Bench, name: str) -> None:
    results = bench.try_unchanged(find_plant(name))
    assert results
    assert [f"{result.name}: {result.detail}" for result in results if not result.ok] == []


def test_the_workspace_is_left_alone(bench: Bench, context: CheckContext, migrated: Tree) -> None:
    """After all that has been planted in this module."""
    workspace = Workspace(context.run_dir, context.application)
    assert workspace.edited() == []
    assert workspace.tree() == migrated


def test_the_command_plants_a_fault(run_dir: Path) -> None:
    where = [
        "--run",
        run_dir.name,
        "--runs-dir",
        str(run_dir.parent),
        "--config",
        str(ROOT / "playbook.toml"),
    ]
    done = CliRunner().invoke(app, ["verify", "--plant", "celery-keeps-its-own-beat", "--json", *where])
    assert done.exit_code == 1, done.output
    told = json.loads(done.stdout)
    assert (told["caught"], told["failed"]) == (True, ["celery_stays"])
    other = CliRunner().invoke(app, ["verify", "pipelines", "--plant", "one-schedule-gone", *where])
    assert "fault of 04_scheduler" in str(other.exception)


def test_the_command_lists_the_faults() -> None:
    listed = json.loads(CliRunner().invoke(app, ["plants", "--json"]).stdout)
    assert [one["name"] for one in listed] == [fault.name for fault in PLANTS]


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_every_planted_fault_is_caught_and_unchanged_copies_pass(context: CheckContext) -> None:
    found = try_plants(context, PLANTS, ROUNDS)
    missed = [
        f"{one.plant.name}: {one.outcome}; failed: {one.failed}" for one in found.tried if not one.caught
    ]
    assert missed == []
    assert found.false_alarms == []
