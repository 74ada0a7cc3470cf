"""Trials of both schedulers at work, each situation in a lab of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from playbook.checks.schedule_lab import Ledger, ScheduleLab
from playbook.checks.schedules import downtime, each_slot_once, hand_over, replica_killed, restarts
from playbook.checks.trials.copies import Copy, Results, Trial
from playbook.contracts import CheckContext, CheckResult
from playbook.lab import LabError

SITUATIONS: dict[str, Callable[[ScheduleLab], Ledger]] = {
    "hand_over": hand_over,
    "replica_killed": replica_killed,
    "restarts": restarts,
    "downtime": downtime,
}


class BeatTrials:
    """The trials that need beat and the scheduler."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self.trials: dict[str, Trial] = {name: partial(self.situation, name=name) for name in SITUATIONS}

    def situation(self, copy: Copy, name: str) -> Results:
        """One situation."""
        context = replace(self._context, workspace=copy.path)
        with ScheduleLab(context) as lab:
            lab.tasks = {item["task"]: item["entry"] for item in lab.listing()}
            # A situation begins where the one before it in 04_scheduler ends.
            lab.route("taskiq")
            try:
                seen = SITUATIONS[name](lab)
            except LabError as error:
                # Beat refuses to start, a scheduler sends nothing, or a slot is not claimed.
                return {name: CheckResult.failed(str(error).splitlines()[0])}
        return {name: each_slot_once(seen, handed_over=name == "hand_over")}
