"""The proof that the application's own tests came through the migration: the same tests, on either system.

No test is gone, no assertion is weakened, nothing is skipped that ran before; all pass on Celery and on
TaskIQ; on TaskIQ it is TaskIQ that runs the tasks; and the tests cover as much as before.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import Field

from playbook.checks.once import once
from playbook.checks.suite_assertions import Finding, Suite, compare, counts, read_suite, unexplained
from playbook.checks.suite_runs import SuiteRun, run_suite, shared_percent
from playbook.config import Application
from playbook.contracts import JSON, Check, CheckContext, CheckResult
from playbook.errors import PlaybookError
from playbook.models import Model
from playbook.phases import CutoverParameters, ValidationParameters
from playbook.rewrite.suite import slice_, test_files
from playbook.slices import sliced
from playbook.tree import Tree
from playbook.workspace import BASELINE, Workspace

TOLERANCE = 0.5
"""Percentage points that the coverage may differ by."""

BEFORE, CELERY, TASKIQ = "before", "migrated, on Celery", "migrated, on TaskIQ"
SHOWN = 5
"""How many entries a detail names."""


class Proof(Model):
    """What was found: differences between the sources of the tests, counts of both sides, and three runs.

    `removed` are the paths of files that the migration has removed.
    """

    findings: list[Finding]
    counts: dict[str, dict[str, int]]
    runs: dict[str, SuiteRun]
    removed: list[str] = Field(default_factory=list)

    @property
    def shared(self) -> list[str]:
        """The application's files that all runs know, in order."""
        known = [set(run.lines) for run in self.runs.values()]
        return sorted(set.intersection(*known)) if known else []

    @property
    def coverage(self) -> dict[str, float]:
        """Percent of the lines of the shared files that each run covers."""
        return {name: shared_percent(run.lines, self.shared) for name, run in self.runs.items()}

    @property
    def by_file(self) -> dict[str, dict[str, float]]:
        """The same for each file, by run and path."""
        return {
            name: {path: run.lines[path].percent for path in self.shared} for name, run in self.runs.items()
        }

    @property
    def statements(self) -> dict[str, int]:
        """How many statements the shared files had before."""
        return {path: self.runs[BEFORE].lines[path].statements for path in self.shared}


def compare_trees(
    application: Application, before: Tree, after: Tree
) -> tuple[list[Finding], dict[str, dict[str, int]]]:
    """Compare the sources of the tests, and count what both sides have.

    Args:
        application: names the tests.
        before: the files before the migration.
        after: the files now.

    Raises:
        PlaybookError: a test file is not Python of this version.
    """
    old, new = (_suite(application, tree) for tree in (before, after))
    tests = _tests(application, after)
    mixed = {path: text for path, text in after.items() if path not in tests} | _tests(application, before)
    by_rule = sliced(slice_, application, Tree(mixed, after.binary)).tree
    findings = compare(old, new, _suite(application, by_rule))
    return findings, {"before": dict(counts(old)), "after": dict(counts(new))}


@once
def sources(context: CheckContext) -> tuple[list[Finding], dict[str, dict[str, int]]]:
    """Compare the sources of the tests before the migration with those of now, once.

    Raises:
        PlaybookError: a test file is not Python of this version.
    """
    workspace = Workspace(context.run_dir, context.application)
    return compare_trees(context.application, workspace.tree(BASELINE), workspace.tree())


@once
def look(context: CheckContext) -> Proof:
    """Compare the sources, and run the tests before the migration and after it, on both systems; once.

    Raises:
        PlaybookError: something could not be done. It is not tried again.
    """
    application, work_dir = context.application, context.work_dir / "suite"
    workspace = Workspace(context.run_dir, application)
    before = workspace.tree(BASELINE)
    findings, counted = sources(context)
    root = written(before, application, work_dir / "before")
    trees = {
        BEFORE: (root, None),
        CELERY: (context.workspace, "celery"),
        TASKIQ: (context.workspace, "taskiq"),
    }
    with ThreadPoolExecutor() as threads:
        started = {
            name: threads.submit(
                run_suite, application, tree, work_dir / "runs" / name, route, chosen_tests(context)
            )
            for name, (tree, route) in trees.items()
        }
        runs = {name: future.result() for name, future in started.items()}
    removed = sorted(set(before) - set(workspace.tree()))
    return Proof(findings=findings, counts=counted, runs=runs, removed=removed)


def chosen_tests(context: CheckContext) -> Sequence[str]:
    """Return the test files that are to run; none: all of them."""
    options = context.parameters
    assert isinstance(options, ValidationParameters | CutoverParameters)
    return options.tests.split() or (() if options.full else context.application.quick_tests)


def _tests(application: Application, tree: Tree) -> dict[str, str]:
    return {path: tree[path] for path in test_files(application, tree)}


def _suite(application: Application, tree: Tree) -> Suite:
    try:
        return read_suite(_tests(application, tree))
    except SyntaxError as error:
        raise PlaybookError(f"{error.filename}:{error.lineno} is not valid Python: {error.msg}") from None


def written(tree: Tree, application: Application, root: Path) -> Path:
    """Write a tree into a folder, which is emptied first; return the folder."""
    shutil.rmtree(root, ignore_errors=True)
    for path in (*tree, *tree.binary):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in tree:
            target.write_text(tree[path], encoding="utf-8")
        else:
            shutil.copyfile(application.base / path, target)
    return root


