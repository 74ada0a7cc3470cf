"""The slice of phase 04_scheduler: the schedule as the application's own module, shared with beat."""

from __future__ import annotations

from pathlib import PurePosixPath

from playbook.config import Application
from playbook.contracts import Slice
from playbook.inventory import Inventory
from playbook.rewrite.dual_mode import inventory_of
from playbook.rewrite.edit import Edit
from playbook.rewrite.rules.beat_schedule import BeatSchedule
from playbook.rewrite.rules.compose_service import ComposeService
from playbook.rewrite.rules.shared_beat import SharedBeat
from playbook.rewrite.rules.start_script import StartScript
from playbook.tree import Tree

SCHEDULER_MODULES = (
    "beat",
    "crontab",
    "find",
    "schedule_entries",
    "schedule_routes",
    "schedule_source",
    "schedule_store",
    "scheduler",
    "scheduler_agenda",
    "scheduler_loop",
    "scheduler_probes",
    "schedules",
    "top",
)
MODULE = "beat_schedule"
"""The module that holds the application's entries."""

PROCESS = "taskiq-scheduler"


def slice_(application: Application, tree: Tree) -> Slice:
    """Add the scheduler, the schedule as a module, and let beat share its slots.

    Celery's own schedule stays byte for byte as it was.

    Args:
        application: what is migrated.
        tree: the working copy's files, with the slice of 02_simple_tasks in place: the scheduled tasks have
            their twins.

    Raises:
        ConfigError: `playbook.toml` names a broker that the slice cannot make.
    """
    edit = Edit(application, tree)
    found = inventory_of(application, tree)
    path = _write_schedule(edit, found)
    for module in SCHEDULER_MODULES:
        edit.copy(module)
    if path is not None:
        module, _, name = application.celery_app.partition(":")
        shared = SharedBeat(name or "app", f"{edit.worker}.beat:SharedScheduler")
        edit.apply(application.module_path(module), shared)
    _extend_deployment(edit, found)
    return edit.done()


def names_of_tasks(found: Inventory, path: str) -> dict[str, str]:
    """Return the registered names of the tasks that a file schedules, by entry and by the entry's line."""
    named = [entry for entry in found.schedules if entry.path == path and entry.task]
    return {key: str(entry.task) for entry in named for key in (entry.entry, str(entry.line))}


def _write_schedule(edit: Edit, found: Inventory) -> str | None:
    """Write the module out of the file that has the schedule; return that file, None if there is none."""
    scheduled = dict.fromkeys(entry.path for entry in found.schedules)
    target = edit.application.module_path(f"{edit.worker}.{MODULE}")
    twinless = _twinless(edit, found)
    written = None
    for path in (f"{edit.application.root}/{path}" for path in scheduled):
        if path == target:
            continue
        source = edit.tree[path]
        inside = PurePosixPath(path).relative_to(edit.application.root).as_posix()
        rule = BeatSchedule(edit.worker, names_of_tasks(found, inside), True, edit.module_of(path), twinless)
        outcome = rule.apply(source)
        for refusal in outcome.refusals:
            edit.refuse(path, refusal.line, refusal.construct, refusal.reason)
        if outcome.source == source:
            continue
        if written is None:
            edit.tree = edit.tree.with_file(target, outcome.source)
            written = path
            continue
        for entry in (entry for entry in found.schedules if entry.path == inside):
            reason = f"{written} has a schedule as well; add this entry to {target} by hand"
            edit.refuse(path, entry.line, f"schedule {entry.entry}", reason)
    if written is None:
        edit.copy(MODULE)
    return written


def _twinless(edit: Edit, found: Inventory) -> list[str]:
    """Return the registered names of scheduled tasks that have no twin."""
    twinned = {
        task.name
        for task in found.tasks
        if f"{task.function}_taskiq = twin(" in edit.tree.get(f"{edit.application.root}/{task.path}", "")
    }
    return sorted({entry.task for entry in found.schedules if entry.task} - twinned)


def _extend_deployment(edit: Edit, found: Inventory) -> None:
    """Let the start script and the compose file start the scheduler, with every module that has tasks."""
    modules = sorted({task.module for task in found.tasks})
    app = edit.application.celery_app.partition(":")[0]
    command = " ".join(["python -m", f"{edit.worker}.scheduler", app, *modules])
    scripts = [path for path in edit.files(".sh") if "celery" in edit.tree[path]]
    for path in scripts:
        edit.apply(path, StartScript(command, PROCESS, "beat"))
    for path in edit.files(".yml", ".yaml"):
        if "compose" in PurePosixPath(path).name:
            for script in scripts:
                edit.apply(path, ComposeService(PurePosixPath(script).name, PROCESS, "beat"))
