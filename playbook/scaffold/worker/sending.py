"""Send a task with Celery's options."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from taskiq import AsyncTaskiqTask
from taskiq.decor import AsyncTaskiqDecoratedTask


async def send(
    task: AsyncTaskiqDecoratedTask[..., Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    countdown: float | None = None,
    eta: datetime | None = None,
    expires: float | datetime | None = None,
    queue: str | None = None,
    task_id: str | None = None,
    labels: Mapping[str, str | float] | None = None,
) -> AsyncTaskiqTask[Any]:
    """Send a task, as `apply_async` does (celery/app/task.py).

    Args:
        task: the task.
        args: positional arguments.
        kwargs: keyword arguments.
        countdown: seconds until it runs, by Redis' clock.
        eta: when it runs. A naive time is UTC, as under Celery with `enable_utc`.
        expires: seconds or time after which it is not started any more.
        queue: name of the queue; None: the broker's first.
        task_id: the task's id; None: a new one.
        labels: further labels.

    Returns:
        A handle for the result.

    Raises:
        taskiq.exceptions.SendTaskError: Redis cannot be reached.
        TypeError: an argument cannot be sent as JSON.
    """
    options = {
        "countdown": None if countdown is None else float(countdown),
        "eta": None if eta is None or countdown else aware(eta).isoformat(),
        "expires": aware(expires).isoformat() if isinstance(expires, datetime) else expires,
        "queue_name": queue,
    }
    given = {name: value for name, value in options.items() if value is not None}
    kicker = task.kicker().with_task_id(task_id).with_labels(**dict(labels or {}), **given)
    return await kicker.kiq(*args, **(kwargs or {}))


def aware(time: datetime) -> datetime:
    """Return a time with its zone: UTC if it names none."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)
