"""The Celery app goes, with its configuration and beat's schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import PositionProvider, QualifiedNameProvider

from playbook.rewrite.imported import uses_of
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse
from playbook.rewrite.unused import without_unused

NEEDLESS = {
    *("timezone", "enable_utc", "beat_schedule", "beat_scheduler", "beat_schedule_filename"),
    *("beat_cron_starting_deadline", "beat_max_loop_interval", "imports", "include"),
    *("broker_url", "result_backend", "broker_connection_retry", "broker_connection_retry_on_startup"),
    *("broker_connection_max_retries", "broker_pool_limit", "redis_max_connections"),
    *("task_acks_late", "task_reject_on_worker_lost", "task_track_started", "task_ignore_result"),
    *("worker_prefetch_multiplier", "worker_hijack_root_logger", "worker_redirect_stdouts"),
    *("worker_send_task_events", "task_send_sent_event", "result_extended", "task_create_missing_queues"),
}
"""Options that nothing is lost without: the runtime does so anyway, or has its own setting for it already."""

FORMATS = {"task_serializer": "json", "result_serializer": "json", "accept_content": ["json"]}

BY_HAND = {
    "task_default_queue": "name it first in TASKIQ_QUEUES",
    "task_routes": "give each of these tasks queue_name=..., and name the queues in TASKIQ_QUEUES",
    "task_queues": "name the queues in TASKIQ_QUEUES",
    "task_time_limit": "give each task time_limit=...",
    "task_soft_time_limit": "give each task soft_time_limit=...",
    "task_always_eager": "with ENVIRONMENT=pytest tasks run in place",
    "result_expires": "set TASKIQ_RESULT_TTL (seconds)",
    "broker_transport_options": "its visibility timeout is TASKIQ_LEASE now, a few seconds are enough",
    "worker_concurrency": "start the worker with --workers or --max-async-tasks, and set TASKIQ_PROCESSES",
    "worker_max_tasks_per_child": "start the worker with --max-tasks-per-child",
    "task_annotations": "give each task its own options",
}
"""What to do about options that mean something."""

UNKNOWN = "see whether anything of it is still needed"
WENT = "it went with the Celery app: "


@dataclass(frozen=True)
class CeleryApp:
    """`app = Celery(...)` goes, and each statement that configures it, beat's schedule included.

    The schedule stands in a module of its own by then. An option that means something is reported with what
    takes its place. A file that does more with the app is left alone.

    Attributes:
        app: name of the variable that holds the Celery app.
    """

    app: str

    def apply(self, source: str) -> Outcome:
        """Rewrite the file that makes the Celery app."""
        wrapper = parse(source)
        module = wrapper.module
        names = wrapper.resolve(QualifiedNameProvider)
        positions = wrapper.resolve(PositionProvider)

        def makes(node: cst.CSTNode) -> bool:
            value = node.value if isinstance(node, cst.Assign | cst.AnnAssign) else None
            found = names.get(value.func, set()) if isinstance(value, cst.Call) else set()
            # libcst resolves names when they are asked for.
            found = found() if callable(found) else found
            return bool(m.findall(node, m.Name(self.app))) and any(
                name.name in ("celery.Celery", "celery.app.Celery", "celery.app.base.Celery")
                for name in found
            )

        gone = [line for line in module.body if self._goes(line, makes)]
        if not any(makes(part) for line in gone for part in _parts(line)):
            return Outcome(source)
        uses = {positions[use].start.line for use in uses_of(wrapper, self.app)}
        if more := uses - {number for line in gone for number in _lines_of(line, positions)}:
            reason = "the file does more with the Celery app than configure it; take it out by hand"
            return Outcome(source, (Refusal(min(more), self.app, reason),))
        refusals = [
            Refusal(positions[node].start.line, code_of(node).strip().rstrip(","), WENT + reason)
            for line in gone
            for node, reason in _lost(line)
        ]
        left = module.with_changes(body=[line for line in module.body if line not in gone])
        return Outcome(without_unused(source, left.code, ["celery", "kombu"]), tuple(refusals))

    def _goes(self, line: cst.CSTNode, makes: Callable[[cst.CSTNode], bool]) -> bool:
        """Whether a statement only makes or configures the app."""
        if isinstance(line, cst.If):
            bodies = [line.body]
            other = line.orelse
            while isinstance(other, cst.If):
                bodies.append(other.body)
                other = other.orelse
            if other is not None:
                bodies.append(other.body)
            return all(self._goes(inner, makes) for body in bodies for inner in body.body)
        if not isinstance(line, cst.SimpleStatementLine):
            return False
        return all(makes(part) or self._configures(part) for part in line.body)

    def _configures(self, part: cst.BaseSmallStatement) -> bool:
        """Whether a statement is `app.conf... = ...`, `app.conf.update(...)`, `app.set_default()`, ..."""
        target: cst.BaseExpression | None = None
        if isinstance(part, cst.Assign) and len(part.targets) == 1:
            target = part.targets[0].target
        elif isinstance(part, cst.Expr) and isinstance(part.value, cst.Call):
            target = part.value.func
        while isinstance(target, cst.Attribute | cst.Subscript):
            target = target.value
        named = isinstance(target, cst.Name) and target.value == self.app
        return named and not isinstance(getattr(part, "value", None), cst.Name)


def _lines_of(line: cst.CSTNode, positions: Mapping[cst.CSTNode, Any]) -> set[int]:
    return set(range(positions[line].start.line, positions[line].end.line + 1))


def _parts(line: cst.CSTNode) -> tuple[cst.BaseSmallStatement, ...]:
    return tuple(line.body) if isinstance(line, cst.SimpleStatementLine) else ()


def _lost(line: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, str]]:
    """Yield the options in a statement that mean something, and what takes their place."""
    for option, value, node in _options(line):
        if option in NEEDLESS or option.isupper():
            continue
        if option in FORMATS:
            if code_of(value).replace("'", '"') not in ('"json"', '["json"]', '("json",)', '{"json"}'):
                yield node, "messages are JSON now, and nothing else"
            continue
        yield node, BY_HAND.get(option, UNKNOWN)


def _options(line: cst.CSTNode) -> Iterator[tuple[str, cst.BaseExpression, cst.CSTNode]]:
    """Yield name, value and node of each option that a statement sets."""
    for node in m.findall(
        line, m.Assign(targets=[m.AssignTarget(m.Attribute(value=m.Attribute(attr=m.Name("conf"))))])
    ):
        assign = cst.ensure_type(node, cst.Assign)
        yield cst.ensure_type(assign.targets[0].target, cst.Attribute).attr.value, assign.value, node
    for node in m.findall(
        line, m.Assign(targets=[m.AssignTarget(m.Subscript(value=m.Attribute(attr=m.Name("conf"))))])
    ):
        assign = cst.ensure_type(node, cst.Assign)
        key = m.findall(assign.targets[0].target, m.SimpleString())
        if key:
            yield str(cst.ensure_type(key[0], cst.SimpleString).evaluated_value), assign.value, node
    update = m.Call(func=m.Attribute(value=m.Attribute(attr=m.Name("conf")), attr=m.Name("update")))
    for node in m.findall(line, update | m.Call(func=m.Attribute(attr=m.Name("config_from_object")))):
        call = cst.ensure_type(node, cst.Call)
        if code_of(call.func).endswith("config_from_object"):
            yield "config_from_object", call, call
            continue
        for argument in call.args:
            if argument.keyword is not None:
                yield argument.keyword.value, argument.value, argument
            elif isinstance(argument.value, cst.Dict):
                for element in argument.value.elements:
                    if isinstance(element, cst.DictElement) and isinstance(element.key, cst.SimpleString):
                        yield str(element.key.evaluated_value), element.value, element
            else:
                yield code_of(argument.value), argument.value, argument
