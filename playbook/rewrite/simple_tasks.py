"""The slice of phase 02_simple_tasks: twins and routed calls of the tasks that need no canvas."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from playbook.config import Application
from playbook.contracts import Slice
from playbook.inventory import Inventory, inventory
from playbook.inventory.models import Task
from playbook.inventory.plan import plan
from playbook.rewrite.edit import Edit, settings_fields
from playbook.rewrite.poc import ROUTES
from playbook.rewrite.rules.call_sites import SENDERS, CallSites
from playbook.rewrite.rules.compose_service import ComposeService
from playbook.rewrite.rules.results import Results
from playbook.rewrite.rules.start_script import StartScript
from playbook.rewrite.rules.task_context import TaskContext
from playbook.rewrite.rules.twins import Twins
from playbook.rewrite.supported import SIGNALS
from playbook.tree import Tree

ROUTING_MODULES = ("clients", "commits", "flags", "handles", "loops", "routing")
TWINNED = ("02_simple_tasks", "04_scheduler")
"""Phases of the plan whose tasks get their twins here. A scheduled task may have one before its schedule
moves: beat goes on sending it to Celery."""


def slice_(application: Application, tree: Tree) -> Slice:
    """Add the router, the twins of the simple tasks, and route their calls.

    Args:
        application: what is migrated.
        tree: the working copy's files, with the slice of 01_poc in place.

    Raises:
        ConfigError: `playbook.toml` names a broker that the slice cannot make.
    """
    edit = Edit(application, tree)
    found = _inventory_of(application, tree)
    tasks = _simple_tasks(found)
    for module in ROUTING_MODULES:
        edit.copy(module)
    edit.add_settings(settings_fields(ROUTES))
    _route_calls(edit, found, tasks)
    _add_twins(edit, tasks)
    for path in edit.files(".py"):
        if "current_task" in edit.tree[path]:
            edit.apply(path, TaskContext(f"{edit.worker}.context"))
        if "AsyncResult" in edit.tree[path]:
            edit.apply(path, Results(f"{edit.worker}.handles"))
    _extend_deployment(edit, found)
    _report_signals(edit, found)
    return edit.done()


def _inventory_of(application: Application, tree: Tree) -> Inventory:
    """The inventory of a tree; its paths are relative to the application's root."""
    with TemporaryDirectory() as folder:
        for path, text in tree.items():
            if PurePosixPath(path).is_relative_to(application.root):
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text, encoding="utf-8")
        return inventory(Path(folder, application.root))


def _simple_tasks(found: Inventory) -> list[Task]:
    places = {
        (item.path, item.line)
        for phase in plan(found).phases
        if phase.phase in TWINNED
        for item in phase.items
        if item.list == "tasks"
    }
    return [task for task in found.tasks if (task.path, task.line) in places]


def _route_calls(edit: Edit, found: Inventory, tasks: list[Task]) -> None:
    """Rewrite the calls of the tasks. One that the rule does not recognise in its file is refused here."""
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
        recognised = rule.lines(before)
        for call in calls[path]:
            if call.line not in recognised:
                reason = "this file does not say by itself that this is the task; use dispatch by hand"
                edit.refuse(path, call.line, f"{call.method} of {call.task}", reason)


def _add_twins(edit: Edit, tasks: list[Task]) -> None:
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


def _extend_deployment(edit: Edit, found: Inventory) -> None:
    """Let the start script and the compose file start a TaskIQ worker.

    It is told every module with tasks, whether they have twins yet or not, and the Celery app first, because
    its tasks go on sending to Celery.
    """
    modules = sorted({task.module for task in found.tasks})
    app = edit.application.celery_app.partition(":")[0]
    command = " ".join(["python -m", edit.worker, app, f"{edit.worker}.health", *modules])
    scripts = [path for path in edit.files(".sh") if "celery" in edit.tree[path]]
    for path in scripts:
        edit.apply(path, StartScript(command))
    for path in edit.files(".yml", ".yaml"):
        if "compose" in PurePosixPath(path).name:
            for script in scripts:
                edit.apply(path, ComposeService(PurePosixPath(script).name))


def _report_signals(edit: Edit, found: Inventory) -> None:
    """Refuse the handlers of signals that a twin does not send."""
    reason = "Celery alone sends this signal; do the same in a TaskIQ event or middleware by hand"
    own = set(edit.files(".py"))
    for point in found.touchpoints:
        path = f"{edit.application.root}/{point.path}"
        if point.kind == "signal" and path in own and point.detail.partition(".")[0] not in SIGNALS:
            edit.refuse(path, point.line, point.detail, reason)
