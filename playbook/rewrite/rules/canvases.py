"""Chains, groups and chords go through the router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import libcst as cst
import libcst.matchers as m
from libcst.metadata import Assignment, ParentNodeProvider, ScopeProvider

from playbook.rewrite.routed import Sends, lines, rewrite
from playbook.rewrite.rule import Outcome

Kind = Literal["signature", "canvas", "chord"]

CANVASES: dict[str, Kind] = {"chain": "canvas", "group": "canvas", "chord": "chord"}
BY_NAME = ("signature", "subtask", "Signature", "maybe_signature")
SIGNING = ("s", "si", "signature", "subtask", "map", "starmap", "chunks")
SAME = ("set", "clone", "on_error", "s", "si")
"""Methods of a signature that return one."""


@dataclass(frozen=True)
class Canvases:
    """`canvas.delay()` becomes `await dispatch(canvas)`, and `dispatch_sync(canvas)` in sync code.

    The code that builds the canvas stays as it is: the router takes Celery's own signatures, and runs them on
    the system that the flags name. A canvas is what this file makes of Celery's `chain`, `group` and `chord`,
    of `|`, and of signatures of the tasks; a variable is one if all that is assigned to it is. A canvas that
    is called (`chain(...)()`, `chord(header)(body)`) is sent, too.

    Attributes:
        module: the dotted name of the file that is rewritten.
        tasks: dotted names of the tasks, `app.tasks.rename`.
        routing: the module that `dispatch` is imported from.
    """

    module: str
    tasks: Sequence[str]
    routing: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the sends of one file."""
        return rewrite(source, _CanvasSends(self))

    def lines(self, source: str) -> set[int]:
        """Return the lines of the sends that the rule knows what to do with: rewrite or refuse them."""
        return lines(source, _CanvasSends(self))


class _CanvasSends(Sends):
    def __init__(self, rule: Canvases) -> None:
        super().__init__(rule.module, rule.routing)
        self.tasks = set(rule.tasks)
        self.open: set[str] = set()

    def is_sent(self, node: cst.BaseExpression) -> bool:
        return any(self.kinds(node))

    def reason_in_target(self, node: cst.BaseExpression) -> str | None:
        if None in self.kinds(node):
            return "it is not always a canvas"
        return None

    def visit_Call(self, node: cst.Call) -> None:
        """Look at a canvas that is called. A single signature that is called runs here and now: it stays."""
        kinds = self.kinds(node.func)
        if kinds <= {"signature"} or not kinds & {"canvas", "chord"}:
            return
        if any(argument.keyword or argument.star for argument in node.args):
            reason = "it is called with options; give them to apply_async"
            return self.add(node, "dispatch", reason, _called)
        if kinds <= {"canvas"} or not node.args:
            return self.add(node, "dispatch", self.reason_in_target(node.func), _called)
        if kinds == {"chord"} and _is_headed(node.func) and len(node.args) == 1:
            return self.add(node, "dispatch", None, _with_body, lambda call: [])
        self.add(
            node, "dispatch", "the body that it is called with belongs into chord(header, body)", _called
        )

    # What an expression is

    def kinds(self, node: cst.BaseExpression) -> set[Kind | None]:
        """Return what an expression may be; None stands for anything else."""
        if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.BitOr):
            either = self.kinds(node.left) | self.kinds(node.right)
            return {"canvas"} if any(either) else {None}
        if isinstance(node, cst.IfExp):
            return self.kinds(node.body) | self.kinds(node.orelse)
        if isinstance(node, cst.NamedExpr):
            return self.kinds(node.value)
        if isinstance(node, cst.Call):
            return self._kinds_of_call(node)
        if isinstance(node, cst.Name):
            return self._kinds_of_name(node)
        return {None}

    def _kinds_of_call(self, node: cst.Call) -> set[Kind | None]:
        function = node.func
        for name in self.names_of(function):
            package, _, last = name.rpartition(".")
            if package in ("celery", "celery.canvas") and last in (*CANVASES, *BY_NAME):
                return {CANVASES.get(last, "signature")}
        if not isinstance(function, cst.Attribute):
            return self._kinds_of_name(function, called=True) if isinstance(function, cst.Name) else {None}
        method = function.attr.value
        if method in SIGNING and self.names_of(function.value) & self.tasks:
            return {"signature"}
        if method in SAME and (kinds := self.kinds(function.value)) and any(kinds):
            return kinds
        return {None}

    def _kinds_of_name(self, node: cst.Name, called: bool = False) -> set[Kind | None]:
        """What is assigned to a variable, or (`called`) returned by a function of this file."""
        if node.value in self.open:
            return set()
        scope = self.get_metadata(ScopeProvider, node, None)
        found: set[Kind | None] = set()
        self.open.add(node.value)
        for assignment in scope[node.value] if scope else ():
            found |= self._kinds_of_assignment(assignment, called)
        self.open.discard(node.value)
        return found or {None}

    def _kinds_of_assignment(self, assignment: object, called: bool) -> set[Kind | None]:
        if not isinstance(assignment, Assignment):
            return {None}
        if called:
            values = _returned(assignment.node)
        elif (values := self._assigned(assignment.node)) == []:
            return set()
        return set().union(*({None} if value is None else self.kinds(value) for value in values))

    def _assigned(self, target: cst.CSTNode) -> list[cst.BaseExpression | None]:
        """The value that a statement gives to a name; nothing new for `|=`, after which it is what it was."""
        statement = self.get_metadata(ParentNodeProvider, target)
        if isinstance(statement, cst.AssignTarget):
            statement = self.get_metadata(ParentNodeProvider, statement)
        if isinstance(statement, cst.AugAssign) and isinstance(statement.operator, cst.BitOrAssign):
            return []
        if isinstance(statement, cst.Assign | cst.AnnAssign | cst.NamedExpr):
            return [statement.value]
        return [None]


def _returned(function: cst.CSTNode) -> list[cst.BaseExpression | None]:
    """The values that a plain function returns."""
    if not isinstance(function, cst.FunctionDef) or function.asynchronous or function.decorators:
        return [None]
    found = [cst.ensure_type(node, cst.Return).value for node in m.findall(function.body, m.Return())]
    return found or [None]


def _called(call: cst.Call) -> cst.BaseExpression:
    return call.func


def _is_headed(node: cst.BaseExpression) -> bool:
    """Whether it is `chord(header)`, written here."""
    return m.matches(node, m.Call(args=[m.Arg(keyword=None, star="")]))


def _with_body(call: cst.Call) -> cst.BaseExpression:
    """Return `chord(header, body)` for `chord(header)(body)`."""
    headed = cst.ensure_type(call.func, cst.Call)
    comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    header = headed.args[0].with_changes(comma=comma)
    return headed.with_changes(args=[header, call.args[0].with_changes(comma=cst.MaybeSentinel.DEFAULT)])
