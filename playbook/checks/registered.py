"""What Celery and TaskIQ have registered before the slice and after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playbook.contracts import CheckContext, CheckResult
from playbook.inventory import inventory
from playbook.lab import Lab
from playbook.lab.children import Children
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.waiting import free_port, together
from playbook.models import Model
from playbook.rewrite.dual_mode import tasks_of
from playbook.tree import Tree
from playbook.workspace import Workspace

SIMPLE = "02_simple_tasks"
PROBE = "playbook.checks.probes.registrations"


class Registered(Model):
    """What is registered.

    `celery`: number of Celery tasks. `differs`: those whose registration is another now. `planned`: names of
    the tasks that the plan gives to the phase. `twins`: signature by task of what is registered on both.
    """

    celery: int
    differs: list[str]
    planned: list[str]
    twins: dict[str, str]

    @property
    def missing(self) -> list[str]:
        """Planned tasks without a twin."""
        return [name for name in self.planned if name not in self.twins]

    @property
    def injected(self) -> list[str]:
        """Twins that expect a message to bring the session or the task itself."""
        return [n for n, signature in self.twins.items() if "session" in signature or "self" in signature]


def look(context: CheckContext, lab: Lab, phase: str = SIMPLE) -> Registered:
    """Ask both systems, in the source of before a phase and in the migrated one."""
    application = context.application
    before = write_tree(Workspace(context.run_dir, application).before(phase), context.work_dir / "before")
    old_lab = Children(REFLECTOR, before, context.work_dir, free_port())
    old, new = together(
        lambda: old_lab.probe(PROBE, application.celery_app),
        lambda: lab.probe(PROBE, application.celery_app, application.broker),
    )
    return registered(old, new, tasks_of_phase(context, phase))


def registered(old: Mapping[str, Any], new: Mapping[str, Any], planned: list[str]) -> Registered:
    """Return what lies between two answers of the probe, before the migration and now."""
    known = old["celery"] | new["celery"]
    return Registered(
        celery=len(old["celery"]),
        differs=sorted(name for name in known if old["celery"].get(name) != new["celery"].get(name)),
        planned=planned,
        twins={name: str(signature) for name, signature in new["taskiq"].items() if name in new["celery"]},
    )


def write_tree(tree: Tree, folder: Path) -> Path:
    """Write the texts of a tree into a folder, and return it."""
    for path, text in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def celery_unchanged(found: Registered) -> CheckResult:
    """Whether Celery's tasks are registered as before."""
    if found.differs:
        return CheckResult.failed(f"Celery's registration changed for {', '.join(found.differs)}")
    return CheckResult.passed(f"All {found.celery} Celery tasks are registered with the same options")


def twins(found: Registered) -> CheckResult:
    """Whether each planned task has a twin that expects of a message what senders give."""
    if found.missing or found.injected or not found.planned:
        return CheckResult.failed(f"Without a twin: {found.missing}; expect too much: {found.injected}")
    return CheckResult.passed(f"All {len(found.planned)} tasks of this phase have twins", found.twins)


def tasks_of_phase(context: CheckContext, name: str) -> list[str]:
    """Names of the tasks that the plan gives to a phase, in the application as it was."""
    found = inventory(context.application.root_path)
    return sorted(task.name for task in tasks_of(found, (name,)))
