"""Functions that return what the router returns say so."""

from __future__ import annotations

from dataclasses import dataclass

import libcst.matchers as m
from libcst.metadata import ParentNodeProvider, PositionProvider

from playbook.rewrite.imported import import_of, in_annotation, is_bound, replace_import, uses_of
from playbook.rewrite.routed import SENDERS
from playbook.rewrite.rule import Outcome, Refusal, parse

SENDS = m.Call(func=m.Attribute(attr=m.OneOf(*(m.Name(name) for name in SENDERS))))
BY_HAND = "; say by hand which of its annotations speak of a Handle"


@dataclass(frozen=True)
class ResultAnnotations:
    """`-> AsyncResult` becomes `-> Handle` in a file that sends through the router alone.

    A file that sends to Celery by itself, too, is refused: what its annotations speak of cannot be told.

    Attributes:
        handles: the module that `Handle` is imported from.
    """

    handles: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the annotations of one file."""
        wrapper = parse(source)
        alias = import_of(wrapper.module, "celery.result", "AsyncResult")
        if alias is None or not m.findall(wrapper.module, m.Name("dispatch_sync") | m.Name("dispatch")):
            return Outcome(source)
        uses = uses_of(wrapper, alias.evaluated_alias or alias.evaluated_name)
        parents, reason = wrapper.resolve(ParentNodeProvider), None
        if m.findall(wrapper.module, SENDS):
            reason = "the file sends to Celery by itself, too"
        elif not all(in_annotation(use, parents) for use in uses):
            reason = "the class is used for more than annotations"
        elif is_bound(wrapper, "Handle"):
            reason = "the file has a Handle of its own"
        if reason is not None:
            line = wrapper.resolve(PositionProvider)[alias].start.line
            return Outcome(source, (Refusal(line, "AsyncResult", reason + BY_HAND),))
        return Outcome(replace_import(wrapper.module, alias, self.handles, "Handle", uses))
