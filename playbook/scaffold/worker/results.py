"""Results, as JSON, for a limited time.

Invariant: the result of a task is written in the same step that acknowledges its message. So this backend
only notes the result; the broker writes it. It reads as TaskIQ's other backends do.
"""

from typing import TYPE_CHECKING, Any

from taskiq import AsyncResultBackend, TaskiqResult
from taskiq.depends.progress_tracker import TaskProgress
from taskiq_redis.exceptions import ResultIsMissingError

from .errors import ChordError
from .running import running
from .serialization import Serializer

if TYPE_CHECKING:
    from .streams import StreamBroker

_serializer = Serializer()


class StreamResults(AsyncResultBackend[Any]):
    """The result backend of a `StreamBroker`."""

    def __init__(self, broker: "StreamBroker") -> None:
        self._broker = broker

    async def set_result(self, task_id: str, result: TaskiqResult[Any]) -> None:
        """Note the result of the running task; store it at once if there is no open delivery.

        A result that JSON cannot express becomes an error, as under Celery: the caller learns it.
        """
        try:
            value = _serializer.dumpb(result.return_value)
        except (TypeError, ValueError) as error:
            result = TaskiqResult(is_err=True, return_value=None, execution_time=0.0, error=error)
            value = b"null"
        data = dumps(result, value)
        here = running.get()
        delivery = here.delivery if here and here.request.id == task_id else None
        if delivery is None or delivery.done:
            await self._broker.redis.set(self._broker.keys.result(task_id), data, ex=self._broker.result_ttl)
        else:
            delivery.outcome.result, delivery.outcome.value = data, value
            delivery.outcome.failed = result.is_err

    async def is_result_ready(self, task_id: str) -> bool:
        """Tell whether there is a result."""
        return bool(await self._broker.redis.exists(self._broker.keys.result(task_id)))

    async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult[Any]:
        """Return the result of a task; raise `ResultIsMissingError` if there is none."""
        data = await self._broker.redis.get(self._broker.keys.result(task_id))
        if data is None:
            raise ResultIsMissingError
        return loads(data)

    async def set_progress(self, task_id: str, progress: TaskProgress[Any]) -> None:
        """Store a task's progress."""
        data = _serializer.dumpb(progress.model_dump())
        await self._broker.redis.set(self._progress(task_id), data, ex=self._broker.result_ttl)

    async def get_progress(self, task_id: str) -> TaskProgress[Any] | None:
        """Return a task's progress, if it has reported any."""
        data = await self._broker.redis.get(self._progress(task_id))
        return None if data is None else TaskProgress[Any].model_validate(_serializer.loadb(data))

    def _progress(self, task_id: str) -> str:
        return f"{self._broker.keys.result(task_id)}:progress"


def dumps(result: TaskiqResult[Any], value: bytes) -> bytes:
    """Return a result as JSON; `value` is what the task returned, as JSON."""
    fields = {name: field for name, field in vars(result).items() if name != "return_value"}
    if result.error is not None:
        fields |= result.model_dump(mode="json", include={"error"})
    return b'{"return_value": ' + value + b", " + _serializer.dumpb(fields)[1:]


def loads(data: bytes) -> TaskiqResult[Any]:
    """Return the result that JSON tells.

    A task that could not run because of another has that one's error, and its id beside it (`lua_workflows`,
    `dependent`): it becomes a `ChordError` with the other error as cause, as under Celery.
    """
    fields = _serializer.loadb(data)
    dependency = fields.pop("dependency", None)
    result: TaskiqResult[Any] = TaskiqResult.model_validate(fields)
    if dependency is not None:
        result.error = chord_error(dependency, result.error)
    return result


def chord_error(dependency: str, cause: BaseException | None) -> ChordError:
    """Return the error of a task that could not run because `dependency` failed (celery/backends/base.py)."""
    error = ChordError(f"Dependency {dependency} raised {cause!r}")
    error.__cause__ = cause
    return error


def error_result(error: BaseException) -> bytes:
    """Return the result, as JSON, of a task that failed with an error before or outside its run."""
    return dumps(TaskiqResult(is_err=True, return_value=None, execution_time=0.0, error=error), b"null")
