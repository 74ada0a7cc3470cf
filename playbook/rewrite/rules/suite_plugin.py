"""A conftest asks for the plugin that routes the suite."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m
from libcst.metadata import PositionProvider

from playbook.rewrite.rule import Outcome, Refusal, parse

NAME = "pytest_plugins"
BY_HAND = "; add {} by hand"
IMPORTS = m.SimpleStatementLine(body=[m.Import() | m.ImportFrom(), m.ZeroOrMore()])


@dataclass(frozen=True)
class SuitePlugin:
    """`pytest_plugins = ("celery.contrib.pytest",)` gets one entry more, in the conftest of the tests.

    The plugin routes what the tests send, so that the tests themselves stay as they are. A conftest without
    `pytest_plugins` gets it after its imports.

    Attributes:
        plugin: the module of the plugin.
    """

    plugin: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the conftest."""
        wrapper = parse(source)
        module = wrapper.module
        found = m.findall(module, m.Name(NAME) | m.ImportAlias(name=m.Name(NAME)))
        assigned = [line for line in module.body if _value(line) is not None]
        if not found:
            return Outcome(self._added(module))
        line = wrapper.resolve(PositionProvider)[found[0]].start.line
        if len(found) > 1 or not assigned:
            return self._refused(source, line, "it is set in more than one place, or not at the top level")
        value = _value(assigned[0])
        if not isinstance(value, cst.SimpleString | cst.Tuple | cst.List):
            return self._refused(source, line, "it is computed")
        texts = m.findall(value, m.SimpleString())
        if self.plugin in {cst.ensure_type(text, cst.SimpleString).evaluated_value for text in texts}:
            return Outcome(source)
        if isinstance(value, cst.SimpleString):
            longer: cst.BaseExpression = cst.Tuple([cst.Element(value), cst.Element(self._name)])
        else:
            longer = value.with_changes(elements=_longer(value, self._name))
        return Outcome(cst.ensure_type(module.deep_replace(value, longer), cst.Module).code)

    @property
    def _name(self) -> cst.SimpleString:
        return cst.SimpleString(f'"{self.plugin}"')

    def _added(self, module: cst.Module) -> str:
        statement = cst.parse_statement(f'{NAME} = ("{self.plugin}",)\n')
        imports = [i for i, line in enumerate(module.body) if m.matches(line, IMPORTS)]
        docstring = module.get_docstring() is not None
        at = imports[-1] + 1 if imports else int(docstring)
        spaced = statement.with_changes(leading_lines=[cst.EmptyLine(indent=False)] if at else [])
        return module.with_changes(body=[*module.body[:at], spaced, *module.body[at:]]).code

    def _refused(self, source: str, line: int, reason: str) -> Outcome:
        return Outcome(source, (Refusal(line, NAME, reason + BY_HAND.format(self.plugin)),))


def _value(line: cst.CSTNode) -> cst.BaseExpression | None:
    """What a line of the module gives to `pytest_plugins`, None if it is another line."""
    if not isinstance(line, cst.SimpleStatementLine):
        return None
    for part in line.body:
        if m.matches(part, m.Assign(targets=[m.AssignTarget(m.Name(NAME))]) | m.AnnAssign(m.Name(NAME))):
            return part.value  # type: ignore[attr-defined, no-any-return]
    return None


def _longer(value: cst.Tuple | cst.List, name: cst.SimpleString) -> list[cst.BaseElement]:
    """The elements and one more, set apart as the others are."""
    before = list(value.elements)
    if not before:
        return [cst.Element(name, comma=cst.Comma())]
    last, opening = before[-1], value.lbracket if isinstance(value, cst.List) else value.lpar[0]
    space = opening.whitespace_after
    if not isinstance(space, cst.ParenthesizedWhitespace):
        apart = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
        return [*before[:-1], last.with_changes(comma=apart), cst.Element(name)]
    line = last.with_changes(comma=cst.Comma(whitespace_after=space))
    return [*before[:-1], line, cst.Element(name, comma=last.comma)]
