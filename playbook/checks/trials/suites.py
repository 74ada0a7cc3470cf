"""The trial in which some of the application's own tests run on TaskIQ."""

from __future__ import annotations

from functools import cached_property

from playbook.checks.registered import write_tree
from playbook.checks.suite_checks import (
    BEFORE,
    CELERY,
    TASKIQ,
    Proof,
    green,
    nothing_skipped,
    runs_where_routed,
    same_coverage,
    same_tests,
)
from playbook.checks.suite_runs import SuiteRun, run_suite
from playbook.checks.trials.copies import Copy, Results, Trial
from playbook.contracts import CheckContext
from playbook.tree import Tree
from playbook.workspace import BASELINE, Workspace


class SuiteTrials:
    """The trials that run tests. Before the migration they run once."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self._before: dict[tuple[str, ...], SuiteRun] = {}
        self.trials: dict[str, Trial] = {"suite": self.suite}

    def suite(self, copy: Copy) -> Results:
        """The tests of the plant, on TaskIQ."""
        folder = self._context.work_dir / "trial-suite"
        before = self._run_before(copy.tests)
        now = run_suite(self._context.application, copy.path, folder / "now", "taskiq", copy.tests)
        # What the same tests do on Celery after the migration is another check, and takes as long again.
        removed = sorted(set(self._tree) - set(copy.tree))
        runs = {BEFORE: before, CELERY: before, TASKIQ: now}
        proof = Proof(findings=[], counts={}, runs=runs, removed=removed)
        return {
            "same_tests": same_tests(proof),
            "nothing_skipped": nothing_skipped(proof),
            "green_on_taskiq": green(proof, TASKIQ),
            "runs_where_routed": runs_where_routed(proof),
            "same_coverage": same_coverage(proof),
        }

    @cached_property
    def _tree(self) -> Tree:
        return Workspace(self._context.run_dir, self._context.application).tree(BASELINE)

    def _run_before(self, tests: tuple[str, ...]) -> SuiteRun:
        if tests not in self._before:
            application, folder = self._context.application, self._context.work_dir / "trial-suite"
            root = write_tree(self._tree, folder / "before")
            self._before[tests] = run_suite(application, root, folder / "run-before", None, tests)
        return self._before[tests]
