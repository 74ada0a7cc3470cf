"""What the lab records and the parity compares: effects, traces and observations, all writable to JSON.

An *observation* is everything one run of a scenario left behind. It holds *effects* (what the outside world
can see) and a *trace* (when which task started and ended). These models carry no behaviour, so that the
packages that share them (lab, parity, report) need not know one another.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

System = Literal["celery", "taskiq"]


class Model(BaseModel):
    """Base of all models here: immutable, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskEvent(Model):
    """One start or end of one attempt of a task, as seen by the worker that ran it.

    `at` is Unix time in seconds. `attempt` counts from 0. `outcome` is set on `end` events only. `delay` is
    the seconds until the next attempt, on ends with outcome `retry` only.
    """

    at: float
    kind: Literal["start", "end"]
    system: System
    task: str
    id: str
    attempt: int = 0
    worker: str = ""
    args: list[Any] = Field(default_factory=list)
    kwargs: dict[str, Any] = Field(default_factory=dict)
    outcome: Literal["success", "failure", "retry", "ignored", "rejected"] | None = None
    error: str | None = None
    delay: float | None = None
    root_id: str | None = None
    parent_id: str | None = None


class Request(Model):
    """One HTTP request that the outside world received. `status` is the answer; None: it dropped the line."""

    at: float
    service: str
    method: str
    path: str
    query: dict[str, str] = Field(default_factory=dict)
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None
    status: int | None = 200


class Message(Model):
    """One WebSocket message that a client received, in the order of receipt."""

    at: float
    channel: str
    data: Any


class StoredObject(Model):
    """One object in S3, or one file below the application's data folder."""

    container: str
    key: str
    size: int
    sha256: str


class QueueMessage(Model):
    """One message that waits in an SQS queue."""

    queue: str
    body: Any


class Effects(Model):
    """What a run changed outside the task system."""

    rows: dict[str, list[dict[str, Any]]] = Field(default_factory=dict)
    requests: list[Request] = Field(default_factory=list)
    messages: list[Message] = Field(default_factory=list)
    objects: list[StoredObject] = Field(default_factory=list)
    queue_messages: list[QueueMessage] = Field(default_factory=list)
    files: list[StoredObject] = Field(default_factory=list)


class Observation(Model):
    """One run of one scenario on one system."""

    scenario: str
    label: str
    system: System
    effects: Effects = Field(default_factory=Effects)
    trace: list[TaskEvent] = Field(default_factory=list)
