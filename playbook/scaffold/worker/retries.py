"""When a task is tried again, with Celery's meaning.

Invariant: the decision is that of celery/app/autoretry.py and celery/app/task.py (`Task.retry`), number by
number; the next attempt is sent in the same step that acknowledges this one, so that a crash neither loses
nor doubles it.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, NoReturn

from taskiq import NoResultError

from .retry_arguments import next_arguments
from .running import Running, raise_with_context

RETRY_KWARGS = {"args", "kwargs", "throw", "eta", "countdown", "max_retries", "queue", "expires"}


class MaxRetriesExceededError(Exception):
    """A task asked for one more attempt than it may have."""


@dataclass(frozen=True)
class NextAttempt:
    """A further attempt: its number (`retries`), arguments, and when and where it runs.

    `countdown` is in seconds; `queue` and `expires` are None if they stay as they are.
    """

    retries: int
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    countdown: float | None = None
    eta: datetime | None = None
    queue: str | None = None
    expires: float | datetime | None = None


class Retry(NoResultError):  # noqa: N818 (Celery's name)
    """Says that an attempt has no result, because there will be another.

    Attributes:
        attempt: the next attempt; None if the task was called directly.
        exc: the reason, if one was given.
    """

    def __init__(self, attempt: NextAttempt | None = None, exc: BaseException | None = None) -> None:
        Exception.__init__(self, attempt, exc)
        self.attempt = attempt
        self.exc = exc

    @property
    def when(self) -> float | datetime | None:
        """When: seconds from then, or a time."""
        return (self.attempt.eta or self.attempt.countdown) if self.attempt else None

    def __str__(self) -> str:
        if self.attempt is None:
            return "Task can be retried"
        when = self.attempt.eta or f"in {self.attempt.countdown:g}s"
        return f"Retry {when}" + (f": {self.exc!r}" if self.exc else "")

    __repr__ = __str__

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.attempt, self.exc)


@dataclass(frozen=True)
class RetryPolicy:
    """A task's retry options: Celery's names, defaults and meaning.

    Attributes:
        max_retries: attempts after the first; None: without limit.
        default_retry_delay: seconds until the next attempt, if nothing else says so.
        autoretry_for: errors that are retried by themselves. Without them, the options below do nothing.
        dont_autoretry_for: errors that are not, although they are of a class above.
        retry_backoff: wait 2^retries times this factor (s; True: 1; a fraction is cut off).
        retry_backoff_max: longest wait (s).
        retry_jitter: wait a random whole number of seconds between none and all of it.
        retry_kwargs: arguments of `retry` for these retries.
    """

    max_retries: int | None = 3
    default_retry_delay: float = 180
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600
    retry_jitter: bool = True
    retry_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := set(self.retry_kwargs) - RETRY_KWARGS:
            raise ValueError(f"retry_kwargs has {sorted(unknown)}; known are {sorted(RETRY_KWARGS)}")
        object.__setattr__(self, "autoretry_for", tuple(self.autoretry_for))
        object.__setattr__(self, "dont_autoretry_for", tuple(self.dont_autoretry_for))

    @classmethod
    def of(cls, options: Any) -> "RetryPolicy":
        """Return the policy in a Celery task's attributes, or in a mapping; else the defaults hold."""
        found = options if isinstance(options, Mapping) else vars_of(options)
        return cls(**{name: found[name] for name in POLICY_OPTIONS if name in found})

    def retries_on(self, error: BaseException) -> bool:
        """Tell whether a task that ends with this error is tried again by itself."""
        return isinstance(error, self.autoretry_for) and not isinstance(error, self.dont_autoretry_for)

    def next_delay(self, retries: int, randrange: Callable[[int], int] = random.randrange) -> int | None:
        """Return the seconds that back-off makes a retry wait.

        Args:
            retries: attempts before this one that asked for another.
            randrange: the source of jitter.

        Returns:
            The seconds; None: no back-off (celery/utils/time.py, `get_exponential_backoff_interval`).
        """
        if not float(self.retry_backoff):
            return None
        factor = int(max(1.0, float(self.retry_backoff)))
        delay = min(int(self.retry_backoff_max), factor * 2**retries)
        return max(0, randrange(delay + 1) if self.retry_jitter else delay)


POLICY_OPTIONS = tuple(option.name for option in fields(RetryPolicy))


def vars_of(task: Any) -> dict[str, Any]:
    """Return the retry options that an object has as attributes."""
    return {name: getattr(task, name) for name in POLICY_OPTIONS if hasattr(task, name)}


def plan(
    task: Running,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    exc: BaseException | None = None,
    throw: bool = True,
    eta: datetime | None = None,
    countdown: float | None = None,
    max_retries: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Retry:
    """Plan another attempt of a running task; see `CurrentTask.retry` for the arguments and errors."""
    options = options or {}
    if unknown := set(options) - {"queue", "expires"}:
        raise TypeError(f"retry() does not take {sorted(unknown)}")
    request, policy = task.request, task.policy
    if max_retries is not None:
        task.override_max_retries = max_retries
    limit = policy.max_retries if max_retries is None else max_retries
    if not eta and countdown is None:
        countdown = policy.default_retry_delay
    new_args, new_kwargs = next_arguments(task.signature, request, args, kwargs)
    retries = request.retries + 1
    if limit is not None and retries > limit:
        if exc:
            raise_with_context(exc)
        raise MaxRetriesExceededError(
            f"Can't retry {request.task}[{request.id}] args:{new_args} kwargs:{new_kwargs}"
        )
    # A countdown counts more than an eta (celery/app/amqp.py, `as_task_v2`), unless it is 0.
    eta = None if countdown or not eta else eta
    countdown = None if eta else countdown
    attempt = NextAttempt(retries, new_args, new_kwargs, countdown, eta, **options)
    task.attempts.append(attempt)
    retry = Retry(attempt, exc)
    if throw:
        raise retry
    return retry


def plan_by_itself(task: Running, error: BaseException) -> Retry:
    """Plan the retry of a task that ended with an error in `autoretry_for`; raise what `plan` raises."""
    arguments = dict(task.policy.retry_kwargs)
    delay = task.policy.next_delay(task.request.retries)
    if delay is not None:
        arguments["countdown"] = delay
    if task.override_max_retries is not None:
        arguments["max_retries"] = task.override_max_retries
    options: dict[str, Any] = {n: arguments.pop(n) for n in ("queue", "expires") if n in arguments}
    return plan(task, exc=error, options=options, **(arguments | {"throw": False}))


def call_directly(error: BaseException | None) -> NoReturn:
    """Do what `retry` does when no worker runs the task: raise the error."""
    raise_with_context(error or Retry())
