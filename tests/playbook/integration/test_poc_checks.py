"""The checks of the proof of concept bite: faults planted in the migrated copy are found."""

from pathlib import Path

import pytest

from playbook.checks import poc
from playbook.plants import find_plant, planted
from playbook.session import PhaseSession, open_phase

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
FAULTS = (
    "celery-options-changed",
    "arguments-read-by-the-wrong-signature",
    "result-changed",
    "first-twin-renamed",
)
FOLLOW = {"claims"}
"""A check that sees a fault, too: a claim has another verdict."""


@pytest.fixture
def phase(tmp_path: Path) -> PhaseSession:
    parameters = dict.fromkeys(("redis_url", "database_url", "audio"), "")
    opened = open_phase("01_poc", run_dir=str(tmp_path), config=str(ROOT / "playbook.toml"), **parameters)
    opened.apply()
    return opened


@pytest.mark.long
def test_each_planted_fault_is_found(phase: PhaseSession) -> None:
    faults = [find_plant(name) for name in FAULTS]
    broken = planted(phase.after, faults)
    for path in {edit.path for fault in faults for edit in fault.edits}:
        (phase.workspace / path).write_text(broken[path], encoding="utf-8")
    failed = {result.name for result in phase.verify() if not result.ok}
    assert failed == {check for fault in faults for check in fault.caught_by} | FOLLOW
    assert {f.kind for f in poc.comparison(phase.context).findings} & {"changed", "missing", "extra"}
