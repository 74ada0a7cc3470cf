"""Which tasks of a canvas run in parallel, and so promise no order."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any


def parallel_tasks(structure: dict[str, Any]) -> frozenset[frozenset[str]]:
    """Return the pairs of task names that stand in different branches of a group or of a chord's header.

    `structure` is a canvas as `playbook inventory --json` prints it: nested `{"chain": [..]}`, `{"group":
    [..]}`, `{"chord": {"header": .., "body": ..}}` and `{"task": name}`. Unknown parts are passed over. The
    result is meant for `Policy.unordered`.
    """
    pairs: set[frozenset[str]] = set()
    for node in _nodes(structure):
        header = node["chord"].get("header", []) if "chord" in node else node.get("group", [])
        branches = header.get("group", [header]) if isinstance(header, dict) else header
        for one, other in combinations([_tasks(branch) for branch in branches], 2):
            pairs |= {frozenset(pair) for pair in product(one, other) if pair[0] != pair[1]}
    return frozenset(pairs)


def _tasks(structure: Any) -> set[str]:
    return {str(node["task"]) for node in _nodes(structure) if "task" in node}


def _nodes(structure: Any) -> list[dict[str, Any]]:
    """Return every dictionary of a nested structure."""
    if isinstance(structure, list):
        return [node for item in structure for node in _nodes(item)]
    if not isinstance(structure, dict):
        return []
    return [structure, *(node for item in structure.values() for node in _nodes(item))]
