"""Calls of tasks, run by the system that the flags name (dual mode; cutover deletes this).

    await dispatch(rename, transcript_id, name="new")                 # rename.delay(transcript_id, name="new")
    await dispatch_apply(rename, (transcript_id,), countdown=5)       # rename.apply_async((transcript_id,), ...)
    dispatch_sync(rename, transcript_id)                              # the same from synchronous code
    dispatch_apply_sync(rename, (transcript_id,), countdown=5)
    dispatch_after_commit(session, rename, transcript_id)             # sent when the transaction is committed

Invariant: a call is sent once, to one system, under one id. It goes to TaskIQ only if the flags say so, the
task has a twin, and TaskIQ can keep every option of the call; otherwise to Celery, as before.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from celery import current_task as celery_task
from celery.canvas import Signature
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from taskiq import AsyncBroker

from .broker import broker
from .clients import with_client, with_client_sync
from .commits import after_commit
from .context import running
from .flags import flags
from .handles import Handle
from .loops import in_background, submit
from .sending import send

logger = logging.getLogger(__name__)

KEPT = {"countdown", "eta", "expires", "queue"}
"""Options of `apply_async` that mean the same on TaskIQ."""

TRANSPORT = {
    "retry", "retry_policy", "connection", "producer", "add_to_parent", "ignore_result", "delivery_mode", "compression",
}  # fmt: skip
"""Options that say how Celery sends, not what happens."""


async def dispatch(task: Any, /, *args: Any, **kwargs: Any) -> Handle:
    """Call a task, as `task.delay` does.

    Args:
        task: a Celery task, signature or canvas. A canvas goes to Celery.
        args: positional arguments.
        kwargs: keyword arguments.

    Returns:
        The handle of the task; of a canvas, what Celery returns is behind it.
    """
    return await dispatch_apply(task, args, kwargs)


async def dispatch_apply(
    task: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    task_id: str | None = None,
    **options: Any,
) -> Handle:
    """Call a task with options, as `task.apply_async` does (celery/app/task.py).

    Args:
        task: see `dispatch`.
        args: positional arguments.
        kwargs: keyword arguments.
        task_id: the task's id; None: a new one.
        options: `countdown`, `eta`, `expires`, `queue`; with any other, the call goes to Celery.
    """
    call = Call(task, tuple(args or ()), dict(kwargs or {}), task_id or str(uuid.uuid4()), options)
    if flags.stale:
        await in_background(flags.refresh())
    message = call.for_taskiq()
    if message is None:
        # Not in a thread: Celery's current app and task belong to this one.
        return call.to_celery()
    await with_client(message.send)
    return Handle(call.id, "taskiq")


def dispatch_sync(task: Any, /, *args: Any, **kwargs: Any) -> Handle:
    """Call a task from synchronous code, as `task.delay` does; see `dispatch`."""
    return dispatch_apply_sync(task, args, kwargs)


def dispatch_apply_sync(
    task: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    task_id: str | None = None,
    **options: Any,
) -> Handle:
    """Call a task with options from synchronous code; see `dispatch_apply`."""
    call = Call(task, tuple(args or ()), dict(kwargs or {}), task_id or str(uuid.uuid4()), options)
    if flags.stale:
        submit(flags.refresh()).result()
    message = call.for_taskiq()
    if message is None:
        return call.to_celery()
    with_client_sync(message.send)
    return Handle(call.id, "taskiq")


def dispatch_after_commit(session: AsyncSession | Session, task: Any, /, *args: Any, **kwargs: Any) -> Handle:
    """Call a task once the session's transaction is committed; never, if it is rolled back.

    Returns:
        The handle of the task that will be sent. Its id is final already.
    """
    task_id = str(uuid.uuid4())
    after_commit(session, lambda: dispatch_apply_sync(task, args, kwargs, task_id))
    return Handle(task_id)


@dataclass(frozen=True)
class Message:
    """A call as TaskIQ sends it."""

    task: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    options: Mapping[str, Any]

    async def send(self, client: AsyncBroker) -> None:
        """Send it through a broker."""
        task = copy(self.task)
        task.broker = client
        await send(task, self.args, self.kwargs, **self.options)


@dataclass(frozen=True)
class Call:
    """A call before it is decided where it goes."""

    task: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    id: str
    options: dict[str, Any]

    def for_taskiq(self) -> Message | None:
        """Return the call for TaskIQ, None if it is Celery's."""
        name, args, kwargs, options = self._parts()
        twin = broker.find_task(name)
        if twin is None or flags.system(name, self.id) == "celery":
            return None
        known = {key: value for key, value in options.items() if value is not None and key not in TRANSPORT}
        if foreign := sorted(set(known) - KEPT):
            logger.warning("%s goes to Celery: TaskIQ does not know the option %s", name, ", ".join(foreign))
            return None
        queue = self._queue(name, args, kwargs, known)
        if queue is not None and queue not in getattr(broker, "queues", (queue,)):
            logger.warning("%s goes to Celery: no TaskIQ worker reads the queue %s", name, queue)
            return None
        return Message(
            twin, args, kwargs, {**known, "queue": queue, "task_id": self.id, "labels": _lineage()}
        )

    def to_celery(self) -> Handle:
        """Send it to Celery, as the application always did."""
        options = dict(self.options)
        here = running.get()
        if here is not None:
            options |= {"root_id": here.request.root_id, "parent_id": here.request.id}
        sent = self.task.apply_async(self.args, self.kwargs, task_id=self.id, **options)
        return Handle(sent.id, "celery", sent)

    def _parts(self) -> tuple[str, Sequence[Any], Mapping[str, Any], dict[str, Any]]:
        """Return the task's name, arguments and options, the task's own options included.

        The name of a canvas is that of a built-in task of Celery's, which has no twin.
        """
        if not isinstance(self.task, Signature):
            own = {key: getattr(self.task, key, None) for key in ("expires", "priority", "queue")}
            return self.task.name, self.args, self.kwargs, own | self.options
        merged = self.task.clone(self.args, self.kwargs, **self.options)
        own = {key: getattr(merged.type, key, None) for key in ("expires", "priority", "queue")}
        return merged.task, merged.args, merged.kwargs, own | merged.options

    def _queue(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> str | None:
        """Return the queue that Celery's routes name; None: the default one (celery/app/routes.py)."""
        app = self.task.app
        route = app.amqp.router.route(dict(options), name, args, kwargs)
        queue = route.get("queue")
        found: str | None = getattr(queue, "name", queue)
        return None if found == app.conf.task_default_queue else found


def _lineage() -> dict[str, str]:
    """Return the labels that say which Celery task sends this, if one does."""
    request = celery_task.request if celery_task else None
    if request is None or not request.id:
        return {}
    return {"root_id": request.root_id or request.id, "parent_id": request.id}