# The verdicts


def same_tests(proof: Proof) -> CheckResult:
    """The three runs collect the same tests."""
    before = proof.runs[BEFORE].collected
    for name in (CELERY, TASKIQ):
        now = proof.runs[name].collected
        if missing := sorted(set(before) - set(now)):
            return CheckResult.failed(f"{name}: {len(missing)} tests are gone: {_some(missing)}", missing)
    return CheckResult.passed(f"the same {len(before)} tests are collected before and after", len(before))


def same_assertions(proof: Proof) -> CheckResult:
    """No test function or assertion is gone or weakened, and nothing else has changed but by a rule."""
    bad = [one for one in unexplained(proof.findings) if one.kind != "skipped"]
    if bad:
        told = [f"{one.path} {one.name} {one.kind}: {one.before}" for one in bad]
        return CheckResult.failed(f"{len(bad)} changes that no rule explains: {_some(told)}", _plain(bad))
    explained = [one for one in proof.findings if one.explained]
    count = proof.counts["after"]
    detail = (
        f"{count['assertions']} assertions in {count['test functions']} test functions, "
        f"as before; changed besides, by a rule: {len(explained)}"
    )
    return CheckResult.passed(detail, _plain(proof.findings))


def nothing_skipped(proof: Proof) -> CheckResult:
    """No skip or expected failure is new, in the source or in a run."""
    new = [f"{one.path} {one.name}: {one.after}" for one in proof.findings if one.kind == "skipped"]
    before = proof.runs[BEFORE].outcomes if BEFORE in proof.runs else {}
    for name, run in proof.runs.items():
        new += [
            f"{name}: {test} {outcome}"
            for test, outcome in run.outcomes.items()
            if outcome not in ("passed", "failed", "error") and before.get(test) != outcome
        ]
    if new:
        return CheckResult.failed(f"{len(new)} skips are new: {_some(new)}", new)
    return CheckResult.passed("no skip and no expected failure is new")


def green(proof: Proof, name: str) -> CheckResult:
    """Each test that passed before passes."""
    before, run = proof.runs[BEFORE], proof.runs[name]
    broken = [test for test in run.failed if before.outcomes.get(test) == "passed"]
    if broken:
        return CheckResult.failed(f"{len(broken)} tests fail that passed before: {_some(broken)}", broken)
    passed = len(run.collected) - len(run.failed)
    if not passed:
        return CheckResult.failed("no test passed")
    return CheckResult.passed(f"{passed} of {len(run.collected)} tests pass, as before", passed)


def runs_where_routed(proof: Proof) -> CheckResult:
    """With the flag at Celery no task runs on TaskIQ, and the other way round."""
    on = {name: {system: run.attempts(system) for system in run.ran} for name, run in proof.runs.items()}
    wrong = on[CELERY]["taskiq"] or on[TASKIQ]["celery"]
    missing = sorted(
        set(proof.runs[BEFORE].ran["celery"]) - {"celery.ping", *proof.runs[TASKIQ].ran["taskiq"]}
    )
    if wrong or missing:
        strays = {
            task: count for task, count in proof.runs[TASKIQ].ran["celery"].items() if task != "celery.ping"
        }
        return CheckResult.failed(
            f"{sum(strays.values())} attempts went to Celery with the flag at TaskIQ, "
            f"{on[CELERY]['taskiq']} to TaskIQ with the flag at Celery; "
            f"never run on TaskIQ: {_some(missing) or 'none'}",
            {"attempts": on, "strays": strays, "missing": missing},
        )
    return CheckResult.passed("each task that the tests start runs on the system that the flag names")


def same_coverage(proof: Proof) -> CheckResult:
    """The files that were there before are covered as much as before."""
    coverage = proof.coverage
    before = coverage[BEFORE]
    lost = {name: round(before - now, 2) for name, now in coverage.items() if before - now > TOLERANCE}
    if not proof.shared or lost:
        return CheckResult.failed(f"coverage fell by more than {TOLERANCE} points: {lost}", lost)
    measured = set(proof.runs[BEFORE].lines) - set(proof.removed)
    if left_out := sorted(set().union(*(measured - set(run.lines) for run in proof.runs.values()))):
        return CheckResult.failed(f"the coverage leaves out what it had before: {_some(left_out)}", left_out)
    return CheckResult.passed(f"coverage is within {TOLERANCE} points on either system")


def _some(entries: list[str]) -> str:
    more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return ", ".join(entries[:SHOWN]) + more


def _plain(findings: list[Finding]) -> JSON:
    return [vars(one) for one in findings]


CHECKS: tuple[Check, ...] = (
    Check("same_tests", "The same tests are collected", lambda c: same_tests(look(c))),
    Check("same_assertions", "No assertion is gone or weakened", lambda c: same_assertions(look(c))),
    Check("nothing_skipped", "Nothing is skipped that ran before", lambda c: nothing_skipped(look(c))),
    Check("green_on_celery", "The tests pass on Celery", lambda c: green(look(c), CELERY)),
    Check("green_on_taskiq", "The tests pass on TaskIQ", lambda c: green(look(c), TASKIQ)),
    Check("runs_where_routed", "Tasks run on the system of the flag", lambda c: runs_where_routed(look(c))),
    Check("same_coverage", "Coverage is kept", lambda c: same_coverage(look(c))),
)
