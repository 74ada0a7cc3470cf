"""The task that runs here: plain data, set by the worker for the time of a task.

Invariant: it is in a context variable, so that concurrent tasks do not see each other, and threads see the
task that they work for if the context was copied to them (TaskIQ does that).
"""

import contextlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from .canvas import Signature
    from .messages import Delivery
    from .retries import NextAttempt, RetryPolicy


@dataclass(frozen=True)
class Request:
    """One attempt of a task.

    Attributes:
        id: the task's id, the same for all attempts.
        task: the task's name.
        args: positional arguments.
        kwargs: keyword arguments.
        retries: number of attempts before this one that asked for another.
        eta: when it was due (ISO 8601), if it was delayed.
        expires: until when it may start (ISO 8601), if it expires.
        hostname: name of the worker.
        root_id: id of the first task of the workflow.
        parent_id: id of the task that sent this one.
        group: id of the group that this is a member of.
        in_chord: whether that group is a chord's header.
        delivery_info: `routing_key` (the queue) and `redelivered` (a worker died while it ran this task).
        called_directly: no worker runs it: somebody calls the function.
        is_eager: it runs in place, in the sender's process.
    """

    id: str | None = None
    task: str | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    retries: int = 0
    eta: str | None = None
    expires: str | None = None
    hostname: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    in_chord: bool = False
    delivery_info: Mapping[str, Any] = field(default_factory=dict)
    called_directly: bool = False
    is_eager: bool = False


@dataclass(eq=False)
class Running:
    """A task while it runs.

    Attributes:
        request: the attempt.
        policy: when it is tried again.
        delivery: the message; None if it runs in place or in a child process.
        attempts: the further attempts that it has asked for.
        override_max_retries: the limit that an explicit `retry(max_retries=...)` has set for this attempt.
        signature: of the task's function.
        outer: the task that sent this one, if it runs in place, inside the sender.
        joiners: further members of its chord's header that it has asked for.
    """

    request: Request
    policy: "RetryPolicy"
    delivery: "Delivery | None" = None
    attempts: list["NextAttempt"] = field(default_factory=list)
    override_max_retries: int | None = None
    signature: inspect.Signature | None = None
    outer: "Running | None" = None
    joiners: list["Signature"] = field(default_factory=list)


running: ContextVar[Running | None] = ContextVar("running", default=None)
"""The task that runs here. Copied into threads with `contextvars.copy_context()`, as TaskIQ does."""


@contextlib.contextmanager
def entered(task: Running) -> Iterator[Running]:
    """Make `task` the one that runs here, for the time of a `with` block."""
    token = running.set(task)
    try:
        yield task
    finally:
        running.reset(token)


def raise_with_context(error: BaseException) -> NoReturn:
    """Raise an error from the one that is being handled (celery/utils/serialization.py)."""
    handled = sys.exc_info()[1]
    if handled is None:
        raise error
    if handled is error:
        raise handled
    raise error from handled
