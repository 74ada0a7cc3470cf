"""From an inventory to a plan: which phase moves what, in which order of risk, and what no phase can move.

Every item of the inventory is in exactly one phase, or it is refused. What stands on a line that is refused
is refused as a whole, and so is what starts a refused task: half a conversion would be worse than none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from playbook.inventory.models import (
    Call,
    Canvas,
    Entry,
    Inventory,
    Refusal,
    Schedule,
    Structure,
    Task,
    Touchpoint,
)
from playbook.inventory.texts import is_test

INVENTORY, POC, SIMPLE, PIPELINES, SCHEDULER, VALIDATION, CUTOVER = PHASES = (
    *("00_inventory", "01_poc", "02_simple_tasks", "03_pipelines", "04_scheduler", "05_validation"),
    "06_cutover",
)
PHASE_OF_KIND = {
    "app": POC,
    "config": POC,
    "setting": POC,
    "routing": POC,
    "current_task": SIMPLE,
    "request": SIMPLE,
    "result": SIMPLE,
    "control": SIMPLE,
    "signal": SIMPLE,
    "logger": SIMPLE,
    "exception": SIMPLE,
    "task_class": SIMPLE,
    "schedule": SCHEDULER,
    "test": VALIDATION,
}
"""The phase that gives a kind of touchpoint its counterpart; all others (imports, commands) go at cutover."""

RETRY_OPTIONS = frozenset(
    {"autoretry_for", "max_retries", "retry_backoff", "retry_kwargs", "default_retry_delay"}
)
MOST_CALL_SITES = 5
"""More call sites than this make a task no riskier."""


@dataclass(frozen=True)
class Item:
    """One entry of the inventory: which list it is in, where it stands, and a phrase for readers."""

    list: str
    path: str
    line: int
    label: str


@dataclass(frozen=True)
class RefusedItem(Item):
    """An entry that no phase moves, and why."""

    reason: str


@dataclass(frozen=True)
class PhasePlan:
    """What one phase moves."""

    phase: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Risk:
    """How risky it is to move a task (0 is least), and what makes it so."""

    task: str
    path: str
    line: int
    score: int
    phase: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All seven phases in order, what is refused, and the tasks from the least to the most risky."""

    phases: tuple[PhasePlan, ...]
    refused: tuple[RefusedItem, ...]
    order: tuple[Risk, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return {
            "phases": [{"phase": p.phase, "items": [asdict(item) for item in p.items]} for p in self.phases],
            "refused": [asdict(item) for item in self.refused],
            "order": [{**asdict(risk), "reasons": list(risk.reasons)} for risk in self.order],
        }


def plan(inventory: Inventory, poc_task: str | None = None) -> Plan:
    """Assign every item of the inventory to the phase that moves it.

    `poc_task` is the registered name of the task whose twin the proof of concept makes; without it that phase
    sets up the broker only.
    """
    uses = _Uses(inventory, poc_task)
    moved: dict[str, list[Item]] = {phase: [] for phase in PHASES}
    refused: list[RefusedItem] = []
    for name, entry in _entries(inventory):
        item = Item(name, entry.path, entry.line, _label(entry))
        if why := uses.refusals(entry):
            refused.append(RefusedItem(**asdict(item), reason="; ".join(dict.fromkeys(why))))
        else:
            moved[uses.phase(entry)].append(item)
    order = sorted((uses.risk(task) for task in inventory.tasks), key=lambda risk: (risk.score, risk.task))
    return Plan(
        tuple(PhasePlan(phase, tuple(moved[phase])) for phase in PHASES), tuple(refused), tuple(order)
    )


class _Uses:
    """What the inventory says about each task: canvases, schedules, calls."""

    def __init__(self, inventory: Inventory, poc_task: str | None) -> None:
        self._poc_task = poc_task
        self._in_canvas = Counter(
            name for canvas in inventory.canvases for name in set(_tasks_in(canvas.structure))
        )
        self._scheduled = Counter(schedule.task for schedule in inventory.schedules)
        self._calls = Counter(call.task for call in inventory.calls if not is_test(call.path))
        self._retried = {call.task for call in inventory.calls if call.method == "retry"}
        self._refused: dict[tuple[str, int], list[str]] = defaultdict(list)
        for refusal in inventory.refused:
            self._refused[refusal.path, refusal.line].append(refusal.reason)
        self._stay = {task.name for task in inventory.tasks if (task.path, task.line) in self._refused}
        self._building = {(canvas.path, canvas.function) for canvas in inventory.canvases}
        self._phases = {task.name: self._phase_of_task(task) for task in inventory.tasks}

    def _phase_of_task(self, task: Task) -> str:
        if task.name == self._poc_task:
            return POC
        if is_test(task.path):
            return VALIDATION
        if self._in_canvas[task.name] or (task.path, task.function) in self._building:
            return PIPELINES
        return SCHEDULER if self._scheduled[task.name] else SIMPLE

    def refusals(self, entry: Entry) -> list[str]:
        """Why no phase moves the entry; empty if one does."""
        names: list[str | None] = []
        match entry:
            case Call(task=task) | Schedule(task=task):
                names = [task]
            case Canvas(structure=structure):
                names = [*_tasks_in(structure)]
        starts = [f"the task {name} is refused" for name in names if name in self._stay]
        return [*self._refused.get((entry.path, entry.line), []), *starts]

    def phase(self, entry: Entry) -> str:
        """The phase that moves the entry."""
        if isinstance(entry, Task):
            return self._phases[entry.name]
        if is_test(entry.path):
            return VALIDATION
        match entry:
            case Call():
                return self._phases.get(entry.task, SIMPLE) if entry.task is not None else PIPELINES
            case Canvas():
                return PIPELINES
            case Schedule():
                return SCHEDULER
            case Touchpoint():
                return PHASE_OF_KIND.get(entry.kind, CUTOVER)
        return INVENTORY

    def risk(self, task: Task) -> Risk:
        """Score a task by what its move has to keep."""
        found = dict(self._reasons(task))
        return Risk(
            task.name, task.path, task.line, sum(found.values()), self._phases[task.name], tuple(found)
        )

    def _reasons(self, task: Task) -> Iterator[tuple[str, int]]:
        if canvases := self._in_canvas[task.name]:
            yield f"a step of {canvases} canvas{'es' if canvases > 1 else ''}", 3
        if (task.path, task.function) in self._building:
            yield "starts a canvas", 3
        if self._scheduled[task.name]:
            yield "is scheduled", 2
        if RETRY_OPTIONS & task.options.keys() or task.name in self._retried:
            yield "is retried", 2
        if task.bind:
            yield "uses its own task object", 1
        if not task.is_async:
            yield "is synchronous", 1
        if calls := self._calls[task.name]:
            yield f"{calls} call site{'s' if calls > 1 else ''}", min(calls, MOST_CALL_SITES)
        if (task.path, task.line) in self._refused:
            yield "has options that are refused", 5


def _tasks_in(structure: Structure) -> Iterator[str]:
    for key, value in structure.items():
        if key == "task" and isinstance(value, str):
            yield value
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from _tasks_in(inner)


def _entries(inventory: Inventory) -> Iterator[tuple[str, Entry]]:
    lists: dict[str, Iterable[Entry]] = {
        "tasks": inventory.tasks,
        "calls": inventory.calls,
        "canvases": inventory.canvases,
        "schedules": inventory.schedules,
        "touchpoints": inventory.touchpoints,
        "refused": inventory.refused,
    }
    for name, entries in lists.items():
        for entry in entries:
            yield name, entry


def _label(entry: Entry) -> str:
    match entry:
        case Task(name=name):
            return f"task {name}"
        case Call(task=task, method=method):
            return f"{method} of {task or 'a canvas'}"
        case Canvas(structure=structure):
            return f"{next(iter(structure))} of {len(list(_tasks_in(structure)))} tasks"
        case Schedule(entry=name, schedule=schedule):
            return f"{name} every {schedule}"
        case Touchpoint(kind=kind, detail=detail):
            return f"{kind}: {detail}"
        case Refusal(construct=construct):
            return construct
    return ""
