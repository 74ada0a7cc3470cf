"""The `beat_schedule` module out of the file that gives beat its schedule.

What puts entries into a schedule is kept, in its order and with the conditions and loops around it, and so is
every statement that a kept one needs. The rest of the file stays behind.
"""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import PositionProvider, QualifiedNameProvider

from playbook.inventory.schedules import BEAT
from playbook.rewrite.names import dotted_names
from playbook.rewrite.rule import Refusal, code_of, parse
from playbook.rewrite.schedule_entry import (
    CannotMoveError,
    check_entry,
    children,
    is_entry,
    literal,
    pairs_of,
    periodic_entry,
    string,
)
from playbook.rewrite.schedule_names import (
    bound_names,
    is_schedule,
    named_values,
    needed_names,
    root_names,
)

NAME = "beat_schedule"
SETTINGS = {
    "timezone": (re.compile(r"(?:CELERY_)?timezone", re.IGNORECASE), '"UTC"'),
    "starting_deadline": (re.compile(r"(?:(?:CELERY_)?beat_cron_)?starting_deadline", re.IGNORECASE), "None"),
}
"""What the module says besides its entries: names in Celery's configuration, and Celery's default."""

HEAD = '"""What runs when: the application\'s periodic tasks, in Celery\'s form (`schedule_entries`)."""'
SHARED = "  # noqa: F401 - dual mode: slots are shared with beat"
HANDLER = re.compile(r"\bon_after_(?:configure|finalize)\b.*\bconnect\b", re.DOTALL)
BY_HAND = "; write the entry into the beat_schedule module by hand, or leave it to Celery for now"

Small = cst.BaseSmallStatement
Statement = cst.BaseStatement


def write_module(
    source: str,
    worker: str,
    tasks: Mapping[str, str],
    shared: bool,
    module: str = "",
    twinless: Sequence[str] = (),
) -> tuple[str | None, list[Refusal]]:
    """Return the module for the schedule in a file, and what was refused.

    Args:
        source: the file.
        worker: the package that holds the worker modules.
        tasks: registered names of tasks, by entry or by the line where the entry stands.
        shared: whether the module is to say that its slots are shared with beat.
        module: the dotted name of the file, from which its relative imports count.
        twinless: registered names of tasks that TaskIQ cannot run.

    Returns:
        The module, None if no entry can be moved.
    """
    reader = _Reader(source, worker, tasks, module, twinless)
    body = reader.read()
    if not reader.found:
        return None, reader.refusals
    return reader.render(body, shared), reader.refusals


