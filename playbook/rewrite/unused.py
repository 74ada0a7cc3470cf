"""Imports that nothing uses any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import libcst as cst
from libcst.metadata import GlobalScope, ImportAssignment, MetadataWrapper, ScopeProvider

from playbook.rewrite.rule import parse

Key = tuple[str, str]
"""Module and name of an import; without a module: that of `import name`."""


def without_unused(before: str, after: str, modules: Collection[str] = ()) -> str:
    """Return `after` without the imports that `before` used and `after` does not.

    Args:
        before: the file as it was.
        after: the file as it is now.
        modules: modules and packages whose unused imports go in any case.
    """
    if not modules and before == after:
        return after
    wrapper = parse(after)
    unused = [(key, alias, _within(key, modules)) for key, alias, used in _imported(wrapper) if not used]
    was_used = set()
    if before != after and not all(within for *_, within in unused):
        was_used = {key for key, _, used in _imported(parse(before)) if used}
    aliases = [alias for key, alias, within in unused if within or key in was_used]
    if not aliases:
        return after
    return wrapper.module.visit(Remove(aliases)).code


def _within(key: Key, modules: Collection[str]) -> bool:
    module = key[0] or key[1]
    full = f"{key[0]}.{key[1]}" if key[0] else key[1]
    return any(name in (module, full) or module.startswith(f"{name}.") for name in modules)


def _imported(wrapper: MetadataWrapper) -> list[tuple[Key, cst.ImportAlias, bool]]:
    """Return what a file imports, and whether it uses it; what `__all__` names counts as used."""
    found = []
    exported = _exported(wrapper.module)
    scopes = {scope for scope in wrapper.resolve(ScopeProvider).values() if scope is not None}
    assignments = [(scope, assignment) for scope in scopes for assignment in scope.assignments]
    for scope, assignment in assignments:
        node = assignment.node if isinstance(assignment, ImportAssignment) else None
        if not isinstance(node, cst.Import | cst.ImportFrom) or isinstance(node.names, cst.ImportStar):
            continue
        assert isinstance(assignment, ImportAssignment), "others have no import's node"
        module = assignment.get_module_name_for_import() if isinstance(node, cst.ImportFrom) else ""
        kept = isinstance(scope, GlobalScope) and assignment.name in exported
        for alias in node.names:
            if (alias.evaluated_alias or alias.evaluated_name.partition(".")[0]) == assignment.name:
                used = bool(assignment.references) or kept
                found.append(((module, alias.evaluated_name), alias, used))
    return found


def _exported(module: cst.Module) -> set[str]:
    """The names in a module's `__all__`."""
    for line in module.body:
        for part in line.body if isinstance(line, cst.SimpleStatementLine) else ():
            if isinstance(part, cst.Assign) and any(
                isinstance(target.target, cst.Name) and target.target.value == "__all__"
                for target in part.targets
            ):
                elements = getattr(part.value, "elements", ())
                texts = [e.value for e in elements if isinstance(e.value, cst.SimpleString)]
                return {str(text.evaluated_value) for text in texts}
    return set()


class Remove(cst.CSTTransformer):
    """Takes names out of their imports, and what is empty then out of the file."""

    def __init__(self, aliases: Collection[cst.ImportAlias]) -> None:
        super().__init__()
        self.aliases = set(map(id, aliases))
        self.spaced: set[cst.CSTNode] = set()
        self.gone: set[cst.CSTNode] = set()

    def visit_Module(self, node: cst.Module) -> None:
        """Find the statements before which an empty line must stay, because it stood before one that goes."""
        apart = False
        for line in node.body:
            empty = bool(line.leading_lines) and not any(space.comment for space in line.leading_lines)
            if self._goes(line):
                self.gone.add(line)
                apart = apart or empty
                continue
            if apart and not line.leading_lines:
                self.spaced.add(line)
            apart = False

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:
        """Begin with no empty line where the first statement has gone."""
        if not updated_node.body or updated_node.header or original_node.body[0] not in self.gone:
            return updated_node
        first, *rest = updated_node.body
        lines = list(first.leading_lines)
        while lines and lines[0].comment is None:
            del lines[0]
        return updated_node.with_changes(body=[first.with_changes(leading_lines=lines), *rest])

    def _goes(self, line: cst.CSTNode) -> bool:
        parts = line.body if isinstance(line, cst.SimpleStatementLine) else ()
        return bool(parts) and all(
            isinstance(part, cst.Import | cst.ImportFrom)
            and not isinstance(part.names, cst.ImportStar)
            and all(id(alias) in self.aliases for alias in part.names)
            for part in parts
        )

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.BaseStatement | cst.FlattenSentinel[cst.BaseStatement] | cst.RemovalSentinel:
        return self.spaced_out(original_node, updated_node)

    def spaced_out(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine:
        """Return a statement with the empty line that must stay before it."""
        if original_node not in self.spaced or not updated_node.body:
            return updated_node
        return updated_node.with_changes(leading_lines=[cst.EmptyLine(indent=False)])

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.RemovalSentinel:
        if isinstance(original_node.names, cst.ImportStar):
            return updated_node
        kept = self._kept(original_node.names)
        return updated_node.with_changes(names=kept) if kept else cst.RemoveFromParent()

    def leave_Import(
        self, original_node: cst.Import, updated_node: cst.Import
    ) -> cst.Import | cst.RemovalSentinel:
        kept = self._kept(original_node.names)
        return updated_node.with_changes(names=kept) if kept else cst.RemoveFromParent()

    def _kept(self, names: Sequence[cst.ImportAlias]) -> list[cst.ImportAlias]:
        kept = [alias for alias in names if id(alias) not in self.aliases]
        if kept:
            kept[-1] = kept[-1].with_changes(comma=names[-1].comma)
        return kept

    def leave_IndentedBlock(
        self, original_node: cst.IndentedBlock, updated_node: cst.IndentedBlock
    ) -> cst.IndentedBlock:
        if updated_node.body or not original_node.body:
            return updated_node
        return updated_node.with_changes(body=[cst.parse_statement("pass")])

    def leave_If(self, original_node: cst.If, updated_node: cst.If) -> cst.If | cst.RemovalSentinel:
        emptied = updated_node.body is not original_node.body and cst.Module([]).code_for_node(
            updated_node.body
        ).split() == ["pass"]
        return cst.RemoveFromParent() if emptied and updated_node.orelse is None else updated_node
