"""Whether the application's start script starts what it says.

The script is run; what it would start is put in the way by programs of the same names that note how they were
called.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from playbook.contracts import CheckResult
from playbook.lab.surroundings import child_env

SCRIPT = "runserver.sh"
PROGRAMS = ("python", "celery", "taskiq")
NOTE = '#!/bin/sh\nprintf "%s\\n" "${0##*/}" "$@" > "$NOTED"\n'
LONGEST = 60.0
"""Seconds that the script may take."""


def started(script: Path, process: str) -> list[str]:
    """Return the command that the script starts a process with; nothing if it starts none.

    Args:
        script: the start script.
        process: what it is told to start.
    """
    with TemporaryDirectory() as folder:
        noted = Path(folder, "noted")
        for name in PROGRAMS:
            program = Path(folder, name)
            program.write_text(NOTE, encoding="utf-8")
            program.chmod(0o755)
        path = os.pathsep.join((folder, os.environ.get("PATH", os.defpath)))
        env = child_env(variables={"PATH": path, "NOTED": str(noted)})
        subprocess.run(["sh", str(script), process], env=env, timeout=LONGEST, check=False)
        return noted.read_text(encoding="utf-8").splitlines() if noted.exists() else []


def start_scripts(script: Path, package: str, modules: Sequence[str]) -> CheckResult:
    """Whether the script starts the TaskIQ worker and the scheduler, with all modules of tasks.

    Args:
        script: the start script.
        package: the worker's package.
        modules: those that define tasks.
    """
    commands = {process: started(script, process) for process in ("taskiq-worker", "taskiq-scheduler")}
    expected = {
        "taskiq-worker": (package, set(modules)),
        "taskiq-scheduler": (f"{package}.scheduler", set(modules) - {f"{package}.health"}),
    }
    for process, (program, needed) in expected.items():
        command = commands[process]
        if command[:3] != ["python", "-m", program]:
            return CheckResult.failed(
                f"{SCRIPT} {process} starts: {' '.join(command) or 'nothing'}", commands
            )
        if missing := sorted(needed - set(command[3:])):
            return CheckResult.failed(f"{SCRIPT} {process} does not name {', '.join(missing)}", commands)
    return CheckResult.passed(f"{SCRIPT} starts TaskIQ's worker and scheduler with every module", commands)
