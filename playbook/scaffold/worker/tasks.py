"""Task definitions: Celery's retry options and bound tasks on TaskIQ's decorator."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from taskiq.decor import AsyncTaskiqDecoratedTask

from .canvas import Chunks, Signature, starmap, xmap
from .context import current_task
from .executors import place
from .processes import Limits
from .retries import POLICY_OPTIONS, RetryPolicy
from .wire import on_the_wire

if TYPE_CHECKING:
    from .sent import Handle

P = ParamSpec("P")
R = TypeVar("R")


class Option:
    """An option of `RetryPolicy`, as an attribute of the task under Celery's name; it may be set."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, task: Any, owner: type) -> Any:
        return self if task is None else getattr(task.retry_policy, self.name)

    def __set__(self, task: Any, value: Any) -> None:
        task.retry_policy = replace(task.retry_policy, **{self.name: value})


class DurableTask(AsyncTaskiqDecoratedTask[P, R]):
    """A task with a retry policy and a place to run.

    The options of `RetryPolicy`, `bind` and the time limits are Celery's; `executor` is told in `executors`.
    They stay with the task; other labels travel with every message, as text.
    """

    max_retries, default_retry_delay = Option(), Option()
    autoretry_for, dont_autoretry_for, retry_kwargs = Option(), Option(), Option()
    retry_backoff, retry_backoff_max, retry_jitter = Option(), Option(), Option()

    def __init__(
        self,
        broker: Any,
        task_name: str,
        original_func: Callable[P, R],
        labels: dict[str, Any],
        return_type: type[R] | None = None,
    ) -> None:
        """Create the task; `labels` are the options of the decorator."""
        options = {name: labels.pop(name) for name in POLICY_OPTIONS if name in labels}
        self.retry_policy = RetryPolicy.of(options)
        original_func = on_the_wire(original_func, *([current_task] if labels.pop("bind", False) else []))
        limits = Limits(labels.pop("soft_time_limit", None), labels.pop("time_limit", None))
        original_func = place(original_func, task_name, labels.pop("executor", None), limits)
        super().__init__(broker, task_name, original_func, labels, return_type)

    @property
    def name(self) -> str:
        """The name under which messages call it."""
        return self.task_name

    async def delay(self, *args: Any, **kwargs: Any) -> "Handle":
        """Send it; see `apply_async`."""
        return await self.apply_async(args, kwargs)

    async def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> "Handle":
        """Send it with options, from any loop.

        Unlike `kiq` it refuses arguments that do not fit, and uses no connection of the caller's loop.

        Args:
            args: positional arguments.
            kwargs: keyword arguments.
            options: `task_id`, `queue`, `countdown` (s), `eta`, `expires` (s or time), `link`, `link_error`;
                others become labels of the message.

        Raises:
            TypeError: the arguments do not fit the task, or cannot be sent as JSON.
            ValueError: one of Celery's options that has no counterpart here.
            taskiq.exceptions.SendTaskError: Redis cannot be reached.
        """
        from .calling import call

        return await call(self, args or (), kwargs or {}, options)

    def delay_sync(self, *args: Any, **kwargs: Any) -> "Handle":
        """Send it from synchronous code; see `apply_async`."""
        return self.apply_async_sync(args, kwargs)

    def apply_async_sync(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> "Handle":
        """Send it with options from synchronous code; see `apply_async`."""
        from .calling import call_sync

        return call_sync(self, args or (), kwargs or {}, options)

    def signature(
        self,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        immutable: bool = False,
        **options: Any,
    ) -> Signature:
        """Return a signature of this task; see `canvas.Signature`."""
        return Signature(self, args, kwargs, options, immutable)

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature that gets the result of what comes before it as first argument."""
        return Signature(self, args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature that takes no result of others."""
        return Signature(self, args, kwargs, immutable=True)

    def map(self, it: Iterable[Any]) -> Signature:
        """Return a signature that calls this task with each item, in one task."""
        return xmap(self, it)

    def starmap(self, it: Iterable[Any]) -> Signature:
        """Return a signature that calls this task with each item as its arguments, in one task."""
        return starmap(self, it)

    def chunks(self, it: Iterable[Any], n: int) -> Chunks:
        """Return a group of tasks, each of which calls this task for `n` items."""
        return Chunks(self, it, n)
