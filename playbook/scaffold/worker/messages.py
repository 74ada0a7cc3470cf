"""A message on its way to Redis, and a message that a worker holds."""

import math
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ConfigDict, Field
from taskiq import BrokerMessage, TaskiqMessage

from .errors import Reject
from .keys import Keys


@dataclass(frozen=True)
class Outgoing:
    """A message to send.

    Attributes:
        queue: name of the queue.
        task_id: the task's id.
        data: the message.
        due: when to run it, as the scripts read it (`lua`): "", "+MS" or "MS".
        expires: until when it may start, in the same form.
        step: which step of which workflow it is, as the scripts read it (`lua`); empty: none.
    """

    queue: str
    task_id: str
    data: bytes
    due: str = ""
    expires: str = ""
    step: str = ""

    @classmethod
    def of(cls, message: BrokerMessage, queue: str) -> "Outgoing":
        """Read a message's labels: `queue_name`, `countdown` (s), `eta` (ISO), `expires` (s or ISO).

        Args:
            message: what TaskIQ wants to send.
            queue: the queue if the message names none.
        """
        labels = message.labels
        return cls(
            queue=str(labels.get("queue_name") or queue),
            task_id=message.task_id,
            data=message.message,
            due=moment(labels.get("countdown"), labels.get("eta")),
            expires=moment(labels.get("expires")),
        )

    def keys(self, keys: Keys) -> list[str]:
        """Return the keys that the scripts need for it."""
        return [keys.stream(self.queue), keys.delayed(self.queue), keys.payloads(self.queue)]

    def args(self) -> list[Any]:
        """Return the arguments that the scripts need for it."""
        return [self.task_id, self.data, self.due, self.expires, uuid.uuid4().hex, self.step]


@dataclass(frozen=True)
class Entry:
    """An entry as it was read: key of its stream, its id there, its fields (None: it was trimmed)."""

    stream: str
    id: str
    fields: dict[bytes, bytes] | None

    @property
    def handle(self) -> str:
        """The entry's name in this Redis."""
        return f"{self.stream} {self.id}"


@dataclass
class Outcome:
    """What a worker writes in one step when a task is done.

    Attributes:
        result: its result; empty: it has none.
        value: what it returned, as JSON.
        failed: whether it ended with an error.
        silent: whether it ended without a result (`Ignore`): what was to follow does not run, and no error
            callback does.
        revoked: whether it did not start; its own error callbacks do not run.
        rejected: the error with which it became a dead letter; None: it is none.
        sends: messages to send.
        successor: the plan of what takes its place (JSON).
        joiners: the plans of further members of its chord's header (JSON).
    """

    result: bytes = b""
    value: bytes = b""
    failed: bool = False
    silent: bool = False
    revoked: bool = False
    rejected: Reject | None = None
    sends: list[Outgoing] = field(default_factory=list)
    successor: bytes = b""
    joiners: list[bytes] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """How the task ended, in the words of the scripts; empty: there will be another attempt."""
        if self.successor:
            return "replaced"
        if self.silent or self.revoked:
            return "silent" if self.silent else "revoked"
        if not self.result:
            return ""
        return "error" if self.failed else "ok"


@dataclass(eq=False)
class Delivery:
    """An entry of a stream that a worker holds.

    Attributes:
        stream: key of the stream.
        entry: id of the entry in it.
        queue: name of the queue.
        message: the message, its labels parsed.
        deaths: how many workers have died while they ran it.
        due: when it was due (ms), if it was delayed.
        expires: until when it may start (ms), if it expires.
        step: which step of which workflow it is, as the scripts read it (`lua`); empty: none.
        outcome: what is written when the task is done.
        done: whether that has happened.
    """

    stream: str
    entry: str
    queue: str
    message: TaskiqMessage
    deaths: int = 0
    due: int | None = None
    expires: int | None = None
    step: str = ""
    outcome: Outcome = field(default_factory=Outcome)
    done: bool = False

    @property
    def handle(self) -> str:
        """The entry's name in this Redis."""
        return f"{self.stream} {self.entry}"

    @property
    def lineage(self) -> tuple[str | None, str | None]:
        """The ids of the workflow's first task and of the task that this one follows; None: not told here."""
        root, parent = self.step.split()[2:] if self.step else ("-", "-")
        return None if root == "-" else root, None if parent == "-" else parent


class DeliveredMessage(TaskiqMessage):
    """A message that knows by which delivery it came. That is no part of what travels."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    delivery: Any = Field(default=None, exclude=True, repr=False)


def moment(*values: Any) -> str:
    """Return the first value that is there, as the scripts read it.

    Args:
        values: seconds from now, a datetime, or one of the two as text. A naive datetime is UTC, as under
            Celery with `enable_utc`.

    Raises:
        ValueError: it is none of that.
    """
    value = next((value for value in values if value is not None), None)
    if value is None:
        return ""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return f"{math.ceil(aware.timestamp() * 1000)}"
    return f"+{max(0, math.ceil(value * 1000))}"


def iso(ms: int | None) -> str | None:
    """Return a time (ms) as ISO 8601 in UTC."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def _parsed(text: str) -> float | datetime:
    try:
        return float(text)
    except ValueError:
        return datetime.fromisoformat(text)
