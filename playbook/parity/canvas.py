"""Which order a canvas promises to its tasks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, product
from typing import Any

Pair = tuple[str, str]


def promised_order(structures: Iterable[dict[str, Any]]) -> frozenset[Pair]:
    """Return the pairs (first, second) of task names of which the first ends before the second starts.

    `structures` are canvases as `playbook inventory --json` prints them: nested `{"chain": [..]}`,
    `{"group": [..]}`, `{"chord": {"header": [..], "body": ..}}`, `{"task": name}`. In a chain every step
    comes before the next, in a chord the header before the body; members of a group promise nothing. The
    result is meant for `Policy.promised`. Source: Celery's user guide, "Canvas: Designing Work-flows".
    """
    return frozenset(pair for structure in structures for pair in _pairs(structure))


def _pairs(structure: Any) -> set[Pair]:
    found: set[Pair] = set()
    if isinstance(structure, list):
        return found.union(*map(_pairs, structure))
    if not isinstance(structure, dict):
        return found
    for item in structure.values():
        found |= _pairs(item)
    steps: Sequence[Any] = structure.get("chain", [])
    if "header" in structure:
        steps = [structure["header"], structure["body"]]
    for one, other in combinations(map(_tasks, steps), 2):
        found |= {pair for pair in product(one, other) if pair[0] != pair[1]}
    return found


def _tasks(structure: Any) -> set[str]:
    """Return the names of all tasks in a structure."""
    if isinstance(structure, list):
        return set().union(*map(_tasks, structure))
    if not isinstance(structure, dict):
        return set()
    own = {str(structure["task"])} if "task" in structure else set()
    return own.union(*map(_tasks, structure.values()))
