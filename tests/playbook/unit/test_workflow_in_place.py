"""In an application's own tests, where tasks run in place, canvases do what they do on workers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from playbook.lab import RedisServer
from playbook.lab.surroundings import child_env
from playbook.oracle.cases import Case, read_cases
from playbook.oracle.comparison import differences as case_differences
from playbook.oracle.observing import Observation, observations
from tests.playbook.oracle.random_canvases import case, drawn
from tests.playbook.oracle.test_random_canvases import differences

pytestmark = pytest.mark.integration

ORACLE = Path(__file__).parents[1] / "oracle"


def run_in_place(cases: list[Case], folder: Path) -> list[Observation]:
    given, out = folder / "given.json", folder / "out.json"
    given.write_text(json.dumps([{"structure": case.structure, "call": case.call} for case in cases]))
    with RedisServer(folder / "redis") as redis:
        done = subprocess.run(
            [sys.executable, ORACLE / "in_place_driver.py", "taskiq", given, out],
            env=child_env(variables={"ENVIRONMENT": "pytest", "CELERY_BROKER_URL": redis.url}),
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    written = json.loads(out.read_text())
    assert written["rested"]
    return observations(written)


TIMELESS = {"countdown-member", "expires-past", "error-two-times"}
"""In place no time passes, and one task runs after the other."""


@pytest.mark.parametrize("name", ["canvas_cases.json", "more_cases.json"])
def test_recorded_canvases(tmp_path: Path, name: str) -> None:
    cases = [case for case in read_cases(ORACLE / name).cases if case.id not in TIMELESS]
    pairs = zip(cases, run_in_place(cases, tmp_path), strict=True)
    failed = [wrong for case, seen in pairs if (wrong := case_differences(case, seen))]
    assert not failed, json.dumps(failed, indent=1)


def test_random_canvases(tmp_path: Path) -> None:
    canvases = drawn(200, drawing=3)
    pairs = zip(canvases, run_in_place([case(canvas) for canvas in canvases], tmp_path), strict=True)
    found = [(canvas, list(differences(canvas, seen))) for canvas, seen in pairs]
    wrong = {json.dumps(canvas): how for canvas, how in found if how}
    assert not wrong, json.dumps(wrong, indent=1)
