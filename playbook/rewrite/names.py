"""What a name in a file stands for, as a dotted name of the whole application."""

from __future__ import annotations

from collections.abc import Iterable

from libcst.metadata import QualifiedName, QualifiedNameSource


def dotted_names(names: Iterable[QualifiedName], module: str) -> set[str]:
    """Return the dotted names that libcst's qualified names stand for in a module.

    Args:
        names: what libcst found for a node.
        module: the dotted name of the file's module. A relative import counts from its package.
    """
    return {_dotted(name, module) for name in names}


def _dotted(name: QualifiedName, module: str) -> str:
    if name.source is QualifiedNameSource.LOCAL:
        return f"{module}.{name.name}"
    level = len(name.name) - len(name.name.lstrip("."))
    if not level:
        return name.name
    package = module.split(".")[:-level]
    return ".".join([*package, name.name[level:]])
