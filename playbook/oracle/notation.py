"""The notation of structures in a case file: what may stand where.

task{task,args,kwargs,immutable,options,link,link_error} | chain[] | pipe[] | group[]
chord{header: node or list, body} | starmap/map{task,it} | chunks{task,it,n,as_group}
{repeat: n, of: node} stands for n nodes in a list; options, link, link_error may sit on any node
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from playbook.oracle.bodies import NAMES

Node = dict[str, Any]

KINDS = ("task", "chain", "pipe", "group", "chord", "starmap", "map", "chunks")
LISTS = ("chain", "pipe", "group")
MAPS = {"starmap": {"task", "it"}, "map": {"task", "it"}, "chunks": {"task", "it", "n"}}
ON_ANY_NODE = {"immutable", "options", "link", "link_error"}
ON_A_TASK = {"task", "args", "kwargs"}


class NotationError(ValueError):
    """A structure does not follow the notation; the message says where in it, and why."""


def kind_of(node: Node) -> str:
    """Return the kind of a valid node."""
    return next(kind for kind in KINDS if kind in node)


def expanded(nodes: list[Node]) -> Iterator[Node]:
    """Yield the nodes that a valid list stands for."""
    for node in nodes:
        for _ in range(node.get("repeat", 1)):
            yield from expanded([node["of"]]) if "repeat" in node else [node]


def mapped_task(content: dict[str, Any]) -> Any:
    """Return the name of the task that a map applies; it is given by its name or as a node."""
    task = content["task"]
    return task.get("task") if isinstance(task, dict) else task


def callbacks(node: Node, kind: str) -> list[Node]:
    """Return the nodes that hang on a valid node as `link` or `link_error`."""
    found = node.get(kind) or []
    return found if isinstance(found, list) else [found]


def walk(node: Node) -> Iterator[Node]:
    """Yield a valid node and all nodes in it, callbacks included."""
    yield node
    for kind in ("link", "link_error"):
        for callback in callbacks(node, kind):
            yield from walk(callback)
    for child in children(node):
        yield from walk(child)


def children(node: Node) -> list[Node]:
    """Return the parts of a valid node, without its callbacks."""
    kind = kind_of(node)
    if kind in LISTS:
        return list(expanded(node[kind]))
    if kind == "chord":
        header = node["chord"]["header"]
        return [*(expanded(header) if isinstance(header, list) else [header]), node["chord"]["body"]]
    return []


def check(node: Any, path: str = "structure") -> None:
    """Make sure that a structure follows the notation.

    Parameters:
        node: the structure, as JSON.
        path: what messages call it.

    Raises:
        NotationError: it does not.
    """
    kinds = [kind for kind in KINDS if kind in node] if isinstance(node, dict) else []
    _require(len(kinds) == 1, path, f"must be an object with one of {', '.join(KINDS)}")
    kind = kinds[0]
    unknown = set(node) - {kind} - ON_ANY_NODE - (ON_A_TASK if kind == "task" else set())
    _require(not unknown, path, f"has unknown fields: {', '.join(sorted(unknown))}")
    _require(isinstance(node.get("options", {}), dict), f"{path}.options", "must be an object")
    _require(isinstance(node.get("immutable", False), bool), f"{path}.immutable", "must be true or false")
    for name in ("link", "link_error"):
        for number, callback in enumerate(callbacks(node, name)):
            check(callback, f"{path}.{name}[{number}]")
    _check_content(kind, node, path)


def _check_content(kind: str, node: Node, path: str) -> None:
    here = f"{path}.{kind}"
    if kind == "task":
        _check_task(node["task"], here)
        _require(isinstance(node.get("args", []), list), f"{path}.args", "must be a list")
        _require(isinstance(node.get("kwargs", {}), dict), f"{path}.kwargs", "must be an object")
    elif kind in LISTS:
        _check_list(node[kind], here)
    elif kind == "chord":
        chord = node["chord"]
        right = isinstance(chord, dict) and set(chord) == {"header", "body"}
        _require(right, here, "must be an object with header and body")
        check_header = _check_list if isinstance(chord["header"], list) else check
        check_header(chord["header"], f"{here}.header")
        check(chord["body"], f"{here}.body")
    else:
        _check_map(kind, node[kind], here)


def _check_list(nodes: Any, path: str) -> None:
    _require(isinstance(nodes, list), path, "must be a list")
    for number, node in enumerate(nodes):
        here = f"{path}[{number}]"
        if isinstance(node, dict) and "repeat" in node:
            right = set(node) == {"repeat", "of"} and isinstance(node["repeat"], int)
            _require(right, here, "must be {repeat: a whole number, of: a node}")
            _check_list([node["of"]], f"{here}.of")
        else:
            check(node, here)


def _check_map(kind: str, content: Any, path: str) -> None:
    needed = MAPS[kind]
    right = isinstance(content, dict) and needed <= set(content) <= needed | {"as_group"}
    _require(right, path, f"must be an object with {', '.join(sorted(needed))}")
    _check_task(mapped_task(content), f"{path}.task")
    _require(isinstance(content["it"], list), f"{path}.it", "must be a list")
    if kind != "map":
        _require(all(isinstance(item, list) for item in content["it"]), f"{path}.it", "must hold lists")
    if kind == "chunks":
        _require(isinstance(content["n"], int) and content["n"] > 0, f"{path}.n", "must be above 0")


def _check_task(name: Any, path: str) -> None:
    _require(isinstance(name, str) and name in NAMES, path, f"is {name!r}; the oracle has no such task")


def _require(holds: bool, path: str, reason: str) -> None:
    if not holds:
        raise NotationError(f"{path} {reason}")
