"""The cases of the rules: Markdown that documents a rule and tests it.

Each `##` heading is a case. Its fenced blocks are the rule's attributes (TOML), the source before and the
source after. Where the source stays as it is, the sentence `Unchanged.` stands in place of the last block,
followed by `Refused: line N: the beginning of the reason` if the rule refuses something.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.rewrite import rules
from playbook.rewrite.rule import Rule

FENCE = re.compile(r"^```(toml|python|sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
REFUSED = re.compile(r"Refused: line (\d+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One before and after of a rule. `refused` holds pairs of line and beginning of the reason."""

    title: str
    language: str
    rule: Rule
    before: str
    after: str
    refused: tuple[tuple[int, str], ...]

    @property
    def transforms(self) -> bool:
        """Whether the rule is to change the source."""
        return self.before != self.after


def rule_classes() -> Iterator[type[Any]]:
    """All rules there are, in the order of their modules' names."""
    for info in pkgutil.iter_modules(rules.__path__):
        module = importlib.import_module(f"{rules.__name__}.{info.name}")
        for _, member in inspect.getmembers(module, inspect.isclass):
            if member.__module__ == module.__name__ and hasattr(member, "apply"):
                yield member


def cases_file(rule: type[Any]) -> Path:
    """The Markdown file with the cases of a rule."""
    return Path(inspect.getfile(rule)).with_suffix(".md")


def cases(rule: type[Any]) -> list[Case]:
    """Read the cases of a rule.

    Raises:
        FileNotFoundError: the rule has no case file.
        ValueError: a case does not have the blocks that it needs.
    """
    text = cases_file(rule).read_text(encoding="utf-8")
    return [_case(rule, section) for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]]


def _case(rule: type[Any], section: str) -> Case:
    title = section.partition("\n")[0]
    blocks = FENCE.findall(section)
    unchanged = "\nUnchanged." in section
    if len(blocks) != (2 if unchanged else 3):
        raise ValueError(f"case {title!r} of {rule.__name__}: expected options, source and outcome")
    given, *sources = [text for _, text in blocks]
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in tomllib.loads(given).items()}
    refused = tuple((int(line), reason) for line, reason in REFUSED.findall(section))
    return Case(title, blocks[-1][0], rule(**options), sources[0], sources[-1], refused)
