"""The trial in which all checks of a phase look at a copy: for the phases that are looked at as a whole."""

from __future__ import annotations

from dataclasses import replace

from playbook.checks.trials.copies import Copy, Results, Trial
from playbook.contracts import CheckContext
from playbook.phases import find_phase


class WholeTrials:
    """The trials that are a whole phase."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self.trials: dict[str, Trial] = {"whole": self.whole}

    def whole(self, copy: Copy) -> Results:
        """Every check of the phase of the plant."""
        work_dir = self._context.work_dir / f"whole-{copy.path.name}"
        work_dir.mkdir(parents=True, exist_ok=True)
        context = replace(self._context, workspace=copy.path, work_dir=work_dir)
        return {check.name: check(context) for check in find_phase(copy.phase).checks}
