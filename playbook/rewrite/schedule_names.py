"""Which names an expression needs, a statement binds, and a statement gives values to as settings."""

from __future__ import annotations

from collections.abc import Iterator

import libcst as cst

from playbook.inventory.schedules import BEAT
from playbook.rewrite.schedule_entry import children, literal


def needed_names(node: cst.CSTNode) -> set[str]:
    """Return the names that a node takes from outside of it."""
    used: set[str] = set()
    local: set[str] = set()
    for child in children(node):
        match child:
            case cst.Attribute(value=cst.Name(value=root)):
                used.add(root)
            case cst.CompFor(target=target):
                local |= root_names(target)
            case cst.Param(name=cst.Name(value=name)):
                local.add(name)
            case cst.AssignTarget(target=cst.Name(value=name)) if isinstance(node, cst.FunctionDef):
                local.add(name)
            case cst.FunctionDef(name=cst.Name(value=name)) | cst.ClassDef(name=cst.Name(value=name)):
                local.add(name)
    return (used | _plain_names(node)) - local


def _plain_names(node: cst.CSTNode) -> set[str]:
    """Return the names below a node that are neither attributes nor keywords."""
    if isinstance(node, cst.Name):
        return {node.value}
    if isinstance(node, cst.Attribute):
        return _plain_names(node.value)
    inner = [child for child in node.children if not (isinstance(node, cst.Arg) and child is node.keyword)]
    return {name for child in inner for name in _plain_names(child)}


def bound_names(part: cst.BaseSmallStatement) -> set[str]:
    """Return the names that a statement gives a value, or changes the value of."""
    match part:
        case cst.Assign(targets=targets):
            return {name for target in targets for name in root_names(target.target)}
        case cst.AnnAssign(target=target) | cst.AugAssign(target=target):
            return root_names(target)
        case cst.Expr(value=cst.Call(func=cst.Attribute(value=cst.Name(value=name)))):
            return {name}
    return set()


def root_names(target: cst.CSTNode) -> set[str]:
    """Return the names of an assignment's target; of `a[0]`, `a`; of `a.b`, none."""
    match target:
        case cst.Name(value=name):
            return {name}
        case cst.Subscript(value=value):
            return root_names(value)
        case cst.Tuple(elements=elements) | cst.List(elements=elements):
            return {name for element in elements for name in root_names(element.value)}
    return set()


def is_schedule(node: cst.CSTNode) -> bool:
    """Tell whether an expression is a beat schedule by its name: attribute, variable or key."""
    match node:
        case cst.Attribute(attr=cst.Name(value=name)) | cst.Name(value=name):
            return BEAT.fullmatch(name) is not None
        case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Index(value=key))]):
            found = literal(key)
            return isinstance(found, str) and BEAT.fullmatch(found) is not None
    return False


def named_values(part: cst.CSTNode) -> Iterator[tuple[str, bool, cst.BaseExpression]]:
    """Yield what a statement gives names to: the name, whether it is a variable, the value.

    Names are those of variables, attributes, keys and keywords, as in `playbook.inventory.source`.
    """
    match part:
        case cst.Assign(targets=targets, value=value):
            for target in targets:
                if (name := _target_name(target.target)) is not None:
                    yield name, isinstance(target.target, cst.Name), value
        case cst.AnnAssign(target=cst.Name(value=name), value=cst.BaseExpression() as value):
            yield name, True, value
    for child in children(part):
        match child:
            case cst.Arg(keyword=cst.Name(value=name), value=value):
                yield name, False, value
            case cst.DictElement(key=key, value=value) if isinstance(found := literal(key), str):
                yield found, False, value


def _target_name(target: cst.CSTNode) -> str | None:
    match target:
        case cst.Attribute(attr=cst.Name(value=name)) | cst.Name(value=name):
            return name
        case cst.Subscript(slice=[cst.SubscriptElement(slice=cst.Index(value=key))]):
            found = literal(key)
            return found if isinstance(found, str) else None
    return None
