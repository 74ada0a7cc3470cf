"""Celery's tasks become tasks of the TaskIQ broker; their twins go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import libcst as cst
from libcst.metadata import ParentNodeProvider, PositionProvider, QualifiedNameProvider

from playbook.rewrite.imported import is_bound
from playbook.rewrite.names import dotted_names
from playbook.rewrite.placed import with_imports
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse
from playbook.rewrite.rules.twins import TASK_DECORATORS
from playbook.rewrite.supported import TASK_OPTIONS
from playbook.rewrite.unused import without_unused

LINE_LENGTH = 100
RENAMED = {"queue": "queue_name"}
WITHOUT_MEANING = {
    *("ignore_result", "shared", "lazy", "throws", "track_started", "name"),
    *("acks_late", "reject_on_worker_lost"),
}
"""Options that say nothing any more: every task is acknowledged when it has ended, and has a result."""
BY_HAND = "; make it a task of the broker by hand"


@dataclass(frozen=True)
class NativeTasks:
    """`@shared_task(...)`, `@app.task(...)` become `@broker.task(task_name="registered name", ...)`.

    The name stays, so that what was sent before is understood; so do retry options, time limits and `bind`.
    The loop bridge below goes: TaskIQ runs coroutines. So does the task's twin.

    Attributes:
        module: the dotted name of the file that is rewritten; Celery names its tasks after it.
        broker: the module that `broker` is imported from.
        twins: the module that `twin` came from.
        bridges: dotted names of the loop bridges.
        app: the dotted name of the Celery app, for tasks that are made by its own `task` decorator.
    """

    module: str
    broker: str
    twins: str
    bridges: Sequence[str]
    app: str = ""

    def apply(self, source: str) -> Outcome:
        """Rewrite the tasks of one file."""
        if "shared_task" not in source and ".task" not in source:
            return Outcome(source)
        wrapper = parse(source)
        found = _Tasks(self)
        wrapper.visit(found)
        if not found.decorators:
            return Outcome(source, tuple(found.refusals))
        if is_bound(wrapper, "broker") and f"from {self.broker} import broker" not in source:
            reason = "the file has a broker of its own" + BY_HAND
            return Outcome(source, (*found.refusals, Refusal(1, "broker", reason)))
        changed = cst.ensure_type(wrapper.module.visit(_Rewrite(found)), cst.Module)
        code = with_imports(changed, [(self.broker, "broker")], self.module).code
        gone = ("celery", self.twins, *self.bridges, *([self.app] if self.app else []))
        return Outcome(without_unused(source, code, gone), tuple(found.refusals))


class _Tasks(cst.CSTVisitor):
    """Finds the tasks, what their decorators become, and the twins that go."""

    METADATA_DEPENDENCIES: ClassVar = (ParentNodeProvider, PositionProvider, QualifiedNameProvider)

    def __init__(self, rule: NativeTasks) -> None:
        super().__init__()
        self.rule = rule
        self.known = {*TASK_DECORATORS, f"{rule.app}.task"}
        self.decorators: dict[cst.FunctionDef, list[cst.Decorator]] = {}
        self.twins: dict[str, tuple[cst.CSTNode, cst.Call]] = {}
        self.gone: set[cst.CSTNode] = set()
        self.refusals: list[Refusal] = []

    def visit_Module(self, node: cst.Module) -> None:
        for line in node.body:
            for part in line.body if isinstance(line, cst.SimpleStatementLine) else ():
                if isinstance(part, cst.Assign) and isinstance(part.value, cst.Call):
                    call = part.value
                    if self._names(call.func) & {f"{self.rule.twins}.twin"} and call.args:
                        self.twins[code_of(call.args[0].value)] = (line, call)

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:
        places = [i for i, decorator in enumerate(node.decorators) if self._is_task(decorator)]
        if not places:
            return
        parent = self.get_metadata(ParentNodeProvider, node)
        top = isinstance(parent, cst.Module)
        reason = None if top else "it is not defined at the top level of the module"
        if places != [0]:
            reason = "its outermost decorator is not Celery's"
        reason = reason or self._reason_to_refuse(node)
        if reason is not None:
            line = self.get_metadata(PositionProvider, node.name).start.line
            self.refusals.append(Refusal(line, f"task {node.name.value}", reason + BY_HAND))
            return
        statement, twin = self.twins.get(node.name.value, (None, None))
        if statement is not None:
            self.gone.add(statement)
        bridged = self._is_bridged(node)
        below = node.decorators[2:] if bridged else node.decorators[1:]
        first = node.decorators[0]
        self.decorators[node] = [first.with_changes(decorator=self._decorator(node, twin)), *below]

    def _names(self, node: cst.CSTNode) -> set[str]:
        target = node.func if isinstance(node, cst.Call) else node
        return dotted_names(self.get_metadata(QualifiedNameProvider, target, set()), self.rule.module)

    def _is_task(self, decorator: cst.Decorator) -> bool:
        return bool(self._names(decorator.decorator) & self.known)

    def _is_bridged(self, node: cst.FunctionDef) -> bool:
        below = node.decorators[1:2]
        return bool(below) and bool(self._names(below[0].decorator) & set(self.rule.bridges))

    def _reason_to_refuse(self, node: cst.FunctionDef) -> str | None:
        options = _arguments(node.decorators[0])
        for argument in options:
            name = argument.keyword.value if argument.keyword else argument.star + code_of(argument.value)
            if name not in TASK_OPTIONS:
                return f"its option {name} has no counterpart"
            if name == "bind" and code_of(argument.value) not in ("True", "False"):
                return "bind is not a literal"
        if node.asynchronous is not None and not self._is_bridged(node):
            return "it is async, and the decorator below Celery's is not a known loop bridge"
        return None

    def _decorator(self, node: cst.FunctionDef, twin: cst.Call | None) -> cst.BaseExpression:
        given = {a.keyword.value: code_of(a.value) for a in _arguments(node.decorators[0]) if a.keyword}
        name = given.get("name") or f'"{self.rule.module}.{node.name.value}"'
        if twin is not None and len(twin.args) > 1:
            name = code_of(twin.args[1].value)
        options = [f"task_name={name}"]
        for option, value in given.items():
            if option in WITHOUT_MEANING or (option, value) == ("bind", "False"):
                continue
            options.append(f"{RENAMED.get(option, option)}={value}")
        for argument in twin.args[2:] if twin is not None else ():
            options.append(f"executor={code_of(argument.value)}")
        code = f"broker.task({', '.join(options)})"
        if len(code) > LINE_LENGTH - 1:
            code = "broker.task(\n" + "".join(f"    {option},\n" for option in options) + ")"
        return cst.parse_expression(code)


def _arguments(decorator: cst.Decorator) -> Sequence[cst.Arg]:
    return decorator.decorator.args if isinstance(decorator.decorator, cst.Call) else ()


class _Rewrite(cst.CSTTransformer):
    def __init__(self, found: _Tasks) -> None:
        super().__init__()
        self.found = found

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        decorators = self.found.decorators.get(original_node)
        return updated_node if decorators is None else updated_node.with_changes(decorators=decorators)

    def leave_SimpleStatementLine(
        self, original_node: cst.SimpleStatementLine, updated_node: cst.SimpleStatementLine
    ) -> cst.SimpleStatementLine | cst.RemovalSentinel:
        return cst.RemoveFromParent() if original_node in self.found.gone else updated_node
