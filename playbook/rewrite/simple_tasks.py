"""The slice of phase 02_simple_tasks: twins and routed calls of the tasks that need no canvas."""

from __future__ import annotations

from pathlib import PurePosixPath

from playbook.config import Application
from playbook.contracts import Slice
from playbook.inventory import Inventory
from playbook.rewrite.dual_mode import add_twins, inventory_of, route_calls, tasks_of
from playbook.rewrite.edit import Edit, settings_fields
from playbook.rewrite.poc import ROUTES
from playbook.rewrite.rules.compose_service import ComposeService
from playbook.rewrite.rules.results import Results
from playbook.rewrite.rules.start_script import StartScript
from playbook.rewrite.rules.task_context import TaskContext
from playbook.rewrite.supported import SIGNALS
from playbook.tree import Tree

ROUTING_MODULES = (
    "calling",
    "canvases",
    "clients",
    "commits",
    "flags",
    "handles",
    "loops",
    "routing",
    "sent",
    "workflow",
)
TWINNED = ("02_simple_tasks", "04_scheduler")
"""Phases of the plan whose tasks get their twins here. A scheduled task may have one before its schedule
moves: beat goes on sending it to Celery."""

GRACE = "30s"
"""A little longer than a worker gives its tasks when it stops (`TASKIQ_STOP_TIMEOUT`)."""


def slice_(application: Application, tree: Tree) -> Slice:
    """Add the router, the twins of the simple tasks, and route their calls.

    Args:
        application: what is migrated.
        tree: the working copy's files, with the slice of 01_poc in place.

    Raises:
        ConfigError: `playbook.toml` names a broker that the slice cannot make.
    """
    edit = Edit(application, tree)
    found = inventory_of(application, tree)
    tasks = tasks_of(found, TWINNED)
    for module in ROUTING_MODULES:
        edit.copy(module)
    edit.add_settings(settings_fields(ROUTES))
    route_calls(edit, found, tasks)
    add_twins(edit, tasks)
    for path in edit.files(".py"):
        if "current_task" in edit.tree[path]:
            edit.apply(path, TaskContext(f"{edit.worker}.context"))
        if "AsyncResult" in edit.tree[path]:
            edit.apply(path, Results(f"{edit.worker}.handles"))
    _extend_deployment(edit, found)
    _report_signals(edit, found)
    return edit.done()


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
                edit.apply(path, ComposeService(PurePosixPath(script).name, grace=GRACE))


def _report_signals(edit: Edit, found: Inventory) -> None:
    """Refuse the handlers of signals that a twin does not send."""
    reason = "Celery alone sends this signal; do the same in a TaskIQ event or middleware by hand"
    own = set(edit.files(".py"))
    for point in found.touchpoints:
        path = f"{edit.application.root}/{point.path}"
        if point.kind == "signal" and path in own and point.detail.partition(".")[0] not in SIGNALS:
            edit.refuse(path, point.line, point.detail, reason)
