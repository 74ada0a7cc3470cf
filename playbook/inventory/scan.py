"""Walk the sites of one module and sort them into the inventory's lists."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from playbook.inventory import canvas, refusals, texts
from playbook.inventory.evaluate import Evaluator
from playbook.inventory.kinds import kind_of
from playbook.inventory.lookup import dotted_value
from playbook.inventory.models import Call, Canvas, Refusal, Structure, Touchpoint
from playbook.inventory.modules import absolute
from playbook.inventory.registration import as_decorator
from playbook.inventory.selection import Exports
from playbook.inventory.source import Function, Source, arguments, named_values, start, stop
from playbook.inventory.values import (
    METHODS,
    START,
    App,
    External,
    FunctionRef,
    Instance,
    Method,
    ModuleRef,
    Sig,
    Table,
    TaskRef,
    Text,
    Unknown,
    Value,
)

NAMED = frozenset({"send_task", "signature", "subtask"})
POOLS = ("pool", "executor")


class Scan:
    """The findings of one module.

    `spans` are the lines (first, last) that they stand on; `reported` the nodes accounted for already.
    """

    def __init__(self, ev: Evaluator, source: Source, exports: Exports, reported: set[ast.AST]) -> None:
        self._ev, self._source, self._exports = ev, source, exports
        self.calls: list[Call] = []
        self.touchpoints: list[Touchpoint] = []
        self.refused: list[Refusal] = []
        self.built: list[tuple[ast.AST, Sig]] = []
        self.started: set[ast.AST] = set()
        self.spans: list[tuple[int, int]] = []
        self._consumed = set(reported)

    def run(self) -> None:
        """Visit all functions and sites of the module."""
        for function in self._source.functions:
            self._function(function)
        for cls in self._source.classes:
            self._class(cls)
        for node in self._source.sites:
            self._routers(node)
            match node:
                case ast.Import() | ast.ImportFrom():
                    self._import(node)
                case ast.Call():
                    self._call(node)
                case ast.BinOp() | ast.AugAssign():
                    self._canvas(node)
                case ast.Subscript():
                    self._subscript(node)
                case ast.Name() | ast.Attribute() if node not in self._consumed:
                    self._reference(node)
                case ast.Constant() if node not in self._consumed:
                    self._string(node)

    # definitions

    def _function(self, node: Function) -> None:
        task = self._ev.task(self._source, node)
        if task is None:
            return
        self._cover(node.decorator_list[0], node)
        for decorator in node.decorator_list:
            if as_decorator(self._ev.value(self._source, decorator)) is not None:
                self._consume(decorator)
        for construct, reason in refusals.of_task(task.options):
            self._refuse(node, construct, reason)

    def _class(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            value = self._ev.value(self._source, base)
            if self._ev.inherits(value, "Task") or value == App("Task"):
                reason = (
                    "a Task class has no counterpart; write its work as a function, its hooks as a middleware"
                )
                self._consume(base)
                self._touch(node, "task_class", f"class {node.name}")
                self._refuse(node, "task class", reason)
            elif self._ev.inherits(value, "Celery"):
                self._touch(node, "app", f"class {node.name}")
                reason = (
                    "a Celery class of the application can override anything; set up the broker in its place"
                )
                self._refuse(node, "application class", reason)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            module = absolute(self._source.module, self._source.is_package, relative)
            targets = [f"{module}.{alias.name}" for alias in node.names]
        else:
            targets = [alias.name for alias in node.names]
        if not any(self._is_celery_import(target) for target in targets):
            return
        self._touch(node, "import", self._source.text(node))
        for target in targets:
            self._refuse_part(node, target)

    def _is_celery_import(self, target: str) -> bool:
        if target.endswith(".*"):
            value: Value = dotted_value(self._ev, target[:-2])
        else:
            value = dotted_value(self._ev, target)
        match value:
            case External():
                return bool(value.celery_name)
            case TaskRef() | App() | Sig():
                return True
            case FunctionRef():
                return isinstance(self._ev.returned(value), TaskRef | App | Sig)
            case ModuleRef(name=name):
                return self._defines(name)
        return False

    def _defines(self, module: str) -> bool:
        """Whether the module makes Celery objects of its own, not only imports them."""
        source = self._ev.project.source_of(module)
        offered = self._exports.get(module, frozenset())
        return source is not None and any(
            binding.kind != "import" for name in offered for binding in source.scope.names.get(name, ())
        )

    # calls

    def _call(self, node: ast.Call) -> None:
        function = self._ev.value(self._source, node.func)
        match function:
            case Method(owner=TaskRef(name=task), name=method):
                self._add_call(node, task, method)
            case Method(owner=Sig() as sig, name=method) if method in START:
                self._add_call(node, _single(sig), method)
                self.started.update(sig.sites[:1])
            case Method(owner=Sig(), name=name) if name in canvas.SAME or name == "group":
                self._consume(node.func)
            case Sig() as sig:
                self._add_call(node, _single(sig), "__call__")
                if canvas.builds(self._ev, self._source, node) is None:
                    self.started.update(sig.sites[:1])
            case TaskRef(name=task):
                self._consume(node.func)
                self._touch(
                    node.func, "direct_call", f"{self._source.text(node.func)}(...) runs {task} in place"
                )
            case Method(owner=Unknown(), name="send_task"):
                self._by_name(node, "send_task")
            case App(path=path) if path in NAMED:
                self._by_name(node, path)
            case External() if function.celery_name in canvas.BY_NAME:
                self._by_name(node, function.celery_name)
            case External(name="builtins.getattr") if not isinstance(
                self._ev.value(self._source, node), Unknown
            ):
                self._reference(node)
            case App(path="register_task"):
                self._registered(node)
        self._decorator_call(node, function)
        self._unknown_call(node, function)
        self._canvas(node)

    def _add_call(self, node: ast.Call, task: str | None, method: str) -> None:
        self._consume(node.func)
        self._cover(node.func, node.func)
        context = self._source.contexts[node]
        self.calls.append(
            Call(
                path=self._source.path,
                line=self._source.line(node),
                task=task,
                method=method,
                in_async=context.is_async,
                function=context.name,
            )
        )
        keywords = {name: self._source.text(value) for name, value in arguments(node)[1].items()}
        if method in ("apply_async", "send_task", "signature", "subtask", "set"):
            for construct, reason in refusals.of_call(keywords):
                self._refuse(node, construct, reason)

    def _by_name(self, node: ast.Call, method: str) -> None:
        positional, keywords = arguments(node)
        first = positional[0] if positional else keywords.get("name") or keywords.get("task")
        name = self._ev.constant(self._source, first) if first is not None else Unknown("no name is given")
        if isinstance(name, Text | TaskRef):
            self._add_call(node, name.value if isinstance(name, Text) else name.name, method)
        elif not isinstance(name, Sig):
            self._consume(node.func)
            self._touch(node, "celery_api", self._source.text(node.func))
            self._refuse(node, "dynamic task name", self._because(name, node))

    def _registered(self, node: ast.Call) -> None:
        positional, _ = arguments(node)
        value = self._ev.value(self._source, positional[0]) if positional else None
        if isinstance(value, Unknown) or value is None:
            self._refuse(node, "dynamic registration", self._because(value, node))
        elif isinstance(value, Instance):
            reason = (
                "a Task class has no counterpart; write its work as a function, its hooks as a middleware"
            )
            self.refused.append(
                Refusal(
                    path=value.cls.source.path,
                    line=value.cls.source.line(value.cls.node),
                    construct="task class",
                    reason=reason,
                )
            )

    def _decorator_call(self, node: ast.Call, function: Value) -> None:
        """`app.task(function)` and decorators that are made and kept under a name."""
        made = as_decorator(function)
        if made is None or node.func in self._consumed:
            return
        value = self._ev.value(self._source, node)
        self._touch(node, "celery_api", self._source.text(node.func))
        self._consume(node.func)
        if isinstance(value, Unknown):
            self._refuse(node, "dynamic registration", f"{value.reason}; convert it by hand")
        if isinstance(value, TaskRef):
            for task in self._ev.registered.values():
                if task.name == value.name:
                    for construct, reason in refusals.of_task(task.options):
                        self.refused.append(
                            Refusal(path=task.path, line=task.line, construct=construct, reason=reason)
                        )

    def _unknown_call(self, node: ast.Call, function: Value) -> None:
        """`x.delay()` on something that cannot be followed: perhaps a task, so it is not passed over."""
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in ("delay", "apply_async"):
            return
        owner = self._ev.value(self._source, node.func.value)
        text = self._source.text(node.func.value)
        method = node.func.attr
        if isinstance(owner, External):
            if owner.celery_name or not self._is_ours(owner.name):
                return
        elif isinstance(owner, FunctionRef) and self._perhaps_task(owner):
            owner = Unknown("its decorators are not known to make a task or to make none")
        elif not isinstance(owner, Unknown) or self._is_task_table(node.func.value):
            return
        if method == "apply_async" and any(pool in text.lower() for pool in POOLS):
            return
        self._refuse(node, "dynamic call", self._because(owner, node.func.value))

    def _perhaps_task(self, function: FunctionRef) -> bool:
        """Whether a decorator could have made a task of the function; other packages' are known not to."""
        for decorator in function.node.decorator_list:
            maker = decorator.func if isinstance(decorator, ast.Call) else decorator
            value = self._ev.value(function.source, maker)
            if not isinstance(value, External) or self._ev.project.split(value.name)[0]:
                return True
        return False

    def _is_ours(self, name: str) -> bool:
        """Whether the name leads into an unreadable module of the application, or to what its calls give."""
        module, _ = self._ev.project.split(name)
        failed = {failure.path for failure in self._ev.project.failures}
        return bool(module) and (self._ev.project.names.by_name.get(module) in failed or "()" in name)

    def _because(self, value: Value | None, node: ast.AST) -> str:
        reason = value.reason if isinstance(value, Unknown) else "it cannot be followed"
        return f"`{self._source.text(node)}` cannot be resolved to a task: {reason}; convert it by hand"

    # canvases

    def _canvas(self, node: ast.AST) -> None:
        sig = canvas.builds(self._ev, self._source, node)
        if sig is not None and sig.sites[0] is node:
            self.built.append((node, sig))
            self._cover(node, node)
            if isinstance(node, ast.Call):
                self._consume(node.func)

    def canvases(self, consumed: set[ast.AST]) -> Iterator[Canvas]:
        """The outermost canvases: those that no other canvas takes in, and those that are started as well."""
        for node, sig in self.built:
            if node in consumed and node not in self.started:
                continue
            line = self._source.line(node)
            function = self._source.contexts[node].name
            yield Canvas(path=self._source.path, line=line, function=function, structure=sig.structure)
            if unknown := sorted(set(_unknown_parts(sig.structure))):
                parts = ", ".join(f"`{part}`" for part in unknown)
                reason = f"the shape depends on {parts}, which only running it can tell; convert it by hand"
                self._refuse(node, "canvas of unknown shape", reason)

    # references

    def _subscript(self, node: ast.Subscript) -> None:
        if self._is_task_table(node) and isinstance(self._ev.value(self._source, node), Unknown):
            self._refuse(node, "dynamic task name", self._because(None, node))

    def _routers(self, node: ast.AST) -> None:
        """Routes that are computed: only a table of names and patterns can be converted."""
        for name, expression in named_values(node):
            if refusals.ROUTES.fullmatch(name):
                value = self._ev.value(self._source, expression)
                if not isinstance(value, Table) and self._source.text(expression) != "None":
                    text = self._source.text(expression)
                    self._touch(expression, "routing", text)
                    reason = f"`{text}` routes by code; name the broker at the task instead"
                    self._refuse(expression, "custom router", reason)

    def _is_task_table(self, node: ast.AST) -> bool:
        return isinstance(node, ast.Subscript) and self._ev.value(self._source, node.value) == App("tasks")

    def _reference(self, node: ast.AST) -> None:
        """A name or attribute chain; of a longer chain the part that belongs to Celery counts."""
        part: ast.AST = node
        value = self._ev.value(self._source, part)
        while isinstance(part, ast.Attribute) and isinstance(value, Unknown | Text):
            part = part.value
            value = self._ev.value(self._source, part)
        kind = kind_of(value)
        if kind is None or (isinstance(node, ast.Name) and isinstance(value, External) and value.is_made):
            return
        self._touch(part, kind, self._source.text(node))
        match value:
            case Method(owner=TaskRef(), name=method) if part is node and method in METHODS:
                if not texts.is_test(self._source.path):
                    reason = f"`{self._source.text(node)}` is handed over, not called; wrap it in a function"
                    self._refuse(node, "method handed over", reason)
            case App(path=path) if path:
                self._refuse_part(node, f"app.{path}")
            case External(name=name):
                self._refuse_part(node, name)

    def _string(self, node: ast.Constant) -> None:
        text = str(node.value)
        if text in ("pickle", "application/x-python-serialize") and b"celery" in self._data().lower():
            self._touch(node, "config", self._source.text(node))
            self._refuse(node, "serialiser", "only JSON is kept; make the arguments JSON values")
        elif text.replace(".", "").replace("_", "").isalnum() and "." in text:
            module, rest = self._ev.project.split(text)
            if module in self._exports and (not rest or rest[0] in self._exports[module]):
                kind = "test" if texts.is_test(self._source.path) else "task_reference"
                self._touch(node, kind, text)

    def _data(self) -> bytes:
        return self._ev.project.files[self._source.path].data

    # entries

    def _touch(self, node: ast.AST, kind: str, detail: str) -> None:
        self._cover(node, node)
        line, text = self._source.line(node), texts.shorten(detail)
        self.touchpoints.append(Touchpoint(path=self._source.path, line=line, kind=kind, detail=text))

    def _refuse(self, node: ast.AST, construct: str, reason: str) -> None:
        self.refused.append(
            Refusal(path=self._source.path, line=self._source.line(node), construct=construct, reason=reason)
        )

    def _refuse_part(self, node: ast.AST, name: str) -> None:
        found = refusals.of_name(name)
        if found is not None:
            self._refuse(node, found[0], found[1])

    def _cover(self, first: ast.AST, last: ast.AST) -> None:
        """Note the lines from one node to another; of a definition only its head counts."""
        head = isinstance(last, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        self.spans.append((start(first)[0], start(last)[0] if head else stop(last)[0]))

    def _consume(self, node: ast.AST) -> None:
        self._consumed.add(node)
        if isinstance(node, ast.Call):
            self._consume(node.func)


def _single(sig: Sig) -> str | None:
    name = sig.structure.get("task")
    return name if isinstance(name, str) else None


def _unknown_parts(structure: Structure) -> Iterator[str]:
    for key, value in structure.items():
        if key == "unknown":
            yield str(value)
        elif isinstance(value, dict):
            yield from _unknown_parts(value)
        elif isinstance(value, list):
            for item in value:
                yield from _unknown_parts(item)
