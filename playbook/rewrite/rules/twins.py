"""A Celery task gets a TaskIQ twin beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.metadata import PositionProvider, QualifiedNameProvider

from playbook.rewrite.rule import Outcome, Refusal, code_of, parse

TASK_DECORATORS = ("celery.shared_task", "celery.app.shared_task")
LINE_LENGTH = 100
BY_HAND = "; write its twin by hand or leave it for a later phase"


@dataclass(frozen=True)
class Twins:
    """After the definition of a Celery task follows `NAME_taskiq = twin(NAME, "registered name")`.

    The Celery task itself stays byte for byte as it was.

    Attributes:
        module: the dotted name of the file that is rewritten; Celery names its tasks after it.
        tasks: names of the functions that get a twin.
        twins_module: the module that `twin` is imported from.
        bridges: qualified names of the decorators that run a coroutine function to its end (the loop
        bridges).
    """

    module: str
    tasks: Sequence[str]
    twins_module: str
    bridges: Sequence[str]

    def apply(self, source: str) -> Outcome:
        """Add the twins that the file does not have yet."""
        wrapper = parse(source)
        transformer = _AddTwins(self)
        changed = wrapper.visit(transformer)
        for name in self.tasks:
            if name not in transformer.seen:
                reason = "no task of this name is defined at the top level of this module"
                transformer.refusals.append(Refusal(1, f"task {name}", reason))
        if not transformer.changed:
            return Outcome(source, tuple(transformer.refusals))
        context = CodemodContext()
        AddImportsVisitor.add_needed_import(context, self.twins_module, "twin")
        code = AddImportsVisitor(context).transform_module(changed).code
        return Outcome(code, tuple(transformer.refusals))


class _AddTwins(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider, QualifiedNameProvider)

    def __init__(self, rule: Twins) -> None:
        super().__init__()
        self.rule = rule
        self.seen: set[str] = set()
        self.assigned: set[str] = set()
        self.changed = False
        self.refusals: list[Refusal] = []

    def visit_Module(self, node: cst.Module) -> None:
        targets = m.findall(node, m.AssignTarget())
        self.assigned = {code_of(cst.ensure_type(t, cst.AssignTarget).target) for t in targets}

    def visit_ClassDef(self, node: cst.ClassDef) -> bool:
        return False

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        return False

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.FlattenSentinel[cst.BaseStatement]:
        name = original_node.name.value
        if name not in self.rule.tasks:
            return updated_node
        self.seen.add(name)
        if f"{name}_taskiq" in self.assigned:
            return updated_node
        decorator = self._task_decorator(original_node)
        reason = self._reason_to_refuse(original_node, decorator)
        if reason is not None:
            line = self.get_metadata(PositionProvider, original_node.name).start.line
            self.refusals.append(Refusal(line, f"task {name}", reason + BY_HAND))
            return updated_node
        registered = _option(decorator, "name") or f'"{self.rule.module}.{name}"'
        statement = cst.ensure_type(cst.parse_statement(_twin(name, registered)), cst.SimpleStatementLine)
        blank = cst.EmptyLine(indent=False)
        self.changed = True
        return cst.FlattenSentinel([updated_node, statement.with_changes(leading_lines=[blank, blank])])

    def _task_decorator(self, function: cst.FunctionDef) -> cst.Decorator | None:
        if function.decorators and self._names(function.decorators[0]) & set(TASK_DECORATORS):
            return function.decorators[0]
        return None

    def _names(self, decorator: cst.Decorator) -> set[str]:
        node = decorator.decorator
        target = node.func if isinstance(node, cst.Call) else node
        return {name.name for name in self.get_metadata(QualifiedNameProvider, target, set())}

    def _reason_to_refuse(self, function: cst.FunctionDef, decorator: cst.Decorator | None) -> str | None:
        if decorator is None:
            return "its outermost decorator is not Celery's shared_task"
        if _option(decorator, "bind") == "True":
            return "it is bound: it uses the Celery task object (self)"
        if _option(decorator, "base") is not None:
            return "it has a task class of its own (base)"
        if function.asynchronous is None:
            return None
        below = function.decorators[1:2]
        if not below or not self._names(below[0]) & set(self.rule.bridges):
            return "it is async, and the decorator below shared_task is not a known loop bridge"
        return None


def _twin(name: str, registered: str) -> str:
    code = f"{name}_taskiq = twin({name}, {registered})"
    return code if len(code) <= LINE_LENGTH else f"{name}_taskiq = twin(\n    {name}, {registered}\n)"


def _option(decorator: cst.Decorator | None, keyword: str) -> str | None:
    """The source of a keyword argument of a decorator, or None."""
    if decorator is None or not isinstance(decorator.decorator, cst.Call):
        return None
    for argument in decorator.decorator.args:
        if argument.keyword is not None and argument.keyword.value == keyword:
            return code_of(argument.value)
    return None
