"""A run's folder: who may work in it, and how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from playbook.config import Application
from playbook.errors import PlaybookError
from playbook.files import exclusive
from playbook.phases import PHASES, Phase
from playbook.results import PhaseResult, RunResult, Status, load_result
from playbook.workspace import Workspace

RESULT_NAME = "result.json"
LOCK_NAME = "run.lock"


@contextmanager
def hold_run(run_dir: Path) -> Iterator[None]:
    """Keep other playbooks away from a run. Raises PlaybookError if one is at work there."""
    try:
        with exclusive(run_dir / LOCK_NAME):
            yield
    except BlockingIOError:
        problem = f"another playbook works on {run_dir}; wait for it, or name another run with --run"
        raise PlaybookError(problem) from None


def current_result(application: Application, run_dir: Path) -> RunResult:
    """The state of a run: what `result.json` holds for the phases there are, pending ones for the rest."""
    earlier = load_result(run_dir / RESULT_NAME)
    known = {entry.name: entry for entry in earlier.phases} if earlier else {}
    return RunResult(
        run=run_dir.name,
        playbook=metadata.version("celery-to-taskiq-playbook"),
        application=application.model_dump(include={"name", "root", "tests", "celery_app"}),
        phases=[known.get(phase.name) or new_entry(phase) for phase in PHASES],
        timings=earlier.timings if earlier else {},
    )


def is_done(entry: PhaseResult, inputs: str, workspace: Workspace) -> bool:
    """Whether a phase has signed off with these inputs and what it signed off is still in the workspace."""
    in_place = entry.tree == workspace.tree_id(entry.name)
    return entry.status == "signed_off" and entry.inputs == inputs and in_place


def new_entry(phase: Phase, status: Status = "pending") -> PhaseResult:
    """The entry of a phase that has found nothing yet."""
    return PhaseResult(name=phase.name, title=phase.title, summary=phase.summary, status=status)
