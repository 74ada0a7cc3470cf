"""What the inventory reports: one immutable entry per finding, in six lists."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

Structure = dict[str, Any]
"""The shape of a canvas as nested JSON; `docs/inventory.md` defines it."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Base of all entries: where it stands. `path` is relative to the application, `line` counts from 1."""

    path: str
    line: int


@dataclass(frozen=True, kw_only=True)
class Task(Entry):
    """One registered task. `line` is the line of its `def` or `class`.

    `name` is the registered name; a name that only exists at run time is given as `<source text>`.
    `decorators` are the names as written, outermost first. `options` are the keyword arguments of the task
    decorator: literals as JSON, everything else as source text.
    """

    name: str
    module: str
    function: str
    decorators: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    is_async: bool = False
    bind: bool = False


@dataclass(frozen=True, kw_only=True)
class Call(Entry):
    """One place that starts a task or makes a signature of it; `task` is None where a canvas is started."""

    task: str | None
    method: str
    in_async: bool
    function: str


@dataclass(frozen=True, kw_only=True)
class Canvas(Entry):
    """One outermost canvas expression, folded as Celery folds it."""

    function: str
    structure: Structure


@dataclass(frozen=True, kw_only=True)
class Schedule(Entry):
    """One entry of Celery beat. `line` is that of its key, `condition` the source of the `if` around it."""

    entry: str
    task: str | None
    schedule: str
    condition: str | None


@dataclass(frozen=True, kw_only=True)
class Touchpoint(Entry):
    """Any other use or mention of Celery. `docs/inventory.md` lists the kinds."""

    kind: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Refusal(Entry):
    """One thing that the migration cannot convert by itself, and why."""

    construct: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything an application uses Celery for, each list sorted by path and line."""

    tasks: tuple[Task, ...] = ()
    calls: tuple[Call, ...] = ()
    canvases: tuple[Canvas, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    touchpoints: tuple[Touchpoint, ...] = ()
    refused: tuple[Refusal, ...] = ()

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """Return the six lists as plain JSON values."""
        return {name: [_plain(entry) for entry in entries] for name, entries in asdict(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


class InventoryError(Exception):
    """The given application cannot be read at all. The message says why and what to do."""
