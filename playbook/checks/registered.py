"""What Celery and TaskIQ have registered before the slice and after it."""

from __future__ import annotations

from playbook.contracts import CheckContext
from playbook.inventory import inventory
from playbook.lab import Lab
from playbook.lab.children import Children
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.waiting import free_port, together
from playbook.models import Model
from playbook.rewrite.dual_mode import tasks_of
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
    before = context.work_dir / "before"
    for path, text in Workspace(context.run_dir, application).before(phase).items():
        (before / path).parent.mkdir(parents=True, exist_ok=True)
        (before / path).write_text(text, encoding="utf-8")
    old_lab = Children(REFLECTOR, before, context.work_dir, free_port())
    old, new = together(
        lambda: old_lab.probe(PROBE, application.celery_app),
        lambda: lab.probe(PROBE, application.celery_app, application.broker),
    )
    known = old["celery"] | new["celery"]
    return Registered(
        celery=len(old["celery"]),
        differs=sorted(name for name in known if old["celery"].get(name) != new["celery"].get(name)),
        planned=tasks_of_phase(context, phase),
        twins={name: str(signature) for name, signature in new["taskiq"].items() if name in new["celery"]},
    )


def tasks_of_phase(context: CheckContext, name: str) -> list[str]:
    """Names of the tasks that the plan gives to a phase, in the application as it was."""
    found = inventory(context.application.root_path)
    return sorted(task.name for task in tasks_of(found, (name,)))
