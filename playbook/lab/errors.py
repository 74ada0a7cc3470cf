"""The one exception of the lab."""

from __future__ import annotations

from playbook.errors import PlaybookError
from playbook.lab.masking import mask_url


class LabError(PlaybookError):
    """Something that the lab started or was given does not work. The message says what, where, what to do.

    Credentials of URLs in the message are masked, whoever wrote it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(mask_url(message))
