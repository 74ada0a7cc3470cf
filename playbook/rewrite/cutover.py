"""The slice of phase 06_cutover: Celery goes; the application runs on TaskIQ alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ParentNodeProvider, PositionProvider

from playbook.config import Application
from playbook.contracts import Slice
from playbook.inventory import Inventory
from playbook.inventory.models import Task
from playbook.rewrite.cutover_files import OLD_URLS, settle_deployment, settle_settings, settle_texts
from playbook.rewrite.cutover_suite import rewrite_suite
from playbook.rewrite.dual_mode import inventory_of
from playbook.rewrite.edit import Edit, scaffold_module
from playbook.rewrite.operations import add_operations
from playbook.rewrite.routed import BY_HAND, SENDERS
from playbook.rewrite.rule import parse
from playbook.rewrite.rules.beat_schedule import BeatSchedule
from playbook.rewrite.rules.call_sites import CallSites
from playbook.rewrite.rules.canvases import Canvases
from playbook.rewrite.rules.celery_app import CeleryApp
from playbook.rewrite.rules.celery_names import CeleryNames
from playbook.rewrite.rules.direct_calls import DirectCalls
from playbook.rewrite.rules.native_calls import NativeCalls
from playbook.rewrite.rules.native_tasks import NativeTasks
from playbook.rewrite.rules.own_schedule import OwnSchedule
from playbook.rewrite.rules.results import Results
from playbook.rewrite.rules.task_context import TaskContext
from playbook.rewrite.rules.wording import MENTION
from playbook.rewrite.schedules import MODULE as SCHEDULE
from playbook.rewrite.schedules import names_of_tasks
from playbook.tree import Tree

NEW_MODULES = (
    *("hooks", "transfer", "transfer_back", "transfer_celery", "transfer_lua", "transfer_plans"),
    *("transfer_results", "transfer_taskiq"),
)
"""Modules of the runtime that the cut-over application has besides."""

DUAL_MODULES = (
    *("beat", "canvases", "flags", "handles", "routing", "schedule_routes", "signals", "testing"),
    *("testing_worker", "twins"),
)
"""Modules of the dual-mode time, which go."""

COMMITS = "commits"
"""Goes as well, if nothing waits for a commit."""

SENDS = m.Call(func=m.Attribute(attr=m.Name("delay") | m.Name("apply_async")))
UNAWAITED = (
    "if this sends a task, it must be awaited now, or be delay_sync or apply_async_sync: do it by hand"
)


def slice_(application: Application, tree: Tree) -> Slice:
    """Take Celery out of the application: its code, settings, deployment, texts and tests.

    Args:
        application: what is migrated.
        tree: the working copy's files, with the slices of 01 to 05 in place.

    Raises:
        ConfigError: `playbook.toml` names a broker that the slice cannot make.
    """
    edit = Edit(application, tree)
    found = inventory_of(application, tree)
    for module in NEW_MODULES:
        edit.copy(module)
    _settle_schedule(edit, found)
    twins = _twins(edit)
    _rewrite_code(edit, found)
    _drop_app(edit)
    _remove_dual_mode(edit)
    _settle_bridges(edit)
    settle_settings(edit)
    settle_deployment(edit)
    settle_texts(edit)
    _report_leftovers(edit, twins)
    add_operations(edit)
    if application.tests is not None:
        rewrite_suite(edit)
    return edit.done()


def _settle_schedule(edit: Edit, found: Inventory) -> None:
    """Let go of beat; refuse entries that the application's own schedule does not have."""
    path = edit.application.module_path(f"{edit.worker}.{SCHEDULE}")
    if path in edit.tree:
        edit.apply(path, OwnSchedule(edit.worker))
    for scheduled in dict.fromkeys(entry.path for entry in found.schedules):
        celery = f"{edit.application.root}/{scheduled}"
        if celery == path:
            continue
        rule = BeatSchedule(edit.worker, names_of_tasks(found, scheduled), False, edit.module_of(celery))
        for refusal in rule.apply(edit.tree[celery]).refusals:
            edit.refuse(celery, refusal.line, refusal.construct, refusal.reason)


def _twins(edit: Edit) -> set[str]:
    """Return the names of the twins."""
    made = re.compile(r"^(\w+_taskiq) = twin\(", re.MULTILINE)
    return {name for path in edit.files(".py") for name in made.findall(edit.tree[path])}


def _rewrite_code(edit: Edit, found: Inventory) -> None:
    """Rewrite tasks, then calls and names, file by file."""
    application, broker, twins = edit.application, f"{edit.worker}.broker", f"{edit.worker}.twins"
    app = application.celery_app.replace(":", ".")
    for path in list(edit.files(".py")):
        edit.apply(path, NativeTasks(edit.module_of(path), broker, twins, application.loop_bridges, app))
    left = {(refusal.path, refusal.construct) for refusal in edit.refusals}
    moved = [
        task
        for task in found.tasks
        if (f"{application.root}/{task.path}", f"task {task.function}") not in left
    ]
    for path in list(edit.files(".py")):
        _rewrite_calls(edit, path, moved)
        if "AsyncResult" in edit.tree[path]:
            edit.apply(path, Results(f"{edit.worker}.sent"))
        if "current_task" in edit.tree[path]:
            edit.apply(path, TaskContext(f"{edit.worker}.context"))
        _point_to_sent(edit, path)


