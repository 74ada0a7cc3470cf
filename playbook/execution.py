"""One notebook through papermill: in a private kernel, with progress, its output written in one step."""

from __future__ import annotations

# First, before the others import nbformat in their own way.
from playbook.notebook_format import nbformat  # isort: skip

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbclient.exceptions import DeadKernelError
from papermill import execute_notebook  # type: ignore[import-untyped]
from papermill.exceptions import PapermillExecutionError  # type: ignore[import-untyped]

from playbook.errors import PlaybookError, in_one_line
from playbook.files import write_atomically
from playbook.kernel import LOCK_VARIABLE, OwnKernelManager
from playbook.lab.masking import mask_url
from playbook.parameters import URL_VARIABLES, Parameters
from playbook.progress import RunProgress
from playbook.results import CellTiming


@dataclass(frozen=True)
class Execution:
    """How a notebook ended: its executed copy, the seconds per code cell, and why it failed, if it did."""

    notebook: Path
    cells: list[CellTiming]
    failure: str | None


def execute(notebook: Path, run_dir: Path, parameters: Parameters, progress: RunProgress) -> Execution:
    """Execute a notebook and keep the executed copy as `run_dir/notebooks/<name>.ipynb`.

    URLs reach the kernel through its environment, because papermill writes parameters into the notebook.

    Parameters:
        notebook: the notebook; it is not changed.
        run_dir: the run's folder, absolute.
        parameters: what to inject; defaults are left to the notebook.
        progress: is told about phase and cells, not about the phase's end.
    Raises: PlaybookError if the file is no notebook.
    """
    cells = _Cells(_read(notebook), progress)
    progress.phase_started(notebook.stem, cells.count)
    output = run_dir / "notebooks" / notebook.name
    draft = run_dir / "notebooks" / f".draft-{notebook.name}"
    draft.parent.mkdir(parents=True, exist_ok=True)
    given = parameters.model_dump(exclude_defaults=True, exclude=set(URL_VARIABLES))
    failure = None
    with _surroundings(run_dir, parameters):
        try:
            execute_notebook(
                notebook,
                draft,
                given,
                cwd=notebook.parent,
                progress_bar=False,
                kernel_manager_class=OwnKernelManager,
                on_cell_start=cells.started,
                on_cell_complete=cells.ended,
            )
        except PapermillExecutionError as error:
            failure = cells.failure(f"{error.ename}: {error.evalue}")
        except DeadKernelError:
            failure = cells.failure("the kernel died")
    write_atomically(output, mask_url(draft.read_text(encoding="utf-8")))
    draft.unlink()
    return Execution(output, _timings(_read(output)), failure)


class _Cells:
    """Follows the code cells of a notebook, and knows the heading that each one stands under."""

    def __init__(self, notebook: nbformat.NotebookNode, progress: RunProgress) -> None:
        self._progress = progress
        self._headings: dict[str, str] = {}
        self._number, self._heading = 0, ""
        heading = "start"
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                titles = [line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")]
                heading = titles[-1] if titles else heading
            elif _runs(cell):
                self._headings[cell.get("id", "")] = heading
        self.count = sum(map(_runs, notebook.cells)) + 1  # papermill adds one for the parameters

    def started(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        """nbclient's hook; it is called for cells of all kinds."""
        if _runs(cell):
            self._number += 1
            self._heading = self._headings.get(cell.get("id", ""), "parameters")
            self._progress.cell_started(self._heading)

    def ended(self, cell: nbformat.NotebookNode, cell_index: int) -> None:
        """nbclient's hook; it is called for code cells."""
        self._progress.cell_ended()

    def failure(self, reason: str) -> str:
        """Why the current cell failed, in one line and without credentials."""
        return mask_url(f"cell {self._number} ({self._heading}): {in_one_line(reason)}")


def _runs(cell: nbformat.NotebookNode) -> bool:
    return bool(cell.cell_type == "code" and cell.source.strip())


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        return notebook
    except Exception as error:  # nbformat lets through whatever its JSON reader and validator raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise PlaybookError(f"{path} is not a notebook: {reason}; restore it") from None


def _timings(notebook: nbformat.NotebookNode) -> list[CellTiming]:
    code = [cell for cell in notebook.cells if _runs(cell)]
    seconds = [cell.metadata.get("papermill", {}).get("duration") for cell in code]
    return [CellTiming(cell=n, seconds=s) for n, s in enumerate(seconds, start=1) if s is not None]


@contextmanager
def _surroundings(run_dir: Path, parameters: Parameters) -> Iterator[None]:
    """The environment of the kernel: nothing of the user's Jupyter, nothing left behind outside the run."""
    logging.getLogger("papermill").setLevel(logging.ERROR)
    private = run_dir / ".jupyter"
    shutil.rmtree(private, ignore_errors=True)
    private.mkdir(parents=True)
    urls: dict[str, Any] = {URL_VARIABLES[name]: getattr(parameters, name) for name in URL_VARIABLES}
    with _environment(
        {
            "IPYTHONDIR": str(private / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
            LOCK_VARIABLE: str(run_dir / "kernel.lock"),
            **urls,
        }
    ):
        yield


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    earlier = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(earlier)
