"""Single entries of a beat schedule as source: what they are, and why one cannot be moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import libcst as cst

from playbook import syntax
from playbook.rewrite.rule import code_of

KEPT_OPTIONS = ("queue", "expires", "countdown", "retry", "retry_policy", "ignore_result")
"""Options of an entry that the runtime keeps, or that make no difference (scaffold, `schedule_entries`)."""

SENDERS = ("s", "si", "signature", "subtask")
OURS = ("crontab", "schedule")
CELERY = "celery.schedules."

Pairs = list[tuple[str, cst.BaseExpression]]
NamesOf = Callable[[cst.CSTNode], set[str]]


class CannotMoveError(Exception):
    """An entry stays with Celery; the text is the reason."""


def pairs_of(node: cst.BaseExpression) -> Pairs | None:
    """Return keys and values of `{...}` or `dict(...)` whose keys are all literal; None for anything else."""
    pairs: Pairs = []
    if isinstance(node, cst.Dict):
        for element in node.elements:
            key = literal(element.key) if isinstance(element, cst.DictElement) else None
            if not isinstance(key, str):
                return None
            pairs.append((key, element.value))
        return pairs
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Name) and node.func.value == "dict":
        for arg in node.args:
            if arg.keyword is None:
                return None
            pairs.append((arg.keyword.value, arg.value))
        return pairs
    return None


def literal(node: cst.CSTNode) -> object:
    """Return the value of a literal; None if it is none."""
    try:
        return syntax.literal(code_of(node).strip())
    except (ValueError, SyntaxError, TypeError, MemoryError):
        return None


def is_entry(node: cst.BaseExpression) -> bool:
    """Tell whether a dict has a task and a schedule."""
    return {"task", "schedule"} <= {key for key, _ in pairs_of(node) or ()}


def check_entry(node: cst.BaseExpression, names_of: NamesOf) -> None:
    """Raise `CannotMoveError` if a dict with a task and a schedule needs what only Celery has."""
    fields = dict(pairs_of(node) or ())
    check_schedule(fields["schedule"], names_of)
    for name, _ in pairs_of(fields["options"]) or () if "options" in fields else ():
        check_option(name)


def check_option(name: str) -> None:
    """Raise `CannotMoveError` for an option of an entry that has no counterpart."""
    if name not in KEPT_OPTIONS:
        raise CannotMoveError(f"its option {name} has no counterpart; drop it, or call the task from another")


def check_schedule(node: cst.BaseExpression, names_of: NamesOf) -> None:
    """Raise `CannotMoveError` for a schedule that is neither an interval nor a crontab."""
    if not isinstance(node, cst.Call):
        return
    for name in names_of(node.func):
        if name.startswith(CELERY) and name.removeprefix(CELERY).partition(".")[0] not in OURS:
            kind = name.removeprefix(CELERY)
            raise CannotMoveError(f"it uses celery.schedules.{kind}; give it a crontab or an interval")
    called = code_of(node.func).rpartition(".")[2]
    if called[:1].isupper():
        raise CannotMoveError(f"{called} is a schedule class of its own; give it a crontab or an interval")


def periodic_entry(call: cst.Call, task: str | None, names_of: NamesOf) -> tuple[str, str]:
    """Return name and dict, as source, of the entry that a call of `add_periodic_task` adds.

    Args:
        call: `add_periodic_task(schedule, sig, args, kwargs, name, **options)` (celery/app/base.py).
        task: registered name of the task, if it is known.
        names_of: the qualified names of a node.

    Raises:
        CannotMoveError: with the reason.
    """
    order = ("schedule", "sig", "args", "kwargs", "name")
    given: dict[str, cst.BaseExpression] = {}
    for number, arg in enumerate(call.args):
        if arg.star:
            raise CannotMoveError("its arguments are computed at run time; write them out")
        given[arg.keyword.value if arg.keyword else order[number]] = arg.value
    check_schedule(given["schedule"], names_of)
    options = {name: value for name, value in given.items() if name not in order}
    args, kwargs = _signature(given["sig"], options)
    for name in options:
        check_option(name)
    if args is None and kwargs is None:  # a task and not a signature: the arguments stand beside it
        args, kwargs = given.get("args"), given.get("kwargs")
    elif "args" in given or "kwargs" in given:
        raise CannotMoveError("it adds arguments to those of a signature; write them in one place")
    if task is None:
        raise CannotMoveError("its task is computed at run time; name it")
    fields = {"task": string(task).value, "schedule": code_of(given["schedule"])}
    fields |= {
        key: code_of(value) for key, value in (("args", args), ("kwargs", kwargs)) if value is not None
    }
    if options:
        fields["options"] = _dict({name: code_of(value) for name, value in options.items()})
    if "name" in given:
        return code_of(given["name"]), _dict(fields, lines=True)
    return string(_default_name(task, args, kwargs)).value, _dict(fields, lines=True)


def _signature(
    sig: cst.BaseExpression, options: dict[str, cst.BaseExpression]
) -> tuple[cst.BaseExpression | None, cst.BaseExpression | None]:
    """Return positional and keyword arguments of a signature; its options are added to `options`."""
    if not isinstance(sig, cst.Call):
        return None, None
    func = sig.func
    if not isinstance(func, cst.Attribute) or func.attr.value not in (*SENDERS, "set"):
        raise CannotMoveError("it does not start a task but a canvas; let a task of its own start that")
    if any(arg.star for arg in sig.args):
        raise CannotMoveError("the arguments of its signature are computed at run time; write them out")
    if func.attr.value == "set":
        options |= {arg.keyword.value: arg.value for arg in sig.args if arg.keyword}
        return _signature(func.value, options)
    named = {arg.keyword.value: arg.value for arg in sig.args if arg.keyword}
    if func.attr.value in ("signature", "subtask"):
        options |= {name: v for name, v in named.items() if name not in ("args", "kwargs", "immutable")}
        positional = [arg.value for arg in sig.args if not arg.keyword]
        # app.signature(name, args, kwargs) but task.signature(args, kwargs)
        rest = positional[1:] if positional and isinstance(literal(positional[0]), str) else positional
        by_place = dict(zip(("args", "kwargs"), rest, strict=False))
        return named.get("args", by_place.get("args")), named.get("kwargs", by_place.get("kwargs"))
    args = [code_of(arg.value) for arg in sig.args if not arg.keyword]
    made = cst.parse_expression(f"[{', '.join(args)}]") if args else None
    keywords = {name: code_of(value) for name, value in named.items()}
    return made, cst.parse_expression(_dict(keywords)) if keywords else None


def _default_name(task: str, args: cst.BaseExpression | None, kwargs: cst.BaseExpression | None) -> str:
    """Return the name that Celery gives an entry without one: its signature's `repr`."""
    values = [None if node is None else literal(node) for node in (args, kwargs)]
    if any(node is not None and value is None for node, value in zip((args, kwargs), values, strict=True)):
        raise CannotMoveError("it has no name, and its arguments are computed at run time; give it a name")
    positional, named = values
    shown = [repr(value) for value in positional] if isinstance(positional, Sequence) else []
    shown += [f"{k}={v!r}" for k, v in named.items()] if isinstance(named, Mapping) else []
    return f"{task}({', '.join(shown)})"


def _dict(fields: Mapping[str, str], lines: bool = False) -> str:
    """Return a dict as source: in one line, or each field in a line of its own."""
    rows = [f'"{name}": {value}' for name, value in fields.items()]
    return "{\n    " + ",\n    ".join(rows) + ",\n}" if lines else "{" + ", ".join(rows) + "}"


def string(text: str) -> cst.SimpleString:
    """Return a text as a literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return cst.SimpleString(f'"{escaped}"')


def children(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """Yield a node and everything below it."""
    yield node
    for child in node.children:
        yield from children(child)
