"""The playbook as a child process, on the shop of `tiny`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil

TINY = Path(__file__).with_name("tiny.py")
ROOT = Path(__file__).parents[3]


def environment(**extra: str) -> dict[str, str]:
    """This environment without what would make the playbook behave otherwise."""
    dropped = {"MAKELEVEL", "PLAYBOOK_PARENT", "PLAYBOOK_REDIS_URL", "PLAYBOOK_DATABASE_URL"}
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return {**kept, "PYTHONPATH": f"{ROOT}{os.pathsep}{kept.get('PYTHONPATH', '')}", **extra}


def playbook(base: Path, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run `playbook args` in the folder `base`, without a terminal."""
    return subprocess.run(
        [sys.executable, str(TINY), *args],
        cwd=base,
        env=environment(**extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class Marked:
    """Processes that can be recognised, and so can all that they start: a variable in their environment."""

    def __init__(self) -> None:
        self.variables = {"TINY_MARK": uuid.uuid4().hex}

    def alive(self) -> list[psutil.Process]:
        """Those that live now."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def end_within(self, seconds: float) -> bool:
        """Wait until none is left."""
        return eventually(lambda: not self.alive(), seconds)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            marked = process.environ().get("TINY_MARK") == self.variables["TINY_MARK"]
            return marked and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition comes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()
