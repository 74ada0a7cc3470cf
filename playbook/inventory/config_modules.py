"""Modules that hold nothing but Celery's settings (`celeryconfig.py`), where its name need not occur."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from playbook.inventory.evaluate import Evaluator
from playbook.inventory.models import Touchpoint
from playbook.inventory.source import Source, arguments
from playbook.inventory.texts import shorten
from playbook.inventory.values import App, Text


def settings(ev: Evaluator) -> Iterator[Touchpoint]:
    """Every module-level assignment of a module that an application is configured from."""
    named = {name for source in ev.project for name in _configured_from(ev, source)}
    for source in ev.project:
        if source.module in named or source.module.rsplit(".", 1)[-1] == "celeryconfig":
            yield from _assignments(source)


def _assignments(source: Source) -> Iterator[Touchpoint]:
    for node in source.sites:
        if isinstance(node, ast.Assign | ast.AnnAssign) and source.contexts[node].function is None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            detail = shorten(source.text(target))
            yield Touchpoint(path=source.path, line=source.line(node), kind="config", detail=detail)


def _configured_from(ev: Evaluator, source: Source) -> Iterator[str]:
    for node in source.sites:
        if not isinstance(node, ast.Call) or not node.args or _has_namespace(node):
            continue
        if ev.value(source, node.func) == App("config_from_object"):
            value = ev.value(source, node.args[0])
            if isinstance(value, Text):
                yield value.value


def _has_namespace(node: ast.Call) -> bool:
    """With `namespace="CELERY"` the module holds other settings as well, and the prefix tells them apart."""
    return "namespace" in arguments(node)[1]
