"""Celery and what belongs to it leave the dependencies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import tomlkit
from tomlkit.exceptions import ParseError
from tomlkit.items import Array

from playbook.rewrite.rule import Outcome, Refusal

GONE = {"celery", "kombu", "billiard", "vine", "amqp", "flower", "pytest-celery"}
PLUGIN = re.compile(r"^(celery-|django-celery-|.*-celery$)")
NAME = re.compile(r"^[\w.-]+")


@dataclass(frozen=True)
class WithoutRequirements:
    """`celery`, `kombu`, `billiard`, `vine`, `amqp`, `flower` and `pytest-celery` leave the lists of
    requirements: pyproject.toml with its extras, groups and poetry's tables, and requirements files.

    A package that extends Celery by its name is reported. Comments that lines had go with them.

    Attributes:
        toml: whether the file is TOML; if not, it is a requirements file.
    """

    toml: bool

    def apply(self, source: str) -> Outcome:
        """Rewrite one file of requirements."""
        return self._in_toml(source) if self.toml else self._in_lines(source)

    def _in_toml(self, source: str) -> Outcome:
        try:
            document = tomlkit.parse(source)
        except ParseError as error:
            reason = f"this is not TOML ({error}); take Celery out of the dependencies by hand"
            return Outcome(source, (Refusal(1, "dependencies", reason),))
        changed, names = False, []
        for listed in _lists(document):
            for place in range(len(listed) - 1, -1, -1):
                name = _project(str(listed[place]))
                names.append(name)
                if name in GONE:
                    del listed[place]
                    changed = True
        for table in _tables(document):
            names += [_project(key) for key in table]
            for key in [key for key in table if _project(key) in GONE]:
                del table[key]
                changed = True
        return Outcome(tomlkit.dumps(document) if changed else source, _reported(source, names))

    def _in_lines(self, source: str) -> Outcome:
        lines = source.splitlines(keepends=True)
        names = [_project(line.strip()) for line in lines]
        kept = [line for line, name in zip(lines, names, strict=True) if name not in GONE]
        return Outcome("".join(kept), _reported(source, names))


def _project(requirement: str) -> str:
    """The normalised project name of a requirement (PEP 503); empty for a line that is none."""
    found = NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found.group()).lower() if found else ""


def _lists(document: tomlkit.TOMLDocument) -> Iterator[Array]:
    project = document.get("project", {})
    groups = [
        *project.get("optional-dependencies", {}).values(),
        *document.get("dependency-groups", {}).values(),
    ]
    for listed in (project.get("dependencies"), document.get("build-system", {}).get("requires"), *groups):
        if isinstance(listed, Array):
            yield listed


def _tables(document: tomlkit.TOMLDocument) -> Iterator[tomlkit.TOMLDocument]:
    poetry = document.get("tool", {}).get("poetry", {})
    groups = [group.get("dependencies") for group in poetry.get("group", {}).values()]
    for table in (poetry.get("dependencies"), poetry.get("dev-dependencies"), *groups):
        if table is not None:
            yield table


def _reported(source: str, names: list[str]) -> tuple[Refusal, ...]:
    """What extends Celery, by its name."""
    lines = source.splitlines()
    found = []
    for name in dict.fromkeys(name for name in names if PLUGIN.match(name) and name not in GONE):
        line = next((i for i, text in enumerate(lines, 1) if name in re.sub(r"[-_.]+", "-", text).lower()), 1)
        found.append(Refusal(line, name, "it extends Celery; see by hand what takes its place"))
    return tuple(found)
