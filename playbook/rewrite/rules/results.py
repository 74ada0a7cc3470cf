"""Results of tasks are looked for on both systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ParentNodeProvider, PositionProvider

from playbook.rewrite.imported import import_of, in_annotation, is_bound, replace_import, uses_of
from playbook.rewrite.rule import Outcome, Refusal, parse
from playbook.rewrite.supported import HANDLE

BY_HAND = "; a result on TaskIQ is not found here: use Handle(task_id) by hand"
ONE_ID = m.Call(args=[m.Arg(keyword=None, star="")])


@dataclass(frozen=True)
class Results:
    """`AsyncResult(task_id)` becomes `Handle(task_id)`, which finds the result wherever the task ran.

    A file that only names the class in annotations stays: what it speaks of still comes from Celery.

    Attributes:
        handles: the module that `Handle` is imported from.
    """

    handles: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the results of one file."""
        wrapper = parse(source)
        positions = wrapper.resolve(PositionProvider)
        refusals = [
            Refusal(positions[call].start.line, "AsyncResult", "it is asked of a task or an app" + BY_HAND)
            for call in m.findall(wrapper.module, m.Call(func=m.Attribute(attr=m.Name("AsyncResult"))))
        ]
        alias = import_of(wrapper.module, "celery.result", "AsyncResult")
        if alias is None:
            return Outcome(source, tuple(refusals))
        local = alias.evaluated_alias or alias.evaluated_name
        uses = uses_of(wrapper, local)
        parents = wrapper.resolve(ParentNodeProvider)
        if not any(_is_called(use, parents) for use in uses):
            return Outcome(source, tuple(refusals))
        reason = _reason_in_uses(uses, parents) or _reason_in_variables(wrapper.module, local)
        if is_bound(wrapper, "Handle"):
            reason = "the file has a Handle of its own"
        if reason is not None:
            line = positions[alias].start.line
            return Outcome(source, (*refusals, Refusal(line, "AsyncResult", reason + BY_HAND)))
        code = replace_import(wrapper.module, alias, self.handles, "Handle", uses)
        return Outcome(code, tuple(refusals))


def _is_called(use: cst.CSTNode, parents: Mapping[cst.CSTNode, Any]) -> bool:
    around = parents[use]
    return isinstance(around, cst.Call) and around.func is use


def _reason_in_uses(uses: list[cst.CSTNode], parents: Mapping[cst.CSTNode, Any]) -> str | None:
    for use in uses:
        around = parents[use]
        if isinstance(around, cst.Annotation) or in_annotation(use, parents):
            continue
        if not _is_called(use, parents):
            return "the class itself is handed on or compared"
        if not m.matches(around, ONE_ID):
            return "it is made from more than a task's id"
        outer = parents[around]
        if isinstance(outer, cst.Attribute) and outer.attr.value not in HANDLE:
            return f"a handle has no {outer.attr.value}"
    return None


def _reason_in_variables(module: cst.Module, local: str) -> str | None:
    """Why a variable that a result is assigned to is used in a way that a handle does not know."""
    made = m.Call(func=m.Name(local))
    assigns = m.findall(module, m.Assign(value=made) | m.AnnAssign(value=made) | m.NamedExpr(value=made))
    for assign in assigns:
        target = assign.targets[0].target if isinstance(assign, cst.Assign) else assign.target  # type: ignore[attr-defined]
        if not isinstance(target, cst.Name):
            continue
        for node in m.findall(module, m.Attribute(value=m.Name(target.value))):
            attr = cst.ensure_type(node, cst.Attribute).attr.value
            if attr not in HANDLE:
                return f"{target.value}.{attr} is used, and a handle has no {attr}"
    return None
