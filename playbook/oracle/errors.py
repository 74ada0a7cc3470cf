"""The one exception of the oracle."""

from __future__ import annotations

from playbook.errors import PlaybookError


class CaseFileError(PlaybookError):
    """A case file cannot be used. The message says which one, where in it, and why."""
