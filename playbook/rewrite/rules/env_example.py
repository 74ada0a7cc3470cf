"""The example of an environment file names the new settings."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

import libcst as cst

from playbook.rewrite.rule import Outcome
from playbook.syntax import parse


@dataclass(frozen=True)
class EnvExample:
    """A settings field `NAME: int = 5` becomes a line `NAME=5` at the end, with the comment above it.

    A field without a value becomes `#NAME=`. What the file names already stays.

    Attributes:
        fields: the fields as source, `"# How many.\\nNAME: int = 5\\n"`. Defaults are literals.
    """

    fields: str

    def apply(self, source: str) -> Outcome:
        """Add the missing lines at the end of the file."""
        present = set(re.findall(r"^\s*#?\s*([A-Za-z_]\w*)=", source, re.MULTILINE))
        lines: list[str] = []
        # A module's first comment belongs to its header, not to its first statement.
        for statement in cst.parse_module("pass\n" + self.fields).body[1:]:
            field = parse(cst.Module([statement]).code).body[0]
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if field.target.id in present or field.value is None:
                continue
            comments = [line.comment.value for line in statement.leading_lines if line.comment]
            lines += [*([""] if comments else []), *comments]
            lines.append(_line(field.target.id, ast.literal_eval(field.value)))
        if not lines:
            return Outcome(source)
        return Outcome(source.rstrip("\n") + "\n" + "\n".join(lines) + "\n")


def _line(name: str, value: Any) -> str:
    if value is None:
        return f"#{name}="
    return f"{name}={value if isinstance(value, str) else json.dumps(value)}"
