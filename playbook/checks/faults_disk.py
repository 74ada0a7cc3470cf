"""The disk is full in the run's folder: the playbook stops with one line, and what it had written is whole.

A limit on the size of files (RLIMIT_FSIZE, setrlimit(2)) stands in for a full disk: it needs no rights, and
writes fail in the same place, in the middle of a file, with EFBIG instead of ENOSPC.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from playbook.config import Application
from playbook.lab.surroundings import PLAYBOOK_ROOT, child_env
from playbook.tree import Tree, read_tree
from playbook.workspace import Workspace

FIRST, SECOND = "00_inventory", "01_poc"
LIMITS = (0, 10_000)
"""Bytes that a file may have: nothing can be written, all but larger files."""

COMMAND = "from playbook.cli import main; main()"
TIMEOUT = 120.0


@dataclass(frozen=True)
class Stop:
    """How the command line ended on a full disk, and what was found then."""

    limit: int
    status: int
    told: list[str]
    whole: bool
    same: bool

    @property
    def problems(self) -> list[str]:
        """What is against the promise."""
        checks = {
            f"it ended with {self.status}, not 2": self.status == 2,
            f"it said {len(self.told)} lines, not one": len(self.told) == 1,
            "the workspace was half-written": self.whole,
            "the next run did not come to the same": self.same,
        }
        return [f"limit {self.limit}: {problem}" for problem, good in checks.items() if not good]


def fill_disk(application: Application, config: Path, runs_dir: Path) -> list[Stop]:
    """Apply a phase while the disk is full, to a new workspace and to one in use; then again with room.

    Args:
        application: the one to migrate.
        config: its `playbook.toml`.
        runs_dir: folder for the runs; created.
    """
    apply = partial(_playbook, config, runs_dir)
    apply("good", FIRST)
    middle = _tree(application, runs_dir / "good")
    apply("good", SECOND)
    end = _tree(application, runs_dir / "good")
    stops = []
    for limit in LIMITS:
        for run, before in ((f"new-{limit}", None), (f"used-{limit}", middle)):
            if before is not None:
                apply(run, FIRST)
            full = apply(run, SECOND, limit)
            whole = _tree(application, runs_dir / run) == before
            apply(run, SECOND)
            same = _tree(application, runs_dir / run) == end
            stops.append(Stop(limit, full.returncode, full.stderr.splitlines(), whole, same))
    return stops


def _tree(application: Application, run_dir: Path) -> tuple[Tree, Tree] | None:
    """The workspace's files and its last commit; None: there is no workspace."""
    workspace = Workspace(run_dir, application)
    if not workspace.exists:
        return None
    return read_tree(workspace.path, application.folders), workspace.tree()


def _playbook(
    config: Path, runs_dir: Path, run: str, phase: str, limit: int | None = None
) -> subprocess.CompletedProcess[str]:
    options: Sequence[str] = [
        "apply",
        phase,
        "--run",
        run,
        "--runs-dir",
        str(runs_dir),
        "--config",
        str(config),
    ]
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *options],
        env=child_env(PLAYBOOK_ROOT),
        cwd=runs_dir.parent,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        preexec_fn=None if limit is None else partial(_limit, limit),
    )


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
