"""Tasks that are called like functions are awaited, now that no loop bridge runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import ParentNodeProvider, PositionProvider

from playbook.rewrite.routed import Sends
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse


@dataclass(frozen=True)
class DirectCalls:
    """`rename(id)` becomes `await rename(id)` in async code, where `rename` is an async task.

    Its loop bridge ran it to its end; it is a coroutine function now. In synchronous code the call is
    refused.

    Attributes:
        module: the dotted name of the file that is rewritten.
        tasks: dotted names of the async tasks.
    """

    module: str
    tasks: Sequence[str]

    def apply(self, source: str) -> Outcome:
        """Rewrite the calls of one file."""
        wrapper = parse(source)
        found = _Calls(self)
        wrapper.visit(found)
        if not found.calls:
            return Outcome(source, tuple(found.refusals))
        return Outcome(wrapper.module.visit(_Rewrite(found.calls)).code, tuple(found.refusals))


class _Calls(Sends):
    """Finds the calls, and tells for each whether `await` needs parentheses there."""

    def __init__(self, rule: DirectCalls) -> None:
        super().__init__(rule.module, "")
        self.tasks = set(rule.tasks)
        self.calls: dict[cst.CSTNode, bool] = {}

    def is_sent(self, node: cst.BaseExpression) -> bool:
        return False

    def visit_Call(self, node: cst.Call) -> None:
        """Look at one call."""
        if not self.names_of(node.func) & self.tasks:
            return
        if isinstance(self.get_metadata(ParentNodeProvider, node), cst.Await):
            return
        place = self._place(node)
        if place == "async":
            self.calls[node] = self._needs_parentheses(node)
            return
        reason = "it is a coroutine function now; run it by asyncio.run, or send it, by hand"
        line = self.get_metadata(PositionProvider, node).start.line
        self.refusals.append(Refusal(line, code_of(node), reason))


class _Rewrite(cst.CSTTransformer):
    def __init__(self, calls: dict[cst.CSTNode, bool]) -> None:
        super().__init__()
        self.calls = calls

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        if original_node not in self.calls:
            return updated_node
        lpar, rpar = updated_node.lpar, updated_node.rpar
        if self.calls[original_node] and not lpar:
            lpar, rpar = [cst.LeftParen()], [cst.RightParen()]
        return cst.Await(updated_node.with_changes(lpar=(), rpar=()), lpar=lpar, rpar=rpar)
