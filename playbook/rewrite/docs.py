"""`docs/rules.md`, made from the rules: `python -m playbook.rewrite.docs` writes it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path

from playbook.rewrite.cases import Case, cases, rule_classes

PAGE = Path(__file__).parents[2] / "docs" / "rules.md"
HEAD = """# The rewrite rules

Each rule changes what it is certain about and leaves everything else as it was. What it leaves is reported
with file, line and reason. A second application changes nothing. Every diff and refusal below is a test.

(This page is made from the rules: `python -m playbook.rewrite.docs`.)
"""


def render() -> str:
    """The page: per rule what it does, its diffs, and what it leaves alone."""
    return "\n".join([HEAD, *(line for rule in rule_classes() for line in _rule(rule))])


def _rule(rule: type) -> Iterator[str]:
    yield f"## {rule.__name__}\n"
    yield inspect.cleandoc(rule.__doc__ or "").partition("\n\nAttributes:")[0] + "\n"
    found = cases(rule)
    for case in found:
        if case.transforms:
            yield f"**{case.title}**\n\n```diff\n{_diff(case)}```\n"
    yield "Left alone:\n"
    for case in found:
        if not case.transforms:
            yield f"- {case.title}" + "".join(f": refused, “{reason}”" for _, reason in case.refused)
    yield ""


def _diff(case: Case) -> str:
    lines = unified_diff(case.before.splitlines(keepends=True), case.after.splitlines(keepends=True), n=3)
    return "".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(), encoding="utf-8")
