"""`playbook oracle`: recorded canvases, on real workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.playbook.integration.playbook_process import playbook

pytestmark = pytest.mark.integration

CASES = Path(__file__).parents[1] / "oracle" / "canvas_cases.json"


def test_celery_does_again_what_was_recorded(tmp_path: Path) -> None:
    done = playbook(tmp_path, "oracle", "record", "canvas", str(CASES), "--output", "again.json")
    assert done.returncode == 0, done.stderr
    before, after = (json.loads(path.read_text())["cases"] for path in (CASES, tmp_path / "again.json"))
    stable = {case["id"]: case["oracle"] for case in before if case["oracle"]["stable"]}
    assert len(stable) == 67
    assert {case["id"]: case["oracle"] for case in after if case["id"] in stable} == stable


def test_an_unusable_file_ends_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "cases.json"
    file.write_text('{"cases": [{"id": "a", "structure": {"task": "subtract"}}]}')
    for command in (["canvas"], ["record", "canvas", "--output", "out.json"], ["cron"]):
        done = playbook(tmp_path, "oracle", *command, "cases.json")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("playbook: cases.json")
    assert not (tmp_path / "out.json").exists()
