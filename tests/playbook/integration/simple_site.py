"""The migrated simple tasks in a lab, and faults that are planted in them."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playbook.checks.driver import Driver
from playbook.checks.simple_lab import celery_worker, open_lab, task_modules
from playbook.config import load_application
from playbook.contracts import CheckContext
from playbook.lab import Lab, Process
from playbook.lab.waiting import together
from playbook.phases import apply_phase, find_phase
from playbook.workspace import Workspace


@dataclass(frozen=True)
class Fault:
    """A mistake in the migrated source: this text instead of that. `called`: callers make it, too."""

    path: str
    right: str
    wrong: str
    called: bool = False


@dataclass
class Site:
    """A lab with all but a TaskIQ worker on the migrated source."""

    context: CheckContext
    lab: Lab
    driver: Driver
    celery: Process

    @property
    def modules(self) -> list[str]:
        return task_modules(self.context)

    def plant(self, folder: Path, *faults: Fault) -> None:
        """Let the processes that the lab starts from now on run a copy of the source with faults."""
        copy = folder / "broken"
        shutil.copytree(self.context.workspace, copy)
        for fault in faults:
            path = copy / "reflector" / fault.path
            text = path.read_text(encoding="utf-8")
            assert text.count(fault.right) == 1, f"the fault does not fit {fault.path} any more"
            path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        self.lab.workspace = copy

    def right_source(self) -> None:
        """Give the lab the migrated source back."""
        self.lab.workspace = self.context.workspace


@contextlib.contextmanager
def open_site(run_dir: Path) -> Iterator[Site]:
    """Migrate the simple tasks in a run's folder, and start all but a TaskIQ worker. The route is Celery."""
    application = load_application()
    phase = find_phase("02_simple_tasks")
    workspace = Workspace(run_dir, application)
    apply_phase(phase, workspace)
    work_dir = run_dir / "work"
    work_dir.mkdir()
    context = CheckContext(application, workspace.path, run_dir, work_dir, parameters=phase.parameters())
    with open_lab(context) as lab:
        _, driver, celery = together(lab.api, lambda: Driver(lab, route="celery"), lambda: celery_worker(lab))
        yield Site(context, lab, driver, celery)
