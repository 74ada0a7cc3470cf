"""What the slices of the dual-mode time share: which tasks a phase moves, their twins, and their calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from playbook.config import Application
from playbook.inventory import Inventory, inventory
from playbook.inventory.models import Task
from playbook.inventory.plan import plan
from playbook.rewrite.edit import Edit
from playbook.rewrite.routed import SENDERS
from playbook.rewrite.rules.call_sites import CallSites
from playbook.rewrite.rules.canvases import Canvases
from playbook.rewrite.rules.twins import Twins
from playbook.tree import Tree


def inventory_of(application: Application, tree: Tree) -> Inventory:
    """Return the inventory of a tree; its paths are relative to the application's root."""
    with TemporaryDirectory() as folder:
        for path, text in tree.items():
            if PurePosixPath(path).is_relative_to(application.root):
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
        return inventory(Path(folder, application.root))


def tasks_of(found: Inventory, phases: Collection[str]) -> list[Task]:
    """Return the tasks that the plan gives to the phases of these names."""
    places = {
        (item.path, item.line)
        for phase in plan(found).phases
        if phase.phase in phases
        for item in phase.items
        if item.list == "tasks"
    }
    return [task for task in found.tasks if (task.path, task.line) in places]


def route_calls(edit: Edit, found: Inventory, tasks: Iterable[Task]) -> None:
    """Rewrite the calls of the tasks. One that the rule does not recognise in its file is refused here."""
    tasks = list(tasks)
    dotted = sorted(f"{task.module}.{task.function}" for task in tasks)
    names = {task.name for task in tasks}
    calls = defaultdict(list)
    for call in found.calls:
        if call.task in names and call.method in (*SENDERS, "send_task"):
            calls[f"{edit.application.root}/{call.path}"].append(call)
    for path in edit.files(".py"):
        if not calls[path] and not any(f".{sender}" in edit.tree[path] for sender in SENDERS):
            continue
        rule = CallSites(edit.module_of(path), dotted, f"{edit.worker}.routing")
        before = edit.tree[path]
        if not edit.apply(path, rule):
            continue
        # A signature that is sent by itself follows with the canvases, in 03_pipelines.
        signatures = Canvases(edit.module_of(path), dotted, f"{edit.worker}.routing")
        recognised = rule.lines(before) | signatures.lines(before)
        for call in calls[path]:
            if call.line not in recognised:
                reason = "this file does not say by itself that this is the task; use dispatch by hand"
                edit.refuse(path, call.line, f"{call.method} of {call.task}", reason)


def add_twins(edit: Edit, tasks: Iterable[Task]) -> None:
    """Put a twin beside each of the tasks."""
    by_module = defaultdict(list)
    for task in tasks:
        by_module[task.module].append(task.function)
    module, _, name = edit.application.celery_app.partition(":")
    for task_module, functions in sorted(by_module.items()):
        rule = Twins(
            module=task_module,
            tasks=functions,
            twins_module=f"{edit.worker}.twins",
            bridges=edit.application.loop_bridges,
            app=f"{module}.{name}",
        )
        edit.apply(edit.application.module_path(task_module), rule)
