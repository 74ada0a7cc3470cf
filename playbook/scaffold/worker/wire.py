"""The signature that a message must fit.

TaskIQ reads a task's parameters with `inspect.signature` (taskiq/receiver/receiver.py, `_prepare_task`), and
that follows `__wrapped__` through every decorator. A decorator that injects arguments therefore shows
parameters that no sender ever passes: TaskIQ would take a message's first argument for the session. So such
a decorator states the wire signature on its wrapper.

It does so in an attribute of its own. `__signature__` would reach Celery: `functools.wraps` hands it on to
outer wrappers, and Celery checks the arguments of `.delay()` by it (celery/utils/functional.py,
`head_from_fun`). Calls that Celery sends today would be refused.
"""

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from taskiq_dependencies.dependency import Dependency


def wire_signature(
    function: Callable[..., Any], *, first: int = 0, named: tuple[str, ...] = (), adds: tuple[str, ...] = ()
) -> inspect.Signature:
    """Return the signature of `function` as its callers see it, for the attribute `__wire_signature__`.

    Args:
        function: the function below the decorator.
        first: how many leading positional parameters the decorator supplies.
        named: the parameters that the decorator supplies by name.
        adds: the keyword parameters that the decorator itself takes from the caller.
    """
    parameters = list(_signature(function).parameters.values())
    kept = [p for p in parameters[first:] if p.name not in named]
    known = {p.name for p in kept}
    own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in adds if name not in known]
    rest = [p for p in kept if p.kind is inspect.Parameter.VAR_KEYWORD]
    kept = [p for p in kept if p.kind is not inspect.Parameter.VAR_KEYWORD]
    return inspect.Signature([*kept, *own, *rest])


def on_the_wire(function: Callable[..., Any], *first: Any) -> Callable[..., Any]:
    """Return a new function that does what `function` does and shows TaskIQ its wire signature.

    It shows no annotations: arguments arrive as they were sent, as under Celery, and are not converted. Only
    parameters that TaskIQ injects keep theirs.

    Args:
        function: the function.
        first: arguments that it gets before those from the wire.
    """
    run = _awaiting(function, first) if inspect.iscoroutinefunction(function) else _calling(function, first)
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(run, attribute, getattr(function, attribute))
    parameters = list(_signature(function).parameters.values())[len(first) :]
    injected = _injected(function, parameters)
    bare = [p.replace(annotation=injected.get(p.name, inspect.Parameter.empty)) for p in parameters]
    run.__signature__ = inspect.Signature(bare)  # type: ignore[attr-defined]
    run.__annotations__ = injected
    return run


def _injected(function: Callable[..., Any], parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """Return the annotations of the parameters that TaskIQ injects (`TaskiqDepends`), by name."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError:
        # Some exist for type checkers only; then none of them can be TaskIQ's.
        hints = {}

    def asks(parameter: inspect.Parameter) -> bool:
        found = (parameter.default, *getattr(hints.get(parameter.name), "__metadata__", ()))
        return any(isinstance(one, Dependency) for one in found)

    return {p.name: hints.get(p.name, p.annotation) for p in parameters if asks(p)}


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return getattr(function, "__wire_signature__", None) or inspect.signature(function)


def _awaiting(target: Callable[..., Any], first: tuple[Any, ...]) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        return await target(*first, *args, **kwargs)

    return run


def _calling(target: Callable[..., Any], first: tuple[Any, ...]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        return target(*first, *args, **kwargs)

    return run
