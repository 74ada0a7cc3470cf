"""Compare the delays before retries: what was planned, and what was really waited."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from playbook.parity.executions import Execution, Retry
from playbook.parity.models import Finding, Noise, Policy

_EARLY = 0.05  # seconds; clocks and the rounding of a delay may let a retry start this much early

Retries = dict[tuple[str, int], list[Retry]]  # by task name and attempt


def collect(executions: Iterable[Execution]) -> Retries:
    """Return the retries of a run by task name and attempt."""
    found: Retries = defaultdict(list)
    for execution in executions:
        for retry in execution.retries():
            found[execution.task, retry.attempt].append(retry)
    return found


def findings(controls: Sequence[Retries], new: Retries, policy: Policy) -> list[Finding]:
    """Return the retries of the new system that are planned or come at another time than the old system's.

    A planned delay must lie within the task's back-off, or else within what the controls planned, widened by
    `delay_tolerance`. The next attempt must come no earlier than planned, and no later than the controls
    were late plus `lateness`. How often a task is retried is compared with its events.
    """
    found = []
    for (task, attempt), retries in sorted(new.items()):
        old = [retry for control in controls for retry in control.get((task, attempt), [])]
        if not old:
            continue
        where, bounds = f"trace.{task}.delay[{attempt}]", _planned_bounds(task, attempt, old, policy)
        late = max(
            [0.0, *(retry.waited - (retry.planned or 0.0) for retry in old if retry.waited is not None)]
        )
        for retry in retries:
            found += _planned(where, bounds, retry)
            found += _waited(where, retry, bounds, late + policy.lateness)
    return found


def noise(controls: Sequence[Retries]) -> list[Noise]:
    """Return the planned delays on which the controls differ."""
    found = []
    for task, attempt in sorted({key for control in controls for key in control}):
        planned = [retry.planned for control in controls for retry in control.get((task, attempt), [])]
        if len(set(planned)) > 1:
            found.append(Noise(kind="delay", where=f"trace.{task}.delay[{attempt}]", values=planned))
    return found


def _planned_bounds(
    task: str, attempt: int, old: Sequence[Retry], policy: Policy
) -> tuple[float, float] | None:
    if task in policy.backoff:
        return policy.backoff[task].bounds(attempt)
    planned = [retry.planned for retry in old if retry.planned is not None]
    if not planned:
        return None
    tolerance = policy.delay_tolerance
    return min(planned) * (1 - tolerance), max(planned) * (1 + tolerance)


def _planned(where: str, bounds: tuple[float, float] | None, retry: Retry) -> list[Finding]:
    if bounds is None and retry.planned is None:
        return []
    if bounds is not None and retry.planned is not None and bounds[0] <= retry.planned <= bounds[1]:
        return []
    expected = "no delay" if bounds is None else f"{bounds[0]:g} to {bounds[1]:g} s"
    text = (
        f"The retry after attempt {retry.attempt} is planned {retry.planned} s later, instead of {expected}."
    )
    return [Finding(kind="delay", where=where, expected=expected, got=retry.planned, explanation=text)]


def _waited(where: str, retry: Retry, bounds: tuple[float, float] | None, late: float) -> list[Finding]:
    if retry.waited is None:
        return []
    planned = retry.planned if retry.planned is not None else (bounds[0] if bounds else 0.0)
    low, high = planned - _EARLY, planned + max(late, planned * 0.1)
    if low <= retry.waited <= high:
        return []
    side = "too early" if retry.waited < low else "too late"
    text = (
        f"The retry after attempt {retry.attempt} came {retry.waited:.2f} s later, {side} for {planned:g} s."
    )
    return [
        Finding(
            kind="delay",
            where=where,
            expected=f"{low:.2f} to {high:.2f} s",
            got=retry.waited,
            explanation=text,
        )
    ]
