"""What happens around each task: it becomes known to itself and to what it sends, and it is tried again."""

import functools
import inspect
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from taskiq import BrokerMessage, NoResultError, TaskiqMessage, TaskiqMiddleware, TaskiqResult
from taskiq.labels import prepare_label

from . import in_place
from .errors import Ignore, IgnoredError, Reject, Replaced
from .messages import DeliveredMessage, Delivery, Outgoing, iso, moment
from .plans import Plan
from .results import error_result
from .retries import NextAttempt, Retry, RetryPolicy, plan_by_itself
from .running import Request, Running, running
from .serialization import Serializer
from .steps import args_of_errback

dumpb = Serializer().dumpb
_signature = functools.cache(inspect.signature)

MEANINGS: dict[type[BaseException], Callable[[Any], NoResultError]] = {}
"""Dual mode: what errors of Celery's that a task may raise mean here."""


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
        if "failed" in message.labels and task is not None:
            # What was sent stays as it was: it may have to be sent again.
            message = message.model_copy(update={"args": args_of_errback(message, task.original_func)})
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
        worker = getattr(self.broker, "consumer_name", None) or socket.gethostname()
        info: dict[str, Any] = {}
        root, parent = labels.get("root_id"), labels.get("parent_id")
        if delivery is not None:
            if delivery.step:
                root, parent = delivery.lineage
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
            root_id=root,
            parent_id=parent,
            group=labels.get("group_id"),
            in_chord=bool(labels.get("chord")),
            delivery_info=info,
            is_eager=delivery is None,
        )


class RetryMiddleware(TaskiqMiddleware):
    """Decides after each error, and sends what is to follow: further attempts, or what replaces the task."""

    def on_error(self, message: TaskiqMessage, result: TaskiqResult[Any], exception: BaseException) -> None:
        """Replace the result of an attempt that will be followed by another, or that wants none."""
        task = running.get()
        if task is None:
            return
        if own := MEANINGS.get(type(exception)):
            exception = result.error = own(exception)
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

    async def _end(self, delivery: Delivery, exception: BaseException | None) -> None:
        """Note how a task ends that has no result."""
        outcome, message = delivery.outcome, delivery.message
        if isinstance(exception, Replaced):
            plan = Plan.replacing(exception.canvas, message.task_id)
            outcome.successor = dumpb(await plan.as_data(self.broker))
        elif isinstance(exception, Reject) and exception.requeue:
            same = self.broker.formatter.dumps(_message(message, message.args, message.kwargs, {}))
            outcome.sends.append(Outgoing(delivery.queue, same.task_id, same.message, step=delivery.step))
        elif isinstance(exception, Reject):
            outcome.rejected = exception
        elif isinstance(exception, Ignore) and delivery.step:
            outcome.silent = True
            outcome.result = error_result(IgnoredError("the task ended without a result"))

    async def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Hand what is to follow to the delivery; send the next attempts at once if there is none."""
        task = running.get()
        if task and task.delivery:
            await self._end(task.delivery, result.error)
            for joiner in task.joiners:
                plan = await Plan.joining(joiner).as_data(self.broker)
                task.delivery.outcome.joiners.append(dumpb(plan))
        elif task:
            in_place.note(message.task_id, result.error, task.joiners)
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
    changed: dict[str, Any] = {"_retries": attempt.retries}
    if attempt.queue:
        changed["queue_name"] = attempt.queue
    return _message(message, attempt.args, attempt.kwargs, changed)


def _message(
    message: TaskiqMessage, args: Sequence[Any], kwargs: Mapping[str, Any], changed: Mapping[str, Any]
) -> TaskiqMessage:
    """Return a message like this one; what says when it was due is left out."""
    labels = {k: v for k, v in message.labels.items() if k not in ("countdown", "eta", "retry_delay")}
    # What failed, told to an error callback, is no text as other labels are.
    failed = {name: labels.pop(name) for name in ("failed",) if name in labels}
    prepared = {name: prepare_label(value) for name, value in {**labels, **changed}.items()}
    return TaskiqMessage(
        task_id=message.task_id,
        task_name=message.task_name,
        labels={name: text for name, (text, _) in prepared.items()} | failed,
        labels_types={name: kind for name, (_, kind) in prepared.items()},
        args=list(args),
        kwargs=dict(kwargs),
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
        step=task.delivery.step,
    )
