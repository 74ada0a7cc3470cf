"""Runs of the application's own tests: outcomes, coverage, and which system ran the tasks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from playbook.config import Application
from playbook.errors import PlaybookError
from playbook.lab.surroundings import child_env
from playbook.lab.virtualenv import VirtualEnvironment
from playbook.models import Model

RECORDER = Path(__file__).parent / "probes" / "suite_recorder.py"
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
    application: Application,
    root: Path,
    work_dir: Path,
    route: str | None,
    tests: Sequence[str] = (),
    environment: VirtualEnvironment | None = None,
    cover: bool = True,
) -> SuiteRun:
    """Run the application's tests in a process of their own.

    Args:
        application: names the package and the tests.
        root: folder with a copy of both.
        work_dir: for what the run writes; made if it is not there.
        route: what `TASKIQ_ROUTE` is set to; None: it is not set.
        tests: paths of test files, relative to `root`; none: all tests.
        environment: where they run; None: where the playbook does.
        cover: whether to measure what they cover; if not, `lines` is empty.

    Raises:
        PlaybookError: there are no tests, or pytest could not run them.
    """
    if not cover:
        found, said = _pytest(application, root, work_dir, (), tests, route, environment)
        return SuiteRun(**found, lines={}, said=said)
    coverage = work_dir.absolute() / "coverage.json"
    coverage.unlink(missing_ok=True)
    options = [f"--cov={application.package}", f"--cov-report=json:{coverage}"]
    found, said = _pytest(application, root, work_dir, options, tests, route, environment)
    if not coverage.exists():
        raise PlaybookError(f"pytest could not tell what the tests in {root.name} cover: {said[-400:]}")
    return SuiteRun(**found, lines=_lines(json.loads(coverage.read_text(encoding="utf-8"))), said=said)


def collect(
    application: Application, root: Path, work_dir: Path, environment: VirtualEnvironment | None = None
) -> list[str]:
    """Return the names of all tests, without running them; arguments as of `run_suite`.

    Raises:
        PlaybookError: there are no tests, or pytest could not collect them.
    """
    found, said = _pytest(application, root, work_dir, ["--collect-only"], (), None, environment)
    if not found["collected"]:
        raise PlaybookError(f"pytest found no test in {root.name}: {said[-400:]}")
    collected: list[str] = found["collected"]
    return collected


def _pytest(
    application: Application,
    root: Path,
    work_dir: Path,
    options: Sequence[str],
    tests: Sequence[str],
    route: str | None,
    environment: VirtualEnvironment | None,
) -> tuple[dict[str, Any], str]:
    """Run pytest; return what the recorder wrote down, and the end of what pytest said."""
    if application.tests is None:
        raise PlaybookError("application.tests is missing in playbook.toml; name the folder of the tests")
    work_dir = work_dir.absolute()
    work_dir.mkdir(parents=True, exist_ok=True)
    record = work_dir / "record.json"
    record.unlink(missing_ok=True)
    # Alone in a folder: in another environment nothing else of the playbook's is to be found.
    plugins = work_dir / "plugins"
    plugins.mkdir(exist_ok=True)
    shutil.copy(RECORDER, plugins)
    variables = {
        "SUITE_RECORD": str(record),
        "COVERAGE_FILE": str(work_dir / "coverage"),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(work_dir / "hypothesis"),
        **({} if route is None else {"TASKIQ_ROUTE": route}),
    }
    if environment is None:
        python, env = sys.executable, child_env(root, plugins, variables=variables)
    else:
        variables |= {"PYTHONPATH": os.pathsep.join(map(str, (root.absolute(), plugins)))}
        python, env = str(environment.python), environment.variables(variables)
    command = [python, "-m", "pytest", "-q", "-p", RECORDER.stem, "-p", "no:cacheprovider"]
    command += ["-p", "no:nbval"]  # the playbook's own; it takes seconds to load
    command += [*_config(application, root), *options, *(tests or (application.tests,))]
    try:
        done = subprocess.run(
            command, cwd=root, env=env, capture_output=True, text=True, timeout=LONGEST, check=False
        )
    except subprocess.TimeoutExpired:
        raise PlaybookError(f"the tests in {root.name} took more than {LONGEST:.0f} s") from None
    if not record.exists():
        last = " ".join((done.stdout + done.stderr).split())[-400:]
        raise PlaybookError(f"pytest could not run {application.tests} in {root.name}: {last}")
    found: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return found, "\n".join(done.stdout.splitlines()[-60:])


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
