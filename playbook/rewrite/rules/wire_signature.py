"""Decorators that inject arguments state the signature that a message must fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.metadata import PositionProvider

from playbook.rewrite.rule import Outcome, Refusal, parse


@dataclass(frozen=True)
class WireSignature:
    """A decorator's wrapper gets `__wire_signature__`: what callers pass, without the injected arguments.

    TaskIQ reads a task's parameters through every decorator and takes a message's first argument for the
    session otherwise (taskiq/receiver/receiver.py, `_prepare_task`).

    Attributes:
        module: the module that `wire_signature` is imported from.
        decorators: names of the decorators that stand on tasks; others stay as they are.
    """

    module: str
    decorators: Sequence[str]

    def apply(self, source: str) -> Outcome:
        """Rewrite the decorators of the file that call the decorated function with arguments of their own."""
        wrapper = parse(source)
        transformer = _AddSignature(self.decorators)
        changed = wrapper.visit(transformer)
        if not transformer.changed:
            return Outcome(source, tuple(transformer.refusals))
        context = CodemodContext()
        AddImportsVisitor.add_needed_import(context, self.module, "wire_signature")
        code = AddImportsVisitor(context).transform_module(changed).code
        return Outcome(code, tuple(transformer.refusals))


class _AddSignature(cst.CSTTransformer):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, decorators: Sequence[str]) -> None:
        super().__init__()
        self.decorators = decorators
        self.changed = False
        self.refusals: list[Refusal] = []

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:
        # Only a decorator itself, not the wrapper in it, is looked at.
        return False

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        inner = _wrapper_of(original_node)
        if inner is None or original_node.name.value not in self.decorators:
            return updated_node
        name, wrapper = inner
        decorated = original_node.params.params[0].name.value
        calls = m.findall(wrapper.body, m.Call(func=m.Name(decorated)))
        injections = {_injection(cst.ensure_type(call, cst.Call), wrapper) for call in calls}
        injections.discard("")
        if not injections:
            return updated_node
        if len(injections) > 1 or None in injections:
            self._refuse(original_node)
            return updated_node
        code = f"{name}.__wire_signature__ = wire_signature({decorated}, {injections.pop()})"
        *before, last = updated_node.body.body
        last = cst.ensure_type(last, cst.SimpleStatementLine)
        statement = cst.ensure_type(cst.parse_statement(code), cst.SimpleStatementLine)
        statement = statement.with_changes(leading_lines=last.leading_lines)
        self.changed = True
        return updated_node.with_changes(
            body=updated_node.body.with_changes(
                body=[*before, statement, last.with_changes(leading_lines=())]
            )
        )

    def _refuse(self, node: cst.FunctionDef) -> None:
        line = self.get_metadata(PositionProvider, node).start.line
        reason = (
            "cannot tell which arguments this decorator injects; "
            "set __wire_signature__ on its wrapper by hand to what callers pass"
        )
        self.refusals.append(Refusal(line, f"decorator {node.name.value}", reason))


def _wrapper_of(decorator: cst.FunctionDef) -> tuple[str, cst.FunctionDef] | None:
    """The wrapper that a decorator defines and returns, unless it states its wire signature already."""
    if not decorator.params.params or not isinstance(decorator.body, cst.IndentedBlock):
        return None
    last = decorator.body.body[-1]
    if not m.matches(last, m.SimpleStatementLine(body=[m.Return(value=m.Name())])):
        return None
    returned = cst.ensure_type(cst.ensure_type(last, cst.SimpleStatementLine).body[0], cst.Return).value
    name = cst.ensure_type(returned, cst.Name).value
    if m.findall(decorator.body, m.AssignTarget(target=m.Attribute(attr=m.Name("__wire_signature__")))):
        return None
    for statement in decorator.body.body:
        if isinstance(statement, cst.FunctionDef) and statement.name.value == name:
            return name, statement
    return None


def _injection(call: cst.Call, wrapper: cst.FunctionDef) -> str | None:
    """The arguments of `wire_signature` for one call of the decorated function.

    Empty if the call injects nothing; None if that cannot be told.
    """
    params = wrapper.params
    star = params.star_arg.name.value if isinstance(params.star_arg, cst.Param) else None
    double = params.star_kwarg.name.value if params.star_kwarg else None
    own = [p.name.value for p in (*params.params, *params.kwonly_params)]
    first, named, passed = 0, [], set()
    seen_star = False
    for argument in call.args:
        text = argument.value.value if isinstance(argument.value, cst.Name) else None
        if argument.star == "*":
            if text != star:
                return None
            seen_star = True
        elif argument.star == "**":
            if text != double:
                return None
        elif argument.keyword is not None:
            keyword = argument.keyword.value
            passed.add(keyword)
            if text != keyword or keyword not in own:
                named.append(keyword)
        elif seen_star or text in own:
            return None
        else:
            first += 1
    adds = [name for name in own if name not in passed]
    parts = [f"first={first}"] if first else []
    parts += [f"{key}={_tuple(names)}" for key, names in (("named", named), ("adds", adds)) if names]
    return ", ".join(parts) if first or named else ""


def _tuple(names: list[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f"({quoted},)" if len(names) == 1 else f"({quoted})"
