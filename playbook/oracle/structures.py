"""Structures of a case file, built as canvases of Celery or of the application's workflow module."""

from __future__ import annotations

import operator
from functools import reduce
from typing import Any

from playbook.oracle.notation import Node, callbacks, expanded, kind_of, mapped_task
from playbook.oracle.system import TaskSide
from playbook.oracle.tags import signature, tagged_arguments, tagged_item


def build(side: TaskSide, case: str, node: Node) -> Any:
    """Build a canvas.

    Parameters:
        side: the system whose canvas it is to be.
        case: tag that all tasks of the canvas carry.
        node: a valid structure.
    """
    canvas = _bare(side, case, node)
    if "options" in node:
        canvas.set(**node["options"])
    if "immutable" in node and kind_of(node) != "task":
        canvas.set(immutable=node["immutable"])
    for callback in callbacks(node, "link"):
        canvas.link(build(side, case, callback))
    for callback in callbacks(node, "link_error"):
        canvas.link_error(build(side, case, callback))
    return canvas


def _bare(side: TaskSide, case: str, node: Node) -> Any:
    def all_of(nodes: list[Node]) -> list[Any]:
        return [build(side, case, child) for child in expanded(nodes)]

    kind = kind_of(node)
    content = node[kind]
    if kind == "task":
        args, kwargs = node.get("args", []), node.get("kwargs", {})
        return signature(side, case, content, args, kwargs, node.get("immutable", False))
    if kind == "chain":
        return side.chain(*all_of(content))
    if kind == "pipe":
        return reduce(operator.or_, all_of(content))
    if kind == "group":
        return side.group(all_of(content))
    if kind == "chord":
        header, body = content["header"], build(side, case, content["body"])
        return side.chord(all_of(header) if isinstance(header, list) else build(side, case, header), body)
    return _map(side, case, kind, content)


def _map(side: TaskSide, case: str, kind: str, content: dict[str, Any]) -> Any:
    task = side.task(mapped_task(content))
    if kind == "map":
        return task.map([tagged_item(case, item) for item in content["it"]])
    items = [tagged_arguments(case, item) for item in content["it"]]
    if kind == "starmap":
        return task.starmap(items)
    chunks = task.chunks(items, content["n"])
    return chunks.group() if content.get("as_group") else chunks
