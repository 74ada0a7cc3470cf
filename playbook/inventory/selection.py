"""Which Python files are worth parsing: those that mention Celery, and those that import what it is used for.

A file of tasks that others import under a plain name is found by its imports alone, so the selection goes on
until no further file imports a Celery object, directly or through a re-export.
"""

from __future__ import annotations

import re

from playbook.inventory import modules
from playbook.inventory.evaluate import Evaluator
from playbook.inventory.files import File
from playbook.inventory.lookup import global_value
from playbook.inventory.project import Project
from playbook.inventory.source import Source
from playbook.inventory.values import App, Decorator, Each, External, Items, Sig, Table, TaskRef, Value

MENTION = re.compile(
    rb"celery|\b(?:kombu|billiard|redbeat|beat_?schedule|crontab|add_periodic_task|send_task|task_always_eager)\b"
    rb"|\.\s*(?:delay|apply_async)\b",
    re.IGNORECASE,
)

QUOTED = re.compile(rb"['\"]([A-Za-z_]\w*(?:\.\w+)+)", re.ASCII)

Exports = dict[str, frozenset[str]]


def select(
    files: list[File], names: modules.ModuleNames, imported: dict[str, set[modules.Imported]]
) -> tuple[Project, Evaluator, Exports]:
    """Parse what matters; return the project, an evaluator, and per module the Celery objects it offers."""
    project = Project(files, names)
    wanted = {
        path for path, file in project.files.items() if "celery" in path.lower() or MENTION.search(file.data)
    }
    quoted = {path: _quoted(file.data) for path, file in project.files.items()}
    seen: set[str] = set()
    while True:
        project.load(wanted - seen)
        seen |= wanted
        evaluator = Evaluator(project)
        exports = {source.module: found for source in project if (found := _exports(evaluator, source))}
        rest = [file for path, file in project.files.items() if path not in seen]
        wanted = {
            f.path
            for f in rest
            if _uses(f.data, imported[f.path], exports) or quoted[f.path] & exports.keys()
        }
        if not wanted:
            return project, evaluator, exports


def _exports(ev: Evaluator, source: Source) -> frozenset[str]:
    names = sorted(_global_names(ev, source, set()))
    return frozenset(name for name in names if _is_celery_object(ev, global_value(ev, source, name)))


def _global_names(ev: Evaluator, source: Source, seen: set[str]) -> set[str]:
    """The module-level names of a module, those of its star imports included."""
    seen.add(source.path)
    names = set(source.scope.names)
    for star in source.stars:
        other = ev.project.source_of(modules.absolute(source.module, source.is_package, star))
        if other is not None and other.path not in seen:
            names |= _global_names(ev, other, seen)
    return names


def _is_celery_object(ev: Evaluator, value: Value) -> bool:
    match value:
        case TaskRef() | App() | Sig() | Decorator():
            return True
        case External():
            return bool(value.celery_name)
        case Items(values=values):
            return any(_is_celery_object(ev, item) for item in values)
        case Each(value=inner):
            return _is_celery_object(ev, inner)
        case Table():
            return any(_is_celery_object(ev, ev.value(value.source, row.value)) for row in ev.rows(value))
    return False


def _uses(data: bytes, imported: set[modules.Imported], exports: Exports) -> bool:
    """Whether a file imports one of the objects, or a whole module and then names one of its objects."""
    for entry in imported:
        offered = exports.get(entry.module)
        if offered is not None and (entry.name == "*" or entry.name in offered):
            return True
        whole = offered if not entry.name else exports.get(f"{entry.module}.{entry.name}")
        if whole is not None and any(f".{name}".encode() in data for name in whole):
            return True
    return False


def _quoted(data: bytes) -> set[str]:
    """The dotted names that strings begin with, as mocks and lists of tasks have them, and all above them."""
    found: set[str] = set()
    for match in set(QUOTED.findall(data)):
        parts = match.decode().split(".")
        found.update(".".join(parts[:count]) for count in range(1, len(parts) + 1))
    return found
