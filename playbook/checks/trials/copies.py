"""Throw-away copies of a workspace: what a trial looks at."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from playbook.contracts import CheckResult
from playbook.tree import Tree

Results = Mapping[str, CheckResult]
"""Results by the names of the checks."""


@dataclass(frozen=True)
class Copy:
    """A copy of the workspace.

    Attributes:
        path: its folder.
        tree: its source.
        callers: whether API and driver run it as well, not only workers.
        tests: the application's tests that are run on it, for the trial `suite`.
        phase: whose checks are meant, for the trial `registered`.
    """

    path: Path
    tree: Tree
    callers: bool = False
    tests: tuple[str, ...] = ()
    phase: str = ""


Trial = Callable[[Copy], Results]


def write_copy(tree: Tree, path: Path, original: Path) -> None:
    """Write a tree into an empty folder; what is no text comes from `original`, modes as well."""
    shutil.rmtree(path, ignore_errors=True)
    for name in (*tree, *tree.binary):
        target, source = path / name, original / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name in tree:
            target.write_text(tree[name], encoding="utf-8")
            if source.exists():
                shutil.copymode(source, target)
        else:
            shutil.copy2(source, target)
