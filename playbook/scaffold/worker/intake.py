"""Turns an entry of a stream into a delivery, or says why it cannot be run."""

from collections.abc import Callable
from dataclasses import dataclass

from .errors import MessageRejectedError, NotRegistered
from .messages import DeliveredMessage, Delivery, Entry
from .serialization import MessageFormatter

_formatter = MessageFormatter()


@dataclass(frozen=True)
class Refused:
    """An entry that cannot be run.

    Attributes:
        reason: why.
        task_id: the task's id, if it could be read.
        error: what the caller gets.
    """

    reason: str
    task_id: str
    error: BaseException


def take(entry: Entry, queue: str, knows: Callable[[str], object]) -> Delivery | Refused:
    """Return the delivery of an entry.

    Args:
        entry: the entry.
        queue: name of its queue.
        knows: tells whether this worker has a task of a name.
    """
    fields = entry.fields or {}
    task_id = fields.get(b"id", b"").decode(errors="replace")
    if b"data" not in fields:
        return _refused("it has no field `data`" if fields else "it was trimmed from the stream", task_id)
    try:
        message = _formatter.loads_as(DeliveredMessage, fields[b"data"])
        message.parse_labels()
        # Once is enough: TaskIQ would parse them again.
        message.labels_types = None
        step = fields.get(b"step", b"").decode()
        numbers = {name: int(fields[name]) for name in (b"deaths", b"due", b"expires") if name in fields}
    except Exception as error:
        return _refused(f"it cannot be parsed: {error}", task_id)
    if not knows(message.task_name):
        unknown = NotRegistered(message.task_name)
        return Refused(str(unknown), message.task_id, unknown)
    message.delivery = delivery = Delivery(
        stream=entry.stream,
        entry=entry.id,
        queue=queue,
        message=message,
        deaths=numbers.get(b"deaths", 0),
        due=numbers.get(b"due"),
        expires=numbers.get(b"expires"),
        step=step,
    )
    return delivery


def _refused(reason: str, task_id: str) -> Refused:
    return Refused(reason, task_id, MessageRejectedError(reason))
