"""Calls that build signatures and canvases: `.s()`, `chain`, `group`, `chord`, `map`, `signature("name")`."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from playbook.inventory import fold
from playbook.inventory.models import Structure
from playbook.inventory.source import Binding, Block, Source, arguments, start
from playbook.inventory.values import (
    SIGN,
    SPREAD,
    App,
    Each,
    External,
    Items,
    Method,
    Sig,
    TaskRef,
    Text,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from playbook.inventory.evaluate import Evaluator

BY_NAME = frozenset({"signature", "subtask", "Signature", "maybe_signature"})
CANVAS = frozenset({"chain", "group", "chord"})
SPREAD_CLASSES = {"xmap": "map", "xstarmap": "starmap", "chunks": "chunks"}
SAME = frozenset({"set", "clone", "on_error", "s", "si"})


def from_call(ev: Evaluator, source: Source, node: ast.Call, function: Value) -> Value | None:
    """The signature or canvas that the call builds; None if it builds none."""
    match function:
        case Method(owner=TaskRef(name=name), name=method) if method in SIGN:
            return Sig({"task": name, "immutable": method == "si" or _immutable(ev, source, node)})
        case Method(owner=TaskRef(name=name), name=method) if method in SPREAD:
            return Sig({method: {"task": name, "immutable": False}}, (node,))
        case Method(owner=Sig() as sig, name=method) if method in SAME:
            return _changed(ev, source, node, sig)
        case Method(owner=Sig(structure={"chunks": task}, sites=sites), name="group"):
            return Sig({"group": [{"each": {"starmap": task}, "over": "chunks"}]}, (node, *sites))
        case Sig(structure={"chord": {"header": header, "body": None}}, sites=sites) if node.args:
            body, inner = shape(ev.value(source, node.args[0]), source.text(node.args[0]))
            return Sig({"chord": {"header": header, "body": body}}, (node, *sites, *inner))
        case App(path="signature" | "subtask"):
            return _by_name(ev, source, node)
        case App(path=path) if path in CANVAS:
            return _combined(ev, source, node, path)
        case External() if function.celery_name in BY_NAME:
            return _by_name(ev, source, node)
        case External() if function.celery_name in CANVAS:
            return _combined(ev, source, node, function.celery_name)
        case External() if function.celery_name in SPREAD_CLASSES:
            return _spread_class(ev, source, node, SPREAD_CLASSES[function.celery_name])
    return None


def shape(value: Value, text: str) -> tuple[Structure, tuple[ast.AST, ...]]:
    """The structure of a value used as a member of a canvas, and the expressions that built it."""
    match value:
        case Sig(structure=structure, sites=sites):
            return structure, sites
        case Each(value=inner, over=over):
            structure, sites = shape(inner, text)
            return {"each": structure, "over": over}, sites
        case Unknown(text=own) if own:
            return {"unknown": own}, ()
    return {"unknown": text}, ()


def spread(value: Value, text: str) -> Sequence[Value]:
    """The values that `*value` gives."""
    return value.values if isinstance(value, Items) else (Unknown(f"`{text}` is not known", f"*{text}"),)


def with_appended(ev: Evaluator, source: Source, name: str, binding: Binding, items: Items) -> Value:
    """A list with what the same function appends to it later; appended in a branch counts as unknown."""
    values = list(items.values)
    for call in source.mutations.get(name, ()):
        context = source.contexts[call]
        if context.function is binding.context.function and start(call) > start(binding.node):
            values.extend(_appended(ev, source, call, context.blocks[len(binding.context.blocks) :]))
    return Items(tuple(values))


def _appended(ev: Evaluator, source: Source, call: ast.Call, around: Sequence[Block]) -> Sequence[Value]:
    assert isinstance(call.func, ast.Attribute)
    if len(call.args) != 1:
        return (Unknown("it is inserted", source.text(call)),)
    added = call.args[0]
    value = ev.value(source, added)
    values = spread(value, source.text(added)) if call.func.attr == "extend" else (value,)
    if not around:
        return values
    loop = around[0].node
    if len(around) == 1 and isinstance(loop, ast.For | ast.AsyncFor):
        over = f"{source.text(loop.target)} in {source.text(loop.iter)}"
        return [Each(value, over) for value in values]
    return (Unknown("it is added under a condition", source.text(call)),)


def _immutable(ev: Evaluator, source: Source, node: ast.Call) -> bool:
    given = arguments(node)[1].get("immutable")
    return given is not None and source.text(given) == "True"


def _changed(ev: Evaluator, source: Source, node: ast.Call, sig: Sig) -> Sig:
    structure = sig.structure
    if "task" in structure and "immutable" in arguments(node)[1]:
        structure = {**structure, "immutable": _immutable(ev, source, node)}
    return Sig(structure, (node, *sig.sites) if sig.is_canvas else sig.sites)


def _by_name(ev: Evaluator, source: Source, node: ast.Call) -> Value:
    positional, keywords = arguments(node)
    first = positional[0] if positional else keywords.get("varies") or keywords.get("task")
    name = ev.constant(source, first) if first is not None else Unknown("no task is given")
    match name:
        case Text(value=text):
            return Sig({"task": text, "immutable": _immutable(ev, source, node)})
        case TaskRef(name=text):
            return Sig({"task": text, "immutable": _immutable(ev, source, node)})
        case Sig():
            return name
    return Sig({"unknown": source.text(node)})


def _combined(ev: Evaluator, source: Source, node: ast.Call, kind: str) -> Sig:
    positional, _ = arguments(node)
    if kind == "chord":
        return _chord(ev, source, node)
    members, sites = _members(ev, source, positional)
    one = len(positional) == 1 and not isinstance(positional[0], ast.Starred)
    one = one and not _is_list(ev, source, positional[0])
    if kind == "group":
        return Sig(fold.group(members), (node, *sites))
    return Sig(fold.single_chain(members[0]) if one else fold.chain(members), (node, *sites))


def _chord(ev: Evaluator, source: Source, node: ast.Call) -> Sig:
    positional, keywords = arguments(node)
    header_node = positional[0] if positional else keywords.get("header")
    body_node = positional[1] if len(positional) > 1 else keywords.get("body")
    sites: list[ast.AST] = [node]
    header: Structure | list[Structure] = []
    if header_node is not None:
        members, inner = _members(ev, source, [header_node])
        header = members if _is_list(ev, source, header_node) or not members else members[0]
        sites += inner
    body: Structure | None = None
    if body_node is not None:
        body, built = shape(ev.value(source, body_node), source.text(body_node))
        sites += built
    return Sig(fold.chord(header, body), tuple(sites))


def _is_list(ev: Evaluator, source: Source, node: ast.expr) -> bool:
    return isinstance(ev.value(source, node), Items)


def _members(
    ev: Evaluator, source: Source, nodes: Sequence[ast.expr]
) -> tuple[list[Structure], list[ast.AST]]:
    """The members that the arguments give: a single list (or starred list) gives its elements."""
    members: list[Structure] = []
    sites: list[ast.AST] = []
    for node in nodes:
        expression = node.value if isinstance(node, ast.Starred) else node
        value, text = ev.value(source, expression), source.text(expression)
        several = isinstance(node, ast.Starred) or (len(nodes) == 1 and isinstance(value, Items))
        for element in spread(value, text) if several else (value,):
            member, inner = shape(element, text)
            members.append(member)
            sites.extend(inner)
    return members, sites


def _spread_class(ev: Evaluator, source: Source, node: ast.Call, kind: str) -> Sig:
    if not node.args:
        return Sig({"unknown": source.text(node)})
    first = node.args[0]
    return Sig({kind: shape(ev.value(source, first), source.text(first))[0]}, (node,))


def builds(ev: Evaluator, source: Source, node: ast.AST) -> Sig | None:
    """The canvas that this very expression builds (not only reads from a variable or a function)."""
    value = ev.value(source, node)
    return value if isinstance(value, Sig) and node in value.sites and value.is_canvas else None
