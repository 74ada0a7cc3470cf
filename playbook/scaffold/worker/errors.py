"""What a caller finds as `result.error` when the runtime, not the task, is the reason."""

from typing import TYPE_CHECKING

from taskiq import NoResultError

if TYPE_CHECKING:
    from .canvas import Signature


class NotRegistered(KeyError):  # noqa: N818 (Celery's name)
    """The worker knows no task of this name.

    As `celery.exceptions.NotRegistered`: name the module that defines the task when you start the worker.
    """

    def __str__(self) -> str:
        return f"no task of this name is registered in the worker: {', '.join(map(str, self.args))}"


class MessageRejectedError(Exception):
    """The message could not be run; it is in the dead-letter stream, with the reason."""


class Ignore(NoResultError):  # noqa: N818 (Celery's name)
    """Raised by a task that wants no result: nothing follows from it, and no error callback runs."""


class Reject(NoResultError):  # noqa: N818 (Celery's name)
    """Raised by a task that does not want its message: it becomes a dead letter, or is delivered again."""

    def __init__(self, reason: object = None, requeue: bool = False) -> None:
        """Create one; with `requeue` the message is delivered again."""
        Exception.__init__(self, reason, requeue)
        self.reason = reason
        self.requeue = requeue


class Replaced(NoResultError):  # noqa: N818 (it says what happened, as Ignore and Reject do)
    """Ends a task whose place another signature takes; raised by `current_task.replace`."""

    def __init__(self, canvas: "Signature") -> None:
        """Create one with the signature."""
        Exception.__init__(self, canvas)
        self.canvas = canvas


class IgnoredError(Exception):
    """The task ended without a result (`Ignore`), so that what waited for it has none either."""


class ImproperlyConfigured(Exception):  # noqa: N818 (Celery's name)
    """A task asks for what cannot be, as to be replaced by nothing."""


class ChordError(Exception):
    """A task did not run because a member of the header before it failed; that error is the cause."""


class TaskRevokedError(Exception):
    """The task was revoked, or had expired, before it started; it will not be started any more."""


class WorkerLostError(Exception):
    """Worker after worker died while this task ran; it is in the dead-letter stream."""
