"""The workflow of GitHub Actions names what exists: every phase, commands and targets."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from playbook.cli import app
from playbook.phases import PHASES

ROOT = Path(__file__).parents[3]


def jobs() -> dict[str, Any]:
    text = (ROOT / ".github/workflows/migration.yml").read_text()
    return dict(yaml.safe_load(text)["jobs"])


def commands() -> list[str]:
    runs = [step["run"] for job in jobs().values() for step in job["steps"] if "run" in step]
    return [line.strip() for run in runs for line in run.splitlines()]


def test_every_phase_has_its_job() -> None:
    assert jobs()["phase"]["strategy"]["matrix"]["phase"] == [phase.name for phase in PHASES]


def test_every_target_of_make_exists() -> None:
    targets = [line.removeprefix("make ") for line in commands() if line.startswith("make ")]

    assert targets == ["install", "run"]
    for target in targets:
        assert subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True).returncode == 0


def test_every_command_of_the_playbook_exists() -> None:
    lines = [line for line in commands() if line.startswith(".venv/bin/playbook")]

    assert len(lines) == 3
    for line in lines:
        words = shlex.split(line.partition(">>")[0])
        told = CliRunner().invoke(app, [words[1], "--help"])
        assert told.exit_code == 0
        assert [option for option in re.findall(r" (--[a-z]+)", line) if option not in told.output] == []


def test_the_whole_check_is_the_one_that_ci_runs() -> None:
    assert ".ci/run" in commands()
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
