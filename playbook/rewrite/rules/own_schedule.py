"""The schedule is the application's own: no beat shares it any more."""

from __future__ import annotations

from dataclasses import dataclass

from playbook.rewrite.rule import Outcome, parse
from playbook.rewrite.unused import without_unused


@dataclass(frozen=True)
class OwnSchedule:
    """`from app.worker import schedule_routes` goes from the schedule's module.

    With it the scheduler shared its slots with beat, as the routes said.

    Attributes:
        worker: the package of the worker modules.
    """

    worker: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the module of the schedule."""
        parse(source)
        return Outcome(without_unused(source, source, [f"{self.worker}.schedule_routes"]))
