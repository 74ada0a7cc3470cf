"""What is imported from Celery is imported from the application's own runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import libcst as cst
from libcst.metadata import (
    GlobalScope,
    ImportAssignment,
    ParentNodeProvider,
    PositionProvider,
    QualifiedNameProvider,
    QualifiedNameSource,
    Scope,
    ScopeProvider,
)

from playbook.rewrite.counterparts import COUNTERPARTS, ELSEWHERE, IN_ANNOTATIONS, ROOTS, reason_for
from playbook.rewrite.imported import in_annotation
from playbook.rewrite.placed import with_imports
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse
from playbook.rewrite.unused import Remove, without_unused


@dataclass(frozen=True)
class CeleryNames:
    """`from celery import chain` becomes `from app.worker.workflow import chain`; exceptions, signals,
    schedules, states and annotations likewise.

    A name that gets another one is renamed wherever it stands. What has no counterpart stays, with a reason.

    Attributes:
        worker: the package of the worker modules.
    """

    worker: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the imports of one file, and the uses of what it imports."""
        if not any(root in source for root in ROOTS):
            return Outcome(source)
        wrapper = parse(source)
        found = _Uses()
        wrapper.visit(found)
        if not found.replaced:
            return Outcome(without_unused(source, source, ROOTS), tuple(found.refusals))
        changed = cst.ensure_type(wrapper.module.visit(_Rename(found, self)), cst.Module)
        targets = {target for target, nested in found.replaced.values() if not nested}
        wanted = [(self.module_of(module), name) for module, name in targets]
        code = with_imports(changed, wanted, self.worker).code
        return Outcome(without_unused(source, code, ROOTS), tuple(found.refusals))

    def module_of(self, module: str) -> str:
        """Return the full name of a module of the runtime."""
        return self.worker + module if module.startswith(".") else module


Target = tuple[str, str]


