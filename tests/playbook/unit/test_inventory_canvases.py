"""The static structure of a canvas is the structure of the canvas that Celery builds from the same source."""

from __future__ import annotations

import functools
import operator
import textwrap
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from hypothesis import example, given, settings
from hypothesis import strategies as st

from playbook.inventory import inventory

app = Celery("oracle", broker="memory://", set_as_current=False)


def nothing(*args: Any) -> None:
    """The body of every task here: the canvases are built, never run."""


TASKS = {name: app.task(nothing, name=name) for name in "abcd"}

PREAMBLE = """
from celery import Celery, chain, chord, group, signature
app = Celery("oracle")
"""
DEFINITIONS = "".join(f'\n@app.task(name="{name}")\ndef {name}(*args):\n    ...\n' for name in TASKS)


def static(tmp_path: Path, body: str) -> list[tuple[int, Any]]:
    """Line (counted in `body`) and structure of each canvas that the inventory finds in `body`."""
    text = PREAMBLE + DEFINITIONS + textwrap.dedent(body)
    offset = (PREAMBLE + DEFINITIONS).count("\n")
    (tmp_path / "flow.py").write_text(text)
    return [(entry.line - offset, entry.structure) for entry in inventory(tmp_path).canvases]


def structure(signature: Any) -> Any:
    """The inventory's JSON for a real signature; a chain in a chain is spliced, as Celery does to run it."""
    if isinstance(signature, chord):
        body = None if signature.body is None else structure(signature.body)
        return {"chord": {"header": [structure(member) for member in signature.tasks], "body": body}}
    if isinstance(signature, group):
        return {"group": [structure(member) for member in signature.tasks]}
    if signature["task"] == "celery.chain":
        if any(step["task"] == "celery.chain" for step in signature.tasks):
            return structure(functools.reduce(operator.or_, signature.tasks))
        return {"chain": [structure(step) for step in signature.tasks]}
    return {"task": signature["task"], "immutable": signature.immutable}


def task(name: str, *, immutable: bool = False) -> dict[str, Any]:
    return {"task": name, "immutable": immutable}


A, B, C, D = (task(name) for name in "abcd")


FORMS = (
    "({0} | {1})",
    "chain({0}, {1})",
    "chain([{0}])",
    "chain({0}, {1}, {2})",
    "group({0})",
    "group({0}, {1})",
    "group([{0}, {1}, {2}])",
    "chord([{0}, {1}], {2})",
    "chord({0}, {1})",
    "chord(group({0}, {1}), {2})",
)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    """The source of a canvas of up to three levels."""
    parts = []
    for _ in range(3):
        if depth > 1 and draw(st.booleans()):
            parts.append(draw(expressions(depth - 1)))
        else:
            parts.append(draw(st.sampled_from("abcd")) + draw(st.sampled_from([".s()", ".si()"])))
    return draw(st.sampled_from(FORMS)).format(*parts)


@settings(max_examples=120, deadline=None)
@given(source=expressions())
@example(source="chain(a.s(), a.s(), group(a.s(), a.s())) | group(a.s(), a.s())")
def test_any_expression_folds_as_celery_folds_it(
    source: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    real = eval(source, {"chain": chain, "chord": chord, "group": group, **TASKS})
    found = static(tmp_path_factory.mktemp("app"), f"flow = {source}\n")
    assert found == [(1, structure(real))]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "chord(group(a.s(), b.s()), c.s()) | d.s()",
            [(1, {"chord": {"header": [A, B], "body": {"chain": [C, D]}}})],
        ),
        ("group(a.s(), b.s()) | c.s()", [(1, {"chord": {"header": [A, B], "body": C}})]),
        ("chord([a.s(), b.s()])(c.s())", [(1, {"chord": {"header": [A, B], "body": C}})]),
        ("chord(header=[a.s()], body=c.s())", [(1, {"chord": {"header": [A], "body": C}})]),
        ("(\n    a.s()\n    | b.s()\n).delay()", [(2, {"chain": [A, B]})]),
        ("w = a.s()\nw |= b.s()\nw = w | c.s()\nw.delay()", [(3, {"chain": [A, B, C]})]),
        ("first = a.s() | b.s()\nsecond = c.s()\n(first | second)()", [(3, {"chain": [A, B, C]})]),
        (
            "part = a.s() | b.s()\npart.delay()\nwhole = part | c.s()",
            [(1, {"chain": [A, B]}), (3, {"chain": [A, B, C]})],
        ),
        (
            "def make(xs):\n    return group(a.s(x) for x in xs)",
            [(2, {"group": [{"each": A, "over": "x in xs"}]})],
        ),
        (
            "steps = [a.s()]\nfor x in xs:\n    steps.append(b.s(x))\nchord(steps, c.s())",
            [(4, {"chord": {"header": [A, {"each": B, "over": "x in xs"}], "body": C}})],
        ),
        ("steps = [a.s()]\nsteps += [b.s()]\nchain(*steps)", [(3, {"chain": [A, B]})]),
        ("a.map(range(3))", [(1, {"map": A})]),
        ("a.starmap(pairs)", [(1, {"starmap": A})]),
        ("a.chunks(pairs, 10)", [(1, {"chunks": A})]),
        ("a.chunks(pairs, 10).group()", [(1, {"group": [{"each": {"starmap": A}, "over": "chunks"}]})]),
        (
            'signature("x.y", immutable=True) | app.signature("z")',
            [(1, {"chain": [task("x.y", immutable=True), task("z")]})],
        ),
        ("a.s().set(immutable=True) | b.s()", [(1, {"chain": [task("a", immutable=True), B]})]),
        ("(a.s() | b.s()).on_error(c.s()).delay()", [(1, {"chain": [A, B]})]),
        (
            "def build(n):\n    return a.s(n) | b.s()\ndef go():\n    (build(1) | c.s()).delay()",
            [(4, {"chain": [A, B, C]})],
        ),
        (
            "if flag:\n    flow = a.s() | b.s()\nelse:\n    flow = a.s() | c.s()\nflow.delay()",
            [(2, {"chain": [A, B]}), (4, {"chain": [A, C]})],
        ),
        ("a.s(1)", []),
        ("left | right", []),
        ("pandas.chain(a.s(), b.s())", []),
    ],
)
def test_structure_and_line(body: str, expected: list[tuple[int, Any]], tmp_path: Path) -> None:
    assert static(tmp_path, body) == expected


@pytest.mark.parametrize(
    ("body", "structure", "part"),
    [
        ("def f(step):\n    return chain(a.s(), step)", {"chain": [A, {"unknown": "step"}]}, "step"),
        ("chain(a.s(), b.s() if x else c.s())", None, "b.s() if x else c.s()"),
        ("steps = [a.s()]\nif x:\n    steps.append(b.s())\nchain(*steps)", None, "steps.append(b.s())"),
        ("w = a.s()\nfor x in xs:\n    w = w | b.s()\nw.delay()", None, "w"),
        ("group(*members)", {"group": [{"unknown": "*members"}]}, "*members"),
    ],
)
def test_a_shape_that_only_running_can_tell_is_refused(
    body: str, structure: Any, part: str, tmp_path: Path
) -> None:
    (tmp_path / "flow.py").write_text(PREAMBLE + DEFINITIONS + textwrap.dedent(body))
    found = inventory(tmp_path)
    (canvas,) = found.canvases
    (refusal,) = found.refused
    assert structure is None or canvas.structure == structure
    assert (refusal.construct, refusal.line) == ("canvas of unknown shape", canvas.line)
    assert f"`{part}`" in refusal.reason
