"""The git command line, cut off from the machine: no configuration of its user, hooks, signatures, identity.

A working copy has a history of its own. What it records must not depend on who runs the playbook.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from playbook.errors import WorkspaceError

_SETTINGS = {
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "core.autocrlf": "false",
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "safe.directory": "*",
}
_IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "playbook"), ("EMAIL", "playbook@localhost"))
}


class Git:
    """Runs git in one folder.

    Parameters:
        folder: the repository's working tree.
        keep_open: a file descriptor that every git process inherits. The workspace passes its lock, so that
            the lock outlives a killed playbook until the git that it started is done, too.
    """

    def __init__(self, folder: Path, keep_open: int | None = None) -> None:
        self.folder = folder
        self._pass_fds = () if keep_open is None else (keep_open,)

    def __call__(self, *args: str, feed: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Run git and return what it prints. Raises WorkspaceError with git's last line if it fails."""
        options = [word for key, value in _SETTINGS.items() for word in ("-c", f"{key}={value}")]
        try:
            done = subprocess.run(
                ["git", *options, *args],
                cwd=self.folder,
                env=_environment() | dict(env or {}),
                input=feed,
                capture_output=True,
                check=False,
                pass_fds=self._pass_fds,
            )
        except FileNotFoundError:
            raise WorkspaceError(
                "git is not on the PATH; install it, the workspace keeps its history with it"
            ) from None
        if done.returncode:
            reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise WorkspaceError(
                f"git {args[0]} failed in {self.folder}: {reason}; repair or remove that folder"
            )
        return done.stdout

    def text(self, *args: str, feed: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        """Like a call, but the output as text without surrounding blanks."""
        return self(*args, feed=feed, env=env).decode(errors="replace").strip()

    def lines(self, *args: str) -> list[str]:
        """Like `text`, split into lines."""
        return self.text(*args).splitlines()

    def blobs(self, ids: list[str]) -> list[bytes]:
        """The contents of blobs, read by one process."""
        out = self("cat-file", "--batch", feed="".join(f"{blob}\n" for blob in ids).encode())
        contents, position = [], 0
        for _ in ids:
            end_of_header = out.index(b"\n", position)
            size = int(out[position:end_of_header].split()[-1])
            contents.append(out[end_of_header + 1 : end_of_header + 1 + size])
            position = end_of_header + 1 + size + 1
        return contents


def _environment() -> dict[str, str]:
    """The process's environment without what a git hook, or the user, set for another repository."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    isolated = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }
    return inherited | isolated | _IDENTITY
