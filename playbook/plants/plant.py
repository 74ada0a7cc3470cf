"""A planted fault: one mistake in migrated code, as text instead of other text. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from playbook.errors import PlaybookError
from playbook.tree import Tree


class PlantError(PlaybookError):
    """A fault cannot be planted: it is unknown, or it does not fit the source any more."""


@dataclass(frozen=True)
class Edit:
    """One change: `old` stands in the file `path` once, and `new` comes in its place."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Plant:
    """A planted fault.

    Attributes:
        name: of the fault.
        phase: the phase whose checks are to find it.
        what: the fault in words.
        edits: what is changed in the migrated source.
        trial: the part of the phase's checks that is run for it (`playbook.checks.trials`).
        caught_by: the checks that have to fail.
        by_hand: whether a migration by hand has lost this (docs/traps.md).
        callers: whether it is in what sends tasks as well; else it is enough that a worker makes it.
        tests: for the trial `suite`: the application's tests that are run, as pytest takes them.
    """

    name: str
    phase: str
    what: str
    edits: tuple[Edit, ...]
    trial: str
    caught_by: tuple[str, ...]
    by_hand: bool = False
    callers: bool = False
    tests: tuple[str, ...] = ()


def planted(tree: Tree, plants: Iterable[Plant]) -> Tree:
    """Return a tree with the faults.

    Raises:
        PlantError: a text to replace does not stand in its file exactly once, or what comes out is not
            Python.
    """
    for plant in plants:
        for edit in plant.edits:
            tree = tree.with_file(edit.path, _edited(tree, plant.name, edit))
        for path in {edit.path for edit in plant.edits if edit.path.endswith(".py")}:
            _compile(tree[path], path, plant.name)
    return tree


def _edited(tree: Tree, name: str, edit: Edit) -> str:
    if edit.path not in tree:
        raise PlantError(
            f"the fault {name} cannot be planted: there is no {edit.path}; apply its phase first"
        )
    text = tree[edit.path]
    if (times := text.count(edit.old)) != 1:
        shown = " ".join(edit.old.split())[:60]
        raise PlantError(f"the fault {name} does not fit {edit.path}: “{shown}” stands there {times} times")
    return text.replace(edit.old, edit.new)


def _compile(text: str, path: str, name: str) -> None:
    try:
        compile(text, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise PlantError(f"the fault {name} makes {path}:{error.lineno} no Python: {error.msg}") from None
