"""Plans of random canvases are complete: all is reached, joins have their parts, order is as it must be."""

from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given, settings

from playbook.oracle.notation import Node, kind_of, walk
from playbook.scaffold.worker.canvas import Signature
from playbook.scaffold.worker.plans import ERRBACK, PART, Edge, Plan
from tests.playbook.oracle.expectations import expected
from tests.playbook.oracle.random_canvases import built, canvases


def name_of(call: Signature) -> str:
    return str(call.kwargs["name"])


@settings(max_examples=80, deadline=None)
@given(canvases())
def test_all_is_reached_on_one_way_only(canvas: Node) -> None:
    plan = Plan.of(built(canvas))
    reached: Counter[int] = Counter()
    waiting = list(plan.entries)
    while waiting:
        kind, k, *_ = waiting.pop()
        if kind not in (PART, ERRBACK):
            reached[k] += 1
            waiting += [*(plan.nodes[k].entries or []), *plan.nodes[k].next, *plan.nodes[k].errbacks]
    assert reached == Counter(range(len(plan.nodes)))
    calls = [*(node.call for node in plan.nodes if node.call is not None), *plan.errbacks]
    tasks = [str(node["kwargs"]["name"]) for node in walk(canvas) if kind_of(node) == "task"]
    assert sorted(map(name_of, calls)) == sorted(tasks)
    assert [node.id for node in plan.nodes].count(plan.final) == 1


@settings(max_examples=80, deadline=None)
@given(canvases())
def test_a_join_has_each_part_once(canvas: Node) -> None:
    plan = Plan.of(built(canvas))
    parts: defaultdict[int, list[int]] = defaultdict(list)
    for node in plan.nodes:
        for kind, k, *rest in node.next:
            if kind == PART:
                parts[k] += rest
    joins = {k: node.entries for k, node in enumerate(plan.nodes) if node.entries is not None}
    assert {k: sorted(numbers) for k, numbers in parts.items()} == {
        k: list(range(len(entries))) for k, entries in joins.items()
    }


@settings(max_examples=80, deadline=None)
@given(canvases())
def test_what_must_come_later_follows(canvas: Node) -> None:
    plan = Plan.of(built(canvas))
    places = {name_of(node.call): k for k, node in enumerate(plan.nodes) if node.call is not None}
    behind = {name: starts(plan, plan.nodes[place].next) for name, place in places.items()}
    for before, after in expected(canvas).order:
        assert places[after] in behind[before]


def starts(plan: Plan, edges: list[Edge]) -> set[int]:
    """Return the nodes that cannot start before a result has gone along these edges."""
    found: set[int] = set()
    for kind, k, *_ in edges:
        node = plan.nodes[k]
        found |= {k} | starts(plan, node.next)
        if kind != PART:
            found |= starts(plan, node.entries or [])
    return found
