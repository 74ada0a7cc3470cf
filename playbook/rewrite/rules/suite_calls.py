"""Calls that tests make of tasks go to TaskIQ, in the words that the application has for it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ParentNodeProvider, PositionProvider

from playbook.rewrite.result_use import HANDED_ON
from playbook.rewrite.routed import BY_HAND, SENDERS, Sends, awaited
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse

CANVAS = m.Call(
    func=m.Name("chain")
    | m.Name("group")
    | m.Name("chord")
    | m.Name("signature")
    | m.Attribute(attr=m.Name("s") | m.Name("si") | m.Name("signature"))
)
WRITE = "; write `await task.delay(...)`, or `task.delay_sync(...)` in sync code, by hand"
FAKED = "the application awaits it now: give it an async function, or replace delay_sync too"
UNKNOWN = "this file does not say by itself that this is a task" + WRITE
EAGER = "there is no apply: await the task's function, or send it with suite.always_eager"


@dataclass(frozen=True)
class SuiteCalls:
    """`task.delay(...)` becomes `await task.delay(...)` in async tests, and `task.delay_sync(...)` in others.

    The same for `apply_async` and for canvases. A wait that follows directly in async code is awaited:
    `task.delay().get()` becomes `await (await task.delay()).aget()`.

    Attributes:
        module: the dotted name of the file.
        tasks: dotted names of the tasks, those of the tests included.
    """

    module: str
    tasks: Sequence[str]

    def apply(self, source: str) -> Outcome:
        """Rewrite the calls of one file."""
        wrapper = parse(source)
        calls = _Calls(self)
        wrapper.visit(calls)
        changed = wrapper.module.visit(_Rewrite(calls)) if calls.sites else wrapper.module
        told = (replace(one, reason=one.reason.replace(BY_HAND, WRITE)) for one in calls.refusals)
        return Outcome(cst.ensure_type(changed, cst.Module).code, tuple(told))


class _Calls(Sends):
    def __init__(self, rule: SuiteCalls) -> None:
        super().__init__(rule.module, "")
        self.tasks = set(rule.tasks)
        self.variables: set[str] = set()

    def visit_For(self, node: cst.For) -> None:
        """Note variables that run over tasks."""
        if isinstance(node.target, cst.Name) and isinstance(node.iter, cst.Tuple | cst.List):
            names = [self.names_of(element.value) for element in node.iter.elements]
            if names and all(one and one <= self.tasks for one in names):
                self.variables.add(node.target.value)

    def visit_Assign(self, node: cst.Assign) -> None:
        """Note variables that hold a canvas."""
        if _is_canvas(node.value):
            self.variables |= {one.target.value for one in node.targets if isinstance(one.target, cst.Name)}

    def visit_Attribute(self, node: cst.Attribute) -> None:
        """Look at one `something.delay`; one that is awaited already has been rewritten."""
        around = self.get_metadata(ParentNodeProvider, node)
        if isinstance(around, cst.Call) and around.func is node:
            if isinstance(self.get_metadata(ParentNodeProvider, around), cst.Await):
                return
            if node.attr.value in SENDERS and not self.is_sent(node.value):
                return self._refuse(around, UNKNOWN)
            if node.attr.value == "apply" and self.names_of(node.value) & self.tasks:
                return self._refuse(around, EAGER)
        super().visit_Attribute(node)

    def visit_Call(self, node: cst.Call) -> None:
        """Refuse to guess where a test puts a fake in the place of a call."""
        for argument in node.args:
            if isinstance(argument.value, cst.SimpleString) and _is_patch(node.func):
                text = str(argument.value.evaluated_value)
                dotted, _, method = text.rpartition(".")
                fakes = (
                    dotted in self.tasks if dotted else bool(self.names_of(node.args[0].value) & self.tasks)
                )
                if method in SENDERS and fakes:
                    self._refuse(node, FAKED)

    def is_sent(self, node: cst.BaseExpression) -> bool:
        """Whether it is a task or a canvas."""
        named = isinstance(node, cst.Name) and node.value in self.variables
        return named or bool(self.names_of(node) & self.tasks) or _is_canvas(node)

    def reason_in_target(self, node: cst.BaseExpression) -> str | None:
        """Nothing: what is not a task has none of these methods."""
        return None

    def _reason_to_refuse(self, site: cst.CSTNode, place: str, function: str) -> str | None:
        reason = super()._reason_to_refuse(site, place, function)
        # A handle has what tests ask of it, or the test fails.
        return None if reason == HANDED_ON else reason

    def _refuse(self, node: cst.CSTNode, reason: str) -> None:
        line = self.get_metadata(PositionProvider, node).start.line
        self.refusals.append(Refusal(line, code_of(node), reason))


class _Rewrite(cst.CSTTransformer):
    def __init__(self, found: _Calls) -> None:
        super().__init__()
        self.found = found

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        if (site := self.found.sites.get(original_node)) is not None and not site.awaited:
            method = cst.ensure_type(updated_node.func, cst.Attribute).attr.value
            return updated_node.with_deep_changes(updated_node.func, attr=cst.Name(f"{method}_sync"))
        if site is not None:
            return awaited(updated_node, site)
        if (site := self.found.waits.get(original_node)) is not None:
            return awaited(
                updated_node.with_deep_changes(updated_node.func, attr=cst.Name(site.function)), site
            )
        return updated_node


def _is_canvas(node: cst.BaseExpression) -> bool:
    if isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.BitOr):
        return _is_canvas(node.left) or _is_canvas(node.right)
    return m.matches(node, CANVAS)


def _is_patch(function: cst.BaseExpression) -> bool:
    return code_of(function).rpartition(".")[2] in ("patch", "object", "setattr")
