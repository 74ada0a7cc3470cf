"""A figure of the order that runs have in common: which task ended before which other started."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

from matplotlib.axes import Axes

from playbook.models import Observation
from playbook.report.style import INK, PALETTE, Chart, look, short

Edge = tuple[str, str]
Node = str | tuple[str, str, int]  # a task, or the place of an edge (from, to) on a level between

_SLACK = 0.02  # seconds; as in the comparison, the records of two processes may be off by this much
_WIDTH, _HEIGHT = 2.6, 0.72  # inches per task of a layer, and per layer


def order_graph(
    observations: Sequence[Observation], title: str = "", promised: Collection[Edge] | None = None
) -> Chart:
    """Return the tasks of a workflow as a graph, with an arrow from each task to those that waited for it.

    Args:
        observations: Runs of one scenario; an order counts if every run in which both tasks occur keeps it.
        title: Heading of the figure.
        promised: Pairs of task names; other orders are left out, on which the runs may agree by chance.
            Default: all orders count. `playbook.parity.promised_order` reads them from canvases.

    Orders that follow from others are left out. Tasks on one level may run at the same time.
    """
    events = (event for each in observations for event in sorted(each.trace, key=lambda event: event.at))
    tasks = list(dict.fromkeys(event.task for event in events))
    edges = {edge for edge in happens_before(observations) if promised is None or edge in promised}
    ways = _ways(_reduced(edges), _depths(tasks, edges))
    places = _places(ways, _depths(tasks, edges))
    widest = max((2 * abs(column) + 1 for column, _ in places.values()), default=1.0)
    levels = 1 - min((level for _, level in places.values()), default=0.0)
    with look():
        chart = Chart(max(4.0, _WIDTH * widest), _HEIGHT * levels + 0.4)
        axis = chart.subplots()
        axis.set_xlim(-widest / 2, widest / 2)
        axis.set_ylim(0.5 - levels, 0.5)
        axis.set_axis_off()
        axis.set_title(title)
        _draw(axis, places, ways)
    return chart


def happens_before(observations: Sequence[Observation]) -> set[Edge]:
    """Return the pairs of tasks of which the first ended before the second started, in all runs with both."""
    spans = [_spans(observation) for observation in observations]
    tasks = sorted({task for each in spans for task in each})
    return {
        (one, other)
        for one in tasks
        for other in tasks
        if one != other
        and (both := [each for each in spans if one in each and other in each])
        and all(each[one][1] <= each[other][0] + _SLACK and each[one][0] < each[other][0] for each in both)
    }


def _spans(observation: Observation) -> Mapping[str, tuple[float, float]]:
    """Return when each task first started and last ended."""
    found: dict[str, tuple[float, float]] = {}
    for event in observation.trace:
        start, end = found.get(event.task, (event.at, event.at))
        found[event.task] = min(start, event.at), max(end, event.at)
    return found


def _depths(tasks: Sequence[str], edges: set[Edge]) -> dict[str, int]:
    """Return for each task the length of the longest way to it."""
    depths = dict.fromkeys(tasks, 0)
    for _ in tasks:
        for one, other in edges:
            depths[other] = max(depths[other], depths[one] + 1)
    return depths


def _reduced(edges: set[Edge]) -> list[Edge]:
    """Return the edges without those that follow from two others."""
    implied = {(a, d) for a, b in edges for c, d in edges if b == c}
    return sorted(edges - implied)


def _ways(edges: Sequence[Edge], depths: Mapping[str, int]) -> list[list[Node]]:
    """Return for each edge the nodes that it passes: an edge over several levels keeps a place on each."""
    return [
        [one, *((one, other, depth) for depth in range(depths[one] + 1, depths[other])), other]
        for one, other in edges
    ]


def _places(ways: Sequence[Sequence[Node]], depths: Mapping[str, int]) -> dict[Node, tuple[float, float]]:
    """Return column and level of each node; on a level they stand in the order of what they come from."""
    levels: dict[int, list[Node]] = defaultdict(list)
    for task, depth in depths.items():
        levels[depth].append(task)
    for way in ways:
        for step, node in enumerate(way[1:-1], start=1):
            levels[depths[str(way[0])] + step].append(node)
    places: dict[Node, tuple[float, float]] = {}
    for depth in sorted(levels):
        sources = {
            node: [places[one][0] for way in ways for one, other in pairwise(way) if other == node]
            for node in levels[depth]
        }
        ordered = sorted(levels[depth], key=lambda node: sum(sources[node]) / max(1, len(sources[node])))
        for column, node in enumerate(ordered):
            places[node] = (column - (len(ordered) - 1) / 2, -float(depth))
    return places


def _draw(axis: Axes, places: Mapping[Node, tuple[float, float]], ways: Sequence[Sequence[Node]]) -> None:
    boxes = {
        node: axis.text(
            *place,
            short(node),
            ha="center",
            va="center",
            fontsize=8,
            bbox={"boxstyle": "round,pad=0.5", "facecolor": "#EAF2F8", "edgecolor": PALETTE[0]},
            zorder=2,
        ).get_bbox_patch()
        for node, place in places.items()
        if isinstance(node, str)
    }
    for way in ways:
        for one, other in pairwise(way):
            arrow = {
                "arrowstyle": "-|>" if other == way[-1] else "-",
                "color": INK,
                "linewidth": 1.0,
                "patchA": boxes.get(one) if isinstance(one, str) else None,
                "patchB": boxes.get(other) if isinstance(other, str) else None,
                "shrinkA": 0,
                "shrinkB": 0,
            }
            axis.annotate("", xy=places[other], xytext=places[one], arrowprops=arrow, zorder=1)
