"""Runs the notebooks of the phases, in order, through papermill, and keeps what they found in `result.json`.

A phase that has signed off is not run again while its inputs are the same and its slice is in the
workspace. A run can be killed at any point: files are written in one step, the kernel ends with the run,
and the next run takes up at the first phase that has not signed off.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from playbook.ahead import slices_ahead
from playbook.config import CONFIG_NAME, Application
from playbook.errors import PlaybookError
from playbook.inputs import inputs_digest
from playbook.parameters import Parameters
from playbook.phases import Phase
from playbook.progress import RunProgress
from playbook.results import PhaseResult, PhaseTiming, RunResult, load_outcome, save
from playbook.runs import RESULT_NAME, current_result, hold_run, is_done, new_entry
from playbook.workspace import Workspace

if TYPE_CHECKING:
    from playbook.execution import Execution


def run_phases(
    application: Application,
    phases: Sequence[Phase],
    run_dir: Path,
    parameters: Mapping[str, Parameters],
    progress: RunProgress,
) -> RunResult:
    """Run the notebooks of some phases until one stops.

    Parameters:
        application: what is migrated.
        phases: which ones, in the order to run them.
        run_dir: the run's folder; made if need be.
        parameters: of each phase, by its name; checked already.
        progress: where to tell how far it is.
    Returns: the state of the whole run, as written to `result.json`.
    Raises: PlaybookError if a notebook is missing or another process runs this run; WorkspaceError.
    """
    run_dir = run_dir.resolve()
    with hold_run(run_dir), slices_ahead(application, phases, run_dir):
        return _run(application, phases, run_dir, parameters, progress)


def notebook_path(application: Application, phase: Phase) -> Path:
    """The notebook of a phase. Raises PlaybookError if it is not there."""
    path = application.notebooks_path / f"{phase.name}.ipynb"
    if not path.is_file():
        where = f"application.notebooks in {application.base / CONFIG_NAME}"
        raise PlaybookError(f"there is no notebook {path}; add it, or correct {where}")
    return path


def _run(
    application: Application,
    phases: Sequence[Phase],
    run_dir: Path,
    parameters: Mapping[str, Parameters],
    progress: RunProgress,
) -> RunResult:
    notebooks = {phase.name: notebook_path(application, phase) for phase in phases}
    workspace = Workspace(run_dir, application)
    workspace.ensure()
    result = current_result(application, run_dir)
    for phase in phases:
        notebook = notebooks[phase.name]
        inputs = inputs_digest(application, notebook, parameters[phase.name])
        if is_done(result.phase(phase.name), inputs, workspace):
            progress.say(f"{phase.name}: nothing to do, signed off with the same inputs")
            continue
        _put(result, new_entry(phase, status="running"))
        save(result, run_dir / RESULT_NAME)
        entry, timing = _run_phase(application, phase, run_dir, notebook, parameters[phase.name], progress)
        _put(result, entry.model_copy(update={"inputs": inputs}))
        result.timings[phase.name] = timing
        save(result, run_dir / RESULT_NAME)
        if entry.status != "signed_off":
            break
    return result


def _run_phase(
    application: Application,
    phase: Phase,
    run_dir: Path,
    notebook: Path,
    parameters: Parameters,
    progress: RunProgress,
) -> tuple[PhaseResult, PhaseTiming]:
    from playbook.execution import execute  # takes seconds, which a run with nothing to do can save

    work_dir = run_dir / "phases" / phase.name
    shutil.rmtree(work_dir, ignore_errors=True)
    places = {"run_dir": str(run_dir), "config": str(application.base / CONFIG_NAME)}
    started, start = datetime.now(UTC), time.monotonic()
    execution = execute(notebook, run_dir, parameters.model_copy(update=places), progress)
    timing = PhaseTiming(
        started=started.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - start, 3),
        cells=execution.cells,
    )
    entry = _judged(load_outcome(work_dir / "outcome.json") or new_entry(phase), execution)
    timing.measured = entry.measured
    given = parameters.model_dump(exclude_defaults=True, exclude={"run_dir", "config"})
    output = execution.notebook.relative_to(run_dir).as_posix()
    progress.phase_ended(f"signed off in {timing.seconds:.0f} s" if entry.message is None else "stopped")
    return entry.model_copy(update={"notebook": output, "parameters": given, "measured": {}}), timing


def _judged(outcome: PhaseResult, execution: Execution) -> PhaseResult:
    """Signed off is what ran to the end of its notebook and said so; all else stopped, for a reason."""
    if execution.failure is None and outcome.status == "signed_off":
        return outcome
    ended = "the notebook ended without signing off; let its last cell call phase.sign_off()"
    message = outcome.message or execution.failure or ended
    return outcome.model_copy(update={"status": "stopped", "message": message})


def _put(result: RunResult, entry: PhaseResult) -> None:
    result.phases = [entry if known.name == entry.name else known for known in result.phases]
