"""What an expression of the application stands for, as far as Celery is concerned."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from playbook.inventory.models import Structure
from playbook.inventory.source import Function, Source

PACKAGES = ("celery", "kombu", "billiard", "flower", "pytest_celery", "redbeat", "django_celery_", "celery_")
"""Top-level packages that belong to Celery; those that end with `_` are prefixes."""

START = frozenset({"delay", "apply_async", "apply"})
SIGN = frozenset({"s", "si", "signature", "subtask"})
SPREAD = frozenset({"map", "starmap", "chunks"})
METHODS = START | SIGN | SPREAD | {"retry"}


def is_celery(name: str) -> bool:
    """Whether a dotted name of something outside the application belongs to Celery."""
    top = name.split(".")[0]
    return any(top == package or (package.endswith("_") and top.startswith(package)) for package in PACKAGES)


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that only running the application can tell; `reason` completes "because ...".

    `text` is its source, where that is not the expression it was found in.
    """

    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class External:
    """An object outside of what was read, by its dotted name; Celery's own objects among them."""

    name: str

    @property
    def celery_name(self) -> str:
        """The last segment for an object of Celery (which re-exports under many paths), else ""."""
        return self.name.rsplit(".", 1)[-1] if is_celery(self.name) else ""

    @property
    def is_made(self) -> bool:
        """Whether it is what a call returned, or a part of that."""
        return "()" in self.name


@dataclass(frozen=True, slots=True)
class ModuleRef:
    """A module or namespace of the application."""

    name: str


@dataclass(frozen=True, slots=True)
class App:
    """A Celery application, or what the attribute `path` of it leads to ("conf.beat_schedule")."""

    path: str = ""


@dataclass(frozen=True, slots=True)
class Decorator:
    """Something that makes a function a task: `shared_task`, `app.task`, with the options given so far."""

    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TaskRef:
    """A task, by its registered name. `bound` is the function whose `self` this is, if it was reached so."""

    name: str
    through_self: bool = False


@dataclass(frozen=True, slots=True)
class Sig:
    """A signature or canvas, and the expressions that built it (also through variables)."""

    structure: Structure
    sites: tuple[ast.AST, ...] = ()

    @property
    def is_canvas(self) -> bool:
        return next(iter(self.structure)) not in ("task", "unknown")


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a task, signature or something unknown, not yet called."""

    owner: TaskRef | Sig | Unknown
    name: str


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """A function of the application that is no task."""

    source: Source
    node: Function


@dataclass(frozen=True, slots=True)
class ClassRef:
    """A class of the application."""

    source: Source
    node: ast.ClassDef


@dataclass(frozen=True, slots=True)
class Instance:
    """An object of a class of the application."""

    cls: ClassRef


@dataclass(frozen=True, slots=True)
class Items:
    """A list or tuple of known values. An `Each` in it stands for any number of them."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Each:
    """One value per element of an iterable, whose source is `over`."""

    value: Value
    over: str


@dataclass(frozen=True, slots=True)
class Table:
    """A dict display or `dict(...)`, for beat schedules and tables of tasks."""

    source: Source
    node: ast.Dict | ast.Call


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a Table: the key as text, and the expressions of key and value."""

    key: str | None
    place: ast.AST
    value: ast.AST


@dataclass(frozen=True, slots=True)
class Text:
    """A string known before the application runs."""

    value: str


Value = (
    Unknown
    | External
    | ModuleRef
    | App
    | Decorator
    | TaskRef
    | Sig
    | Method
    | FunctionRef
    | ClassRef
    | Instance
    | Items
    | Each
    | Table
    | Text
)
