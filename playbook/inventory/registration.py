"""How functions and classes become tasks: decorators under any name, dynamic and class-based registration.

Names follow `gen_task_name` in celery/utils/imports.py: module and name of the function, unless `name=` says
otherwise.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from playbook.inventory.models import Task
from playbook.inventory.source import Function, Source, arguments, dotted, literal_value
from playbook.inventory.values import (
    App,
    ClassRef,
    Decorator,
    External,
    FunctionRef,
    Instance,
    TaskRef,
    Text,
    Unknown,
    Value,
)

if TYPE_CHECKING:
    from playbook.inventory.evaluate import Evaluator

LEGACY = ("celery.task.", "celery.decorators.")


def decorated(ev: Evaluator, source: Source, node: Function) -> Task | None:
    """The task that the decorators make of a function, None if they make none."""
    for decorator in node.decorator_list:
        found = as_decorator(ev.value(source, decorator))
        if found is not None:
            return _task(ev, source, node, dict(found.options))
    for decorator in node.decorator_list:
        maker = ev.value(source, decorator.func if isinstance(decorator, ast.Call) else decorator)
        if isinstance(maker, FunctionRef) and _makes_tasks(ev, maker):
            return _task(ev, source, node, {"**": source.text(decorator)})
    return None


def _makes_tasks(ev: Evaluator, function: FunctionRef) -> bool:
    """Whether a decorator of the application applies a task decorator somewhere inside."""
    return any(
        as_decorator(ev.value(function.source, node)) is not None
        for node in ast.walk(function.node)
        if isinstance(node, ast.Name | ast.Attribute) and node in function.source.contexts
    )


def as_decorator(value: Value) -> Decorator | None:
    """The task decorator that a value is, None if it is none."""
    match value:
        case Decorator():
            return value
        case App(path="task" | "periodic_task"):
            return Decorator()
        case External() if value.celery_name == "shared_task":
            return Decorator()
        case External(name=name) if name.startswith(LEGACY) and value.celery_name in (
            "task",
            "periodic_task",
        ):
            return Decorator()
    return None


def from_call(ev: Evaluator, source: Source, node: ast.Call, function: Value) -> Value | None:
    """What a call of a task decorator, of `register_task` or of `partial` on one gives; None for others."""
    positional, _ = arguments(node)
    first = ev.value(source, positional[0]) if positional else None
    if isinstance(function, App) and function.path == "register_task":
        return _registered_class(ev, first)
    if isinstance(function, External) and function.name == "functools.partial" and first is not None:
        made = as_decorator(first)
        return Decorator((*made.options, *options(ev, source, node).items())) if made is not None else None
    made = as_decorator(function)
    if made is None:
        return None
    given = {**dict(made.options), **options(ev, source, node)}
    if first is None:
        return Decorator(tuple(given.items()))
    if isinstance(first, FunctionRef):
        return ev.register(_task(ev, first.source, first.node, given))
    return _foreign(ev, source, node, positional[0], given)


def options(ev: Evaluator, source: Source, node: ast.Call) -> dict[str, Any]:
    """The keyword arguments of a call: literals as JSON, `name` resolved, the rest as source text."""
    found: dict[str, Any] = {}
    for keyword in node.keywords:
        text = source.text(keyword.value)
        if keyword.arg is None:
            found["**"] = text
        elif keyword.arg == "name":
            name = ev.constant(source, keyword.value)
            found["name"] = name.value if isinstance(name, Text) else f"<{text}>"
        else:
            found[keyword.arg] = literal_value(text)
    return found


def _task(ev: Evaluator, source: Source, node: Function, given: dict[str, Any]) -> Task:
    return Task(
        path=source.path,
        line=source.line(node),
        name=str(given.get("name") or f"{source.module}.{node.name}"),
        module=source.module,
        function=source.contexts[node].qualify(node.name),
        decorators=tuple(_decorator_name(source, decorator) for decorator in node.decorator_list),
        options=given,
        is_async=isinstance(node, ast.AsyncFunctionDef),
        bind=given.get("bind") is True,
    )


def _decorator_name(source: Source, decorator: ast.expr) -> str:
    expression = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ".".join(dotted(expression)) or source.text(expression)


def _foreign(
    ev: Evaluator, source: Source, node: ast.Call, function: ast.expr, given: dict[str, Any]
) -> Value:
    """A task made of a lambda or of a function from outside the application: it stands where it is made."""
    text = source.text(function)
    value = ev.value(source, function)
    if not isinstance(value, External) and not isinstance(function, ast.Lambda):
        return Unknown(f"`{text}` is registered as a task, and only running it can tell what it is")
    default = value.name if isinstance(value, External) else f"<{text}>"
    task = Task(
        path=source.path,
        line=source.line(node),
        name=str(given.get("name") or default),
        module=default.rpartition(".")[0],
        function=text,
        options=given,
        bind=given.get("bind") is True,
    )
    return ev.register(task)


def _registered_class(ev: Evaluator, value: Value | None) -> Value:
    cls = value.cls if isinstance(value, Instance) else value
    if not isinstance(cls, ClassRef):
        return value if isinstance(value, TaskRef) else Unknown("what is registered is not known")
    return ev.register(class_task(ev, cls))


def class_task(ev: Evaluator, cls: ClassRef) -> Task:
    """The task that a class derived from `celery.Task` makes: named by `name`, else by module and class."""
    source, node = cls.source, cls.node
    given: dict[str, Any] = {}
    for (owner, attribute), values in source.attributes.items():
        if owner is node and attribute.islower():
            given[attribute] = literal_value(source.text(values[-1]))
    named = source.attributes.get((node, "name"), [])
    name = ev.constant(source, named[-1]) if named else None
    run = next((f for f in source.functions if source.contexts[f].owner is node and f.name == "run"), None)
    fallback = f"<{source.text(named[-1])}>" if named else f"{source.module}.{node.name}"
    return Task(
        path=source.path,
        line=source.line(node),
        name=name.value if isinstance(name, Text) else fallback,
        module=source.module,
        function=node.name,
        options=given,
        is_async=isinstance(run, ast.AsyncFunctionDef),
        bind=True,
    )