def _rewrite_calls(edit: Edit, path: str, tasks: Sequence[Task]) -> None:
    """Rewrite the calls of one file: those of the router, and those that went to Celery always."""
    module, text = edit.module_of(path), edit.tree[path]
    dotted = sorted(f"{task.module}.{task.function}" for task in tasks)
    known = len(edit.refusals)
    if dotted and any(f".{sender}" in text for sender in SENDERS):
        edit.apply(path, CallSites(module, dotted, f"{edit.worker}.routing"))
        edit.apply(path, Canvases(module, dotted, f"{edit.worker}.routing"))
        by_hand = "; await it, or use delay_sync or apply_async_sync, by hand"
        edit.refusals[known:] = [
            replace(refusal, reason=refusal.reason.replace(BY_HAND, by_hand))
            for refusal in edit.refusals[known:]
        ]
    if "dispatch" in edit.tree[path]:
        edit.apply(path, NativeCalls(module, edit.worker))
    coroutines = [task for task in tasks if task.is_async]
    if any(f"{task.function}(" in text for task in coroutines):
        edit.apply(path, DirectCalls(module, [f"{task.module}.{task.function}" for task in coroutines]))


def _point_to_sent(edit: Edit, path: str) -> None:
    """Import handles from where they are now."""
    text = edit.tree[path]
    old = rf"^from {re.escape(edit.worker)}\.handles import "
    text = re.sub(old, f"from {edit.worker}.sent import ", text, flags=re.MULTILINE)
    edit.tree = edit.tree.with_file(path, text.lstrip("\n"))


def _drop_app(edit: Edit) -> None:
    """Take the Celery app out, then what is left of Celery's names."""
    module, _, name = edit.application.celery_app.partition(":")
    path = edit.application.module_path(module)
    edit.apply(path, CeleryApp(name or "app"))
    for other in list(edit.files(".py")):
        edit.apply(other, CeleryNames(edit.worker))


def _remove_dual_mode(edit: Edit) -> None:
    """Remove the modules of the dual-mode time, unless somebody has changed them."""
    waits = any("commits import" in edit.tree[path] for path in edit.files(".py"))
    for module in (*DUAL_MODULES, *(() if waits else (COMMITS,))):
        path = edit.application.module_path(f"{edit.worker}.{module}")
        if path not in edit.tree:
            continue
        if edit.tree[path] == scaffold_module(module, edit.worker):
            edit.tree = edit.tree.without(path)
        else:
            edit.refuse(path, 1, "file", "it belongs to dual mode, but was changed; remove it by hand")
    gone = "|".join((*DUAL_MODULES, COMMITS))
    package = re.escape(edit.worker)
    uses = re.compile(rf"^\s*from {package}(?:\.({gone}) import| import .*\b({gone})\b)")
    for path in edit.files(".py"):
        for number, line in enumerate(edit.tree[path].splitlines(), 1):
            found = uses.match(line)
            module = found and (found.group(1) or found.group(2))
            if module and edit.application.module_path(f"{edit.worker}.{module}") not in edit.tree:
                edit.refuse(
                    path, number, line.strip(), "this module has gone with dual mode; do without it by hand"
                )


def _settle_bridges(edit: Edit) -> None:
    """Remove the modules of loop bridges that nothing uses any more."""
    own = set(edit.files())
    for module in dict.fromkeys(bridge.rpartition(".")[0] for bridge in edit.application.loop_bridges):
        path = edit.application.module_path(module)
        users = [other for other in edit.tree if other != path and module in edit.tree[other]]
        if path not in edit.tree or own & set(users):
            continue
        if users:
            edit.refuse(path, 1, "module", "nothing but tests uses it any more; remove it and them by hand")
        else:
            edit.tree = edit.tree.without(path)


def _report_leftovers(edit: Edit, twins: set[str]) -> None:
    """Refuse the code that mentions Celery, or a twin, and that nothing has refused yet."""
    known = {(refusal.path, refusal.line) for refusal in edit.refusals}
    named = re.compile("|".join([rf"\b{name}\b" for name in sorted(twins)] or ["(?!)"]))
    for path in edit.files(".py"):
        unawaited = _unawaited(edit.tree[path])
        for number, line in enumerate(edit.tree[path].splitlines(), 1):
            if (path, number) in known:
                continue
            if number in unawaited:
                edit.refuse(path, number, line.strip(), UNAWAITED)
            elif named.search(line):
                edit.refuse(path, number, line.strip(), "the twin has gone; name the task itself by hand")
            elif MENTION.search(re.sub("|".join(OLD_URLS), "", line)):
                edit.refuse(path, number, line.strip(), "it still mentions Celery; change it by hand")


def _unawaited(source: str) -> set[int]:
    """Return the lines of calls of `delay` and `apply_async` that nothing awaits."""
    if not any(f".{sender}(" in source for sender in SENDERS):
        return set()
    try:
        wrapper = parse(source)
    except cst.ParserSyntaxError:
        return set()
    parents, positions = wrapper.resolve(ParentNodeProvider), wrapper.resolve(PositionProvider)
    calls = m.findall(wrapper.module, SENDS)
    return {positions[call].start.line for call in calls if not isinstance(parents[call], cst.Await)}