class _Uses(cst.CSTVisitor):
    """Finds what takes the place of which node; `replaced` tells besides whether its import is a nested
    one."""

    METADATA_DEPENDENCIES: ClassVar = (
        ParentNodeProvider,
        PositionProvider,
        QualifiedNameProvider,
        ScopeProvider,
    )

    def __init__(self) -> None:
        super().__init__()
        self.replaced: dict[cst.CSTNode, tuple[Target, bool]] = {}
        self.nested: dict[cst.CSTNode, set[Target]] = {}
        self.refusals: list[Refusal] = []
        self.gone: list[cst.ImportAlias] = []

    def leave_Module(self, original_node: cst.Module) -> None:
        """Find the imports of which every use gets another name."""
        scopes = {scope for scope in self.metadata[ScopeProvider].values() if isinstance(scope, Scope)}
        for assignment in [found for scope in scopes for found in scope.assignments]:
            node = assignment.node if isinstance(assignment, ImportAssignment) else None
            if not isinstance(node, cst.Import | cst.ImportFrom) or isinstance(node.names, cst.ImportStar):
                continue
            uses = [self._whole(access.node) for access in assignment.references]
            if uses and all(use in self.replaced for use in uses):
                self.gone += [alias for alias in node.names if _local(alias) == assignment.name]

    def _whole(self, node: cst.CSTNode) -> cst.CSTNode:
        """The longest dotted name around a node that is replaced, or the node."""
        while node not in self.replaced:
            around = self.get_metadata(ParentNodeProvider, node, None)
            if not isinstance(around, cst.Attribute):
                return node
            node = around
        return node

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def visit_Attribute(self, node: cst.Attribute) -> bool:
        name = self._name(node)
        if name is None or any(name.startswith(f"{known}.") for known in COUNTERPARTS | IN_ANNOTATIONS):
            node.value.visit(self)
        else:
            self._look(node, name)
        return False

    def visit_Arg(self, node: cst.Arg) -> bool:
        node.value.visit(self)
        return False

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        """Look at an annotation that is a text."""
        if in_annotation(node, self.metadata[ParentNodeProvider]) and node.raw_value.isidentifier():
            scope = self.get_metadata(ScopeProvider, node, None)
            for found in scope.get_qualified_names_for(node.raw_value) if scope else ():
                if found.name.partition(".")[0] in ROOTS:
                    self._look(node, found.name)

    def visit_Name(self, node: cst.Name) -> None:
        name = self._name(node)
        if name is not None:
            self._look(node, name)

    def _name(self, node: cst.CSTNode) -> str | None:
        """The dotted name of one of Celery's objects, None for all others."""
        for found in self.get_metadata(QualifiedNameProvider, node, set()):
            if found.source is QualifiedNameSource.IMPORT and found.name.partition(".")[0] in ROOTS:
                return found.name
        return None

    def _look(self, node: cst.Attribute | cst.Name | cst.SimpleString, name: str) -> None:
        target = COUNTERPARTS.get(name)
        parents = self.metadata[ParentNodeProvider]
        if target is None and name in IN_ANNOTATIONS and in_annotation(node, parents):
            target = IN_ANNOTATIONS[name]
        reason = None
        if target is None:
            if name in ELSEWHERE:
                return
            reason = reason_for(name)
        elif self._is_taken(node, target[1]):
            reason = f"the file has a {target[1]} of its own; import it under another name by hand"
        if reason is not None or target is None:
            line = self.get_metadata(PositionProvider, node).start.line
            self.refusals.append(Refusal(line, code_of(node), reason or ""))
            return
        statement = self._nested_import(node)
        if statement is not None:
            self.nested.setdefault(statement, set()).add(target)
        self.replaced[node] = (target, statement is not None)

    def _is_taken(self, node: cst.CSTNode, new: str) -> bool:
        """Whether the new name stands for something else here."""
        scope = self.get_metadata(ScopeProvider, node, None)
        for assignment in scope[new] if scope else ():
            ours = isinstance(assignment, ImportAssignment) and (
                assignment.get_module_name_for_import().partition(".")[0] in ROOTS
                or (assignment.get_qualified_names_for(new) and _is_runtime(assignment))
            )
            if not ours:
                return True
        return False

    def _nested_import(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """The import that a name comes from, if that stands in a function."""
        scope = self.get_metadata(ScopeProvider, node, None)
        first = code_of(node).strip("'\"").partition(".")[0]
        for assignment in scope[first] if scope else ():
            if isinstance(assignment, ImportAssignment) and not isinstance(assignment.scope, GlobalScope):
                return assignment.node
        return None


def _is_runtime(assignment: ImportAssignment) -> bool:
    """Whether an import has been put there by this rule already."""
    modules = {module for module, _ in (COUNTERPARTS | IN_ANNOTATIONS).values()}
    name = assignment.get_module_name_for_import()
    return any(name.endswith(module) for module in modules)


def _local(alias: cst.ImportAlias) -> str:
    return alias.evaluated_alias or alias.evaluated_name.partition(".")[0]


class _Rename(Remove):
    def __init__(self, found: _Uses, rule: CeleryNames) -> None:
        super().__init__(found.gone)
        self.found, self.rule = found, rule

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.BaseExpression:
        return self._renamed(original_node, updated_node)

    def leave_SimpleString(
        self, original_node: cst.SimpleString, updated_node: cst.SimpleString
    ) -> cst.BaseExpression:
        return self._renamed(original_node, updated_node)

    def leave_Attribute(
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.BaseExpression:
        return self._renamed(original_node, updated_node)

    def _renamed(self, original_node: cst.CSTNode, updated_node: cst.BaseExpression) -> cst.BaseExpression:
        if (found := self.found.replaced.get(original_node)) is None:
            return updated_node
        if isinstance(original_node, cst.SimpleString):
            return original_node.with_changes(
                value=original_node.value.replace(original_node.raw_value, found[0][1])
            )
        lpar, rpar = getattr(original_node, "lpar", ()), getattr(original_node, "rpar", ())
        return cst.Name(found[0][1], lpar=lpar, rpar=rpar)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.BaseStatement | cst.FlattenSentinel[cst.BaseStatement] | cst.RemovalSentinel:
        """An import in a function is followed by those that take its place."""
        targets = {target for part in original_node.body for target in self.found.nested.get(part, ())}
        line = self.spaced_out(original_node, updated_node)
        if not targets:
            return line
        names: dict[str, list[str]] = {}
        for module, name in sorted(targets):
            names.setdefault(self.rule.module_of(module), []).append(name)
        new = [
            cst.parse_statement(f"from {module} import {', '.join(found)}") for module, found in names.items()
        ]
        return cst.FlattenSentinel([*([line] if line.body else []), *new])
