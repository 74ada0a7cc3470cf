"""New imports, in the place where a sorted file has them."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import libcst as cst
from libcst.helpers import get_full_name_for_node

FUTURE, STANDARD, OTHERS, OWN = range(4)
Key = tuple[int, bool, str]


def with_imports(module: cst.Module, wanted: Iterable[tuple[str, str]], package: str) -> cst.Module:
    """Return a file that imports names besides what it imports already.

    Args:
        module: the file.
        wanted: modules and names; without a name the module itself.
        package: the application's package; imports from it stand last.
    """
    for source, name in sorted(set(wanted)):
        if not any(_gives(line, source, name) for line in module.body):
            module = _added(module, source, name, package.partition(".")[0])
    return module


def _import_of(line: cst.CSTNode) -> cst.Import | cst.ImportFrom | None:
    if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1:
        part = line.body[0]
        if isinstance(part, cst.Import | cst.ImportFrom):
            return part
    return None


def _module_of(part: cst.Import | cst.ImportFrom) -> str:
    if isinstance(part, cst.Import):
        return part.names[0].evaluated_name
    return "." * len(part.relative) + (get_full_name_for_node(part.module) or "" if part.module else "")


def _gives(line: cst.CSTNode, source: str, name: str) -> bool:
    part = _import_of(line)
    if part is None or isinstance(part.names, cst.ImportStar) or _module_of(part) != source:
        return False
    names = {alias.evaluated_name for alias in part.names if alias.asname is None}
    return (name or source) in names and isinstance(part, cst.ImportFrom) is bool(name)


def _key(module: str, is_from: bool, package: str) -> Key:
    root = module.partition(".")[0]
    if root == "__future__":
        return FUTURE, is_from, module
    if root in sys.stdlib_module_names:
        return STANDARD, is_from, module
    return (OWN if root in ("", package) else OTHERS), is_from, module


def _added(module: cst.Module, source: str, name: str, package: str) -> cst.Module:
    body = list(module.body)
    for place, line in enumerate(body):
        part = _import_of(line)
        if name and isinstance(part, cst.ImportFrom) and _module_of(part) == source and _is_plain(part):
            body[place] = line.with_changes(body=[_with_name(part, name)])
            return module.with_changes(body=body)
    new = _key(source, bool(name), package)
    last, places = _block(body)
    keys = {i: _key(_module_of(p), isinstance(p, cst.ImportFrom), package) for i, p in places.items()}
    before = [i for i, key in keys.items() if key < new]
    place = max(before) + 1 if before else min(keys, default=last)
    code = f"from {source} import {name}" if name else f"import {source}"
    statement = cst.ensure_type(cst.parse_statement(code), cst.SimpleStatementLine)
    blank = [cst.EmptyLine(indent=False)]
    apart = place > 0 and (place - 1 not in keys or keys[place - 1][0] != new[0])
    following = body[place] if place < len(body) else None
    if place in keys and isinstance(following, cst.SimpleStatementLine):
        same = keys[place][0] == new[0]
        comments = any(space.comment for space in following.leading_lines)
        if same and not comments:
            body[place] = following.with_changes(leading_lines=[])
        elif not same and not following.leading_lines:
            body[place] = following.with_changes(leading_lines=blank)
    if place not in keys and following is not None and not following.leading_lines:
        whole = isinstance(following, cst.FunctionDef | cst.ClassDef)
        body[place] = following.with_changes(leading_lines=blank * (2 if whole else 1))
    body.insert(place, statement.with_changes(leading_lines=blank if apart else []))
    return module.with_changes(body=body)


def _block(
    body: list[cst.BaseCompoundStatement | cst.SimpleStatementLine],
) -> tuple[int, dict[int, cst.Import | cst.ImportFrom]]:
    """Where a first import would stand, and the imports at the beginning of a file by their places."""
    start = 0
    if body and isinstance(body[0], cst.SimpleStatementLine):
        first = body[0].body[0]
        start = int(isinstance(first, cst.Expr) and isinstance(first.value, cst.SimpleString))
    places = {}
    for place in range(start, len(body)):
        part = _import_of(body[place])
        if part is None:
            break
        places[place] = part
    return start, places


def _is_plain(part: cst.ImportFrom) -> bool:
    return not isinstance(part.names, cst.ImportStar) and not part.relative


def _with_name(part: cst.ImportFrom, name: str) -> cst.ImportFrom:
    """An import with one name more: constants, classes, others, each by the alphabet."""
    assert not isinstance(part.names, cst.ImportStar)

    def order(alias: cst.ImportAlias) -> tuple[int, str]:
        known = alias.evaluated_name
        return (0 if known.isupper() else 1 if known[:1].isupper() else 2), known

    names = sorted([*part.names, cst.ImportAlias(cst.Name(name))], key=order)
    comma = next((a.comma for a in part.names if isinstance(a.comma, cst.Comma)), None)
    apart = comma or cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    trailing = part.names[-1].comma
    spaced = [alias.with_changes(comma=apart) for alias in names[:-1]]
    return part.with_changes(names=[*spaced, names[-1].with_changes(comma=trailing)])
