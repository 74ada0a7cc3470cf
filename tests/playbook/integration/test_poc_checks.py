"""The checks of the proof of concept bite: faults planted in the migrated copy are found."""

from pathlib import Path

import pytest

from playbook.checks import poc
from playbook.session import PhaseSession, open_phase

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[3]
WORKER = "reflector/worker"
FAULTS = {
    # the check that has to find it: file, what stands there, what is put in its place
    "celery_unchanged": (f"{WORKER}/webhook.py", "max_retries=30", "max_retries=3"),
    "arguments": (
        f"{WORKER}/tasks.py",
        "original_func = on_the_wire(original_func, *",
        "_ = (original_func, *",
    ),
    "round_trip": (f"{WORKER}/health.py", '"healthy"', '"unwell"'),
    "twin": (
        "reflector/pipelines/main_file_pipeline.py",
        '"reflector.pipelines.main_file_pipeline.task_pipeline_file_process"',
        '"reflector.pipelines.task_pipeline_file_process"',
    ),
}
FOLLOW = {"same_effects", "claims"}
"""Checks that see a fault, too: the task runs under another name, and a claim has another verdict."""


@pytest.fixture
def phase(tmp_path: Path) -> PhaseSession:
    parameters = dict.fromkeys(("redis_url", "database_url", "audio"), "")
    opened = open_phase("01_poc", run_dir=str(tmp_path), config=str(ROOT / "playbook.toml"), **parameters)
    opened.apply()
    return opened


def test_each_planted_fault_is_found(phase: PhaseSession) -> None:
    for path, stands, fault in FAULTS.values():
        file = phase.workspace / path
        source = file.read_text(encoding="utf-8")
        assert stands in source, f"the fault cannot be planted in {path}"
        file.write_text(source.replace(stands, fault), encoding="utf-8")
    failed = {result.name for result in phase.verify() if not result.ok}
    assert failed == set(FAULTS) | FOLLOW
    assert {f.kind for f in poc.comparison(phase.context).findings} & {"changed", "missing", "extra"}
