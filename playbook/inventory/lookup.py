"""From a name in a module to what it stands for: scopes, imports, re-exports, attributes, reassignment."""

from __future__ import annotations

import ast
import builtins
from typing import TYPE_CHECKING

from playbook.inventory.modules import absolute
from playbook.inventory.source import Binding, Context, Source, start, stop
from playbook.inventory.values import (
    METHODS,
    App,
    ClassRef,
    External,
    Instance,
    Method,
    ModuleRef,
    Sig,
    TaskRef,
    Text,
    Unknown,
    Value,
    is_celery,
)

if TYPE_CHECKING:
    from playbook.inventory.evaluate import Evaluator

SIGNATURES = frozenset({"Signature", "chain", "group", "chord"})
APP_NAMES = frozenset({"celery", "celery_app", "celery_session_app"})


def name_value(ev: Evaluator, source: Source, node: ast.Name) -> Value:
    """What a name stands for where `node` reads it."""
    found = source.scopes.get(node, source.scope).find(node.id)
    if not found:
        return Text(source.module) if node.id == "__name__" else _from_star_imports(ev, source, node.id)
    return _one_of(ev, source, node.id, _reaching(source, node, found))


def global_value(ev: Evaluator, source: Source, name: str) -> Value:
    """What the module-level name stands for once the module is imported."""
    found = source.scope.names.get(name)
    if not found:
        return _from_star_imports(ev, source, name)
    ordered = sorted(found, key=_place)
    plain = [index for index, binding in enumerate(ordered) if not binding.context.blocks]
    return _one_of(ev, source, name, ordered[plain[-1] if plain else 0 :])


def _remembered_global(ev: Evaluator, source: Source, name: str) -> Value:
    return ev.once(("global", source.path, name), lambda: global_value(ev, source, name))


def _from_star_imports(ev: Evaluator, source: Source, name: str) -> Value:
    for star in source.stars:
        target = absolute(source.module, source.is_package, star)
        other = ev.project.source_of(target)
        if other is not None and other is not source:
            value = _remembered_global(ev, other, name)
            if not isinstance(value, Unknown):
                return value
        elif is_celery(target):
            return External(f"{target}.{name}")
    if hasattr(builtins, name):
        return External(f"builtins.{name}")
    return Unknown(f"`{name}` is not defined in this file")


def _one_of(ev: Evaluator, source: Source, name: str, bindings: list[Binding]) -> Value:
    """The value that all bindings agree on; what is unknown or None gives way to what is known."""
    values: list[Value] = []
    for binding in bindings:
        value = ev.bound(source, name, binding)
        if value not in values:
            values.append(value)
    known = [value for value in values if not isinstance(value, Unknown)]
    related = [value for value in known if not isinstance(value, External) or is_celery(value.name)]
    if len(values) == 1:
        return values[0]
    if any(isinstance(value, Sig) for value in related):
        return Sig({"unknown": name})
    if len(related) == 1:
        return related[0]
    if values and not related:
        return known[0] if known else values[0]
    return Unknown(f"`{name}` is assigned in several places")


def dotted_value(ev: Evaluator, name: str) -> Value:
    """What an absolute dotted name stands for."""
    if is_celery(name):
        return celery_value(name)
    module, rest = ev.project.split(name)
    if not module:
        return External(name)
    value: Value = ModuleRef(module)
    for attribute in rest:
        value = attribute_value(ev, value, attribute)
    return value


def celery_value(name: str) -> Value:
    """What a name of Celery's own stands for."""
    external = External(name)
    return App() if external.celery_name in ("current_app", "app_or_default") else external


def attribute_value(ev: Evaluator, value: Value, name: str) -> Value:
    """What `value.name` stands for."""
    match value:
        case External(name=base):
            return celery_value(f"{base}.{name}") if is_celery(base) else External(f"{base}.{name}")
        case ModuleRef(name=module):
            return _module_attribute(ev, module, name)
        case App(path=path):
            return App(f"{path}.{name}".lstrip("."))
        case TaskRef() | Sig() if name in METHODS or isinstance(value, Sig):
            return Method(value, name)
        case TaskRef(name=registered) if name == "name":
            return Text(registered)
        case TaskRef():
            return App() if name == "app" else External(f"celery.Task.{name}")
        case ClassRef() | Instance():
            return _class_attribute(ev, value, name)
        case Unknown():
            return App() if name in APP_NAMES else Method(value, name)
    return Unknown(f"`.{name}` cannot be followed")


