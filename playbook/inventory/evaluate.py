"""From an expression to what it stands for, as far as Celery is concerned, without running anything."""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterator

from playbook.inventory import canvas, lookup, registration
from playbook.inventory.fold import pipe
from playbook.inventory.models import Structure, Task
from playbook.inventory.modules import absolute
from playbook.inventory.project import Project
from playbook.inventory.source import Binding, Function, Source, arguments, literal_value
from playbook.inventory.values import (
    App,
    ClassRef,
    Each,
    External,
    FunctionRef,
    Instance,
    Items,
    Method,
    Row,
    Sig,
    Table,
    TaskRef,
    Text,
    Unknown,
    Value,
)

IMPORTERS = frozenset({"import_module", "import_string", "resolve_name", "locate"})
"""Functions of the standard library and of frameworks that import what a string names."""


class Evaluator:
    """Values of expressions, remembered per node. A value that depends on itself is unknown."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.registered: dict[tuple[str, int, str], Task] = {}
        self._known: dict[Hashable, Value] = {}
        self._tasks: dict[ast.AST, Task | None] = {}
        self._busy: set[Hashable] = set()

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the remembered value of `key`, or compute it."""
        if key in self._known:
            return self._known[key]
        if key in self._busy:
            return Unknown("it is defined by itself")
        self._busy.add(key)
        try:
            value = compute()
        except RecursionError:
            value = Unknown("it is nested too deeply")
        finally:
            self._busy.discard(key)
        self._known[key] = value
        return value

    def value(self, source: Source, node: ast.AST) -> Value:
        """What the expression `node` in `source` stands for."""
        return self.once(node, lambda: self._value(source, node))

    def constant(self, source: Source, node: ast.AST) -> Value:
        """Like `value`, but looks for constants also in modules that do not mention Celery themselves."""
        value = self.value(source, node)
        module, _ = self.project.split(value.name) if isinstance(value, External) else ("", [])
        path = self.project.names.by_name.get(module)
        if path is not None and path not in self.project.tried:
            self.project.load({path})
            self._known.clear()
            return self.constant(source, node)
        return value

    def _value(self, source: Source, node: ast.AST) -> Value:
        match node:
            case ast.Name():
                return lookup.name_value(self, source, node)
            case ast.Attribute():
                return lookup.attribute_value(self, self.value(source, node.value), node.attr)
            case ast.Call():
                return self._call(source, node)
            case ast.BinOp(op=ast.BitOr()):
                return self._pipe(source, node, node.left, node.right)
            case ast.BinOp(op=ast.Add()):
                return self._concatenate(source, node)
            case ast.Constant(value=str(text)):
                return Text(text)
            case ast.JoinedStr():
                return self._joined(source, node)
            case ast.List() | ast.Tuple() | ast.Set():
                return self._items(source, node.elts)
            case ast.ListComp() | ast.GeneratorExp() | ast.SetComp():
                return self._comprehension(source, node)
            case ast.Dict():
                return Table(source, node)
            case ast.Subscript():
                return self._subscript(source, node)
            case ast.NamedExpr() | ast.Await():
                return self.value(source, node.value)
            case ast.AugAssign():
                return self._augmented(source, node)
        return Unknown(f"`{source.text(node)}` is computed at run time")

    # functions, tasks, classes

    def task(self, source: Source, node: Function) -> Task | None:
        """The task that a decorated function is, None if it is none."""
        if node not in self._tasks:
            self._tasks[node] = None
            self._tasks[node] = found = registration.decorated(self, source, node)
            if found is not None:
                self.register(found)
        return self._tasks[node]

    def register(self, task: Task) -> TaskRef:
        """Note a task of the application and return what stands for it."""
        self.registered[task.path, task.line, task.name] = task
        return TaskRef(task.name)

    def function(self, source: Source, node: Function) -> Value:
        """A function of the application: a task or a plain one."""
        task = self.task(source, node)
        return TaskRef(task.name) if task is not None else FunctionRef(source, node)

    def bases(self, cls: ClassRef) -> list[Value]:
        """The base classes of a class."""
        return [self.value(cls.source, base) for base in cls.node.bases]

    def ancestors(self, cls: ClassRef) -> list[Value]:
        """All classes above a class, each once, nearest first."""
        found: list[Value] = []
        waiting = self.bases(cls)
        while waiting:
            base = waiting.pop(0)
            if base != cls and base not in found:
                found.append(base)
                waiting += self.bases(base) if isinstance(base, ClassRef) else []
        return found

    def inherits(self, value: Value, celery_name: str) -> bool:
        """Whether the class is Celery's of this name, or derives from it directly or not."""
        classes = [value, *self.ancestors(value)] if isinstance(value, ClassRef) else [value]
        return any(isinstance(one, External) and one.celery_name == celery_name for one in classes)

    def class_task_name(self, cls: ClassRef) -> str:
        """The name under which a class-based task is registered."""
        return registration.class_task(self, cls).name

    def bound(self, source: Source, name: str, binding: Binding) -> Value:
        """What one binding of a name gives it."""
        node = binding.node
        if binding.kind == "import":
            return lookup.dotted_value(self, absolute(source.module, source.is_package, binding.target))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return self.function(source, node)
        if isinstance(node, ast.ClassDef):
            return ClassRef(source, node)
        if binding.kind == "parameter":
            return lookup.parameter(self, source, name, binding)
        if binding.value is None or binding.kind == "other":
            return Unknown(f"`{name}` is set in a way that cannot be followed")
        if binding.kind == "item":
            return Unknown(f"`{name}` runs over `{source.text(binding.value)}`")
        value = self.value(source, binding.value)
        return canvas.with_appended(self, source, name, binding, value) if isinstance(value, Items) else value

    # calls

    def _call(self, source: Source, node: ast.Call) -> Value:
        function = self.value(source, node.func)
        built = canvas.from_call(self, source, node, function)
        if built is not None:
            return built
        registered = registration.from_call(self, source, node, function)
        if registered is not None:
            return registered
        match function:
            case App(path="tasks.get"):
                return self._by_name(source, node)
            case Method(owner=TaskRef() | Sig()) | Sig() | App(path="send_task" | "AsyncResult"):
                return External("celery.result.AsyncResult()")
            case ClassRef():
                return App() if self.inherits(function, "Celery") else Instance(function)
            case FunctionRef():
                return self.returned(function)
            case External() if function.celery_name == "Celery":
                return App()
            case External(name=name) if name.startswith("builtins."):
                return self._builtin(source, node, name.removeprefix("builtins."))
            case External(name=name) if name.rsplit(".", 1)[-1] in IMPORTERS:
                target = self.value(source, node.args[0]) if node.args else None
                if isinstance(target, Text):
                    return lookup.dotted_value(self, target.value)
            case External():
                return External(f"{function.name}()")
        return Unknown(f"`{source.text(node.func)}` returns what only running it can tell")

    def _builtin(self, source: Source, node: ast.Call, name: str) -> Value:
        if name == "dict":
            return Table(source, node)
        if name == "getattr":
            return self._getattr(source, node)
        if name in ("list", "tuple", "reversed") and node.args:
            return self.value(source, node.args[0])
        return Unknown(f"`{name}()` returns what only running it can tell")

    def _by_name(self, source: Source, node: ast.Call) -> Value:
        name = self.value(source, node.args[0]) if node.args else Unknown("no name is given")
        return TaskRef(name.value) if isinstance(name, Text) else Unknown("the task's name is computed")

    def _getattr(self, source: Source, node: ast.Call) -> Value:
        positional, _ = arguments(node)
        if len(positional) < 2:
            return Unknown("getattr without a name")
        name = self.value(source, positional[1])
        if not isinstance(name, Text):
            return Unknown(f"the name in `{source.text(node)}` is computed at run time")
        return lookup.attribute_value(self, self.value(source, positional[0]), name.value)

    def returned(self, function: FunctionRef) -> Value:
        """What a function of the application returns, if all its returns agree."""
        if isinstance(function.node, ast.AsyncFunctionDef):
            return Unknown(f"`{function.node.name}` is a coroutine")
        values: list[Value] = []
        for node in function.source.returns.get(function.node, []):
            value = self.value(function.source, node)
            if value not in values:
                values.append(value)
        if len(values) == 1 and not isinstance(values[0], External):
            return values[0]
        return Unknown(f"`{function.node.name}()` returns what only running it can tell")

    # collections

    def _items(self, source: Source, elements: list[ast.expr]) -> Value:
        values: list[Value] = []
        for element in elements:
            if isinstance(element, ast.Starred):
                values.extend(canvas.spread(self.value(source, element.value), source.text(element.value)))
            else:
                values.append(self.value(source, element))
        return Items(tuple(values))

    def _comprehension(self, source: Source, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> Value:
        over = " ".join(ast.unparse(generator).strip() for generator in node.generators)
        return Items((Each(self.value(source, node.elt), over.removeprefix("for ")),))

    def _joined(self, source: Source, node: ast.JoinedStr) -> Value:
        """An f-string whose parts are all known."""
        parts: list[str] = []
        for part in node.values:
            plain = isinstance(part, ast.FormattedValue) and part.conversion < 0 and part.format_spec is None
            value = self.value(source, part.value if isinstance(part, ast.FormattedValue) and plain else part)
            if not isinstance(value, Text):
                return Unknown(f"`{source.text(node)}` is computed at run time")
            parts.append(value.value)
        return Text("".join(parts))

    def _concatenate(self, source: Source, node: ast.BinOp) -> Value:
        left, right = self.value(source, node.left), self.value(source, node.right)
        if isinstance(left, Text) and isinstance(right, Text):
            return Text(left.value + right.value)
        if isinstance(left, Items) and isinstance(right, Items):
            return Items(left.values + right.values)
        return Unknown(f"`{source.text(node)}` is computed at run time")

    def _subscript(self, source: Source, node: ast.Subscript) -> Value:
        owner, key = self.value(source, node.value), self.value(source, node.slice)
        match owner:
            case App(path="tasks") if isinstance(key, Text):
                return TaskRef(key.value)
            case App(path=path) if isinstance(key, Text):
                return App(f"{path}.{key.value}")
            case Table() if isinstance(key, Text):
                for row in self.rows(owner):
                    if row.key == key.value:
                        return self.value(owner.source, row.value)
            case Items(values=values) if not any(isinstance(value, Each) for value in values):
                index = literal_value(source.text(node.slice))
                if isinstance(index, int) and -len(values) <= index < len(values):
                    return values[index]
            case External():
                return External(owner.name + "[]")
        return Unknown(f"`{source.text(node)}` is chosen at run time")

    def rows(self, table: Table) -> Iterator[Row]:
        """The rows of a dict display or of `dict(...)`; a `**` part has the key None."""
        source, node = table.source, table.node
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                yield Row(keyword.arg, keyword if keyword.arg else keyword.value, keyword.value)
            return
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                yield Row(None, value, value)
            else:
                found = self.value(source, key)
                yield Row(found.value if isinstance(found, Text) else source.text(key), key, value)

    # pipes

    def _pipe(self, source: Source, node: ast.AST, left: ast.AST, right: ast.AST) -> Value:
        first, second = self.value(source, left), self.value(source, right)
        if not isinstance(first, Sig) and not isinstance(second, Sig):
            return Unknown(f"`{source.text(node)}` combines what only running it can tell")
        shapes: list[Structure] = []
        sites: list[ast.AST] = [node]
        for value, operand in ((first, left), (second, right)):
            shape, inner = canvas.shape(value, source.text(operand))
            shapes.append(shape)
            sites.extend(inner)
        return Sig(pipe(*shapes), tuple(sites))

    def _augmented(self, source: Source, node: ast.AugAssign) -> Value:
        if isinstance(node.op, ast.BitOr):
            return self._pipe(source, node, node.target, node.value)
        before, added = self.value(source, node.target), self.value(source, node.value)
        if isinstance(node.op, ast.Add) and isinstance(before, Items) and isinstance(added, Items):
            return Items(before.values + added.values)
        return Unknown(f"`{source.text(node.target)}` is changed at run time")
