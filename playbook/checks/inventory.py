"""What 00_inventory proves: the inventory, read from the source, against the application as it runs."""

from __future__ import annotations

from functools import cache
from typing import Any

from playbook.contracts import Check, CheckContext, CheckResult
from playbook.inventory import Inventory, inventory
from playbook.inventory.plan import plan
from playbook.lab.children import Children
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.waiting import free_port

UNPARSABLE = "unparsable file"  # as playbook/inventory/project.py names it
REGISTRATIONS = "playbook.checks.probes.registrations"


@cache
def read(context: CheckContext) -> Inventory:
    """The inventory of the workspace."""
    return inventory(context.workspace / context.application.root)


@cache
def _running(context: CheckContext) -> dict[str, Any]:
    """What the imported Celery app has registered: tasks and beat entries. Nothing is started but Python."""
    children = Children(REFLECTOR, context.workspace, context.work_dir, free_port())
    registered: dict[str, Any] = children.probe(REGISTRATIONS, context.application.celery_app)
    return registered


def _readable(context: CheckContext) -> CheckResult:
    unread = [f"{r.path}:{r.line}: {r.reason}" for r in read(context).refused if r.construct == UNPARSABLE]
    if unread:
        return CheckResult.failed("; ".join(unread))
    return CheckResult.passed("Every file that may use Celery was parsed")


def _tasks(context: CheckContext) -> CheckResult:
    found = {task.name for task in read(context).tasks}
    registered = set(_running(context)["celery"])
    if found != registered:
        missed, invented = sorted(registered - found), sorted(found - registered)
        return CheckResult.failed(
            f"missed: {', '.join(missed) or '-'}; invented: {', '.join(invented) or '-'}"
        )
    return CheckResult.passed(
        f"The {len(found)} tasks in the source are the {len(registered)} that Celery registers"
    )


def _schedules(context: CheckContext) -> CheckResult:
    schedules = read(context).schedules
    always = {(s.entry, s.task) for s in schedules if s.condition is None}
    known = {(s.entry, s.task) for s in schedules}
    running = set(_running(context)["beat"].items())
    if not always <= running <= known:
        wrong = sorted(entry for entry, _ in (always - running) | (running - known))
        return CheckResult.failed(f"the source and beat disagree about {', '.join(wrong)}")
    conditional = len(known) - len(always)
    return CheckResult.passed(f"{len(always)} entries always, {conditional} under a condition; beat agrees")


def _adds_up(context: CheckContext) -> CheckResult:
    found = read(context).to_json()
    planned = plan(read(context))
    everything = sum(len(entries) for entries in found.values())
    assigned = sum(len(phase.items) for phase in planned.phases)
    ok = everything == assigned + len(planned.refused)
    return CheckResult(ok, f"{everything} places: {assigned} in a phase, {len(planned.refused)} refused")


CHECKS = (
    Check("readable", "Every file that may use Celery can be parsed", _readable),
    Check("tasks", "Every task that Celery registers is in the inventory, and no other", _tasks),
    Check("schedules", "Every beat entry is in the inventory, and no other", _schedules),
    Check("adds_up", "Every place is moved by a phase or refused with a reason", _adds_up),
)
