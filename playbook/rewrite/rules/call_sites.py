"""Calls of tasks go through the router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        wrapper = parse(source)
        finder = _Find(self)
        wrapper.visit(finder)
        refusals = tuple(finder.refusals)
        if not finder.sites:
            return Outcome(source, refusals)
        changed = wrapper.module.visit(_Rewrite(finder))
        context = CodemodContext()
        for name in sorted(finder.imports):
            AddImportsVisitor.add_needed_import(context, self.routing, name)
        return Outcome(AddImportsVisitor(context).transform_module(changed).code, refusals)

    def lines(self, source: str) -> set[int]:
        """Return the lines of the calls that the rule knows what to do with: rewrite or refuse them."""
        finder = _Find(self)
        parse(source).visit(finder)
        return finder.lines


@dataclass(frozen=True)
class _Site:
    """What becomes of one call: its new name, whether it is awaited, and if that needs parentheses."""

    function: str
    awaited: bool
    parentheses: bool


class _Find(cst.CSTVisitor):
    """Finds the calls, decides what becomes of each, and says why where nothing does."""

    METADATA_DEPENDENCIES = (ParentNodeProvider, PositionProvider, QualifiedNameProvider, ScopeProvider)

    def __init__(self, rule: CallSites) -> None:
        super().__init__()
        self.rule = rule
        self.sites: dict[cst.CSTNode, _Site] = {}
        self.waits: dict[cst.CSTNode, _Site] = {}
        self.imports: set[str] = set()
        self.refusals: list[Refusal] = []
        self.lines: set[int] = set()
        self.use = ResultUse(
            lambda node: self.get_metadata(ParentNodeProvider, node),
            lambda node: self.get_metadata(ScopeProvider, node, None),
        )

    def visit_Attribute(self, node: cst.Attribute) -> None:
        if node.attr.value not in SENDERS or not self._is_task(node.value):
            return
        parent = self.get_metadata(ParentNodeProvider, node)
        site = parent if isinstance(parent, cst.Call) and parent.func is node else node
        self.lines.add(self.get_metadata(PositionProvider, site).start.line)
        place = self._place(site)
        reason = self._reason_to_refuse(site, node.attr.value, place)
        if reason is not None:
            line = self.get_metadata(PositionProvider, site).start.line
            self.refusals.append(Refusal(line, code_of(site), reason + BY_HAND))
            return
        awaited = place == "async"
        function = SENDERS[node.attr.value] + ("" if awaited else "_sync")
        self.sites[site] = _Site(function, awaited, self._needs_parentheses(site))
        self.imports.add(function)
        if awaited and (wait := self.use.wait(site)):
            function = AWAITED[cst.ensure_type(wait.func, cst.Attribute).attr.value]
            self.waits[wait] = _Site(function, True, self._needs_parentheses(wait))

    def _is_task(self, node: cst.BaseExpression) -> bool:
        names = self.get_metadata(QualifiedNameProvider, node, set())
        found = dotted_names(names, self.rule.module)
        return bool(found & set(self.rule.tasks))

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

    def _reason_to_refuse(self, site: cst.CSTNode, method: str, place: str) -> str | None:
        if not isinstance(site, cst.Call):
            return f"{method} is not called here but handed on"
        if self._is_ambiguous(cst.ensure_type(site.func, cst.Attribute).value):
            return "the name may stand for something else than the task"
        if place not in ("async", "sync"):
            return f"it stands in {place} in an async function"
        if method == "apply_async" and not _options_fit(site):
            return f"more than {POSITIONAL_OPTIONS} positional arguments, or a starred one"
        if self._is_shadowed(site, SENDERS[method] + ("" if place == "async" else "_sync")):
            return "the file has a dispatch of its own"
        return self.use.reason(site)

    def _is_ambiguous(self, task: cst.BaseExpression) -> bool:
        names = self.get_metadata(QualifiedNameProvider, task, set())
        return len(dotted_names(names, self.rule.module)) > 1

    def _is_shadowed(self, site: cst.Call, function: str) -> bool:
        scope = self.get_metadata(ScopeProvider, site, None)
        if scope is None:
            return False
        return any(
            not isinstance(assignment, ImportAssignment)
            or assignment.get_module_name_for_import() != self.rule.routing
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


class _Rewrite(cst.CSTTransformer):
    def __init__(self, found: _Find) -> None:
        super().__init__()
        self.found = found

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.BaseExpression:
        function = updated_node.func
        if (site := self.found.sites.get(original_node)) is not None:
            task = cst.ensure_type(function, cst.Attribute).value
            space = _after_comma(updated_node)
            comma = cst.Comma(whitespace_after=space) if updated_node.args else cst.MaybeSentinel.DEFAULT
            args = [cst.Arg(task, comma=comma), *updated_node.args]
            return _awaited(updated_node.with_changes(func=cst.Name(site.function), args=args), site)
        if (site := self.found.waits.get(original_node)) is not None:
            return _awaited(updated_node.with_deep_changes(function, attr=cst.Name(site.function)), site)
        return updated_node


def _awaited(call: cst.Call, site: _Site) -> cst.BaseExpression:
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
    """The space between the task and the first argument: a new line where the arguments begin on one."""
    before = call.whitespace_before_args
    return before if isinstance(before, cst.ParenthesizedWhitespace) else cst.SimpleWhitespace(" ")
