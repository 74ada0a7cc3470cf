"""The arguments of the next attempt (celery/app/task.py, `Task.retry`)."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from .running import Request

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def next_arguments(
    signature: inspect.Signature | None,
    request: Request,
    args: Sequence[Any] | None,
    kwargs: Mapping[str, Any] | None,
) -> Arguments:
    """Return positional and keyword arguments of the next attempt.

    What was not given stays. A parameter that was given in the other way than before is not passed twice.

    Args:
        signature: of the task's function; None if it is not known.
        request: this attempt.
        args: new positional arguments.
        kwargs: new keyword arguments.
    """
    if args is not None and kwargs is None and request.kwargs and signature:
        return tuple(args), _without_positional(signature, len(args), request.kwargs)
    if kwargs is not None and args is None and request.args and signature:
        return _with_keywords(signature, request.args, kwargs)
    return (
        request.args if args is None else tuple(args),
        dict(request.kwargs if kwargs is None else kwargs),
    )


def _without_positional(
    signature: inspect.Signature, count: int, kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = [p for p in signature.parameters.values() if p.kind in kinds][:count]
    taken = {p.name for p in given if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return {name: value for name, value in kwargs.items() if name not in taken}


def _with_keywords(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Arguments:
    try:
        bound = signature.bind_partial(*args)
    except TypeError:
        return args, dict(kwargs)
    rest = dict(kwargs)
    for name in kwargs:
        kind = signature.parameters[name].kind if name in bound.arguments else None
        if kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            bound.arguments[name] = rest.pop(name)
    return bound.args, {**bound.kwargs, **rest}
