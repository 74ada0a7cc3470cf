"""A task as a step of a workflow: what it is told about the workflow, and what it leaves behind.

Invariant: what a step leaves behind (its result, what follows it, what takes its place) is written by one
script, `lua_steps.FINISH`, which does nothing if the step had ended before.
"""

import inspect
import traceback
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from taskiq import TaskiqMessage, TaskiqResult

from .keys import GROUP, Keys
from .messages import Delivery
from .results import chord_error
from .serialization import Serializer

_serializer = Serializer()


def args_of_finish(delivery: Delivery, keys: Keys, lives: tuple[int, int]) -> tuple[list[str], list[Any]]:
    """Return keys and arguments of the script that ends a step.

    Args:
        delivery: the step, with its outcome.
        keys: names of the keys.
        lives: seconds that results and workflows are kept.
    """
    outcome, message = delivery.outcome, delivery.message
    args = [keys.prefix, *lives, GROUP, delivery.entry, delivery.queue, message.task_id, delivery.step]
    args += [outcome.kind, outcome.result, outcome.value, about(message) if outcome.failed else b""]
    args += [outcome.successor, *outcome.joiners]
    return [delivery.stream, keys.dead], args


def about(message: TaskiqMessage) -> bytes:
    """Return what an error callback is told about a failed task (JSON)."""
    fields = {
        "id": message.task_id,
        "task": message.task_name,
        "args": message.args,
        "kwargs": message.kwargs,
    }
    return _serializer.dumpb(fields | {"retries": int(message.labels.get("_retries", 0))})


def args_of_errback(message: TaskiqMessage, function: Any) -> list[Any]:
    """Return the arguments of an error callback: what failed, and those of its signature.

    One that takes more than one argument of what failed gets its request, the error and the traceback's text;
    any other gets the id of the failed task (celery/backends/base.py, `_call_task_errbacks`).

    Args:
        message: the callback's message; its label `failed` tells what failed (`lua_workflows`).
        function: the callback's function.
    """
    failed = message.labels["failed"]
    request = SimpleNamespace(**{"args": [], "kwargs": {}, "retries": 0} | failed["request"])
    if not _takes_more_than_one(function, message.args, message.kwargs):
        return [request.id, *message.args]
    error: BaseException | None = TaskiqResult.model_validate(failed["result"]).error
    if failed["dependency"] is not None:
        error = chord_error(failed["dependency"], error)
    trace = "".join(traceback.format_exception(error)) if error else ""
    return [request, error, trace, *message.args]


def _takes_more_than_one(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Tell whether a function takes more than one positional argument beside those that are given."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    free = [p for p in parameters if p.kind in positional and p.name not in kwargs]
    return len(free) - len(args) > 1
