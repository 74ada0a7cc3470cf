"""One imported name of a file, and its replacement by a name from another module."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.helpers import get_full_name_for_node
from libcst.metadata import MetadataWrapper, ScopeProvider


def import_of(module: cst.Module, source: str, name: str) -> cst.ImportAlias | None:
    """Return the alias of `from source import name` at the top level of a file, None if there is none."""
    for statement in _imports(module):
        if statement.relative or get_full_name_for_node(statement.module or cst.Name("")) != source:
            continue
        for alias in () if isinstance(statement.names, cst.ImportStar) else statement.names:
            if alias.evaluated_name == name:
                return alias
    return None


def _imports(module: cst.Module) -> Iterator[cst.ImportFrom]:
    for line in module.body:
        if isinstance(line, cst.SimpleStatementLine):
            yield from (part for part in line.body if isinstance(part, cst.ImportFrom))


def _root(statement: cst.ImportFrom) -> str:
    """The top-level package that is imported from; empty for a relative import."""
    return (get_full_name_for_node(statement.module or "") or "").partition(".")[0]


def uses_of(wrapper: MetadataWrapper, local: str) -> list[cst.CSTNode]:
    """Return the nodes of a file that stand for the module-level name `local`."""
    scopes = {scope for scope in wrapper.resolve(ScopeProvider).values() if scope is not None}
    found = {
        access.node
        for scope in scopes
        for assignment in scope.globals[local]
        for access in assignment.references
    }
    return list(found)


def is_bound(wrapper: MetadataWrapper, name: str) -> bool:
    """Tell whether a file has a module-level name already."""
    scopes = {scope for scope in wrapper.resolve(ScopeProvider).values() if scope is not None}
    return any(scope.globals[name] for scope in scopes)


def in_annotation(use: cst.CSTNode, parents: Mapping[cst.CSTNode, Any]) -> bool:
    """Tell whether a node stands in an annotation."""
    node: cst.CSTNode | None = use
    while node is not None and not isinstance(node, cst.Annotation):
        node = parents.get(node)
    return node is not None


def replace_import(
    module: cst.Module, alias: cst.ImportAlias, source: str, name: str, rename: Collection[cst.CSTNode] = ()
) -> str:
    """Return the file's code with the import removed and another one added.

    Args:
        module: the file.
        alias: the import to remove.
        source: the module to import from instead.
        name: the name to import; it keeps the local name of the removed one, unless uses are renamed.
        rename: the nodes that become `name`.
    """
    local = alias.evaluated_alias or alias.evaluated_name
    asname = None if rename or local == name else local
    replacing = _Replace(alias, f"from {source} import {name}" + (f" as {asname}" if asname else ""), rename)
    # Among other imports from the same package is a better place.
    replacing.in_place = not any(_root(other) == source.partition(".")[0] for other in _imports(module))
    changed = cst.ensure_type(module.visit(replacing), cst.Module)
    if replacing.replaced:
        return changed.code
    context = CodemodContext()
    AddImportsVisitor.add_needed_import(context, source, name, asname)
    return AddImportsVisitor(context).transform_module(changed).code


class _Replace(cst.CSTTransformer):
    """Renames uses, and takes a name out of its import, or puts the new one there if it is alone."""

    def __init__(self, alias: cst.ImportAlias, statement: str, rename: Collection[cst.CSTNode]) -> None:
        super().__init__()
        self.alias = alias
        self.statement = cst.ensure_type(cst.parse_statement(statement), cst.SimpleStatementLine).body[0]
        self.rename = rename
        self.in_place = True
        self.replaced = False

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        if original_node not in self.rename:
            return updated_node
        names = cst.ensure_type(self.statement, cst.ImportFrom).names
        assert not isinstance(names, cst.ImportStar)
        return updated_node.with_changes(value=names[0].evaluated_name)

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.RemovalSentinel:
        if isinstance(original_node.names, cst.ImportStar) or self.alias not in original_node.names:
            return updated_node
        kept = [alias for alias in original_node.names if alias is not self.alias]
        if not kept and not self.in_place:
            return cst.RemoveFromParent()
        if not kept:
            self.replaced = True
            return cst.ensure_type(self.statement, cst.ImportFrom)
        kept[-1] = kept[-1].with_changes(comma=original_node.names[-1].comma)
        return updated_node.with_changes(names=kept)
