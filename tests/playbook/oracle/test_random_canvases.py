"""Random canvases do the same on Celery and on the runtime: result or error, what runs, in which order."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from playbook.oracle.lab import System, run_cases
from playbook.oracle.notation import Node, walk
from playbook.oracle.observing import Observation
from tests.playbook.oracle.expectations import Expected, expected
from tests.playbook.oracle.random_canvases import built, case, drawn, runs_astray

pytestmark = pytest.mark.integration

AT_ONCE = 50
"""How many run at the same time: a run has a time limit."""

TRIES = 3
"""How often Celery is asked. Its pool of threads shares a flag that makes headers fail at random
("Never call result.get() within a task"), if members of theirs are lists."""


def test_random_canvases() -> None:
    check(50, drawing=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_random_canvases() -> None:
    check(500, drawing=2)


def check(number: int, drawing: int) -> None:
    canvases = drawn(number, drawing)
    assert len(canvases) == number
    ours = list(zip(canvases, run(canvases, "taskiq"), strict=True))
    wrong = [(json.dumps(canvas), how) for canvas, seen in ours if (how := list(differences(canvas, seen)))]
    assert not wrong
    left = [(canvas, seen) for canvas, seen in ours if not runs_astray(built(canvas))]
    assert len(left) > 0.9 * number
    for _ in range(TRIES):
        theirs = run([canvas for canvas, _ in left], "celery")
        found = [
            (canvas, our, list(celery_differences(canvas, our, their)))
            for (canvas, our), their in zip(left, theirs, strict=True)
        ]
        left = [(canvas, our) for canvas, our, how in found if how]
        wrong = [(json.dumps(canvas), how) for canvas, _, how in found if how]
    assert not wrong


def run(canvases: list[Node], system: System) -> list[Observation]:
    cases = [case(canvas) for canvas in canvases]
    return [
        seen
        for start in range(0, len(cases), AT_ONCE)
        for seen in run_cases(cases[start : start + AT_ONCE], system)
    ]


def differences(canvas: Node, seen: Observation) -> Iterator[str]:
    """Yield how the runtime did something else than it must."""
    must = expected(canvas)
    if not ends_right(seen, must):
        yield f"ended with {seen.ending}, not with {sorted(must.failed) or must.result}"
    yield from run_differences(seen, must, but=must.unsure)


def celery_differences(canvas: Node, ours: Observation, theirs: Observation) -> Iterator[str]:
    """Yield how Celery did something else than it must, and the runtime does."""
    must = expected(canvas)
    # Celery leaves much pending for ever after an error, as what waits for a chord in a header.
    pending = bool(must.failed) and "timeout" in theirs.ending
    if not pending and not ends_right(theirs, must):
        yield f"Celery ended with {theirs.ending}, not with {sorted(must.failed) or must.result}"
    errbacks = {node["kwargs"]["name"] for node in walk(canvas) if node.get("task") == "mark_error"}
    # And it does not tell a body that a chord inside its header failed; then nobody calls its errbacks.
    untold = pending or must.nested
    yield from run_differences(theirs, must, but=errbacks if untold else must.unsure)
    for errback in set() if untold else must.unsure:
        counts = [seen.lists.get("marks", []).count(errback) for seen in (theirs, ours)]
        if counts[0] != counts[1]:
            yield f"Celery called {errback} {counts[0]} times, the runtime {counts[1]} times"


def run_differences(seen: Observation, must: Expected, but: set[str]) -> Iterator[str]:
    """Yield what ran too often, too rarely, or too early; the runs of some are not compared."""
    noted: list[str] = seen.lists.get("marks", [])
    runs, wanted = (
        Counter({n: c for n, c in all.items() if n not in but}) for all in (Counter(noted), must.runs)
    )
    if runs != wanted:
        yield f"ran {dict(runs - wanted)} too often, {dict(wanted - runs)} too rarely"
    first = {name: noted.index(name) for name in noted}
    last = {name: position for position, name in enumerate(noted)}
    for before, after in must.order:
        if before in last and after in first and last[before] > first[after]:
            yield f"{after} ran before {before}"


def ends_right(seen: Observation, must: Expected) -> bool:
    if not must.failed:
        return seen.ending == {"result": must.result}
    # Of several errors that of any task may come first.
    named = set(re.findall(r"'(t\d+)'", str(seen.ending.get("message"))))
    return "error" in seen.ending and bool(named & must.failed)
