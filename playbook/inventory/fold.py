"""How Celery folds canvases: `|` and the constructors, on the JSON structures of the inventory.

Reproduces celery/canvas.py of Celery 5.7: `__or__` of signature, chain, group and chord, `_fold_chain`,
`_maybe_group` and `maybe_unroll_group`. A chain that stands in a chain gives its steps, as it does when
Celery runs it. A property test compares all this with Celery itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from playbook.inventory.models import Structure

RUNTIME_SIZED = frozenset({"each", "unknown"})
"""Members that stand for any number of signatures."""


def kind(structure: Structure) -> str:
    """Return the structure's kind: task, chain, group, chord, map, starmap, chunks, each or unknown."""
    return next(iter(structure))


def chain(steps: Iterable[Structure]) -> Structure:
    """`chain(a, b, ...)` with several steps, or with one list of steps: the same as `a | b | ...`."""
    result: Structure = {"chain": []}
    for step in steps:
        result = pipe(result, step)
    return result


def single_chain(step: Structure) -> Structure:
    """`chain(a)` with one signature."""
    return step if kind(step) == "chain" else {"chain": [step]}


def group(members: Sequence[Structure]) -> Structure:
    """`group(...)`: a single group is taken over, not nested."""
    if len(members) == 1 and kind(members[0]) == "group":
        return members[0]
    return {"group": list(members)}


def chord(header: Structure | Sequence[Structure], body: Structure | None) -> Structure:
    """`chord(header, body)`: a group or a chain as header gives its members."""
    if not isinstance(header, dict):
        members = list(header)
    elif kind(header) in ("group", "chain"):
        members = header[kind(header)]
    else:
        members = [header]
    return {"chord": {"header": list(members), "body": body}}


def pipe(left: Structure, right: Structure) -> Structure:
    """`left | right`."""
    match kind(left):
        case "chain":
            return _chain_pipe(left["chain"], right)
        case "group":
            return left if right == {"group": []} else chord(left, right)
        case "chord" if kind(right) not in ("group", "chain") or _single_group(right):
            return _extend_body(left, _unroll(right))
        case _:
            return _task_pipe(left, right)


def _task_pipe(left: Structure, right: Structure) -> Structure:
    right = _unroll(right)
    return {"chain": [left, *(right["chain"] if kind(right) == "chain" else [right])]}


def _chain_pipe(steps: list[Structure], right: Structure) -> Structure:
    right = _unroll(right)
    last = steps[-1] if steps else None
    match kind(right):
        case "group" if not right["group"]:
            return {"chain": steps}
        case "group" if last is None:
            return right
        case "group" if last is not None and kind(last) == "chord":
            return {"chain": [*steps[:-1], _extend_body(last, right)]}
        case "group":
            return {"chain": [*steps, right]}
        case "chain":
            result: Structure = {"chain": steps}
            for step in right["chain"]:
                result = pipe(result, step)
            return result
        case _ if last is not None and kind(last) == "group":
            return {"chain": _join_chords([*steps[:-1], chord(last, right)])}
        case other if last is not None and kind(last) == "chord" and other not in ("chord", "group"):
            return {"chain": [*steps[:-1], _extend_body(last, right)]}
        case _:
            return {"chain": [*steps, right]}


def _join_chords(steps: list[Structure]) -> list[Structure]:
    """Two chords in a row become one, whose body goes on to the second."""
    if len(steps) > 1 and kind(steps[-2]) == "chord":
        return [*steps[:-2], _extend_body(steps[-2], steps[-1])]
    return steps


def _extend_body(structure: Structure, following: Structure) -> Structure:
    header, body = structure["chord"]["header"], structure["chord"]["body"]
    return {"chord": {"header": header, "body": following if body is None else pipe(body, following)}}


def _single_group(structure: Structure) -> bool:
    members = structure.get("group", ())
    return len(members) == 1 and kind(members[0]) not in RUNTIME_SIZED


def _unroll(structure: Structure) -> Structure:
    """A group of one is its member."""
    unrolled: Structure = structure["group"][0] if _single_group(structure) else structure
    return unrolled
