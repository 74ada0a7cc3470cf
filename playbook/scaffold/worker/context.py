"""What a running task can know about itself, and ask for.

    from .context import current_task

    current_task.request.retries
    raise current_task.retry(countdown=60, exc=error)

Invariant: one small object, the same for async tasks and for sync tasks in threads, under TaskIQ and, while
both systems run, under Celery. It has the names of Celery's task (celery/app/task.py: `Context`, `Task`).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from .canvas import Chain, signature
from .errors import ImproperlyConfigured, Replaced
from .retries import Retry, call_directly, plan
from .running import Request, running

fallback: Callable[[], Any] | None = None
"""Dual mode: gives Celery's current task, or None. Asked when no TaskIQ task runs here."""

DIRECT = Request(called_directly=True)


class CurrentTask:
    """The task that runs here. There is one instance, `current_task`; bound tasks get it as `self`."""

    def __bool__(self) -> bool:
        """Tell whether a task runs here, as code asks Celery's `current_task`."""
        return running.get() is not None or (fallback is not None and fallback() is not None)

    @property
    def request(self) -> Any:
        """The attempt (`Request`); outside of a task one with `called_directly`."""
        here = running.get()
        if here is not None:
            return here.request
        other = fallback() if fallback else None
        return DIRECT if other is None else other.request

    @property
    def name(self) -> str | None:
        """The task's name."""
        name: str | None = self.request.task
        return name

    @property
    def max_retries(self) -> int | None:
        """How often it may be tried again; None: without limit."""
        here = running.get()
        if here is not None:
            return here.policy.max_retries
        other = fallback() if fallback else None
        limit: int | None = None if other is None else other.max_retries
        return limit

    def retry(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """Try this task again later, as `celery.app.task.Task.retry` does.

        Args:
            args: other positional arguments.
            kwargs: other keyword arguments.
            exc: the error to raise when no retry is left.
            throw: whether to raise `Retry`; if not, it is returned and the task goes on.
            eta: when to try again.
            countdown: seconds until then; default: the task's `default_retry_delay`.
            max_retries: the limit for this attempt; None: the task's own.
            options: `queue`, `expires`.

        Raises:
            Retry: always, unless `throw` is false.
            MaxRetriesExceededError: no retry is left and `exc` was not given.
            BaseException: `exc`, or the error being handled: no retry is left, or no worker runs this.
        """
        here = running.get()
        if here is not None:
            return plan(here, args, kwargs, exc, throw, eta, countdown, max_retries, options)
        other = fallback() if fallback else None
        if other is None:
            call_directly(exc)
        result: Retry = other.retry(
            args=args,
            kwargs=kwargs,
            exc=exc,
            throw=throw,
            eta=eta,
            countdown=countdown,
            max_retries=max_retries,
            **options,
        )
        return result

    def replace(self, sig: Any) -> NoReturn:
        """Let another signature take this task's place: its id, what follows it, its callbacks.

        As `celery.app.task.Task.replace`; the step that ends this task starts the other.

        Args:
            sig: the signature, chain, group or chord.

        Raises:
            Replaced: always, when a worker runs this task.
            ImproperlyConfigured: an empty chain cannot take a task's place.
        """
        here = running.get()
        if here is None:
            other = fallback() if fallback else None
            if other is None:
                raise RuntimeError("replace() needs a task that runs")
            other.replace(sig)
        canvas = signature(sig)
        if isinstance(canvas, Chain) and not canvas.tasks:
            raise ImproperlyConfigured("Cannot replace with an empty chain")
        raise Replaced(canvas)

    def add_to_chord(self, sig: Any, lazy: bool = False) -> Any:
        """Add a member to the header of the chord that this task belongs to.

        As `celery.app.task.Task.add_to_chord`, but it starts in the step that ends this task, and only if
        this task ends well: so it is added once, whatever happens.

        Args:
            sig: the new member.
            lazy: not supported: nothing else could start the member.

        Raises:
            ValueError: the task belongs to no chord, or `lazy` is asked for.
        """
        here = running.get()
        if here is None:
            other = fallback() if fallback else None
            if other is None:
                raise RuntimeError("add_to_chord() needs a task that runs")
            return other.add_to_chord(sig, lazy=lazy)
        if not here.request.in_chord:
            raise ValueError("Current task is not member of any chord")
        if lazy:
            raise ValueError("add_to_chord(lazy=True): the member is started by the runtime")
        canvas = signature(sig)
        here.joiners.append(canvas)
        return canvas


current_task = CurrentTask()
