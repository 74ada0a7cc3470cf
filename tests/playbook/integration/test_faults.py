"""Faults strike real workers at work: what is promised for each is kept, and random faults lose nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from playbook.checks.faults_cases import CASES, Case
from playbook.checks.faults_disk import fill_disk
from playbook.checks.faults_random import Storm, run_storm
from playbook.checks.faults_run import Outcome, run_case
from playbook.config import CONFIG_NAME, load_application
from playbook.lab.surroundings import PLAYBOOK_ROOT

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PACKAGE = "playbook.scaffold.worker"
SMALL = 200
"""Tasks in the tests of every day."""

BY_NAME = {case.fault: case for case in CASES}


def strike(case: Case, tasks: int, folder: Path) -> Outcome:
    """Let a fault strike TaskIQ's workers on the runtime as it stands here."""
    return run_case(case, "taskiq", tasks, PLAYBOOK_ROOT, folder / "site", PACKAGE)


def storm(seed: int, tasks: int, folder: Path) -> Storm:
    found = run_storm(seed, tasks, PLAYBOOK_ROOT, folder / "site", PACKAGE)
    faults = [one.fault for one in found.strikes]
    print(f"\nseed {seed}: {tasks} tasks, {faults}: {found.tally.model_dump(exclude={'doubled'})}")
    return found


def test_a_few_random_faults(tmp_path: Path) -> None:
    found = storm(3, SMALL, tmp_path)
    assert found.tally.tasks == SMALL
    assert not found.problems, found.problems
    assert found.strikes


def test_a_loss_is_found(tmp_path: Path) -> None:
    """Redis comes back without data, which the promise says; here it is held against another promise."""
    case = BY_NAME["Redis killed, back without data"]
    outcome = strike(replace(case, lossy=False, quiet=3.0, seconds=0.2), SMALL, tmp_path)
    assert outcome.lost
    assert outcome.problems == [f"{outcome.lost} lost"]


@pytest.mark.long
@pytest.mark.parametrize("fault", BY_NAME)
def test_what_is_promised_for_a_fault_is_kept(fault: str, tmp_path: Path) -> None:
    outcome = strike(BY_NAME[fault], 1_000, tmp_path)
    print(f"\n{outcome!r}")
    assert not outcome.problems, outcome


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_five_thousand_tasks_under_random_faults(seed: int, tmp_path: Path) -> None:
    found = storm(seed, 5_000, tmp_path)
    assert found.tally.tasks == 5_000
    assert not found.problems, found.problems


@pytest.mark.long
def test_a_full_disk_stops_with_one_line_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    config = PLAYBOOK_ROOT / CONFIG_NAME
    stops = fill_disk(load_application(config), config, tmp_path)
    assert stops
    assert not [problem for stop in stops for problem in stop.problems]
