"""What a caller finds as `result.error` when the runtime, not the task, is the reason."""


class NotRegistered(KeyError):  # noqa: N818 (Celery's name)
    """The worker knows no task of this name.

    As `celery.exceptions.NotRegistered`: name the module that defines the task when you start the worker.
    """

    def __str__(self) -> str:
        return f"no task of this name is registered in the worker: {', '.join(map(str, self.args))}"


class MessageRejectedError(Exception):
    """The message could not be run; it is in the dead-letter stream, with the reason."""


class TaskExpiredError(Exception):
    """The task was not started before it expired, and will not be (Celery: `TaskRevokedError`)."""


class WorkerLostError(Exception):
    """Worker after worker died while this task ran; it is in the dead-letter stream."""
