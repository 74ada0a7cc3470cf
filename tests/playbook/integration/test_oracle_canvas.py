"""`playbook oracle`: recorded canvases, on real workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.playbook.integration.playbook_process import playbook

pytestmark = pytest.mark.integration

CASES = Path(__file__).parents[1] / "oracle" / "canvas_cases.json"
MORE = CASES.with_name("more_cases.json")


def test_celery_does_again_what_was_recorded(tmp_path: Path) -> None:
    """Celery needs more than one try where two errors race to the caller, if the machine is busy."""
    recorded = json.loads(CASES.read_text())
    missing = [case for case in recorded["cases"] if case["oracle"]["stable"]]
    assert len(missing) == 67
    for _ in range(3):
        (tmp_path / "cases.json").write_text(json.dumps({**recorded, "cases": missing}))
        done = playbook(tmp_path, "oracle", "record", "canvas", "cases.json", "--output", "again.json")
        assert done.returncode == 0, done.stderr
        again = json.loads((tmp_path / "again.json").read_text())["cases"]
        missing = [case for case, now in zip(missing, again, strict=True) if now["oracle"] != case["oracle"]]
        if not missing:
            return
    assert not missing


def test_the_runtime_does_what_celery_did_and_a_difference_shows(tmp_path: Path) -> None:
    recorded = [case for file in (CASES, MORE) for case in json.loads(file.read_text())["cases"]]
    wrong = {"id": "wrong", "structure": {"task": "add", "args": [1, 2]}, "oracle": {"result": 4}}
    (tmp_path / "cases.json").write_text(json.dumps({"cases": [*recorded, wrong]}))
    done = playbook(tmp_path, "oracle", "canvas", "cases.json", "--json")
    failed = [{"id": "wrong", "expected": {"ending": {"result": 4}}, "got": {"ending": {"result": 3}}}]
    assert json.loads(done.stdout) == {"cases": len(recorded) + 1, "passed": len(recorded), "failed": failed}
    assert done.returncode == 1


def test_an_unusable_file_ends_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "cases.json"
    file.write_text('{"cases": [{"id": "a", "structure": {"task": "subtract"}}]}')
    for command in (["canvas"], ["record", "canvas", "--output", "out.json"], ["cron"]):
        done = playbook(tmp_path, "oracle", *command, "cases.json")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("playbook: cases.json")
    assert not (tmp_path / "out.json").exists()
