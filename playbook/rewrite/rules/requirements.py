"""The application's pyproject.toml gets TaskIQ beside Celery."""

from __future__ import annotations

import re
from dataclasses import dataclass

import tomlkit
from tomlkit.exceptions import ParseError
from tomlkit.items import Array

from playbook.rewrite.rule import Outcome, Refusal


@dataclass(frozen=True)
class Requirements:
    """`project.dependencies` gets requirements that it does not name yet; what is there stays.

    Attributes:
        requirements: as in `project.dependencies`, `("taskiq>=0.13",)`.
    """

    requirements: tuple[str, ...]

    def apply(self, source: str) -> Outcome:
        """Add the missing requirements at the end of the list."""
        try:
            document = tomlkit.parse(source)
        except ParseError as error:
            return _refused(source, f"this is not TOML ({error})", self.requirements)
        listed = document.get("project", {}).get("dependencies")
        if not isinstance(listed, Array):
            return _refused(source, "there is no project.dependencies list", self.requirements)
        present = {_project(str(requirement)) for requirement in listed}
        new = [r for r in self.requirements if _project(r) not in present]
        for requirement in new:
            listed.append(requirement)
        return Outcome(tomlkit.dumps(document) if new else source)


def _project(requirement: str) -> str:
    """The normalised project name of a requirement (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;@]", requirement.strip(), maxsplit=1)[0]).lower()


def _refused(source: str, why: str, requirements: tuple[str, ...]) -> Outcome:
    reason = f"{why}; add these requirements by hand: {', '.join(requirements)}"
    return Outcome(source, (Refusal(1, "dependencies", reason),))
