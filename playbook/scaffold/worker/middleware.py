"""What happens around each task: it becomes known to itself and to what it sends, and it is tried again."""

import functools
import inspect
import socket
from datetime import datetime
from typing import Any

from taskiq import BrokerMessage, NoResultError, TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.labels import prepare_label

from .messages import DeliveredMessage, Delivery, Outgoing, iso, moment
from .retries import NextAttempt, Retry, RetryPolicy, plan_by_itself
from .running import Request, Running, running

_signature = functools.cache(inspect.signature)


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
        signature = _signature(task.original_func) if task else None
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


class RetryMiddleware(TaskiqMiddleware):
    """Decides after each error, and sends the attempts that were planned."""

    def on_error(self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException) -> None:
        """Replace the result of an attempt that will be followed by another."""
        task = running.get()
        if task is None:
            return
        if isinstance(exception, Retry):
            # A retry that comes from a child process is not planned here yet.
            if exception.attempt and not task.attempts:
                task.attempts.append(exception.attempt)
        elif not isinstance(exception, NoResultError) and task.policy.retries_on(exception):
            try:
                result.error = plan_by_itself(task, exception)
            except BaseException as final:
                result.error = final
        if isinstance(result.error, Retry) and result.error.attempt:
            message.labels["retry_delay"] = delay_of(result.error.attempt)

    async def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Hand the next attempts to the delivery, or send them at once if there is none."""
        task = running.get()
        for attempt in task.attempts if task else ():
            following = self.broker.formatter.dumps(next_message(message, attempt))
            if task and task.delivery and not task.delivery.done:
                task.delivery.outcome.sends.append(outgoing(following, attempt, task))
            else:
                await self.broker.kick(following)


def delay_of(attempt: NextAttempt) -> float:
    """Return the seconds until an attempt."""
    if attempt.eta is None:
        return float(attempt.countdown or 0)
    return max(0.0, attempt.eta.timestamp() - datetime.now(attempt.eta.tzinfo).timestamp())


def next_message(message: TaskiqMessage, attempt: NextAttempt) -> TaskiqMessage:
    """Return the message of the next attempt."""
    kept = {k: v for k, v in message.labels.items() if k not in ("countdown", "eta", "retry_delay")}
    if attempt.queue:
        kept["queue_name"] = attempt.queue
    prepared = {name: prepare_label(value) for name, value in (kept | {"_retries": attempt.retries}).items()}
    return TaskiqMessage(
        task_id=message.task_id,
        task_name=message.task_name,
        labels={name: text for name, (text, _) in prepared.items()},
        labels_types={name: kind for name, (_, kind) in prepared.items()},
        args=list(attempt.args),
        kwargs=dict(attempt.kwargs),
    )


def outgoing(message: BrokerMessage, attempt: NextAttempt, task: Running) -> Outgoing:
    """Return the next attempt as the broker sends it: same queue and same end, if it names no other."""
    assert task.delivery is not None
    kept = "" if task.delivery.expires is None else str(task.delivery.expires)
    return Outgoing(
        queue=attempt.queue or task.delivery.queue,
        task_id=message.task_id,
        data=message.message,
        due=moment(attempt.countdown, attempt.eta),
        expires=kept if attempt.expires is None else moment(attempt.expires),
    )
