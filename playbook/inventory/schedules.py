"""What Celery beat runs: every way in which an entry gets into `beat_schedule`, and `add_periodic_task`.

A schedule is recognised by the name it is given (`beat_schedule` as attribute, key, keyword or variable, and
the old and prefixed upper-case names), so that it is found wherever an application keeps its configuration.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from playbook.inventory import refusals
from playbook.inventory.evaluate import Evaluator
from playbook.inventory.models import Refusal, Schedule
from playbook.inventory.source import Source, arguments, named_values, stop
from playbook.inventory.values import (
    External,
    Instance,
    Sig,
    Table,
    TaskRef,
    Text,
    Value,
)
from playbook.syntax import parse_expression

BEAT = re.compile(r"(?:\w+_)?(?:celery)?beat_?schedule", re.IGNORECASE)
BASES = ("schedule", "crontab", "BaseSchedule")


class Schedules:
    """Collects the entries of all modules; each is reported once, however many names lead to it."""

    def __init__(self, ev: Evaluator) -> None:
        self._ev = ev
        self.entries: list[Schedule] = []
        self.refused: list[Refusal] = []
        self.spans: list[tuple[str, int, int]] = []
        self.nodes: set[ast.AST] = set()
        self._tables: set[ast.AST] = set()
        self._seen: set[tuple[str, int, str]] = set()

    def collect(self) -> None:
        """Look through all parsed modules: first the schedules as such, then what is added to them later."""
        for source in self._ev.project:
            for node in source.sites:
                for value in _named_schedules(node):
                    self._whole(source, node, value)
        for source in self._ev.project:
            for node in source.sites:
                self._added(source, node)

    def _whole(self, source: Source, site: ast.AST, node: ast.AST) -> None:
        """A whole schedule given at `site`."""
        value = self._ev.value(source, node)
        if isinstance(value, Table):
            self._table(value, self._conditions(source, site))
        elif not isinstance(node, ast.AugAssign) and not _is_empty_or_none(source, node):
            self._refuse(source, site, "dynamic schedule", f"`{source.text(node)}` is computed at run time")

    def _table(self, table: Table, conditions: tuple[str, ...]) -> None:
        self._tables.add(table.node)
        for row in self._ev.rows(table):
            if row.key is None:
                inner = self._ev.value(table.source, row.value)
                if isinstance(inner, Table):
                    self._table(inner, conditions)
                else:
                    text = table.source.text(row.value)
                    self._refuse(
                        table.source, row.place, "dynamic schedule", f"`{text}` is computed at run time"
                    )
            else:
                self._entry(table.source, row.place, row.key, row.value, conditions)

    def _entry(
        self, source: Source, place: ast.AST, key: str, node: ast.AST, conditions: tuple[str, ...]
    ) -> None:
        value = self._ev.value(source, node)
        if not isinstance(value, Table):
            self._refuse(source, place, "dynamic schedule", f"the entry `{key}` is computed at run time")
            return
        fields = {row.key: row.value for row in self._ev.rows(value)}
        task_node, schedule_node = fields.get("task"), fields.get("schedule")
        self._account_for(task_node, schedule_node)
        task = self._task_name(value.source, task_node) if task_node is not None else None
        self._add(source, place, key, task, value.source, schedule_node, conditions)
        self._options(value.source, place, fields.get("options"))
        self.spans.append((source.path, source.line(place), stop(node)[0]))

    def _add(
        self,
        source: Source,
        place: ast.AST,
        key: str,
        task: str | None,
        schedule_source: Source,
        schedule_node: ast.AST | None,
        conditions: tuple[str, ...],
    ) -> None:
        identity = (source.path, source.line(place), key)
        if identity in self._seen:
            return
        self._seen.add(identity)
        schedule = schedule_source.text(schedule_node) if schedule_node is not None else ""
        self.entries.append(
            Schedule(
                path=source.path,
                line=source.line(place),
                entry=key,
                task=task,
                schedule=schedule,
                condition=_joined(conditions),
            )
        )
        if task is None:
            self._refuse(
                source, place, "dynamic task", f"the task of the entry `{key}` is computed at run time"
            )
        if schedule_node is not None:
            self._check_kind(source, place, key, self._ev.value(schedule_source, schedule_node))

    def _options(self, source: Source, place: ast.AST, node: ast.AST | None) -> None:
        options = self._ev.value(source, node) if node is not None else None
        if isinstance(options, Table):
            given = {row.key: options.source.text(row.value) for row in self._ev.rows(options) if row.key}
            for construct, reason in refusals.of_call(given):
                self._refuse(source, place, construct, reason)

    def _check_kind(self, source: Source, place: ast.AST, key: str, value: Value) -> None:
        from_class = value.name if isinstance(value, External) else ""
        if from_class.endswith("solar()"):
            reason = f"the entry `{key}` follows the sun; give it a crontab or an interval"
            self._refuse(source, place, "solar schedule", reason)
        elif isinstance(value, Instance) and any(self._ev.inherits(value.cls, base) for base in BASES):
            reason = f"the entry `{key}` uses a schedule class of its own; give it a crontab or an interval"
            self._refuse(source, place, "custom schedule", reason)

    def _task_name(self, source: Source, node: ast.AST) -> str | None:
        match self._ev.constant(source, node):
            case Text(value=name) | TaskRef(name=name):
                return name
            case Sig(structure={"task": str(name)}):
                return name
        return None

    def _account_for(self, *nodes: ast.AST | None) -> None:
        """What an entry says of its task and schedule needs no mention of its own."""
        for node in nodes:
            if node is not None:
                self.nodes.add(node)
                if isinstance(node, ast.Call):
                    self.nodes.add(node.func)

    # entries that are added to a schedule

    def _added(self, source: Source, node: ast.AST) -> None:
        match node:
            case ast.Assign(targets=[ast.Subscript() as target], value=value):
                if self._is_schedule(source, target.value):
                    key = self._ev.value(source, target.slice)
                    text = key.value if isinstance(key, Text) else source.text(target.slice)
                    self._entry(source, target.slice, text, value, self._conditions(source, node))
            case ast.Call(func=ast.Attribute(value=owner, attr="update")):
                if self._is_schedule(source, owner):
                    self._updated(source, node)
            case ast.AugAssign(op=ast.BitOr(), target=target, value=value):
                if self._is_schedule(source, target):
                    self._whole(source, node, value)
            case ast.Call(func=ast.Attribute(attr="add_periodic_task")):
                self._periodic(source, node)

    def _updated(self, source: Source, node: ast.Call) -> None:
        conditions = self._conditions(source, node)
        for argument in node.args:
            self._whole(source, node, argument)
        for keyword in node.keywords:
            if keyword.arg is None:
                self._whole(source, node, keyword.value)
            else:
                self._entry(source, keyword, keyword.arg, keyword.value, conditions)

    def _periodic(self, source: Source, node: ast.Call) -> None:
        positional, keywords = arguments(node)
        schedule = positional[0] if positional else keywords.get("schedule")
        sig = positional[1] if len(positional) > 1 else keywords.get("sig")
        task = self._task_name(source, sig) if sig is not None else None
        self._account_for(node, schedule)
        named = keywords.get("name") or (positional[4] if len(positional) > 4 else None)
        name = self._ev.value(source, named) if named is not None else None
        key = name.value if isinstance(name, Text) else (task or source.text(sig or node))
        self._add(source, node, key, task, source, schedule, self._conditions(source, node))
        self.spans.append((source.path, source.line(node), source.line(node)))

    def _is_schedule(self, source: Source, node: ast.AST) -> bool:
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) if BEAT.fullmatch(name):
                return True
            case ast.Subscript():
                key = self._ev.value(source, node.slice)
                return isinstance(key, Text) and BEAT.fullmatch(key.value) is not None
            case ast.Name():
                value = self._ev.value(source, node)
                return isinstance(value, Table) and value.node in self._tables
        return False

    def _conditions(self, source: Source, node: ast.AST) -> tuple[str, ...]:
        return source.contexts[node].conditions

    def _refuse(self, source: Source, node: ast.AST, construct: str, reason: str) -> None:
        self.refused.append(
            Refusal(path=source.path, line=source.line(node), construct=construct, reason=reason)
        )


def _joined(conditions: tuple[str, ...]) -> str | None:
    """All conditions in one expression; None if there are none."""
    if len(conditions) < 2:
        return "".join(conditions) or None
    return " and ".join(f"({text})" if _binds_weakly(text) else text for text in conditions)


def _binds_weakly(text: str) -> bool:
    """Whether the expression needs parentheses beside `and`."""
    match parse_expression(text):
        case ast.BoolOp(op=ast.Or()) | ast.IfExp() | ast.Lambda() | ast.NamedExpr():
            return True
    return False


def _named_schedules(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that `node` gives the name of a beat schedule."""
    return (value for name, value in named_values(node) if BEAT.fullmatch(name))


def _is_empty_or_none(source: Source, node: ast.AST) -> bool:
    return source.text(node) in ("None", "{}", "dict()")
