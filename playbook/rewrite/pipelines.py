"""The slice of phase 03_pipelines: twins of the tasks that stand in canvases, and the canvases routed."""

from __future__ import annotations

from collections import defaultdict

from playbook.config import Application
from playbook.contracts import Slice
from playbook.inventory import Inventory
from playbook.rewrite.dual_mode import add_twins, inventory_of, route_calls, tasks_of
from playbook.rewrite.edit import Edit
from playbook.rewrite.routed import SENDERS
from playbook.rewrite.rules.canvases import Canvases
from playbook.rewrite.rules.result_annotations import ResultAnnotations
from playbook.tree import Tree

PHASE = "03_pipelines"
WORKFLOW_MODULES = (
    "canvas",
    "plans",
    "workflow",
    "steps",
    "lua_workflows",
    "lua_steps",
    "in_place",
    "builtin_tasks",
    "canvases",
)
"""Modules of the runtime that run canvases. Earlier slices have copied them."""

SENT = (*SENDERS, "__call__")
"""How a canvas is sent; a single signature that is called runs in place."""


def slice_(application: Application, tree: Tree) -> Slice:
    """Add twins of the tasks that canvases are made of or start them, and route their calls and the canvases.

    The code that builds a canvas stays as it is until the cutover.

    Args:
        application: what is migrated.
        tree: the working copy's files, with the slice of 02_simple_tasks in place.

    Raises:
        ConfigError: `playbook.toml` names a broker that the slice cannot make.
    """
    edit = Edit(application, tree)
    found = inventory_of(application, tree)
    tasks = tasks_of(found, (PHASE,))
    route_calls(edit, found, tasks)
    _route_canvases(edit, found)
    add_twins(edit, tasks)
    for path in edit.files(".py"):
        if "AsyncResult" in edit.tree[path]:
            edit.apply(path, ResultAnnotations(f"{edit.worker}.handles"))
    return edit.done()


def _route_canvases(edit: Edit, found: Inventory) -> None:
    """Rewrite the places that send a canvas. One that the rule does not recognise is refused here."""
    dotted = sorted(f"{task.module}.{task.function}" for task in found.tasks)
    sends = defaultdict(list)
    for call in found.calls:
        if call.task is None and call.method in SENT:
            sends[f"{edit.application.root}/{call.path}"].append(call)
    for path in edit.files(".py"):
        if not sends[path] and not any(f".{sender}" in edit.tree[path] for sender in SENDERS):
            continue
        rule = Canvases(edit.module_of(path), dotted, f"{edit.worker}.routing")
        before = edit.tree[path]
        if not edit.apply(path, rule):
            continue
        recognised = rule.lines(before)
        for call in sends[path]:
            if call.line not in recognised:
                reason = "this file does not say by itself that this is a canvas; use dispatch by hand"
                edit.refuse(path, call.line, f"{call.method} of a canvas", reason)
