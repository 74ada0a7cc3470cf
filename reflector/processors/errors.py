"""What can go wrong in a processor, told apart by what the caller may do about it."""

from __future__ import annotations


class ProcessorError(Exception):
    """Base of all errors that processors and the clients of outside services raise on purpose."""


class AudioError(ProcessorError):
    """A file is missing, holds no audio, or cannot be decoded. The message names the file."""


class ServiceError(ProcessorError):
    """An outside service did not give a usable answer.

    Parameters: `service` is its short name ("zulip"), `url` what was asked (without credentials), `reason`
    one sentence, `status` the HTTP status if there was an answer.
    """

    def __init__(self, service: str, url: str, reason: str, status: int | None = None) -> None:
        super().__init__(f"{service} at {url}: {reason}")
        self.service = service
        self.url = url
        self.reason = reason
        self.status = status


class ServiceUnavailable(ServiceError):  # noqa: N818 - named for what the caller sees
    """No answer, or a 5xx or 429 one: the same request may succeed later."""


class ServiceRejected(ServiceError):  # noqa: N818 - named for what the caller sees
    """The service refused the request, or its answer makes no sense: asking again will not help."""