def _module_attribute(ev: Evaluator, module: str, name: str) -> Value:
    source = ev.project.source_of(module)
    if source is not None:
        value = _remembered_global(ev, source, name)
        if not isinstance(value, Unknown):
            return value
    inner = f"{module}.{name}"
    if ev.project.is_module(inner):
        return ModuleRef(inner)
    return value if source is not None else External(inner)


def _class_attribute(ev: Evaluator, value: ClassRef | Instance, name: str) -> Value:
    cls = value if isinstance(value, ClassRef) else value.cls
    for one in (cls, *ev.ancestors(cls)):
        if isinstance(one, ClassRef):
            found = _own_attribute(ev, one, name)
            if found is not None:
                return found
        elif isinstance(one, External) and one.celery_name == "Task":
            if name in METHODS:
                return Method(TaskRef(ev.class_task_name(cls), through_self=True), name)
            return External(f"celery.Task.{name}")
    return Unknown(f"`{name}` is an attribute that is set elsewhere")


def _own_attribute(ev: Evaluator, cls: ClassRef, name: str) -> Value | None:
    """What the class itself gives the attribute: in its body, as a method, or as `self.name = ...`."""
    given = cls.source.attributes.get((cls.node, name))
    if given:
        values = [ev.value(cls.source, node) for node in given]
        known = [found for found in values if not isinstance(found, Unknown | External)]
        return known[0] if known and all(found == known[0] for found in known) else values[0]
    for method in cls.source.functions:
        if cls.source.contexts[method].owner is cls.node and method.name == name:
            return ev.function(cls.source, method)
    return None


def parameter(ev: Evaluator, source: Source, name: str, binding: Binding) -> Value:
    """A parameter: `self` of a bound task or a method, an application by name or annotation, else unknown."""
    function, node = binding.context.function, binding.node
    if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        first = next(iter((*function.args.posonlyargs, *function.args.args)), None)
        if first is node:
            task = ev.task(source, function)
            if task is not None and task.bind:
                return TaskRef(task.name, through_self=True)
            owner = source.contexts[function].owner
            if owner is not None and name in ("self", "cls") and task is None:
                return Instance(ClassRef(source, owner))
    if isinstance(node, ast.arg) and node.annotation is not None:
        annotated = ev.value(source, node.annotation)
        if isinstance(annotated, External) and annotated.celery_name == "Celery":
            return App()
        if isinstance(annotated, External) and annotated.celery_name in SIGNATURES:
            return Sig({"unknown": name})
    return App() if name in APP_NAMES else Unknown(f"`{name}` is a parameter")


# which bindings reach a use


def _place(binding: Binding) -> tuple[int, int]:
    return start(binding.node)


def _reaching(source: Source, node: ast.Name, found: list[Binding]) -> list[Binding]:
    """Those bindings that can be the latest one where `node` reads the name."""
    ordered = sorted(found, key=_place)
    home = source.scopes[node].home if node in source.scopes else None
    if len(ordered) < 2 or any(binding.scope.home is not home for binding in ordered):
        return ordered
    use = start(node)
    use_blocks = source.contexts.get(node, Context()).blocks
    before = [binding for binding in ordered if _place(binding) < use and not _rebinds(binding, use)]
    reaching: list[Binding] = []
    for binding in reversed(before):
        reaching.insert(0, binding)
        blocks = binding.context.blocks
        if blocks == use_blocks[: len(blocks)]:
            break
    loops = {block.node for block in use_blocks if block.kind == "loop"}
    later = [binding for binding in ordered if binding not in before]
    reaching += [binding for binding in later if loops & {block.node for block in binding.context.blocks}]
    return reaching or ordered


def _rebinds(binding: Binding, use: tuple[int, int]) -> bool:
    """Whether the use stands in the very statement that gives the name its new value: `x = x | y`."""
    if binding.kind in ("function", "class"):
        return start(binding.node) <= use < stop(binding.node)
    if binding.kind not in ("value", "augmented") or binding.value is None:
        return False
    return start(binding.value) <= use < stop(binding.value)
