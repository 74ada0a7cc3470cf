"""Calls of the router become calls of the tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import libcst as cst
from libcst.metadata import ParentNodeProvider, PositionProvider, QualifiedNameProvider

from playbook.rewrite.names import dotted_names
from playbook.rewrite.placed import with_imports
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse
from playbook.rewrite.unused import without_unused

METHODS = {
    "dispatch": "delay",
    "dispatch_sync": "delay_sync",
    "dispatch_apply": "apply_async",
    "dispatch_apply_sync": "apply_async_sync",
}
AFTER_COMMIT = ("dispatch_after_commit", "delay_after_commit")
OPTIONS = {"args", "kwargs", "task_id", "countdown", "eta", "expires", "queue", "link", "link_error"}
TRANSPORT = {"retry", "retry_policy", "connection", "producer", "add_to_parent", "ignore_result"}
"""Options that said how Celery sends."""
BY_HAND = "; call the task itself by hand"


@dataclass(frozen=True)
class NativeCalls:
    """`await dispatch(task, ...)` becomes `await task.delay(...)`, `dispatch_sync(task, ...)` becomes
    `task.delay_sync(...)`.

    `dispatch_apply` becomes `apply_async`, `dispatch_apply_sync` becomes `apply_async_sync`,
    `dispatch_after_commit` becomes `delay_after_commit`. The same for canvases. Options that said how Celery
    sends go. One that TaskIQ does not know stays, raises an error when the call is made, and is reported.

    Attributes:
        module: the dotted name of the file that is rewritten.
        worker: the package of the worker modules.
    """

    module: str
    worker: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the calls of one file."""
        wrapper = parse(source)
        found = _Calls(self)
        wrapper.visit(found)
        if not found.calls:
            return Outcome(source, tuple(found.refusals))
        changed = cst.ensure_type(wrapper.module.visit(_Rewrite(found)), cst.Module)
        if _after_commit in found.calls.values():
            changed = with_imports(changed, [(f"{self.worker}.commits", AFTER_COMMIT[1])], self.worker)
        code = changed.code
        return Outcome(without_unused(source, code, [f"{self.worker}.routing"]), tuple(found.refusals))


class _Calls(cst.CSTVisitor):
    METADATA_DEPENDENCIES: ClassVar = (ParentNodeProvider, PositionProvider, QualifiedNameProvider)

    def __init__(self, rule: NativeCalls) -> None:
        super().__init__()
        self.rule = rule
        self.calls: dict[cst.Call, Callable[[cst.Call, str], cst.Call]] = {}
        self.names: dict[cst.Call, str] = {}
        self.refusals: list[Refusal] = []

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def visit_Name(self, node: cst.Name) -> None:
        self._look(node)

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        return not self._look(node)

    def _look(self, node: cst.Name | cst.Attribute) -> bool:
        """Look at a name; tell whether it is one of the router's."""
        names = dotted_names(self.get_metadata(QualifiedNameProvider, node, set()), self.rule.module)
        found = {name.removeprefix(f"{self.rule.worker}.routing.") for name in names} - names
        known = found & {*METHODS, AFTER_COMMIT[0]}
        if not known:
            return False
        (name,) = known
        call = self.get_metadata(ParentNodeProvider, node)
        if not isinstance(call, cst.Call) or call.func is not node:
            self._refuse(node, f"{name} is handed on here")
        elif reason := _reason(call, name):
            self._refuse(call, reason)
        else:
            for option in _unknown_options(call, name):
                reason = (
                    f"with the option {option} it went to Celery always; TaskIQ has none and raises an error"
                )
                self._refuse(call, reason, "; take it out by hand")
            self.calls[call] = _after_commit if name == AFTER_COMMIT[0] else _method
            self.names[call] = name
        return True

    def _refuse(self, node: cst.CSTNode, reason: str, by_hand: str = BY_HAND) -> None:
        line = self.get_metadata(PositionProvider, node).start.line
        self.refusals.append(Refusal(line, code_of(node), reason + by_hand))


def _reason(call: cst.Call, name: str) -> str | None:
    """Why a call of the router cannot be a call of its task, None if it can."""
    first = 2 if name == AFTER_COMMIT[0] else 1
    if len(call.args) < first or any(arg.star or arg.keyword for arg in call.args[:first]):
        return "it does not say plainly what it sends"
    if "apply" not in name:
        return None
    positional = [arg for arg in call.args[1:] if arg.keyword is None and arg.star != "**"]
    if len(positional) > 3 or any(arg.star for arg in positional):
        return "more than three positional arguments, or a starred one"
    return None


def _unknown_options(call: cst.Call, name: str) -> list[str]:
    """The options of a call that TaskIQ does not know."""
    if "apply" not in name:
        return []
    given = [arg.keyword.value for arg in call.args[1:] if arg.keyword]
    return [option for option in given if option not in OPTIONS | TRANSPORT]


def _method(call: cst.Call, name: str) -> cst.Call:
    target, rest = call.args[0].value, list(call.args[1:])
    if "apply" in name:
        rest = [arg for arg in rest if not (arg.keyword and arg.keyword.value in TRANSPORT)]
        positional = [i for i, arg in enumerate(rest) if arg.keyword is None and not arg.star]
        if len(positional) == 3:
            equal = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
            last = rest[positional[2]]
            rest[positional[2]] = last.with_changes(keyword=cst.Name("task_id"), equal=equal)
    if rest:
        rest[-1] = rest[-1].with_changes(comma=call.args[-1].comma)
    func = cst.Attribute(_atom(target), cst.Name(METHODS[name]))
    return call.with_changes(func=func, args=rest)


def _after_commit(call: cst.Call, name: str) -> cst.Call:
    return call.with_changes(func=cst.Name(AFTER_COMMIT[1]))


def _atom(target: cst.BaseExpression) -> cst.BaseExpression:
    """What may stand before a dot: `a | b` in parentheses."""
    if isinstance(target, cst.Name | cst.Attribute | cst.Call | cst.Subscript) or target.lpar:
        return target
    return target.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])


class _Rewrite(cst.CSTTransformer):
    def __init__(self, found: _Calls) -> None:
        super().__init__()
        self.found = found

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:
        rewrite = self.found.calls.get(original_node)
        return updated_node if rewrite is None else rewrite(updated_node, self.found.names[original_node])
