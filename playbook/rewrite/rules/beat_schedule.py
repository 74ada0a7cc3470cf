"""The schedule of Celery's beat becomes a module of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from playbook.rewrite.rule import Outcome
from playbook.rewrite.schedule_module import write_module


@dataclass(frozen=True)
class BeatSchedule:
    """Out of the file that gives beat its schedule comes the `beat_schedule` module for TaskIQ's scheduler.

    What comes out is a new file; the one that it is made from stays byte for byte as it was. Conditions and
    loops around entries are kept, as are the names that entries use. `add_periodic_task` becomes an entry.

    Attributes:
        worker: the package that holds the worker modules.
        tasks: registered names of tasks, by entry or by the line where the entry stands, for entries that do
        not give it as text.
        shared: whether the module says that its slots are shared with beat (dual mode).
        module: the dotted name of the file, from which its relative imports count.
        twinless: registered names of tasks that TaskIQ cannot run.
    """

    worker: str
    tasks: Mapping[str, str] = field(default_factory=dict)
    shared: bool = True
    module: str = ""
    twinless: Sequence[str] = ()

    def apply(self, source: str) -> Outcome:
        """Return the module for the schedule in a file; the file itself if there is none to move."""
        module, refusals = write_module(
            source, self.worker, self.tasks, self.shared, self.module, self.twinless
        )
        return Outcome(source if module is None else module, tuple(refusals))
