"""Whether a handle can do what code does with the result of a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m
from libcst.metadata import Scope

from playbook.rewrite.supported import AWAITED, HANDLE, WAIT_OPTIONS

HANDED_ON = "its result is handed on to code that may need more of it than a handle has"


@dataclass(frozen=True)
class ResultUse:
    """Looks at what surrounds a call.

    Attributes:
        parent: gives the node that a node stands in.
        scope: gives the scope of a node.
    """

    parent: Callable[[cst.CSTNode], cst.CSTNode]
    scope: Callable[[cst.CSTNode], Scope | None]

    def reason(self, site: cst.Call) -> str | None:
        """Return why a handle cannot stand for the result of a call, None if it can."""
        around = self.parent(site)
        if isinstance(around, cst.Attribute):
            return self._reason_in_attribute("its result", around)
        if isinstance(around, cst.Arg):
            appended = m.Call(func=m.Attribute(attr=m.Name("append")))
            return None if m.matches(self.parent(around), appended) else HANDED_ON
        if isinstance(around, cst.Await):
            return "its result is awaited, which Celery's is not made for"
        variable = _assigned(around)
        return None if variable is None else self._reason_in_variable(site, variable)

    def wait(self, site: cst.CSTNode) -> cst.Call | None:
        """Return the wait that follows a call directly, as in `task.delay().get()`, None if none does."""
        attribute = self.parent(site)
        if not isinstance(attribute, cst.Attribute) or attribute.attr.value not in AWAITED:
            return None
        call = self.parent(attribute)
        return call if isinstance(call, cst.Call) and call.func is attribute else None

    def _reason_in_variable(self, site: cst.Call, name: str) -> str | None:
        scope = self.scope(site)
        for assignment in scope[name] if scope else ():
            for access in assignment.references:
                used = self.parent(access.node)
                if not isinstance(used, cst.Attribute) or used.value is not access.node:
                    continue
                if reason := self._reason_in_attribute(name, used):
                    return reason
        return None

    def _reason_in_attribute(self, name: str, attribute: cst.Attribute) -> str | None:
        attr = attribute.attr.value
        if attr not in HANDLE:
            return f"{attr} of {name} is used, and a handle has none"
        call = self.parent(attribute)
        if attr in AWAITED and isinstance(call, cst.Call) and call.func is attribute and not _fits(call):
            return f"{attr}() of {name} has arguments that a handle does not know"
        return None


def _fits(wait: cst.Call) -> bool:
    """Whether `Handle.get` and `aget` take the arguments of a wait."""
    keywords = {argument.keyword.value for argument in wait.args if argument.keyword}
    positional = [argument for argument in wait.args if not argument.keyword]
    starred = any(argument.star for argument in wait.args)
    return keywords <= WAIT_OPTIONS and len(positional) <= len(WAIT_OPTIONS) and not starred


def _assigned(around: cst.CSTNode) -> str | None:
    """The variable that a statement assigns a call to, None if it is another kind of use."""
    targets: list[cst.BaseExpression] = []
    if isinstance(around, cst.Assign):
        targets = [target.target for target in around.targets]
    elif isinstance(around, cst.AnnAssign | cst.NamedExpr):
        targets = [around.target]
    return next((target.value for target in targets if isinstance(target, cst.Name)), None)
