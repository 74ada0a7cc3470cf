"""The signature that a message must fit.

TaskIQ reads a task's parameters with `inspect.signature` (taskiq/receiver/receiver.py, `_prepare_task`),
and that follows `__wrapped__` through every decorator. A decorator that injects arguments therefore shows
parameters that no sender ever passes: TaskIQ would take a message's first argument for the session. The
remedy is to state the wire signature on the wrapper.
"""

import inspect
from collections.abc import Callable
from typing import Any


def wire_signature(
    function: Callable[..., Any], *, first: int = 0, named: tuple[str, ...] = (), adds: tuple[str, ...] = ()
) -> inspect.Signature:
    """Return the signature of `function` as its callers see it.

    Args:
        function: the function below the decorator.
        first: how many leading positional parameters the decorator supplies.
        named: the parameters that the decorator supplies by name.
        adds: the keyword parameters that the decorator itself takes from the caller.
    """
    parameters = list(inspect.signature(function).parameters.values())
    kept = [p for p in parameters[first:] if p.name not in named]
    known = {p.name for p in kept}
    own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in adds if name not in known]
    rest = [p for p in kept if p.kind is inspect.Parameter.VAR_KEYWORD]
    kept = [p for p in kept if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return inspect.Signature([*kept, *own, *rest])
