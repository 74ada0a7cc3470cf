"""Random canvases, in the notation of case files.

A leaf notes its name when it runs, and returns [its name, [what it got]]. So the result of a canvas shows
where all data went, and the notes show what ran, how often, and in which order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from playbook.oracle.cases import Case
from playbook.oracle.notation import Node, kind_of, walk
from playbook.oracle.structures import build
from playbook.oracle.system import TaskSide
from playbook.scaffold.worker.canvas import Chain, Chord, Group, Signature, chain, chord, group

DEPTH, TASKS, WIDTH = 4, 40, 4
CHAINS = ("chain", "pipe")

Draw = Callable[[st.SearchStrategy[Any]], Any]


@st.composite
def canvases(draw: Draw) -> Node:
    """A chain, group or chord of up to 40 tasks (callbacks come on top), nested up to four levels deep."""
    return named(_compound(draw, DEPTH, TASKS, ""))


def named(canvas: Node) -> Node:
    """Give each task of a canvas a name of its own, in place."""
    numbers = count()
    for node in walk(canvas):
        if kind_of(node) == "task":
            node["kwargs"] = {"name": f"t{next(numbers)}"}
    return canvas


def drawn(number: int, drawing: int = 1) -> list[Node]:
    """Return canvases, all different, and the same for the same arguments.

    Parameters:
        number: how many.
        drawing: number of the drawing.
    """
    found: dict[str, Node] = {}

    @seed(drawing)
    @settings(
        max_examples=2 * number,  # Hypothesis repeats some.
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(canvases())
    def collect(canvas: Node) -> None:
        found[json.dumps(canvas)] = canvas

    collect()
    return list(found.values())[:number]


def built(canvas: Node) -> Signature:
    """Return a canvas as a signature of the runtime."""
    return cast(Signature, build(cast(TaskSide, Signatures), "", canvas))


class Signatures:
    """As much of the runtime as is needed to build canvases."""

    chain, group, chord = staticmethod(chain), group, chord

    @staticmethod
    def task(name: str) -> Any:
        def signature(args: tuple[Any, ...], kwargs: dict[str, Any], immutable: bool) -> Signature:
            return Signature(name, args, kwargs, immutable=immutable)

        return SimpleNamespace(signature=signature)


def runs_astray(canvas: Signature) -> bool:
    """Tell whether Celery does not wait in it where it should.

    What stands after a chord whose body is a group, and is not folded into it, Celery starts after each
    member of the body, with its result: `chord([a], group(b, c)) | chain(d, e)` runs `d` and `e` twice.
    """
    parts = list(getattr(canvas, "tasks", []))
    if isinstance(canvas, Chain) and any(isinstance(p, Chord) and _ends_in_group(p.body) for p in parts[:-1]):
        return True
    return any(
        map(runs_astray, [*parts, *([canvas.body] if isinstance(canvas, Chord) and canvas.body else [])])
    )


def _ends_in_group(canvas: Signature | None) -> bool:
    if isinstance(canvas, Chord):
        return _ends_in_group(canvas.body)
    if isinstance(canvas, Chain):
        return _ends_in_group(canvas.tasks[-1])
    return isinstance(canvas, Group)


def case(canvas: Node) -> Case:
    """Return a canvas as the oracle runs it."""
    return Case(id="", structure=canvas, call={}, expect={}, oracle={}, raw={})


def _any(draw: Draw, depth: int, room: int, inside: str) -> Node:
    if depth == 0 or room < 3 or draw(st.booleans()):
        return _task(draw)
    return _compound(draw, depth, room, inside)


def _compound(draw: Draw, depth: int, room: int, inside: str) -> Node:
    kinds = ["chain", "pipe", "group", "chord"]
    if inside in ("group", "header"):
        # Celery takes the members of a group in a group as its own, in a header in reverse order.
        kinds.remove("group")
    kind = draw(st.sampled_from(kinds))
    width = draw(st.integers(2 if kind in CHAINS else 1, min(WIDTH, room - 1)))

    def part(place: str) -> Node:
        if kind == "group" and width == 1:
            # A group of one that ends in a group gives the inner list, or not, depending on where it stands.
            return _task(draw)
        return _any(draw, depth - 1, (room - 1) // width, place)

    parts = [part("header" if kind == "chord" else kind) for _ in range(width)]
    if kind == "chord":
        body = _any(draw, depth - 1, room - sum(map(size, parts)), "body")
        node: Node = {"chord": {"header": parts, "body": body}}
    else:
        node = {kind: parts}
    if _takes_callbacks(node, inside):
        _hang_on(draw, node, errback=not _has_inner_chord(node))
    return node


def size(canvas: Node) -> int:
    """Return the number of tasks in a canvas, callbacks included."""
    return sum(kind_of(node) == "task" for node in walk(canvas))


def _takes_callbacks(node: Node, inside: str) -> bool:
    """Tell whether it is plain what a callback on this node belongs to.

    `|` can move the callbacks of a chain, or of a chord whose body is one, on to a later step.
    """
    if "chord" in node:
        return kind_of(node["chord"]["body"]) == "task"
    return "group" not in node and inside not in (*CHAINS, "body") and kind_of(_steps(node)[-1]) == "task"


def _has_inner_chord(node: Node) -> bool:
    """Tell whether a chord may stand inside: Celery calls the errbacks of the whole for that, too."""
    return any("chord" in other or "group" in other for other in walk(node) if other is not node)


def _steps(node: Node) -> list[Node]:
    return cast(list[Node], node["chain"] if "chain" in node else node["pipe"])


def _task(draw: Draw) -> Node:
    outcome = draw(st.integers(0, 11))
    node: Node = {"task": {10: "mark_retry", 11: "mark_fail"}.get(outcome, "mark")}
    if _one_in(4, draw):
        node["immutable"] = True
    _hang_on(draw, node)
    return node


def _hang_on(draw: Draw, node: Node, errback: bool = True) -> None:
    if _one_in(8, draw):
        node["link"] = [{"task": "mark", "immutable": draw(st.booleans())}]
    if errback and _one_in(8, draw):
        node["link_error"] = [{"task": "mark_error"}]


def _one_in(number: int, draw: Draw) -> bool:
    return bool(draw(st.integers(1, number)) == number)
