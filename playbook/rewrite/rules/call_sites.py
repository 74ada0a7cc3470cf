"""Calls of tasks go through the router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst

from playbook.rewrite.routed import Sends, lines, rewrite
from playbook.rewrite.rule import Outcome


@dataclass(frozen=True)
class CallSites:
    """`task.delay(...)` becomes `await dispatch(task, ...)`, and `dispatch_sync(task, ...)` in sync code.

    `task.apply_async(...)` becomes `dispatch_apply` and `dispatch_apply_sync`, its arguments as they are.
    What is done with the result stays: the router returns a handle with the same names. Only a wait that
    follows directly in async code is awaited, so that it does not block the loop.

    Attributes:
        module: the dotted name of the file that is rewritten.
        tasks: dotted names of the tasks, `app.tasks.rename`.
        routing: the module that `dispatch` is imported from.
    """

    module: str
    tasks: Sequence[str]
    routing: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the calls of one file."""
        return rewrite(source, _Calls(self))

    def lines(self, source: str) -> set[int]:
        """Return the lines of the calls that the rule knows what to do with: rewrite or refuse them."""
        return lines(source, _Calls(self))


class _Calls(Sends):
    def __init__(self, rule: CallSites) -> None:
        super().__init__(rule.module, rule.routing)
        self.tasks = set(rule.tasks)

    def is_sent(self, node: cst.BaseExpression) -> bool:
        return bool(self.names_of(node) & self.tasks)

    def reason_in_target(self, node: cst.BaseExpression) -> str | None:
        if len(self.names_of(node)) > 1:
            return "the name may stand for something else than the task"
        return None
