"""What the oracle needs of a system that runs canvases: Celery, or the TaskIQ runtime.

Both are used through the same names, so that task bodies and structures are written once.
"""

from __future__ import annotations

from typing import Any, Protocol

TASK_MODULE = "oracle_tasks"
"""Tasks are called `oracle_tasks.NAME` on both systems, as in the recorded messages."""

REDIS_VARIABLE = "CELERY_BROKER_URL"
"""Environment variable with the URL of the Redis; the runtime's settings read it, too."""


class StillWaitingError(Exception):
    """A result has not come in the given time."""


class TaskSide(Protocol):
    """What task bodies and structures use.

    Attributes:
        current: the task that runs here, with `request`, `retry`, `replace` and `add_to_chord`.
        chain, group, chord: constructors of canvases.
        ignore: the class of the exception that ends a task without an outcome.
        reject: the class of the exception that refuses a message.
    """

    current: Any
    chain: Any
    group: Any
    chord: Any
    ignore: Any
    reject: Any

    def task(self, name: str) -> Any:
        """Return a task by its short name."""

    def start(self, canvas: Any) -> None:
        """Start a canvas from within a task, without waiting for it."""


class ClientSide(Protocol):
    """What the driver uses."""

    tasks: TaskSide

    def apply(self, canvas: Any, call: dict[str, Any]) -> Any:
        """Start a canvas with `apply_async`'s arguments; return its handle, or None if there is none."""

    def result(self, handle: Any, timeout: float) -> Any:
        """Wait up to `timeout` seconds for a result; return it or raise its error.

        Raises:
            StillWaitingError: it has not come yet.
        """

    def ids(self, handle: Any) -> list[str]:
        """Return the task ids that a handle knows."""

    def idle(self) -> bool:
        """Tell whether nothing is queued or delayed."""
