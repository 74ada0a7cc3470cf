"""The arguments with which a case is called.

A case may say so in a field `call`: {"args": [..], "kwargs": {..}, "options": {..}}, all optional, as for
`apply_async`. Recorded files leave it out even where a case was called with something; then it is worked out:

- If a task lacks arguments, or the case has the tag `partial` and its structure alone does not give the
  recorded result, the arguments that do are looked for. In other cases a result that does not fit is a
  difference.
- A case with the tag `countdown` that has no such option inside is called with a countdown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from playbook.oracle.notation import Node, children, expanded, kind_of, walk

COUNTDOWN = 0.5
"""Seconds; what a recorded case was called with cannot be told, and does not show."""

NUMBERS = range(-10, 101)
"""Where arguments are looked for."""


VALUES: dict[str, Callable[..., Any]] = {
    "add": lambda x, y, z=0: x + y + (z or 0),
    "mul": lambda x, y: x * y,
    "tsum": sum,
    "identity": lambda x: x,
    "echo_args": lambda *args, **kwargs: {"args": list(args), "kwargs": kwargs},
}
"""What tasks return that do nothing else."""


class UnknownValueError(Exception):
    """The value of a structure cannot be told without running it."""


def call_of(structure: Node, tags: list[str], recorded: dict[str, Any]) -> dict[str, Any]:
    """Work out a call.

    Parameters:
        structure: the canvas.
        tags: what the case is about.
        recorded: how it ended.

    Returns:
        `args`, `kwargs` and `options`, those that are needed.
    """
    options = [node["options"] for node in walk(structure) if "options" in node]
    if "countdown" in tags and not any("countdown" in given for given in options):
        return {"options": {"countdown": COUNTDOWN}}
    if "result" not in recorded:
        return {}
    result = recorded["result"]
    try:
        complete = _value(structure, [], {}) == result or "partial" not in tags
    except UnknownValueError:
        return {}
    except TypeError:
        complete = False
    return (
        {}
        if complete
        else next((call for call in _candidates(result) if _gives(structure, call, result)), {})
    )


def _candidates(result: Any) -> Iterator[dict[str, Any]]:
    if isinstance(result, dict) and set(result) == {"args", "kwargs"}:
        args, kwargs = result["args"], result["kwargs"]
        yield {"kwargs": kwargs}
        yield from ({"args": args[:length]} for length in range(1, len(args) + 1))
        yield from ({"args": args[:length], "kwargs": kwargs} for length in range(1, len(args) + 1))
    yield from ({"args": [number]} for number in NUMBERS)
    yield from ({"args": [first, second]} for first in range(11) for second in range(11))
    if not isinstance(result, dict | list):
        yield {"args": [result]}


def _gives(structure: Node, call: dict[str, Any], result: Any) -> bool:
    try:
        value = _value(structure, call.get("args", []), call.get("kwargs", {}))
    except (UnknownValueError, TypeError):
        return False
    return bool(value == result)


def _value(node: Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return the value of a structure that is called with arguments.

    Raises:
        UnknownValueError: only a run can tell.
        TypeError: a task lacks arguments, or cannot take those that it has.
    """
    kind = kind_of(node)
    if kind == "task":
        if node.get("immutable"):
            args, kwargs = [], {}
        return _task(node["task"], [*args, *node.get("args", [])], {**node.get("kwargs", {}), **kwargs})
    if kind in ("chain", "pipe"):
        return _chain(list(expanded(node[kind])), args, kwargs)
    if kind == "group":
        return [_value(child, args, kwargs) for child in children(node)]
    if kind == "chord":
        *header, body = children(node)
        return _value(body, [[_value(child, args, kwargs) for child in header]], {})
    raise UnknownValueError


def _chain(steps: list[Node], args: list[Any], kwargs: dict[str, Any]) -> Any:
    value: Any = None
    for number, step in enumerate(steps):
        value = _value(step, args if number == 0 else [value], kwargs if number == 0 else {})
    return value


def _task(name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if name not in VALUES:
        raise UnknownValueError
    return VALUES[name](*args, **kwargs)
