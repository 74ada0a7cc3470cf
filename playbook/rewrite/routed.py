"""What the rules for calls and canvases share: what sends to Celery becomes a call of the router."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import libcst as cst
import libcst.matchers as m
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.metadata import (
    ImportAssignment,
    ParentNodeProvider,
    PositionProvider,
    QualifiedNameProvider,
    ScopeProvider,
)

from playbook.rewrite.names import dotted_names
from playbook.rewrite.result_use import ResultUse
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse
from playbook.rewrite.supported import AWAITED

SENDERS = {"delay": "dispatch", "apply_async": "dispatch_apply"}
POSITIONAL_OPTIONS = 3
"""`apply_async` and `dispatch_apply` both begin with args, kwargs, task_id."""
BY_HAND = "; use dispatch or dispatch_sync here by hand"


@dataclass(frozen=True)
class Site:
    """What becomes of one call: its new name, whether it is awaited, and if that needs parentheses.

    `target` and `args` make the router's arguments of the call as it was.
    """

    function: str
    awaited: bool
    parentheses: bool
    target: Callable[[cst.Call], cst.BaseExpression]
    args: Callable[[cst.Call], list[cst.Arg]] = lambda call: list(call.args)


class Sends(cst.CSTVisitor):
    """Finds the places that send, decides what becomes of each, and says why where nothing does.

    Parameters:
        module: the dotted name of the file.
        routing: the module that `dispatch` is imported from.
    """

    METADATA_DEPENDENCIES: ClassVar = (
        ParentNodeProvider,
        PositionProvider,
        QualifiedNameProvider,
        ScopeProvider,
    )

    def __init__(self, module: str, routing: str) -> None:
        super().__init__()
        self.module, self.routing = module, routing
        self.sites: dict[cst.CSTNode, Site] = {}
        self.waits: dict[cst.CSTNode, Site] = {}
        self.imports: set[str] = set()
        self.refusals: list[Refusal] = []
        self.lines: set[int] = set()
        self.use = ResultUse(
            lambda node: self.get_metadata(ParentNodeProvider, node),
            lambda node: self.get_metadata(ScopeProvider, node, None),
        )

    def is_sent(self, node: cst.BaseExpression) -> bool:
        """Whether what stands before `.delay` is one of the things that the rule is about."""
        raise NotImplementedError

    def reason_in_target(self, node: cst.BaseExpression) -> str | None:
        """Why the thing that is sent cannot be told for sure, None if it can."""
        raise NotImplementedError

    def names_of(self, node: cst.CSTNode) -> set[str]:
        """Return the dotted names that a node stands for."""
        return dotted_names(self.get_metadata(QualifiedNameProvider, node, set()), self.module)

    def visit_Attribute(self, node: cst.Attribute) -> None:
        """Look at one `something.delay`."""
        if node.attr.value not in SENDERS or not self.is_sent(node.value):
            return
        parent = self.get_metadata(ParentNodeProvider, node)
        site = parent if isinstance(parent, cst.Call) and parent.func is node else node
        reason = None
        if not isinstance(site, cst.Call):
            reason = f"{node.attr.value} is not called here but handed on"
        elif node.attr.value == "apply_async" and not _options_fit(site):
            reason = f"more than {POSITIONAL_OPTIONS} positional arguments, or a starred one"
        reason = self.reason_in_target(node.value) or reason
        self.add(site, SENDERS[node.attr.value], reason, _object_of_method)

    def add(
        self,
        site: cst.CSTNode,
        router: str,
        reason: str | None,
        target: Callable[[cst.Call], cst.BaseExpression],
        args: Callable[[cst.Call], list[cst.Arg]] = lambda call: list(call.args),
    ) -> None:
        """Note a place: to be rewritten with `dispatch` or `dispatch_apply`, or refused for a reason."""
        line = self.get_metadata(PositionProvider, site).start.line
        self.lines.add(line)
        place = self._place(site)
        function = router if place == "async" else f"{router}_sync"
        reason = reason or self._reason_to_refuse(site, place, function)
        if reason is not None or not isinstance(site, cst.Call):
            self.refusals.append(Refusal(line, code_of(site), f"{reason}{BY_HAND}"))
            return
        awaited = place == "async"
        self.sites[site] = Site(function, awaited, self._needs_parentheses(site), target, args)
        self.imports.add(function)
        if awaited and (wait := self.use.wait(site)):
            function = AWAITED[cst.ensure_type(wait.func, cst.Attribute).attr.value]
            self.waits[wait] = Site(function, True, self._needs_parentheses(wait), target)

    def _reason_to_refuse(self, site: cst.CSTNode, place: str, function: str) -> str | None:
        if place not in ("async", "sync"):
            return f"it stands in {place} in an async function"
        assert isinstance(site, cst.Call), "what is not called has been refused"
        if self._is_shadowed(site, function):
            return "the file has a dispatch of its own"
        return self.use.reason(site)

    def _place(self, node: cst.CSTNode) -> str:
        """Where a call stands: `async`, `sync`, or what makes it impossible to tell."""
        child, parent = node, self.get_metadata(ParentNodeProvider, node, None)
        seen: list[str] = []
        while parent is not None:
            if isinstance(parent, cst.FunctionDef) and child is parent.body:
                return self._in_function(parent, seen)
            if isinstance(parent, cst.Lambda) and child is parent.body:
                return "sync"
            if isinstance(parent, cst.GeneratorExp):
                seen.append("a generator expression")
            if isinstance(parent, cst.ClassDef) and child is parent.body:
                seen.append("a class body")
            child, parent = parent, self.get_metadata(ParentNodeProvider, parent, None)
        return "sync"

    @staticmethod
    def _in_function(function: cst.FunctionDef, seen: list[str]) -> str:
        if function.asynchronous is None:
            return "sync"
        return seen[0] if seen else "async"

    def _is_shadowed(self, site: cst.Call, function: str) -> bool:
        scope = self.get_metadata(ScopeProvider, site, None)
        if scope is None:
            return False
        return any(
            not isinstance(assignment, ImportAssignment)
            or assignment.get_module_name_for_import() != self.routing
            for assignment in scope[function]
        )

    def _needs_parentheses(self, node: cst.CSTNode) -> bool:
        """Whether an `await` in this place does: before a dot, a call or a subscript, and below `**`."""
        parent = self.get_metadata(ParentNodeProvider, node)
        if isinstance(parent, cst.Attribute | cst.Subscript):
            return parent.value is node
        if isinstance(parent, cst.Call):
            return parent.func is node
        return m.matches(parent, m.BinaryOperation(operator=m.Power()))


def rewrite(source: str, sends: Sends) -> Outcome:
    """Rewrite the places of one file that `sends` finds."""
    wrapper = parse(source)
    wrapper.visit(sends)
    refusals = tuple(sends.refusals)
    if not sends.sites:
        return Outcome(source, refusals)
    changed = wrapper.module.visit(_Rewrite(sends))
    context = CodemodContext()
    for name in sorted(sends.imports):
        AddImportsVisitor.add_needed_import(context, sends.routing, name)
    return Outcome(AddImportsVisitor(context).transform_module(changed).code, refusals)


def lines(source: str, sends: Sends) -> set[int]:
    """Return the lines that `sends` knows what to do with: rewrite or refuse them."""
    parse(source).visit(sends)
    return sends.lines


class _Rewrite(cst.CSTTransformer):
    def __init__(self, found: Sends) -> None:
        super().__init__()
        self.found = found

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        if (site := self.found.sites.get(original_node)) is not None:
            args = site.args(updated_node)
            comma = cst.Comma(whitespace_after=_after_comma(updated_node)) if args else None
            first = cst.Arg(_bare(site.target(updated_node)), comma=comma or cst.MaybeSentinel.DEFAULT)
            call = updated_node.with_changes(func=cst.Name(site.function), args=[first, *args])
            return awaited(call, site)
        if (site := self.found.waits.get(original_node)) is not None:
            return awaited(
                updated_node.with_deep_changes(updated_node.func, attr=cst.Name(site.function)), site
            )
        return updated_node


def _object_of_method(call: cst.Call) -> cst.BaseExpression:
    return cst.ensure_type(call.func, cst.Attribute).value


def _bare(target: cst.BaseExpression) -> cst.BaseExpression:
    """Return `a | b` without the parentheses that it needed before a dot, unless a comment stands in them."""
    if not isinstance(target, cst.BinaryOperation) or len(target.lpar) != 1:
        return target
    inside = (target.lpar[0].whitespace_after, target.rpar[0].whitespace_before)
    if any(isinstance(space, cst.ParenthesizedWhitespace) for space in inside):
        return target
    return target.with_changes(lpar=(), rpar=())


def awaited(call: cst.Call, site: Site) -> cst.BaseExpression:
    """Return a call, awaited where the site says so."""
    if not site.awaited:
        return call
    bare = call.with_changes(lpar=(), rpar=())
    if call.lpar:
        return cst.Await(expression=bare, lpar=call.lpar, rpar=call.rpar)
    if site.parentheses:
        return cst.Await(expression=bare, lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return cst.Await(expression=bare)


def _options_fit(call: cst.Call) -> bool:
    positional = [argument for argument in call.args if argument.keyword is None]
    return len(positional) <= POSITIONAL_OPTIONS and all(argument.star != "*" for argument in positional)


def _after_comma(call: cst.Call) -> cst.BaseParenthesizableWhitespace:
    """The space between the target and the first argument: a new line where the arguments begin on one."""
    before = call.whitespace_before_args
    return before if isinstance(before, cst.ParenthesizedWhitespace) else cst.SimpleWhitespace(" ")
