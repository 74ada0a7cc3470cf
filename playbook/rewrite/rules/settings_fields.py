"""The settings class gets the fields that the TaskIQ modules read."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst
from libcst.metadata import QualifiedNameProvider

from playbook.rewrite.rule import Outcome, Refusal, parse

BASES = ("pydantic_settings.BaseSettings", "pydantic_settings.main.BaseSettings")


@dataclass(frozen=True)
class SettingsFields:
    """A class derived from pydantic's `BaseSettings` gets new fields after its last field.

    Attributes:
        fields: the new fields as source, one statement a line, comments included.
    """

    fields: str

    def apply(self, source: str) -> Outcome:
        """Add the fields that the class does not have yet."""
        wrapper = parse(source)
        visitor = _SettingsClasses()
        wrapper.visit(visitor)
        classes = visitor.found
        if len(classes) != 1:
            found = "no class" if not classes else f"{len(classes)} classes"
            reason = f"{found} derived from BaseSettings here; add these fields to your settings by hand: "
            return Outcome(source, (Refusal(1, "settings", reason + ", ".join(_names(self.fields))),))
        return Outcome(wrapper.module.visit(_AddFields(classes[0], self.fields)).code)


class _SettingsClasses(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (QualifiedNameProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.found: list[cst.ClassDef] = []

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:
        for base in node.bases:
            names = self.get_metadata(QualifiedNameProvider, base.value, set())
            if any(name.name in BASES for name in names):
                self.found.append(node)
        return False


def _field_name(statement: cst.CSTNode) -> str | None:
    if isinstance(statement, cst.SimpleStatementLine):
        first = statement.body[0]
        if isinstance(first, cst.AnnAssign) and isinstance(first.target, cst.Name):
            return first.target.value
    return None


def _names(fields: str) -> list[str]:
    return [name for line in cst.parse_module(fields).body if (name := _field_name(line))]


class _AddFields(cst.CSTTransformer):
    def __init__(self, target: cst.ClassDef, fields: str) -> None:
        super().__init__()
        self.target = target
        self.fields = fields

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:
        if original_node is not self.target:
            return updated_node
        body = list(updated_node.body.body)
        present = {_field_name(statement) for statement in body}
        # A module's first comment belongs to its header, not to its first statement.
        module = cst.parse_module("pass\n" + self.fields)
        new = [_indented(statement) for statement in module.body[1:] if _field_name(statement) not in present]
        last = max((i for i, statement in enumerate(body) if _field_name(statement)), default=-1)
        return updated_node.with_changes(
            body=updated_node.body.with_changes(body=[*body[: last + 1], *new, *body[last + 1 :]])
        )


def _indented(statement: cst.BaseCompoundStatement | cst.SimpleStatementLine) -> cst.CSTNode:
    """A module's statement for use in a block: its empty lines stay empty there."""
    lines = [line if line.comment else line.with_changes(indent=False) for line in statement.leading_lines]
    return statement.with_changes(leading_lines=lines)
