"""From a folder to its inventory: read, select, parse, scan, and account for every line that is left."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from playbook.inventory import config_modules, modules, texts
from playbook.inventory.evaluate import Evaluator
from playbook.inventory.files import File, read_files
from playbook.inventory.models import Entry, Inventory, Refusal, Touchpoint
from playbook.inventory.modules import ModuleNames
from playbook.inventory.scan import Scan
from playbook.inventory.schedules import Schedules
from playbook.inventory.selection import Exports, select

E = TypeVar("E", bound=Entry)


def collect(root: Path) -> Inventory:
    """Return the inventory of the application in `root`; see `playbook.inventory.inventory`."""
    root = root.resolve()
    files = read_files(root)
    python = [file for file in files if file.is_python]
    short = {file.path: modules.short_imports(file.data) for file in python}
    package = modules.root_package(root.name, {file.path: file.data for file in python})
    names = ModuleNames(package, [file.path for file in python], short)
    imported = {
        file.path: modules.imports(file.data, names.by_path[file.path], modules.is_init(file.path))
        for file in python
    }
    _, evaluator, exports = select(files, names, imported)
    return _assemble(files, evaluator, exports)


def _assemble(files: list[File], ev: Evaluator, exports: Exports) -> Inventory:
    schedules = Schedules(ev)
    schedules.collect()
    scans = {source.path: Scan(ev, source, exports, schedules.nodes) for source in ev.project}
    for scan in scans.values():
        scan.run()
    consumed = {site for scan in scans.values() for _, sig in scan.built for site in sig.sites[1:]}
    canvases = [entry for scan in scans.values() for entry in scan.canvases(consumed)]
    spans: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for path, first, last in schedules.spans:
        spans[path].append((first, last))
    for path, scan in scans.items():
        spans[path] += scan.spans
    configured = list(config_modules.settings(ev))
    spoken = [*configured, *_leftovers(files, ev, spans)]
    return Inventory(
        tasks=_sorted(ev.registered.values()),
        calls=_sorted(call for scan in scans.values() for call in scan.calls),
        canvases=_sorted(canvases),
        schedules=_sorted(schedules.entries),
        touchpoints=_sorted(
            [
                *(entry for scan in scans.values() for entry in scan.touchpoints),
                *(entry for entry in spoken if isinstance(entry, Touchpoint)),
            ]
        ),
        refused=_sorted(
            [
                *ev.project.failures,
                *schedules.refused,
                *(entry for scan in scans.values() for entry in scan.refused),
                *(entry for entry in spoken if isinstance(entry, Refusal)),
            ]
        ),
    )


def _leftovers(
    files: list[File], ev: Evaluator, spans: dict[str, list[tuple[int, int]]]
) -> Iterable[Touchpoint | Refusal]:
    """The lines that mention Celery and that no entry stands on."""
    for file in files:
        if not file.is_python:
            yield from texts.in_text(file)
            continue
        if file.path not in ev.project.tried:
            continue
        covered = {line for first, last in spans[file.path] for line in range(first, last + 1)}
        for number, line in enumerate(file.lines, start=1):
            if number not in covered:
                yield from texts.in_python(file.path, number, line)
            else:
                yield from texts.pool_refusal(file.path, number, line)


def _sorted(entries: Iterable[E]) -> tuple[E, ...]:
    """Each entry once, by path and line; entries of one line keep the order in which they were found."""
    unique: dict[str, E] = {}
    for entry in entries:
        unique.setdefault(repr(entry), entry)
    return tuple(sorted(unique.values(), key=lambda entry: (entry.path, entry.line)))
