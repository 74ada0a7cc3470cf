"""Code that asks for the running task asks the application's own `current_task`."""

from __future__ import annotations

from dataclasses import dataclass

from libcst.metadata import ParentNodeProvider, PositionProvider

from playbook.rewrite.imported import import_of, replace_import, uses_of
from playbook.rewrite.rule import Outcome, Refusal, parse
from playbook.rewrite.task_object import reason_in_request_variables, reason_in_uses

BY_HAND = "; as long as it is asked of Celery, it knows nothing of tasks on TaskIQ: change it by hand"


@dataclass(frozen=True)
class TaskContext:
    """`from celery import current_task` becomes `from app.worker.context import current_task`.

    The object has the same attributes, on both systems. A file that asks for more is left alone.

    Attributes:
        context: the module that `current_task` is imported from.
    """

    context: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the import of one file."""
        wrapper = parse(source)
        alias = import_of(wrapper.module, "celery", "current_task")
        if alias is None:
            return Outcome(source)
        local = alias.evaluated_alias or alias.evaluated_name
        parents = wrapper.resolve(ParentNodeProvider)
        reason = reason_in_uses(local, uses_of(wrapper, local), parents.__getitem__)
        reason = reason or reason_in_request_variables(wrapper.module, local)
        if reason is not None:
            line = wrapper.resolve(PositionProvider)[alias].start.line
            return Outcome(source, (Refusal(line, "current_task", reason + BY_HAND),))
        return Outcome(replace_import(wrapper.module, alias, self.context, "current_task"))
