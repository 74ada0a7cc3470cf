"""From an expression to what it stands for, as far as Celery is concerned, without running anything."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator

import libcst as cst

from playbook.inventory import canvas, lookup, registration
from playbook.inventory.fold import pipe
from playbook.inventory.models import Structure, Task
from playbook.inventory.project import Project
from playbook.inventory.source import Source, arguments
from playbook.inventory.values import (
    App,
    ClassRef,
    Each,
    External,
    FunctionRef,
    Instance,
    Items,
    Row,
    Sig,
    Table,
    TaskRef,
    Text,
    Unknown,
    Value,
)


class Evaluator:
    """Values of expressions, remembered per node. A value that depends on itself is unknown."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.registered: dict[tuple[str, int, str], Task] = {}
        self._known: dict[Hashable, Value] = {}
        self._tasks: dict[cst.CSTNode, Task | None] = {}
        self._busy: set[Hashable] = set()

    def once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        """Return the remembered value of `key`, or compute it."""
        if key in self._known:
            return self._known[key]
        if key in self._busy:
            return Unknown("it is defined by itself")
        self._busy.add(key)
        try:
            self._known[key] = compute()
        finally:
            self._busy.discard(key)
        return self._known[key]

    def value(self, source: Source, node: cst.CSTNode) -> Value:
        """What the expression `node` in `source` stands for."""
        return self.once(node, lambda: self._value(source, node))

    def _value(self, source: Source, node: cst.CSTNode) -> Value:
        match node:
            case cst.Name():
                return lookup.name_value(self, source, node)
            case cst.Attribute():
                return lookup.attribute_value(self, self.value(source, node.value), node.attr.value)
            case cst.Call():
                return self._call(source, node)
            case cst.BinaryOperation(operator=cst.BitOr()):
                return self._pipe(source, node, node.left, node.right)
            case cst.BinaryOperation(operator=cst.Add()):
                return self._concatenate(source, node)
            case cst.SimpleString() | cst.ConcatenatedString():
                text = node.evaluated_value
                return Text(text) if isinstance(text, str) else Unknown("it is no text")
            case cst.List() | cst.Tuple() | cst.Set():
                return self._items(source, node.elements)
            case cst.ListComp() | cst.GeneratorExp() | cst.SetComp():
                return self._comprehension(source, node)
            case cst.Dict():
                return Table(source, node)
            case cst.Subscript():
                return self._subscript(source, node)
            case cst.NamedExpr() | cst.Await():
                return self.value(source, node.value if isinstance(node, cst.NamedExpr) else node.expression)
            case cst.AugAssign():
                return self._augmented(source, node)
        return Unknown(f"`{source.text(node)}` is computed at run time")

    # functions, tasks, classes

    def task(self, source: Source, node: cst.FunctionDef) -> Task | None:
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

    def function(self, source: Source, node: cst.FunctionDef) -> Value:
        """A function of the application: a task or a plain one."""
        task = self.task(source, node)
        return TaskRef(task.name) if task is not None else FunctionRef(source, node)

    def bases(self, cls: ClassRef) -> list[Value]:
        """The base classes of a class."""
        return [self.value(cls.source, arg.value) for arg in cls.node.bases if not arg.star]

    def inherits(self, value: Value, celery_name: str) -> bool:
        """Whether the class derives from Celery's class of this name, directly or not."""
        if isinstance(value, External):
            return value.celery_name == celery_name
        return isinstance(value, ClassRef) and any(
            self.inherits(base, celery_name) for base in self.bases(value) if base != value
        )

    def class_task_name(self, cls: ClassRef) -> str:
        """The name under which a class-based task is registered."""
        return registration.class_task(self, cls).name

    def bound(self, source: Source, node: cst.Name) -> Value:
        """What the assignment to the name `node` gives it."""
        binding = source.bindings.get(node)
        if binding is None or binding.kind == "other":
            return Unknown(f"`{node.value}` is set in a way that cannot be followed")
        if binding.kind == "item":
            return Unknown(f"`{node.value}` runs over `{source.text(binding.value)}`")
        value = self.value(source, binding.value)
        return canvas.with_appended(self, source, node, value) if isinstance(value, Items) else value

    # calls

    def _call(self, source: Source, node: cst.Call) -> Value:
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
            case ClassRef():
                return App() if self.inherits(function, "Celery") else Instance(function)
            case FunctionRef():
                return self.returned(function)
            case External(name="builtins.getattr"):
                return self._getattr(source, node)
            case External(name="builtins.list" | "builtins.tuple" | "builtins.reversed") if node.args:
                return self.value(source, node.args[0].value)
            case External(name="importlib.import_module") if node.args:
                target = self.value(source, node.args[0].value)
                if isinstance(target, Text):
                    return lookup.dotted_value(self, target.value)
            case External() if function.celery_name == "Celery":
                return App()
            case External(name="builtins.dict"):
                return Table(source, node)
            case External():
                return External(f"{function.name}()")
        return Unknown(f"`{source.text(node.func)}` returns what only running it can tell")

    def _by_name(self, source: Source, node: cst.Call) -> Value:
        name = self.value(source, node.args[0].value) if node.args else Unknown("no name is given")
        return TaskRef(name.value) if isinstance(name, Text) else Unknown("the task's name is computed")

    def _getattr(self, source: Source, node: cst.Call) -> Value:
        positional, _ = arguments(node)
        if len(positional) < 2:
            return Unknown("getattr without a name")
        name = self.value(source, positional[1].value)
        if not isinstance(name, Text):
            return Unknown(f"the name in `{source.text(node)}` is computed at run time")
        return lookup.attribute_value(self, self.value(source, positional[0].value), name.value)

    def returned(self, function: FunctionRef) -> Value:
        """What a function of the application returns, if all its returns agree."""
        if function.node.asynchronous is not None:
            return Unknown(f"`{function.node.name.value}` is a coroutine")
        values: list[Value] = []
        for node in function.source.returns.get(function.node, []):
            value = self.value(function.source, node)
            if value not in values:
                values.append(value)
        if len(values) == 1 and not isinstance(values[0], External):
            return values[0]
        return Unknown(f"`{function.node.name.value}()` returns what only running it can tell")

    # collections

    def _items(self, source: Source, elements: object) -> Value:
        values: list[Value] = []
        assert isinstance(elements, tuple | list)
        for element in elements:
            value = self.value(source, element.value)
            if isinstance(element, cst.StarredElement):
                values.extend(canvas.spread(value, source.text(element.value)))
            else:
                values.append(value)
        return Items(tuple(values))

    def _comprehension(self, source: Source, node: cst.ListComp | cst.GeneratorExp | cst.SetComp) -> Value:
        over = source.text(node.for_in).removeprefix("for ")
        return Items((Each(self.value(source, node.elt), over),))

    def _concatenate(self, source: Source, node: cst.BinaryOperation) -> Value:
        left, right = self.value(source, node.left), self.value(source, node.right)
        if isinstance(left, Text) and isinstance(right, Text):
            return Text(left.value + right.value)
        if isinstance(left, Items) and isinstance(right, Items):
            return Items(left.values + right.values)
        return Unknown(f"`{source.text(node)}` is computed at run time")

    def _subscript(self, source: Source, node: cst.Subscript) -> Value:
        owner = self.value(source, node.value)
        key: Value = Unknown("the key is no literal")
        text = ", ".join(source.text(element.slice) for element in node.slice)
        if len(node.slice) == 1 and isinstance(node.slice[0].slice, cst.Index):
            key = self.value(source, node.slice[0].slice.value)
        match owner:
            case App(path="tasks") if isinstance(key, Text):
                return TaskRef(key.value)
            case App(path=path) if isinstance(key, Text):
                return App(f"{path}.{key.value}")
            case Table() if isinstance(key, Text):
                for row in self.rows(owner):
                    if row.key == key.value:
                        return self.value(owner.source, row.value)
            case Items(values=values) if text.lstrip("-").isdigit() and abs(int(text)) < len(values):
                chosen = values[int(text)]
                if not any(isinstance(value, Each) for value in values):
                    return chosen
            case External():
                return External(owner.name + "[]")
        return Unknown(f"`{source.text(node)}` is chosen at run time")

    def rows(self, table: Table) -> Iterator[Row]:
        """The rows of a dict display or of `dict(...)`; a `**` part has the key None."""
        source, node = table.source, table.node
        if isinstance(node, cst.Call):
            for arg in node.args:
                key = arg.keyword.value if arg.keyword is not None else None
                yield Row(key, arg.keyword or arg.value, arg.value)
            return
        for element in node.elements:
            if isinstance(element, cst.DictElement):
                found = self.value(source, element.key)
                text = found.value if isinstance(found, Text) else source.text(element.key)
                yield Row(text, element.key, element.value)
            else:
                yield Row(None, element.value, element.value)

    # pipes

    def _pipe(self, source: Source, node: cst.CSTNode, left: cst.CSTNode, right: cst.CSTNode) -> Value:
        first, second = self.value(source, left), self.value(source, right)
        if not isinstance(first, Sig) and not isinstance(second, Sig):
            return Unknown(f"`{source.text(node)}` combines what only running it can tell")
        shapes: list[Structure] = []
        sites: list[cst.CSTNode] = [node]
        for value, operand in ((first, left), (second, right)):
            shape, inner = canvas.shape(value, source.text(operand))
            shapes.append(shape)
            sites.extend(inner)
        return Sig(pipe(*shapes), tuple(sites))

    def _augmented(self, source: Source, node: cst.AugAssign) -> Value:
        if isinstance(node.operator, cst.BitOrAssign):
            return self._pipe(source, node, node.target, node.value)
        before, added = self.value(source, node.target), self.value(source, node.value)
        if (
            isinstance(node.operator, cst.AddAssign)
            and isinstance(before, Items)
            and isinstance(added, Items)
        ):
            return Items(before.values + added.values)
        return Unknown(f"`{source.text(node.target)}` is changed at run time")
