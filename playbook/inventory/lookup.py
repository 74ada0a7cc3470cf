"""From a name in a module to what it stands for: scopes, imports, re-exports, attributes, reassignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst
from libcst.metadata import (
    Assignment,
    BaseAssignment,
    BuiltinAssignment,
    ComprehensionScope,
    ImportAssignment,
    Scope,
)

from playbook.inventory.modules import absolute
from playbook.inventory.source import Context, Source
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
    Unknown,
    Value,
    is_celery,
)

if TYPE_CHECKING:
    from playbook.inventory.evaluate import Evaluator

APP_NAMES = frozenset({"celery", "celery_app", "celery_session_app"})


def name_value(ev: Evaluator, source: Source, node: cst.Name) -> Value:
    """What a name stands for where `node` reads it."""
    scope = source.scopes.get(node) or source.global_scope
    found = list(scope[node.value]) if scope is not None else []
    if not found:
        return _from_star_imports(ev, source, node.value)
    reaching = _reaching(source, node, found)
    return _one_of(ev, source, node.value, reaching)


def global_value(ev: Evaluator, source: Source, name: str) -> Value:
    """What the module-level name stands for once the module is imported."""
    scope = source.global_scope
    found = [a for a in scope[name] if not isinstance(a, BuiltinAssignment)] if scope is not None else []
    if not found:
        return _from_star_imports(ev, source, name)
    ordered = sorted(found, key=lambda assignment: _place(source, assignment))
    last_plain = max((index for index, a in enumerate(ordered) if not _context(source, a).blocks), default=0)
    return _one_of(ev, source, name, ordered[last_plain:])


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
    return Unknown(f"`{name}` is not defined in this file")


def _one_of(ev: Evaluator, source: Source, name: str, assignments: list[BaseAssignment]) -> Value:
    """The value that all assignments agree on; what is unknown or None gives way to what is known."""
    values: list[Value] = []
    for assignment in assignments:
        value = _assigned(ev, source, name, assignment)
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


def _assigned(ev: Evaluator, source: Source, name: str, assignment: BaseAssignment) -> Value:
    match assignment:
        case BuiltinAssignment():
            return External(f"builtins.{name}")
        case ImportAssignment():
            return _imported(ev, source, name, assignment)
        case Assignment(node=cst.FunctionDef() as node):
            return ev.function(source, node)
        case Assignment(node=cst.ClassDef() as node):
            return ClassRef(source, node)
        case Assignment(node=cst.Param() as node):
            return _parameter(ev, source, node)
        case Assignment(node=cst.Name() as node):
            return ev.bound(source, node)
    return Unknown(f"`{name}` is set in a way that cannot be followed")


def _imported(ev: Evaluator, source: Source, name: str, assignment: ImportAssignment) -> Value:
    for found in sorted(assignment.get_qualified_names_for(name), key=lambda found: found.name):
        return dotted_value(ev, absolute(source.module, source.is_package, found.name))
    return Unknown(f"the import of `{name}` cannot be followed")


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
        case TaskRef():
            return External(f"celery.Task.{name}")
        case ClassRef() | Instance():
            return _class_attribute(ev, value, name)
        case Unknown():
            return Method(value, name)
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
    given = cls.source.attributes.get((cls.node, name))
    if given:
        values = [ev.value(cls.source, node) for node in given]
        known = [found for found in values if not isinstance(found, Unknown | External)]
        return known[0] if known and all(found == known[0] for found in known) else values[0]
    for method in cls.source.functions:
        if cls.source.contexts[method].owner is cls.node and method.name.value == name:
            return ev.function(cls.source, method)
    for base in ev.bases(cls):
        if isinstance(base, ClassRef) and base != cls:
            return _class_attribute(ev, base, name)
        if isinstance(base, External) and base.celery_name == "Task":
            if name in METHODS:
                return Method(TaskRef(ev.class_task_name(cls), through_self=True), name)
            return External(f"celery.Task.{name}")
    return Unknown(f"`{name}` is an attribute that is set elsewhere")


def _parameter(ev: Evaluator, source: Source, node: cst.Param) -> Value:
    """A parameter: `self` of a bound task or a method, an application by name or annotation, else unknown."""
    function = source.contexts[node].function
    name = node.name.value
    if isinstance(function, cst.FunctionDef):
        first = next(iter((*function.params.posonly_params, *function.params.params)), None)
        if first is node:
            task = ev.task(source, function)
            if task is not None and task.bind:
                return TaskRef(task.name, through_self=True)
            owner = source.contexts[function].owner
            if owner is not None and name in ("self", "cls") and task is None:
                return Instance(ClassRef(source, owner))
    if node.annotation is not None:
        annotated = ev.value(source, node.annotation.annotation)
        if isinstance(annotated, External) and annotated.celery_name == "Celery":
            return App()
    if name in APP_NAMES:
        return App()
    return Unknown(f"`{name}` is a parameter")


# which assignments reach a use


def _place(source: Source, assignment: BaseAssignment) -> tuple[int, int]:
    node = assignment.node if isinstance(assignment, Assignment) else None
    return source.positions.get(node, (0, 0)) if node is not None else (0, 0)


def _context(source: Source, assignment: BaseAssignment) -> Context:
    node = assignment.node if isinstance(assignment, Assignment) else None
    if node is None:
        return Context()
    binding = source.bindings.get(node)
    return binding.context if binding is not None else source.contexts.get(node, Context())


def _own_scope(scope: Scope | None) -> Scope | None:
    while isinstance(scope, ComprehensionScope):
        scope = scope.parent
    return scope


def _reaching(source: Source, node: cst.Name, found: list[BaseAssignment]) -> list[BaseAssignment]:
    """Those assignments that can be the latest one where `node` reads the name."""
    ordered = sorted(found, key=lambda assignment: _place(source, assignment))
    scope = _own_scope(source.scopes.get(node))
    if len(ordered) < 2 or any(_own_scope(getattr(a, "scope", None)) is not scope for a in ordered):
        return ordered
    use = source.positions[node]
    use_blocks = source.contexts.get(node, Context()).blocks
    before = [a for a in ordered if _place(source, a) < use and not _rebinds(source, a, use)]
    reaching: list[BaseAssignment] = []
    for assignment in reversed(before):
        reaching.insert(0, assignment)
        blocks = _context(source, assignment).blocks
        if blocks == use_blocks[: len(blocks)]:
            break
    loops = {block.node for block in use_blocks if block.kind == "loop"}
    later = [a for a in ordered if a not in before]
    reaching += [a for a in later if loops & {block.node for block in _context(source, a).blocks}]
    return reaching or ordered


def _rebinds(source: Source, assignment: BaseAssignment, use: tuple[int, int]) -> bool:
    """Whether the use stands in the very statement that gives the name its new value: `x = x | y`."""
    node = assignment.node if isinstance(assignment, Assignment) else None
    binding = source.bindings.get(node) if node is not None else None
    if binding is None or binding.kind not in ("value", "augmented"):
        return False
    return source.positions[binding.value] <= use < source.ends[binding.value]
