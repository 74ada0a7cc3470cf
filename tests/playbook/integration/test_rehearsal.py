"""The way back from each phase, under load and in both directions: nothing is lost, nothing runs twice."""

from pathlib import Path

import pytest

from playbook.checks.rehearsal import Rehearsal, rehearse, states
from playbook.config import load_application

PHASES = ("02_simple_tasks", "03_pipelines", "04_scheduler", "05_validation")
HEEDED = 1.0
"""Seconds within which a route is heeded everywhere."""


def rehearsed(folder: Path, phase: str, rate: float, seconds: float) -> Rehearsal:
    """Rehearse with the bundled application."""
    application = load_application(start=Path(__file__).parent)
    return rehearse(application, states(application, folder / "states"), phase, folder, rate, seconds)


def check(found: Rehearsal) -> None:
    """Hold a rehearsal to what is promised."""
    assert (found.lost, found.doubled, found.refused) == ([], [], 0)
    assert found.on_taskiq > 0
    assert found.ticks > 0
    assert found.flag <= HEEDED


@pytest.mark.timeout(600)
def test_the_way_back_loses_nothing(tmp_path: Path) -> None:
    """From the phase that moves canvases: work of every kind is on its way then."""
    check(rehearsed(tmp_path, "03_pipelines", rate=40, seconds=2))


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("phase", PHASES)
def test_the_way_back_from_each_phase_at_full_load(tmp_path: Path, phase: str) -> None:
    found = rehearsed(tmp_path, phase, rate=200, seconds=10)
    print(found.model_dump_json())
    check(found)
    assert found.sent > 5 * 200 * 10
