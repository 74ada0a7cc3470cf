"""A Celery task gets a TaskIQ twin beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.metadata import ParentNodeProvider, PositionProvider, QualifiedNameProvider

from playbook.rewrite.names import dotted_names
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse
from playbook.rewrite.supported import TASK_OPTIONS
from playbook.rewrite.task_object import reason_in_request_variables, reason_in_uses

TASK_DECORATORS = ("celery.shared_task", "celery.app.shared_task")
LINE_LENGTH = 100
BY_HAND = "; write its twin by hand or leave it for a later phase"


@dataclass(frozen=True)
class Twins:
    """After the definition of a Celery task follows `NAME_taskiq = twin(NAME, "registered name")`.

    The Celery task itself stays byte for byte as it was. Its options count for the twin as well: retries,
    time limits, queue. A bound task's twin gets the application's `current_task` as `self`.

    Attributes:
        module: the dotted name of the file that is rewritten; Celery names its tasks after it.
        tasks: names of the functions that get a twin.
        twins_module: the module that `twin` is imported from.
        bridges: qualified names of the decorators that run a coroutine function to its end (the loop
        bridges).
        app: the dotted name of the Celery app, for tasks that are made by its own `task` decorator.
    """

    module: str
    tasks: Sequence[str]
    twins_module: str
    bridges: Sequence[str]
    app: str = ""

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
    METADATA_DEPENDENCIES = (ParentNodeProvider, PositionProvider, QualifiedNameProvider)

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
        known = {*TASK_DECORATORS, f"{self.rule.app}.task"}
        if function.decorators and self._names(function.decorators[0]) & known:
            return function.decorators[0]
        return None

    def _names(self, decorator: cst.Decorator) -> set[str]:
        node = decorator.decorator
        target = node.func if isinstance(node, cst.Call) else node
        return dotted_names(self.get_metadata(QualifiedNameProvider, target, set()), self.rule.module)

    def _reason_to_refuse(self, function: cst.FunctionDef, decorator: cst.Decorator | None) -> str | None:
        if decorator is None:
            return "its outermost decorator is not Celery's shared_task"
        for option in _options(decorator):
            if option not in TASK_OPTIONS:
                return f"its option {option} has no counterpart"
        if _option(decorator, "bind") not in (None, "False", "True"):
            return "bind is not a literal"
        if _option(decorator, "bind") == "True" and (reason := self._reason_in_self(function)):
            return reason
        if function.asynchronous is None:
            return None
        below = function.decorators[1:2]
        if not below or not self._names(below[0]) & set(self.rule.bridges):
            return "it is async, and the decorator below shared_task is not a known loop bridge"
        return None

    def _reason_in_self(self, function: cst.FunctionDef) -> str | None:
        """Why what a bound task does with `self` cannot stay, None if it can."""
        positional = (*function.params.posonly_params, *function.params.params)
        if not positional:
            return "it is bound but has no parameter for the task"
        name = positional[0].name.value
        uses = [
            node
            for node in m.findall(function.body, m.Name(name))
            if not self._is_other_name(node, self.get_metadata(ParentNodeProvider, node))
        ]
        reason = reason_in_uses(name, uses, lambda node: self.get_metadata(ParentNodeProvider, node))
        return reason or reason_in_request_variables(function.body, name)

    @staticmethod
    def _is_other_name(node: cst.CSTNode, parent: cst.CSTNode) -> bool:
        """Whether a name is an attribute's or a keyword's."""
        if isinstance(parent, cst.Attribute):
            return parent.attr is node
        return isinstance(parent, cst.Arg) and parent.keyword is node


def _twin(name: str, registered: str) -> str:
    code = f"{name}_taskiq = twin({name}, {registered})"
    return code if len(code) <= LINE_LENGTH else f"{name}_taskiq = twin(\n    {name}, {registered}\n)"


def _options(decorator: cst.Decorator) -> list[str]:
    """The names of the options of a decorator; positional and starred arguments by their source."""
    if not isinstance(decorator.decorator, cst.Call):
        return []
    return [a.keyword.value if a.keyword else a.star + code_of(a.value) for a in decorator.decorator.args]


def _option(decorator: cst.Decorator | None, keyword: str) -> str | None:
    """The source of a keyword argument of a decorator, or None."""
    if decorator is None or not isinstance(decorator.decorator, cst.Call):
        return None
    for argument in decorator.decorator.args:
        if argument.keyword is not None and argument.keyword.value == keyword:
            return code_of(argument.value)
    return None
