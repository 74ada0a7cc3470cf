"""Where plants are tried: all trials of one workspace, and what has been set up for them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from types import TracebackType
from typing import Self

from playbook.checks.trials.beats import BeatTrials
from playbook.checks.trials.copies import Copy, Trial, write_copy
from playbook.checks.trials.live import LiveTrials
from playbook.checks.trials.still import StillTrials
from playbook.checks.trials.suites import SuiteTrials
from playbook.checks.trials.whole import WholeTrials
from playbook.contracts import CheckContext, CheckResult
from playbook.phases import PHASES
from playbook.plants import Plant, planted
from playbook.tree import Tree
from playbook.workspace import Workspace


@cache
def titles() -> dict[str, str]:
    """Titles of all checks by name."""
    return {check.name: check.title for phase in PHASES for check in phase.checks}


LAST = "05_validation"
"""The last phase after which both systems are there."""


class Bench:
    """Tries plants, one after the other. A context manager.

    Each plant gets a copy of its own of what the last of the applied phases has made, as long as both systems
    were there. Copies are below `work_dir`; the workspace is only read.

    Parameters:
        context: of the phase at work.
    """

    def __init__(self, context: CheckContext) -> None:
        workspace = Workspace(context.run_dir, context.application)
        self._originals = context.workspace
        self._folder = context.work_dir / "copies"
        self._tree: Tree = workspace.after([name for name in workspace.applied() if name <= LAST][-1])
        context = replace(context, workspace=self._folder / "original")
        write_copy(self._tree, context.workspace, self._originals)
        self._live = LiveTrials(context)
        self._trials: dict[str, Trial] = {
            **StillTrials(context).trials,
            **self._live.trials,
            **SuiteTrials(context).trials,
            **BeatTrials(context).trials,
            **WholeTrials(context).trials,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def try_plant(self, plant: Plant) -> list[CheckResult]:
        """Plant a fault, run its trial, and return what the checks say.

        Raises:
            PlantError: it cannot be planted.
            PlaybookError, LabError: the trial could not be made.
        """
        return self._try(plant, planted(self._tree, [plant]))

    def try_unchanged(self, plant: Plant) -> list[CheckResult]:
        """Run the trial of a plant on a copy without it."""
        return self._try(replace(plant, name=f"unchanged-{plant.trial}"), self._tree)

    def _try(self, plant: Plant, tree: Tree) -> list[CheckResult]:
        path = self._folder / plant.name
        write_copy(tree, path, self._originals)
        copy = Copy(path, tree, plant.callers, plant.tests, plant.phase)
        try:
            found = self._trials[plant.trial](copy)
        finally:
            shutil.rmtree(path, ignore_errors=True)
        return [replace(result, name=name, title=titles()[name]) for name, result in found.items()]
