"""Runs of the application's own tests: outcomes, coverage, and which system ran the tasks."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playbook.config import Application
from playbook.errors import PlaybookError
from playbook.lab.surroundings import child_env
from playbook.models import Model

RECORDER = "playbook.checks.probes.suite_recorder"
LONGEST = 900.0
"""Seconds that a run of the tests may take."""


class Lines(Model):
    """The lines of a file that can be covered, and how many are."""

    statements: int
    covered: int

    @property
    def percent(self) -> float:
        """The share that is covered; a file without statements is covered."""
        return 100.0 * self.covered / self.statements if self.statements else 100.0


class SuiteRun(Model):
    """One run.

    `outcomes` is by test, `ran` counts attempts of tasks by system and name, `lines` is by path.
    """

    collected: list[str]
    outcomes: dict[str, str]
    ran: dict[str, dict[str, int]]
    lines: dict[str, Lines]
    said: str = ""

    @property
    def failed(self) -> list[str]:
        """Tests that did not pass, whatever the reason."""
        return [test for test in self.collected if self.outcomes.get(test) != "passed"]

    def attempts(self, system: str, but: Sequence[str] = ("celery.ping",)) -> int:
        """How many attempts of tasks a system made, without the test worker's own."""
        return sum(count for name, count in self.ran[system].items() if name not in but)


def run_suite(
    application: Application, root: Path, work_dir: Path, route: str | None, tests: Sequence[str] = ()
) -> SuiteRun:
    """Run the application's tests in a process of their own.

    Args:
        application: names the package and the tests.
        root: folder with a copy of both.
        work_dir: for what the run writes; made if it is not there.
        route: what `TASKIQ_ROUTE` is set to; None: it is not set.
        tests: paths of test files, relative to `root`; none: all tests.

    Raises:
        PlaybookError: there are no tests, or pytest could not run them.
    """
    if application.tests is None:
        raise PlaybookError("application.tests is missing in playbook.toml; name the folder of the tests")
    work_dir = work_dir.absolute()
    work_dir.mkdir(parents=True, exist_ok=True)
    record, coverage = work_dir / "record.json", work_dir / "coverage.json"
    record.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", RECORDER, "-p", "no:cacheprovider"]
    command += [*_config(application, root), f"--cov={application.package}", f"--cov-report=json:{coverage}"]
    variables = {
        "SUITE_RECORD": str(record),
        "COVERAGE_FILE": str(work_dir / "coverage"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(work_dir / "hypothesis"),
    }
    done = _run([*command, *(tests or (application.tests,))], root, variables, route)
    if not record.exists() or not coverage.exists():
        last = " ".join((done.stdout + done.stderr).split())[-400:]
        raise PlaybookError(f"pytest could not run {application.tests} in {root.name}: {last}")
    found = json.loads(record.read_text(encoding="utf-8"))
    said = "\n".join(done.stdout.splitlines()[-60:])
    return SuiteRun(**found, lines=_lines(json.loads(coverage.read_text(encoding="utf-8"))), said=said)


def _run(
    command: list[str], root: Path, variables: dict[str, str], route: str | None
) -> subprocess.CompletedProcess[str]:
    given = variables if route is None else {**variables, "TASKIQ_ROUTE": route}
    env = child_env(root, variables=given)
    try:
        return subprocess.run(
            command, cwd=root, env=env, capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        raise PlaybookError(f"the tests in {root.name} took more than {LONGEST:.0f} s") from None


def _config(application: Application, root: Path) -> list[str]:
    """The options that name the application's own configuration of pytest and coverage, if it has one."""
    path = root / application.root / "pyproject.toml"
    tools: Mapping[str, Any] = {}
    if path.exists():
        tools = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    options = ["-c", str(path), f"--rootdir={root}"] if "pytest" in tools else []
    return [*options, f"--cov-config={path}"] if "coverage" in tools else options


def _lines(report: Mapping[str, Any]) -> dict[str, Lines]:
    return {
        Path(path).as_posix(): Lines(
            statements=file["summary"]["num_statements"], covered=file["summary"]["covered_lines"]
        )
        for path, file in report["files"].items()
    }


def shared_percent(lines: Mapping[str, Lines], paths: Sequence[str]) -> float:
    """Return the coverage of some files together, in percent."""
    statements = sum(lines[path].statements for path in paths)
    covered = sum(lines[path].covered for path in paths)
    return Lines(statements=statements, covered=covered).percent
