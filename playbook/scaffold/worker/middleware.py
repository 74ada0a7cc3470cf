"""Makes the running task known to itself, and to what it sends."""

import inspect
import socket
from typing import Any

from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult

from .messages import DeliveredMessage, Delivery, iso
from .retries import RetryPolicy
from .running import Request, Running, running


class ContextMiddleware(TaskiqMiddleware):
    """Sets `running` for the time of a task. Must be the broker's first middleware."""

    def pre_send(self, message: TaskiqMessage) -> TaskiqMessage:
        """Say to which workflow a message belongs, as Celery's `root_id` and `parent_id` do."""
        task = running.get()
        message.labels.setdefault("root_id", (task and task.request.root_id) or message.task_id)
        if task and task.request.id:
            message.labels.setdefault("parent_id", task.request.id)
        return message

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Note what runs from now on in this context."""
        delivery = message.delivery if isinstance(message, DeliveredMessage) else None
        task = self.broker.find_task(message.task_name)
        policy = getattr(task, "retry_policy", None) or RetryPolicy()
        signature = inspect.signature(task.original_func) if task else None
        request = self._request(message, delivery)
        running.set(Running(request, policy, delivery, signature=signature, outer=running.get()))
        if delivery is not None:
            self.broker.watch(delivery)  # type: ignore[attr-defined]
        return message

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Forget a task that ran in place: its context is the sender's."""
        task = running.get()
        if task and task.delivery is None:
            running.set(task.outer)

    def _request(self, message: TaskiqMessage, delivery: Delivery | None) -> Request:
        labels = message.labels
        worker = getattr(self.broker, "consumer_name", socket.gethostname())
        info: dict[str, Any] = {}
        if delivery is not None:
            info = {"routing_key": delivery.queue, "redelivered": delivery.deaths > 0}
        return Request(
            id=message.task_id,
            task=message.task_name,
            args=tuple(message.args),
            kwargs=dict(message.kwargs),
            retries=int(labels.get("_retries", 0)),
            eta=iso(delivery.due) if delivery else None,
            expires=iso(delivery.expires) if delivery else None,
            hostname=worker,
            root_id=labels.get("root_id"),
            parent_id=labels.get("parent_id"),
            delivery_info=info,
            is_eager=delivery is None,
        )