class _Reader:
    """Goes through a file until nothing more is needed."""

    def __init__(
        self, source: str, worker: str, tasks: Mapping[str, str], module: str, twinless: Sequence[str]
    ) -> None:
        wrapper = parse(source)
        self._module = wrapper.module
        self._positions = wrapper.resolve(PositionProvider)
        self._qualified = wrapper.resolve(QualifiedNameProvider)
        self._worker = worker
        self._tasks = tasks
        self._twinless = twinless
        self._name = module
        self._needed: set[str] = set()
        self._bound: set[str] = set()
        self._imports: list[str] = []
        self._ours: list[str] = []
        self._settings: dict[str, str] = {}
        self._found = False
        self._assigned = False
        self._plain = False
        self._hopeless = False
        self._refused: dict[tuple[int, str], Refusal] = {}

    @property
    def found(self) -> bool:
        """Whether there is a schedule that can be moved."""
        return self._found and not self._hopeless

    @property
    def refusals(self) -> list[Refusal]:
        """What was refused, by line."""
        return [self._refused[key] for key in sorted(self._refused)]

    def read(self) -> list[Statement]:
        """Return the statements to keep."""
        while True:
            before = (set(self._needed), self._plain)
            self._imports, self._ours, self._assigned = [], [], False
            body = self._block(self._module.body)
            if (self._needed, self._plain) == before:
                break
        missing = self._needed - self._bound - set(dir(builtins))
        if missing and not any("import *" in line for line in self._imports):
            self._give_up(
                self._module, f"the entries use {', '.join(sorted(missing))}, not defined in this file"
            )
        return body

    # what is kept

    def _block(self, body: Sequence[cst.CSTNode]) -> list[Statement]:
        kept: list[Statement] = []
        for statement in body:
            if isinstance(statement, cst.SimpleStatementLine):
                small = [new for part in statement.body for new in self._small(part)]
                lines = [cst.SimpleStatementLine([part]) for part in small]
                if lines:
                    first = lines[0].with_changes(
                        leading_lines=statement.leading_lines,
                        trailing_whitespace=statement.trailing_whitespace,
                    )
                    kept += [first, *lines[1:]]
            elif isinstance(statement, (cst.If, cst.For, cst.FunctionDef, cst.ClassDef)):
                kept += self._compound(statement)
            elif isinstance(statement, cst.BaseStatement) and self._mentions(statement):
                self._refuse(statement, "it stands in a block that is neither `if` nor `for`" + BY_HAND)
        return kept

    def _compound(self, statement: cst.BaseCompoundStatement) -> list[Statement]:
        if isinstance(statement, cst.If):
            return self._if(statement)
        if isinstance(statement, cst.For):
            inner = self._block(_lines(statement.body))
            if not inner:
                return []
            self._bound |= root_names(statement.target)
            self._need(statement.iter)
            return [statement.with_changes(body=_block_of(inner))]
        if isinstance(statement, cst.ClassDef) and any(_gives_schedule(line) for line in statement.body.body):
            return self._block(_lines(statement.body))
        assert isinstance(statement, (cst.FunctionDef, cst.ClassDef))
        if any(HANDLER.search(code_of(decorator)) for decorator in statement.decorators):
            return self._block(_lines(statement.body))
        if statement.name.value in self._needed:
            self._bound.add(statement.name.value)
            self._need(statement)
            return [statement]
        if self._mentions(statement):
            self._refuse_all(statement, "it is added when a function is called" + BY_HAND)
        return []

    def _if(self, statement: cst.If) -> list[Statement]:
        body = self._block(_lines(statement.body))
        orelse = statement.orelse
        other: cst.If | cst.Else | None = None
        if isinstance(orelse, cst.If):
            rest = self._if(orelse)
            other = cst.ensure_type(rest[0], cst.If) if rest else None
        elif orelse is not None:
            rest = self._block(_lines(orelse.body))
            other = orelse.with_changes(body=_block_of(rest)) if rest else None
        if not body and other is None:
            return []
        self._need(statement.test)
        return [statement.with_changes(body=_block_of(body or [cst.parse_statement("pass")]), orelse=other)]

    def _small(self, part: Small) -> list[Small]:
        try:
            if (scheduled := self._scheduled(part)) is not None:
                self._found = True
                return scheduled
        except CannotMoveError as error:
            self._refuse(part, f"{error}{BY_HAND}")
            return []
        if isinstance(part, (cst.Import, cst.ImportFrom)):
            self._import(part)
            return []
        if not bound_names(part) & self._needed:
            return []
        self._bound |= bound_names(part)
        self._need(part)
        return [part]

    def _scheduled(self, part: Small) -> list[Small] | None:
        """Return what a statement does to the schedule; None if it does nothing."""
        call = part.value if isinstance(part, cst.Expr) and isinstance(part.value, cst.Call) else None
        if isinstance(part, cst.Assign) and len(part.targets) == 1:
            target = part.targets[0].target
            if isinstance(target, cst.Subscript) and is_schedule(target.value):
                key = target.slice[0].slice
                assert isinstance(key, cst.Index)
                self._need(key.value)
                value = self._entry(literal(key.value), part.value, part)
                return [_assign(f"{NAME}[{code_of(key.value)}]", value)]
        if isinstance(part, cst.AugAssign) and is_schedule(part.target):
            return [part.with_changes(target=cst.Name(NAME), value=self._whole(part.value))]
        if call is not None and isinstance(call.func, cst.Attribute):
            if call.func.attr.value == "update" and is_schedule(call.func.value):
                update = call.func.with_changes(value=cst.Name(NAME))
                return [cst.Expr(call.with_changes(func=update, args=self._rows(call)))]
            if call.func.attr.value == "add_periodic_task":
                task = self._tasks.get(str(self._line(call)))
                self._check_twin(task)
                key_code, fields = periodic_entry(call, task, self._names_of)
                value = cst.parse_expression(fields)
                self._need(cst.parse_expression(key_code), value)
                return [_assign(f"{NAME}[{key_code}]", value)]
        kept: list[Small] = []
        for name, variable, value in named_values(part):
            self._setting(name, variable, value)
            if BEAT.fullmatch(name) and code_of(value) != "None":
                self._plain |= variable
                kept.append(self._assignment(part, value))
        return kept or None

    def _setting(self, name: str, variable: bool, value: cst.BaseExpression) -> None:
        """Note a setting besides the schedule. A plain variable is one only beside a plain schedule."""
        for setting, (pattern, _) in SETTINGS.items():
            if pattern.fullmatch(name) and (self._plain or not variable or "_" in name):
                self._settings[setting] = code_of(value)
                self._need(value)

    def _assignment(self, part: Small, value: cst.BaseExpression) -> Small:
        self._assigned = True
        if isinstance(part, cst.AnnAssign) and part.value is value:
            self._need(part.annotation.annotation)
            return part.with_changes(target=cst.Name(NAME), value=self._whole(value))
        return _assign(NAME, self._whole(value))

    # expressions

    def _whole(self, value: cst.BaseExpression) -> cst.BaseExpression:
        """Return a whole schedule, without the entries that are refused."""
        if isinstance(value, cst.Dict):
            return value.with_changes(elements=[new for e in value.elements for new in self._element(e)])
        if isinstance(value, cst.Call) and isinstance(value.func, cst.Name) and value.func.value == "dict":
            return value.with_changes(args=self._rows(value))
        return self._kept(value)

    def _element(self, element: cst.BaseDictElement) -> Iterator[cst.BaseDictElement]:
        if not isinstance(element, cst.DictElement):
            yield element.with_changes(value=self._kept(element.value))
            return
        try:
            value = self._entry(literal(element.key), element.value, element.key)
        except CannotMoveError as error:
            self._refuse(element.key, f"{error}{BY_HAND}")
        else:
            yield element.with_changes(key=self._kept(element.key), value=value)

    def _rows(self, call: cst.Call) -> list[cst.Arg]:
        rows = []
        for arg in call.args:
            try:
                if arg.keyword is not None:
                    rows.append(arg.with_changes(value=self._entry(arg.keyword.value, arg.value, arg)))
                else:
                    rows.append(arg.with_changes(value=self._whole(arg.value)))
            except CannotMoveError as error:
                self._refuse(arg, f"{error}{BY_HAND}")
        return rows

    def _entry(self, key: object, value: cst.BaseExpression, place: cst.CSTNode) -> cst.BaseExpression:
        """Return an entry with its task as text. Raises CannotMoveError if it must stay."""
        if not is_entry(value):
            return self._kept(value)
        check_entry(value, self._names_of)
        task = dict(pairs_of(value) or ())["task"]
        given = literal(task)
        name = given if isinstance(given, str) else self._task_at(key, place)
        if name is None:
            raise CannotMoveError("its task is computed at run time; name it")
        self._check_twin(name)
        if name == given:
            return self._kept(value)
        for field, expression in pairs_of(value) or ():
            if field != "task":
                self._need(expression)
        changed: Any = value.visit(_Replace(task, string(name)))
        return changed  # type: ignore[no-any-return]

    def _task_at(self, key: object, place: cst.CSTNode) -> str | None:
        return self._tasks.get(str(key)) or self._tasks.get(str(self._line(place)))

    def _check_twin(self, task: str | None) -> None:
        if task in self._twinless:
            raise CannotMoveError(f"its task {task} has no twin, so TaskIQ could not run it")

    def _kept(self, value: cst.BaseExpression) -> cst.BaseExpression:
        self._need(value)
        return value

    def _need(self, *nodes: cst.CSTNode) -> None:
        for node in nodes:
            self._needed |= needed_names(node)

    # imports

    def _import(self, part: cst.Import | cst.ImportFrom) -> None:
        if isinstance(part, cst.ImportFrom) and isinstance(part.names, cst.ImportStar):
            self._imports.append(code_of(part))
            return
        assert not isinstance(part.names, cst.ImportStar)
        for alias in part.names:
            local = alias.evaluated_alias or alias.evaluated_name.partition(".")[0]
            if local not in self._needed:
                continue
            self._bound.add(local)
            shown = code_of(alias.with_changes(comma=cst.MaybeSentinel.DEFAULT)).strip()
            if isinstance(part, cst.Import):
                source, statement = alias.evaluated_name, f"import {shown}"
            else:
                source = self._source_of(part)
                statement = f"from {source} import {shown}"
            if source in ("celery.schedules", f"{self._worker}.schedules"):
                self._ours.append(f"from {self._worker}.schedules import {shown}")
            elif source in ("celery", self._worker) and alias.evaluated_name == "schedules":
                self._ours.append(f"from {self._worker} import {shown}")
            elif source.partition(".")[0] == "celery":
                self._give_up(part, f"the entries use {local}, which is Celery's")
            else:
                self._imports.append(statement)

    def _source_of(self, part: cst.ImportFrom) -> str:
        """Return the module of an import, whole if it was relative."""
        name = (get_full_name_for_node(part.module) if part.module else "") or ""
        if not part.relative:
            return name
        package = self._name.split(".")[: -len(part.relative)]
        return ".".join([*package, *([name] if name else [])])

    # what stands where

    def _names_of(self, node: cst.CSTNode) -> set[str]:
        found: Any = self._qualified.get(node, frozenset())
        return dotted_names(found() if callable(found) else found, self._name)

    def _line(self, node: cst.CSTNode) -> int:
        return self._positions[node].start.line

    def _mentions(self, node: cst.CSTNode) -> bool:
        return any(
            (isinstance(child, cst.Attribute) and child.attr.value == "add_periodic_task")
            or (isinstance(child, (cst.Attribute, cst.Name, cst.Subscript)) and is_schedule(child))
            for child in children(node)
        )

    def _refuse(self, node: cst.CSTNode, reason: str) -> None:
        line = self._line(node)
        self._refused[line, reason] = Refusal(line, "schedule", reason)

    def _give_up(self, node: cst.CSTNode, reason: str) -> None:
        self._refuse(node, f"{reason}; write the beat_schedule module by hand")
        self._hopeless = True

    def _refuse_all(self, node: cst.CSTNode, reason: str) -> None:
        for child in children(node):
            if isinstance(child, cst.BaseSmallStatement) and self._mentions(child):
                self._refuse(child, reason)

    # the module

    def render(self, body: list[Statement], shared: bool) -> str:
        """Return the module's text."""
        imports = ([] if self._assigned else ["from typing import Any"]) + self._imports
        if shared:
            imports.append(f"from {self._worker} import schedule_routes{SHARED}")
        imports += sorted(set(self._ours))
        empty = [] if self._assigned else [f"{NAME}: dict[str, dict[str, Any]] = {{}}"]
        settings = [
            f"{name} = {self._settings.get(name, default)}" for name, (_, default) in SETTINGS.items()
        ]
        statements: Any = body
        code = cst.Module(statements).code.strip("\n")
        standard = [line for line in imports if line.split()[1].partition(".")[0] in sys.stdlib_module_names]
        others = [line for line in imports if line not in standard]
        groups = [HEAD, *("\n".join(group) for group in (standard, others) if group)]
        return "\n\n".join([*groups, *empty, code, "\n".join(settings)]) + "\n"


class _Replace(cst.CSTTransformer):
    """Puts one expression in the place of another."""

    def __init__(self, old: cst.BaseExpression, new: cst.BaseExpression) -> None:
        super().__init__()
        self._old, self._new = old, new

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        return self._new if original_node is self._old else super().on_leave(original_node, updated_node)


def _assign(target: str, value: cst.BaseExpression) -> cst.Assign:
    left: Any = cst.parse_expression(target)
    return cst.Assign([cst.AssignTarget(left)], value)


def _lines(body: cst.BaseSuite) -> Sequence[cst.BaseStatement]:
    """Return the statements of a block, also of one that stands behind the colon."""
    if isinstance(body, cst.SimpleStatementSuite):
        return [cst.SimpleStatementLine(body.body)]
    return [line for line in body.body if isinstance(line, cst.BaseStatement)]


def _block_of(lines: Sequence[cst.BaseStatement]) -> cst.IndentedBlock:
    return cst.IndentedBlock(lines)


def _gives_schedule(line: cst.CSTNode) -> bool:
    parts = line.body if isinstance(line, cst.SimpleStatementLine) else ()
    return any(BEAT.fullmatch(name) for part in parts for name, _, _ in named_values(part))
