"""The errors that the playbook raises on purpose: one line that says what is wrong, where, and what to do."""

from __future__ import annotations

import errno


class PlaybookError(Exception):
    """Unusable input or a state that a person must resolve. The message is one line and stands for itself.

    The command line prints the message and ends with `exit_status`. A notebook shows the same line instead of
    a traceback: IPython asks an exception for `_render_traceback_` before it formats one itself.
    """

    exit_status = 2

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class ConfigError(PlaybookError):
    """`playbook.toml` is missing or says something that cannot be used."""


class ParameterError(PlaybookError):
    """A notebook's parameter is unknown, has the wrong type, or names something that is not there."""


class WorkspaceError(PlaybookError):
    """The working copy is in a state in which the playbook must not write to it."""


class PhaseStopped(PlaybookError):  # noqa: N818 - a stop is an outcome of a phase, not a mistake
    """A phase did not sign off: a check failed, or something that had to be done was not."""

    exit_status = 1


ENOUGH_LINES = 4
"""Lines up to which a message is kept whole."""


def in_one_line(message: str) -> str:
    """A message as one line. Of a long one, such as the tail of a log, first and last line say most."""
    lines = [" ".join(line.split()) for line in message.splitlines() if line.strip()] or ["no message"]
    return " ".join(lines if len(lines) <= ENOUGH_LINES else [lines[0], "...", lines[-1]])


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def in_words(error: Exception) -> Exception:
    """An error that says what to do, if it is that of a full disk; any other as it is."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return PlaybookError(
            f"there is no room to write in the run's folder: {error}; "
            "make room and run the same command again: what was written before is whole"
        )
    return error
