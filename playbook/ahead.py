"""Computes the slices of later phases while the first ones wait for their workers.

`python -m playbook.ahead CONFIG` fills the cache of `playbook.slices` and ends. It only saves time: a phase
whose slice is not there yet computes it itself, and says what is wrong if that fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playbook.config import CONFIG_NAME, Application, load_application
from playbook.lab.process import Process
from playbook.phases import PHASES, Phase
from playbook.slices import is_kept, sliced
from playbook.tree import read_tree

LEAST_URGENT = 19


@contextmanager
def slices_ahead(application: Application, phases: Sequence[Phase], run_dir: Path) -> Iterator[None]:
    """Compute slices in a process of their own, which ends with the block at the latest.

    Parameters:
        application: what is migrated.
        phases: those about to run. If none but the first has a slice to keep, there is nothing to do.
        run_dir: for the process' log.
    """
    if not any(phase.slice is not None and is_kept(phase.slice) for phase in phases[1:]):
        yield
        return
    command = [sys.executable, "-m", __name__, str(application.base / CONFIG_NAME)]
    process = Process(command, name="slices", log_path=run_dir / "ahead.log")
    try:
        yield
    finally:
        process.kill()


def main(config: str) -> None:
    """Compute the slices, one on top of the other."""
    os.nice(LEAST_URGENT)
    application = load_application(Path(config))
    tree = read_tree(application.base, application.folders)
    for phase in PHASES:
        if phase.slice is not None:
            tree = sliced(phase.slice, application, tree).tree


if __name__ == "__main__":
    main(sys.argv[1])
