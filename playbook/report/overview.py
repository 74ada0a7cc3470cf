"""A figure of the inventory: every task, what it uses of Celery, how risky it is and which phase moves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.patches import Patch

from playbook.report.style import FAINT, PALETTE, PAPER, Chart, look, short

_RETRIES = {"max_retries", "autoretry_for", "retry_kwargs", "default_retry_delay", "retry_backoff"}
_USES = ("canvas", "schedule", "retry", "bind", "session", "loop bridge", "call sites")


def inventory_figure(inventory: Any, plan: Any) -> Chart:
    """Return a matrix of the tasks, least risky first, and the patterns they use; beside it their risk.

    Args:
        inventory: An inventory, or its six lists as JSON.
        plan: A plan of it, or the plan as JSON: `order` gives task, score and phase.
    """
    lists, order = _json(inventory), _json(plan)["order"]
    uses = _uses(lists)
    phases = list(dict.fromkeys(sorted(risk["phase"] for risk in order)))
    colour = {phase: PALETTE[place % len(PALETTE)] for place, phase in enumerate(phases)}
    rows = range(len(order))
    with look():
        chart = Chart(9.0, 0.27 * len(order) + 1.4)
        matrix, risk = chart.subplots(1, 2, sharey=True, width_ratios=[2.2, 1])
        for row, entry in enumerate(order):
            for column, use in enumerate(_USES):
                count = uses[entry["task"]][use]
                shade = colour[entry["phase"]] if count else "none"
                matrix.scatter(column, row, s=110, marker="s", color=shade, edgecolor=FAINT, linewidth=0.8)
                if count > 1:
                    matrix.text(
                        column, row, str(count), ha="center", va="center_baseline", fontsize=7, color=PAPER
                    )
            risk.barh(row, entry["score"], color=colour[entry["phase"]], height=0.7)
        matrix.set_xticks(range(len(_USES)), _USES, rotation=35, ha="left")
        matrix.xaxis.tick_top()
        matrix.set_yticks(rows, [short(entry["task"]) for entry in order])
        matrix.set_xlim(-0.6, len(_USES) - 0.4)
        matrix.set_ylim(len(order) - 0.4, -0.6)
        matrix.tick_params(length=0)
        risk.tick_params(axis="y", length=0)
        risk.set_xlabel("risk (points)")
        risk.xaxis.grid(color=FAINT, linewidth=0.6)
        risk.set_axisbelow(True)
        for axis in (matrix, risk):
            for side in ("left", "bottom", "top", "right"):
                axis.spines[side].set_visible(False)
        patches = [Patch(color=colour[phase], label=phase) for phase in phases]
        chart.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)
    return chart


def _json(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else value.to_json()


def _uses(lists: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Counter[str]]:
    """Return for each task how often it uses each pattern."""
    found: dict[str, Counter[str]] = {}
    for task in lists["tasks"]:
        decorators = " ".join(task["decorators"])
        found[task["name"]] = Counter(
            {
                "bind": int(task["bind"]),
                "retry": int(bool(_RETRIES & task["options"].keys())),
                "session": int("session" in decorators),
                "loop bridge": int("async" in decorators),
            }
        )
    for call in lists["calls"]:
        use = "retry" if call["method"] == "retry" else "call sites"
        found.setdefault(call["task"], Counter())[use] += 1
    for schedule in lists["schedules"]:
        found.setdefault(schedule["task"], Counter())["schedule"] += 1
    for canvas in lists["canvases"]:
        for name in _tasks(canvas["structure"]):
            found.setdefault(name, Counter())["canvas"] += 1
    return found


def _tasks(structure: Any) -> list[str]:
    if isinstance(structure, Mapping):
        own = [str(structure["task"])] if "task" in structure else []
        return own + [name for item in structure.values() for name in _tasks(item)]
    if isinstance(structure, list | tuple):
        return [name for item in structure for name in _tasks(item)]
    return []
