"""Which case a task belongs to.

All cases run at the same time on one Redis. So each signature carries the tag of its case as the keyword
argument `oracle_case`, and what a task writes lies below that tag. The tag is taken off before the body sees
its arguments. Items of a map cannot have keyword arguments; they carry it as one more value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from playbook.oracle.system import TaskSide

TAG = "oracle_case"

here: ContextVar[str] = ContextVar("oracle_case")
"""The tag of the task that runs here."""


def signature(
    side: TaskSide, case: str, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], immutable: bool
) -> Any:
    """Return a signature that carries the tag of its case."""
    return side.task(name).signature(tuple(args), {**kwargs, TAG: case}, immutable=immutable)


def tagged_item(case: str, item: Any) -> Any:
    """Return an item of `map` with the tag of its case."""
    return {TAG: case, "item": item}


def tagged_arguments(case: str, item: Sequence[Any]) -> list[Any]:
    """Return the arguments of one call of `starmap` or `chunks` with the tag of their case."""
    return [*item, {TAG: case}]


def bind(body: Callable[..., Any], note_error: Callable[[Exception], None]) -> Callable[..., Any]:
    """Return a task's function: takes the tag off, and runs the body.

    Its tag is a keyword-only parameter, because Celery tells the two kinds of error callbacks by the number
    of positional ones (celery/backends/base.py, `_errback_arity_greater`).
    """

    @functools.wraps(body)
    def run(*args: Any, **kwargs: Any) -> Any:
        case, args, kwargs = _untagged(args, kwargs)
        token = here.set(case)
        try:
            return body(*args, **kwargs)
        except Exception as error:
            note_error(error)
            raise
        finally:
            here.reset(token)

    shown = inspect.signature(body)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty) for parameter in shown.parameters.values()
    ]
    tag = inspect.Parameter(TAG, inspect.Parameter.KEYWORD_ONLY, default=None)
    place = len(parameters) - any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    parameters.insert(place, tag)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {}
    del run.__wrapped__
    return run


def _untagged(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    if TAG in kwargs:
        return kwargs[TAG], args, {name: value for name, value in kwargs.items() if name != TAG}
    *others, last = args
    return last[TAG], (*others, last["item"]) if "item" in last else tuple(others), kwargs
