"""The fixtures of Celery's plugin for pytest become those of the application's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ParentNodeProvider, PositionProvider

from playbook.rewrite.imported import import_of, in_annotation, replace_import, uses_of
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse

FIXTURES = {
    "celery_session_worker": "taskiq_session_worker",
    "celery_worker": "taskiq_worker",
    "celery_session_app": "taskiq_broker",
    "celery_app": "taskiq_broker",
    "celery_config": "taskiq_config",
    "celery_includes": "taskiq_includes",
    "celery_worker_parameters": "taskiq_worker_parameters",
}
GONE = {
    "celery_parameters": "it makes the Celery application of the tests",
    "celery_class_tasks": "tasks are functions",
    "celery_enable_logging": "the worker of the tests does not touch logging",
    "celery_worker_pool": "the worker of the tests has one thread",
    "use_celery_app_trap": "there is no current application",
    "depends_on_current_app": "there is no current application",
}
"""Fixtures without a counterpart, and why none is needed. Where a conftest defines one, it is taken out."""

OPTIONS = {
    "task_always_eager": "always_eager",
    "task_eager_propagates": "eager_propagates",
    "task_default_queue": "default_queue",
}
WITHOUT_EFFECT = {
    *("broker_url", "result_backend", "cache_backend", "task_serializer", "result_serializer"),
    *("accept_content", "broker_connection_retry_on_startup", "broker_transport_options", "result_expires"),
    *("timezone", "enable_utc", "task_store_eager_result", "task_track_started", "worker_hijack_root_logger"),
}
"""Entries of `celery_config` that say how Celery talks to its broker: tests run in memory."""

CELERY_PLUGIN, CELERY_PING = "celery.contrib.pytest", "celery.contrib.testing.tasks"
ANNOTATIONS = {
    ("celery", "Celery"): ("taskiq", "AsyncBroker"),
    ("celery.contrib.testing.worker", "TestWorkController"): (None, "SuiteWorker"),
    ("celery.contrib.testing.app", "TestApp"): ("taskiq", "AsyncBroker"),
}
BY_HAND = "; write it for the plugin's fixtures by hand"


@dataclass(frozen=True)
class SuiteFixtures:
    """`celery_session_worker` becomes `taskiq_session_worker`, and so on, wherever a test asks for it.

    The application of Celery's fixtures becomes the broker. What `celery_config` says about Celery's
    transport goes; the fixtures that it asks for stay, because the worker needs them.

    Attributes:
        plugin: the module of the application's plugin.
        replaced: the plugin that it replaces, besides Celery's.
    """

    plugin: str
    replaced: str

    def apply(self, source: str) -> Outcome:
        """Rewrite one test file or conftest."""
        wrapper = parse(source)
        refusals = []
        positions = wrapper.resolve(PositionProvider)
        for node in m.findall(wrapper.module, m.Param() | m.SimpleString()):
            name = _text(node) if isinstance(node, cst.SimpleString) else node.name.value  # type: ignore[attr-defined]
            if name in GONE:
                reason = f"there is no such fixture: {GONE[name]}"
                refusals.append(Refusal(positions[node].start.line, str(name), reason + BY_HAND))
        for node in m.findall(wrapper.module, m.FunctionDef(name=m.Name("celery_config"))):
            for key in _keys(node):
                if key not in OPTIONS and key not in WITHOUT_EFFECT:
                    reason = "the plugin has no such option" + BY_HAND
                    refusals.append(Refusal(positions[node].start.line, f"celery_config: {key}", reason))
        annotated = cst.parse_module(self._annotated(source))
        return Outcome(cst.ensure_type(annotated.visit(_Rename(self)), cst.Module).code, tuple(refusals))

    def _annotated(self, source: str) -> str:
        """Return the source with the types of what the fixtures give."""
        for (module, name), (other, new) in ANNOTATIONS.items():
            wrapper = parse(source)
            if (alias := import_of(wrapper.module, module, name)) is None:
                continue
            uses, parents = (
                uses_of(wrapper, alias.evaluated_alias or name),
                wrapper.resolve(ParentNodeProvider),
            )
            if all(in_annotation(use, parents) for use in uses):
                source = replace_import(wrapper.module, alias, other or self.plugin, new, uses)
        return source


class _Rename(cst.CSTTransformer):
    def __init__(self, rule: SuiteFixtures) -> None:
        super().__init__()
        self.rule = rule

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        return updated_node.with_changes(value=FIXTURES.get(updated_node.value, updated_node.value))

    def leave_SimpleString(
        self, original_node: cst.SimpleString, updated_node: cst.SimpleString
    ) -> cst.SimpleString:
        name = _text(updated_node)
        if name not in FIXTURES:
            return updated_node
        return updated_node.with_changes(value=updated_node.value.replace(name, FIXTURES[name]))

    def leave_Attribute(
        self, original_node: cst.Attribute, updated_node: cst.Attribute
    ) -> cst.BaseExpression:
        if not m.matches(updated_node, m.Attribute(m.Name("taskiq_broker"), m.Name("tasks"))):
            return updated_node
        return cst.Call(updated_node.with_changes(attr=cst.Name("get_all_tasks")))

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.RemovalSentinel:
        name = original_node.name.value
        if name in GONE and any("fixture" in code_of(one.decorator) for one in original_node.decorators):
            return cst.RemoveFromParent()
        if name == "celery_config":
            return cst.ensure_type(updated_node.visit(_Config()), cst.FunctionDef)
        if name == "celery_includes":
            return cst.ensure_type(updated_node.visit(_Without(CELERY_PING)), cst.FunctionDef)
        return updated_node

    def leave_Assign(self, original_node: cst.Assign, updated_node: cst.Assign) -> cst.Assign:
        if not m.matches(updated_node, m.Assign(targets=[m.AssignTarget(m.Name("pytest_plugins"))])):
            return updated_node
        names = [_text(node) for node in m.findall(updated_node.value, m.SimpleString())]
        if not {CELERY_PLUGIN, self.rule.replaced} & set(names):
            return updated_node
        return cst.ensure_type(updated_node.visit(_Plugins(self.rule, names)), cst.Assign)


class _Plugins(cst.CSTTransformer):
    """Puts the plugin in the place of the first of those that it replaces, and drops the other."""

    def __init__(self, rule: SuiteFixtures, names: list[str | None]) -> None:
        super().__init__()
        self.rule, self.done = rule, rule.plugin in names

    def _replaced(self, node: cst.CSTNode) -> bool:
        return isinstance(node, cst.SimpleString) and _text(node) in (CELERY_PLUGIN, self.rule.replaced)

    def leave_SimpleString(
        self, original_node: cst.SimpleString, updated_node: cst.SimpleString
    ) -> cst.SimpleString:
        return cst.SimpleString(f'"{self.rule.plugin}"') if self._replaced(updated_node) else updated_node

    def leave_Element(
        self, original_node: cst.Element, updated_node: cst.Element
    ) -> cst.Element | cst.RemovalSentinel:
        if self._replaced(original_node.value):
            if self.done:
                return cst.RemoveFromParent()
            self.done = True
        return updated_node

    def leave_Tuple(self, original_node: cst.Tuple, updated_node: cst.Tuple) -> cst.Tuple:
        shorter = _ended_alike(original_node, updated_node)
        if len(shorter.elements) != 1 or len(original_node.elements) == 1:
            return shorter
        # One element and no comma would be no tuple.
        last = shorter.elements[0]
        comma = last.comma if isinstance(last.comma, cst.Comma) else cst.Comma()
        return shorter.with_changes(elements=[last.with_changes(comma=comma)])

    def leave_List(self, original_node: cst.List, updated_node: cst.List) -> cst.List:
        return _ended_alike(original_node, updated_node)


class _Config(cst.CSTTransformer):
    def leave_DictElement(
        self, original_node: cst.DictElement, updated_node: cst.DictElement
    ) -> cst.DictElement | cst.RemovalSentinel:
        key = _text(original_node.key)
        if key in WITHOUT_EFFECT:
            return cst.RemoveFromParent()
        if key in OPTIONS:
            return updated_node.with_changes(key=cst.SimpleString(f'"{OPTIONS[key]}"'))
        return updated_node

    def leave_Dict(self, original_node: cst.Dict, updated_node: cst.Dict) -> cst.Dict:
        return updated_node if updated_node.elements else cst.Dict([])


class _Without(cst.CSTTransformer):
    """Takes one string out of lists and tuples."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def leave_Element(
        self, original_node: cst.Element, updated_node: cst.Element
    ) -> cst.Element | cst.RemovalSentinel:
        return cst.RemoveFromParent() if _text(original_node.value) == self.text else updated_node

    def leave_List(self, original_node: cst.List, updated_node: cst.List) -> cst.List:
        return _ended_alike(original_node, updated_node)


Several = TypeVar("Several", cst.Tuple, cst.List)


def _ended_alike(before: Several, after: Several) -> Several:
    """Return what is left of a list or tuple, with the end that it had."""
    if len(after.elements) == len(before.elements) or not after.elements:
        return after
    last = after.elements[-1].with_changes(comma=before.elements[-1].comma)
    return after.with_changes(elements=[*after.elements[:-1], last])


def _text(node: cst.CSTNode | None) -> str | None:
    """The value of a plain string."""
    if not isinstance(node, cst.SimpleString):
        return None
    value = node.evaluated_value
    return value if isinstance(value, str) else None


def _keys(function: cst.CSTNode) -> list[str]:
    """The keys of the dictionaries in a function."""
    elements = [cst.ensure_type(one, cst.DictElement) for one in m.findall(function, m.DictElement())]
    return [_text(one.key) or code_of(one.key) for one in elements]
