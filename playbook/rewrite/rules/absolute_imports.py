"""Relative imports become absolute, for code that is copied into another package."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst
from libcst.helpers import get_absolute_module_for_import

from playbook.rewrite.rule import Outcome


@dataclass(frozen=True)
class AbsoluteImports:
    """`from ..settings import settings` becomes `from reflector.settings import settings`.

    Attributes:
        package: the package that the file will belong to, `reflector.worker` for
        `reflector/worker/broker.py`.
    """

    package: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the imports of one file."""
        return Outcome(cst.parse_module(source).visit(_Absolute(self.package)).code)


class _Absolute(cst.CSTTransformer):
    def __init__(self, package: str) -> None:
        super().__init__()
        self.module = f"{package}.module"

    def leave_ImportFrom(self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom) -> cst.ImportFrom:
        if not updated_node.relative:
            return updated_node
        name = get_absolute_module_for_import(self.module, updated_node)
        if name is None:
            code = cst.Module([]).code_for_node(updated_node)
            raise ValueError(f"`{code}` leads out of the package {self.module.rpartition('.')[0]}")
        absolute = cst.parse_expression(name)
        assert isinstance(absolute, cst.Attribute | cst.Name)
        return updated_node.with_changes(relative=(), module=absolute)
