"""The environment variables of child processes: only named ones, so that no setting of the host leaks in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PLAYBOOK_ROOT = Path(__file__).resolve().parents[2]
"""Folder that holds the package `playbook`."""

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "SYSTEMROOT")


def child_env(*python_path: Path, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Build the complete environment of a child process.

    Parameters:
        python_path: folders that Python searches first. The playbook's own comes last, because the lab loads
            its tracing into workers.
        variables: variables to set on top.

    Returns:
        The environment: a few variables of this process (PATH, HOME, locale, ...) and the given ones.
    """
    env = {name: os.environ[name] for name in KEPT if name in os.environ}
    env["PYTHONPATH"] = os.pathsep.join(str(folder.absolute()) for folder in (*python_path, PLAYBOOK_ROOT))
    env["PYTHONUNBUFFERED"] = "1"
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    return env | dict(variables or {})
