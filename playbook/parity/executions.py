"""A trace of starts and ends -> executions of tasks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from playbook.models import TaskEvent


@dataclass(frozen=True)
class Retry:
    """One retry: the attempt it follows, the delay planned and the time until the next start, in seconds."""

    attempt: int
    planned: float | None
    waited: float | None


@dataclass(frozen=True)
class Execution:
    """All attempts of one task id, in the order of their events."""

    task: str
    id: str
    events: tuple[TaskEvent, ...]

    @cached_property
    def start(self) -> float:
        """Unix time of the first event."""
        return self.events[0].at

    @cached_property
    def end(self) -> float:
        """Unix time of the last event."""
        return self.events[-1].at

    def content(self) -> list[dict[str, Any]]:
        """Return what must be equal: each start with its arguments, each end with its outcome."""
        return [
            {"start": event.attempt, "args": event.args, "kwargs": event.kwargs}
            if event.kind == "start"
            else {"end": event.attempt, "outcome": event.outcome, "error": event.error}
            for event in self.events
        ]

    def retries(self) -> list[Retry]:
        """Return the planned retries with the time that really passed before the next start."""
        found = []
        for place, event in enumerate(self.events):
            if event.outcome == "retry":
                following = (later.at for later in self.events[place + 1 :] if later.kind == "start")
                start = next(following, None)
                waited = None if start is None else start - event.at
                found.append(Retry(event.attempt, event.delay, waited))
        return found


def executions(trace: Sequence[TaskEvent]) -> list[Execution]:
    """Return the executions of a trace, ordered by their first event."""
    by_id: dict[tuple[str, str], list[TaskEvent]] = defaultdict(list)
    for event in trace:
        by_id[event.task, event.id].append(event)
    found = [
        Execution(task, id_, tuple(sorted(events, key=lambda event: event.at)))
        for (task, id_), events in by_id.items()
    ]
    return sorted(found, key=lambda execution: execution.start)
