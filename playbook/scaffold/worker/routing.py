"""Calls of tasks, run by the system that the flags name (dual mode; cutover deletes this).

    await dispatch(rename, transcript_id, name="new")             # rename.delay(transcript_id, name="new")
    await dispatch_apply(rename, (transcript_id,), countdown=5)   # rename.apply_async((transcript_id,), ...)
    dispatch_sync(rename, transcript_id)                          # the same from synchronous code
    dispatch_apply_sync(rename, (transcript_id,), countdown=5)
    dispatch_after_commit(session, rename, transcript_id)         # sent when the transaction is committed

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
from .canvases import CALLBACKS, Workflow, is_canvas, translated
from .clients import with_client, with_client_sync
from .commits import after_commit
from .flags import flags
from .handles import Handle
from .loops import in_background, submit
from .plans import Plan
from .running import running
from .sending import send

logger = logging.getLogger(__name__)

KEPT = {"countdown", "eta", "expires", "queue"}
"""Options of `apply_async` that mean the same on TaskIQ."""

OWN = ("queue", "routing_key", "exchange", "priority", "expires")
"""Options of a task itself that count for each call (celery/app/task.py, `extract_exec_options`)."""

TRANSPORT = {"retry", "retry_policy", "connection", "producer", "add_to_parent", "ignore_result"}
"""Options that say how Celery sends, not what happens."""


async def dispatch(task: Any, /, *args: Any, **kwargs: Any) -> Handle:
    """Call a task, as `task.delay` does.

    Args:
        task: a Celery task, signature or canvas. A canvas runs as a whole on one system (`canvases`).
        args: positional arguments.
        kwargs: keyword arguments.

    Returns:
        The handle of the task; of a chain that of its last task, of a chord its body's, of a group its own.
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
    call = Call.of(task, args, kwargs, task_id, options)
    if flags.stale:
        await in_background(flags.refresh())
    message = call.for_taskiq()
    if message is None:
        # Not in a thread: Celery's current app and task belong to this one.
        return call.to_celery()
    await with_client(message.send)
    return Handle(message.id, "taskiq")


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
    call = Call.of(task, args, kwargs, task_id, options)
    if flags.stale:
        submit(flags.refresh()).result()
    message = call.for_taskiq()
    if message is None:
        return call.to_celery()
    with_client_sync(message.send)
    return Handle(message.id, "taskiq")


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

    @property
    def id(self) -> str:
        """The task's id."""
        return str(self.options["task_id"])

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

    @classmethod
    def of(
        cls,
        task: Any,
        args: Sequence[Any] | None,
        kwargs: Mapping[str, Any] | None,
        task_id: str | None,
        options: dict[str, Any],
    ) -> "Call":
        """Return a call with its id; raise `TypeError` for what Celery cannot call."""
        if not hasattr(task, "apply_async"):
            raise TypeError(f"dispatch takes a Celery task, signature or canvas, not {task!r:.80}")
        if task_id is None and isinstance(task, Signature):
            task_id = task.options.get("task_id")
        return cls(task, tuple(args or ()), dict(kwargs or {}), task_id or str(uuid.uuid4()), options)

    def for_taskiq(self) -> Message | Workflow | None:
        """Return the call for TaskIQ, None if it is Celery's.

        Raises:
            TypeError: the arguments do not fit the task, as under Celery.
        """
        if is_canvas(self.task) or {"link", "link_error"} & self.options.keys():
            return self._workflow()
        task, args, kwargs, options = self._parts()
        kept = self._kept(task, args, kwargs, options)
        if isinstance(kept, str):
            if kept:
                logger.warning("%s goes to Celery: %s", task.name, kept)
            return None
        if task.typing:
            task.__header__(*args, **kwargs)
        return Message(
            broker.find_task(task.name), args, kwargs, {**kept, "task_id": self.id, "labels": _lineage()}
        )

    def _kept(
        self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Any] | str:
        """Return the options that TaskIQ keeps, or why the call is Celery's; "" if the flags say so."""
        if broker.find_task(task.name) is None or flags.system(task.name, self.id) == "celery":
            return ""
        wanted = {key: value for key, value in options.items() if value is not None and key not in TRANSPORT}
        routed = task.app.amqp.router.route(wanted, task.name, args, kwargs, task)
        queue = getattr(routed["queue"], "name", routed["queue"]) if "queue" in routed else None
        default = task.app.conf.task_default_queue
        if reason := _reason_for_celery(set(routed) - KEPT, queue, default):
            return reason
        return {**routed, "queue": None if queue == default else queue}

    def _workflow(self) -> Workflow | None:
        """Return the canvas for TaskIQ, None if it is Celery's."""
        celery = self.task if isinstance(self.task, Signature) else self.task.s()

        def keep(task: Any, call: Any) -> dict[str, Any] | str:
            own = {name: getattr(task, name, None) for name in OWN}
            given = {name: value for name, value in call.options.items() if name not in CALLBACKS}
            return self._kept(task, call.args, call.kwargs, own | given)

        canvas = translated(celery.clone(**self.options), keep)
        if canvas is None:
            return None
        lineage = _lineage()
        plan = Plan.of(canvas, self.args, self.kwargs, {"task_id": self.id})
        return Workflow(plan, (lineage["root_id"], lineage["parent_id"]) if lineage else None)

    def to_celery(self) -> Handle:
        """Send it to Celery, as the application always did."""
        options = dict(self.options)
        here = running.get()
        if here is not None:
            options |= {"root_id": here.request.root_id, "parent_id": here.request.id}
        sent = self.task.apply_async(self.args, self.kwargs, task_id=self.id, **options)
        return Handle(sent.id, "celery", sent)

    def _parts(self) -> tuple[Any, Sequence[Any], Mapping[str, Any], dict[str, Any]]:
        """Return task, arguments and options, the task's own options included."""
        if isinstance(self.task, Signature):
            merged = self.task.clone(self.args, self.kwargs, **self.options)
            task, args, kwargs, options = merged.type, merged.args, merged.kwargs, merged.options
        else:
            task, args, kwargs, options = self.task, self.args, self.kwargs, self.options
        own = {name: getattr(task, name, None) for name in OWN}
        given = {name: value for name, value in options.items() if name != "task_id"}
        return task, args, kwargs, own | given


def _reason_for_celery(foreign: set[str], queue: str | None, default: str) -> str | None:
    """Return why TaskIQ cannot keep a call's options, None if it can."""
    if foreign:
        return f"TaskIQ does not know the option {', '.join(sorted(foreign))}"
    if queue not in (None, default) and queue not in getattr(broker, "queues", (queue,)):
        return f"no TaskIQ worker reads the queue {queue} (TASKIQ_QUEUES)"
    return None


def _lineage() -> dict[str, str]:
    """Return the labels that say which Celery task sends this, if one does."""
    request = celery_task.request if celery_task else None
    if request is None or not request.id:
        return {}
    return {"root_id": request.root_id or request.id, "parent_id": request.id}
