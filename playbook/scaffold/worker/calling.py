"""Calls of tasks, from wherever: any loop, thread or child process.

    handle = await rename.delay(transcript_id, name="new")
    handle = await rename.apply_async((transcript_id,), {"name": "new"}, countdown=5)
    handle = rename.delay_sync(transcript_id, name="new")               # from synchronous code

Invariant: a call whose arguments do not fit the task is refused where it is made, and none is sent with an
option that would not be kept.
"""

import inspect
import uuid
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskiq import AsyncBroker

from .canvas import Signature
from .clients import with_client, with_client_sync
from .plans import REFUSED, WITHOUT_EFFECT
from .sending import send
from .sent import Handle

if TYPE_CHECKING:
    from .tasks import DurableTask

KEPT = {"countdown", "eta", "expires", "queue"}
CALLBACKS = {"link", "link_error"}


async def call(
    task: "DurableTask[..., Any]", args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> Handle:
    """Send a task; see `DurableTask.apply_async`."""
    made = prepared(task, args, kwargs, options)
    if isinstance(made, Signature):
        return await made.apply_async()
    await with_client(made.send)
    return Handle(made.id, own=True)


def call_sync(
    task: "DurableTask[..., Any]", args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> Handle:
    """Send a task from synchronous code; see `DurableTask.apply_async`."""
    made = prepared(task, args, kwargs, options)
    if isinstance(made, Signature):
        return made.apply_async_sync()
    with_client_sync(made.send)
    return Handle(made.id, own=True)


@dataclass(frozen=True)
class Message:
    """A call that can be sent; the fields are those of `sending.send`."""

    task: "DurableTask[..., Any]"
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    id: str
    options: Mapping[str, Any]
    labels: Mapping[str, Any]

    async def send(self, client: AsyncBroker) -> None:
        """Send it through a broker."""
        task = copy(self.task)
        task.broker = client
        await send(task, self.args, self.kwargs, task_id=self.id, labels=self.labels, **self.options)


def prepared(
    task: "DurableTask[..., Any]", args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> Message | Signature:
    """Return a call as it is sent: with callbacks as a workflow, else as a message.

    Raises:
        TypeError: the arguments do not fit the task.
        ValueError: there is no such option here.
    """
    if refused := sorted(options.keys() & REFUSED):
        raise ValueError(f"{task.task_name}: there is no option {', '.join(refused)} here")
    parameters_of(task).bind(*args, **kwargs)
    if options.keys() & CALLBACKS:
        return task.signature(args, kwargs, **options)
    given = {name: value for name, value in options.items() if value is not None}
    task_id = str(given.pop("task_id", None) or uuid.uuid4())
    kept = {name: value for name, value in given.items() if name in KEPT}
    labels = {name: value for name, value in given.items() if name not in KEPT | WITHOUT_EFFECT}
    return Message(task, args, kwargs, task_id, kept, labels)


def parameters_of(task: "DurableTask[..., Any]") -> inspect.Signature:
    """Return the parameters that a caller gives: without those that TaskIQ injects, which alone are annotated
    (`wire.on_the_wire`)."""
    shown = inspect.signature(task.original_func)
    return shown.replace(
        parameters=[p for p in shown.parameters.values() if p.annotation is inspect.Parameter.empty]
    )
