"""What the cutover changes, by kind of file. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from playbook.config import Application
from playbook.rewrite.edit import ENV_EXAMPLES
from playbook.tree import Tree

TASKS, CALLS, SETTINGS, DEPLOYMENT, TEXTS, TESTS = KINDS = (
    "modules that define tasks",
    "other code",
    "settings and dependencies",
    "deployment",
    "texts",
    "tests",
)
DEFINES = re.compile(r"^@(?:\w+\.)*(?:shared_task|task)\b", re.MULTILINE)


def diffs(application: Application, before: Tree, after: Tree) -> dict[str, str]:
    """Return a unified diff of the changed files by kind, in the order of `KINDS`; empty where nothing is.

    Args:
        application: names the tests.
        before: the files before the cutover.
        after: the files now.
    """
    changed = [change.path for change in before.changes(after) if change.kind == "changed"]
    kinds = {path: _kind(application, path, before[path]) for path in changed}
    return {kind: _diff(before, after, [path for path in changed if kinds[path] == kind]) for kind in KINDS}


def _diff(before: Tree, after: Tree, paths: list[str]) -> str:
    old, new = ({path: tree[path] for path in paths} for tree in (before, after))
    return Tree(old).unified_diff(Tree(new))


def _kind(application: Application, path: str, text: str) -> str:
    file = PurePosixPath(path)
    if application.tests and file.is_relative_to(application.tests):
        return TESTS
    if file.name in ("settings.py", "pyproject.toml", *ENV_EXAMPLES) or "requirements" in file.name:
        return SETTINGS
    if file.suffix in (".sh", ".yml", ".yaml", ".toml", ".cfg", ".ini") or "Dockerfile" in file.name:
        return DEPLOYMENT
    if file.suffix != ".py":
        return TEXTS
    return TASKS if DEFINES.search(text) else CALLS
