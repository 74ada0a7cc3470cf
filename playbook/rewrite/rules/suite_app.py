"""What tests ask of the Celery application, they ask of the modules that have it now."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor, RemoveImportsVisitor
from libcst.metadata import PositionProvider, QualifiedNameProvider

from playbook.rewrite.imported import import_of, replace_import
from playbook.rewrite.names import dotted_names
from playbook.rewrite.rule import Outcome, Refusal, code_of, parse

CURRENT, FIXTURE, MODULES = "celery.current_app", "taskiq_broker", "TASK_MODULES"
SUITE = {
    "conf.task_default_queue": "suite.default_queue",
    "conf.task_always_eager": "suite.always_eager",
    "conf.task_eager_propagates": "suite.eager_propagates",
    "conf.accept_content": "suite.accept_content",
}
"""What the worker of the tests has."""

SENT = ("before_task_publish", "after_task_publish")
BY_HAND = "; there is no Celery application: write it by hand"
IMPORTS = m.SimpleStatementLine(body=[m.Import() | m.ImportFrom(), m.ZeroOrMore()])


@dataclass(frozen=True)
class SuiteApp:
    """`app.conf.beat_schedule` becomes `beat_schedule`, `app.tasks` the tasks of the broker, and so on.

    The same for the application's fixture and for `current_app`, and in code that a test has as text. Signals
    that tell what is sent come from the plugin.

    Attributes:
        module: the dotted name of the file.
        app: the Celery application, `package.module:name`.
        worker: the package with the runtime.
        modules: those that define tasks.
    """

    module: str
    app: str
    worker: str
    modules: Sequence[str]

    def apply(self, source: str) -> Outcome:
        """Rewrite one test file."""
        plugin = f"{self.worker}.pytest_plugin"
        for name in SENT:
            source = _imported(source, "celery.signals", name, plugin)
        source = _imported(source, "celery.schedules", "crontab", f"{self.worker}.schedules")
        wrapper = parse(source)
        found = _Uses(self)
        wrapper.visit(found)
        if found.refusals or not (found.places or found.texts):
            return Outcome(source, tuple(found.refusals))
        changed = cst.ensure_type(wrapper.module.visit(_Rewrite(found)), cst.Module)
        if MODULES in found.names:
            changed = _with_modules(changed, self.modules)
        context = CodemodContext()
        owners = {
            "beat_schedule": f"{self.worker}.beat_schedule",
            "broker": f"{self.worker}.broker",
            "suite": plugin,
            "import_from_modules": "taskiq.cli.utils",
        }
        for name in sorted(found.names & owners.keys()):
            AddImportsVisitor.add_needed_import(context, owners[name], name)
        owner, _, attribute = self.app.partition(":")
        RemoveImportsVisitor.remove_unused_import(context, owner, attribute)
        RemoveImportsVisitor.remove_unused_import(context, owner)
        RemoveImportsVisitor.remove_unused_import(context, "celery", "current_app")
        for visitor in (AddImportsVisitor, RemoveImportsVisitor):
            changed = visitor(context).transform_module(changed)
        return Outcome(changed.code, ())

    def replaced_in_text(self, text: str) -> str:
        """Return code in a string with the beat schedule from where it is now."""
        owner, _, name = self.app.partition(":")
        imported = f"from {self.worker}.beat_schedule import beat_schedule"
        text = re.sub(rf"from {re.escape(owner)} import {name}\b", imported, text)
        return re.sub(rf"\b{name}\.conf\.beat_schedule\b", "beat_schedule", text)


class _Uses(m.MatcherDecoratableVisitor):
    """Finds what is asked of the application."""

    METADATA_DEPENDENCIES = (QualifiedNameProvider, PositionProvider)

    def __init__(self, rule: SuiteApp) -> None:
        super().__init__()
        self.rule = rule
        self.dotted = {rule.app.replace(":", "."), CURRENT}
        self.places: dict[cst.CSTNode, str] = {}
        self.texts: dict[cst.CSTNode, str] = {}
        self.names: set[str] = set()
        self.refusals: list[Refusal] = []
        self.known: set[cst.CSTNode] = set()

    def _is_app(self, node: cst.CSTNode) -> bool:
        names = dotted_names(self.get_metadata(QualifiedNameProvider, node, set()), self.rule.module)
        return bool(names & self.dotted)

    def visit_SimpleString(self, node: cst.SimpleString) -> None:
        """Look at code in a string."""
        if (text := self.rule.replaced_in_text(node.value)) != node.value:
            self.texts[node] = text

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        """What is imported is no use."""
        return False

    def visit_Import(self, node: cst.Import) -> bool:
        """What is imported is no use."""
        return False

    def visit_Call(self, node: cst.Call) -> None:
        """Look at `app.loader.import_default_modules()`."""
        if (asked := self._asked(node.func)) == "loader.import_default_modules":
            self._replace(node, f"import_from_modules({MODULES})", node.func)
        elif asked == "set_current" or asked == "set_default":
            self._refuse(node, "nothing is current")

    def visit_Attribute(self, node: cst.Attribute) -> None:
        """Look at one attribute of the application, or of its configuration."""
        if node in self.known or (asked := self._asked(node)) is None or asked == "conf":
            return
        # The fixture is the broker already; only its configuration is not there.
        if _root(node) == FIXTURE and not asked.startswith("conf."):
            return
        if asked in SUITE:
            self._replace(node, SUITE[asked], node)
        elif asked == "conf.beat_schedule":
            self._replace(node, "beat_schedule", node)
        elif asked in ("conf.include", "conf.imports"):
            self._replace(node, MODULES, node)
        elif asked == "tasks":
            self._replace(node, "broker.get_all_tasks()", node)
        else:
            self._refuse(node, f"{asked} has no counterpart")

    def visit_Name(self, node: cst.Name) -> None:
        """The application itself, where it is not one of the above."""
        if node not in self.known and self._is_app(node):
            self._refuse(node, "the application itself is used")

    def _asked(self, node: cst.CSTNode) -> str | None:
        """What follows the application in `app.conf.x`, None if this is about something else."""
        names: list[str] = []
        while isinstance(node, cst.Attribute) and not self._is_app(node):
            names.insert(0, node.attr.value)
            node = node.value
        if not names or not (self._is_app(node) or m.matches(node, m.Name(FIXTURE))):
            return None
        return ".".join(names)

    def _replace(self, node: cst.CSTNode, text: str, chain: cst.CSTNode) -> None:
        self.places[node] = text
        self.names |= set(re.findall(r"\w+", text))
        self._forget(chain)

    def _refuse(self, node: cst.CSTNode, reason: str) -> None:
        line = self.get_metadata(PositionProvider, node).start.line
        self.refusals.append(Refusal(line, code_of(node), reason + BY_HAND))
        self._forget(node)

    def _forget(self, node: cst.CSTNode) -> None:
        """Note a chain of attributes as looked at."""
        self.known |= set(m.findall(node, m.Attribute() | m.Name()))


class _Rewrite(cst.CSTTransformer):
    def __init__(self, found: _Uses) -> None:
        super().__init__()
        self.found = found

    def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> cst.CSTNode:  # type: ignore[override]
        if (text := self.found.places.get(original_node)) is not None:
            return cst.parse_expression(text)
        if (text := self.found.texts.get(original_node)) is not None:
            return updated_node.with_changes(value=text)
        return super().on_leave(original_node, updated_node)  # type: ignore[return-value]


def _imported(source: str, module: str, name: str, other: str) -> str:
    wrapper = parse(source)
    alias = import_of(wrapper.module, module, name)
    return source if alias is None else replace_import(wrapper.module, alias, other, name)


def _with_modules(module: cst.Module, modules: Sequence[str]) -> cst.Module:
    """Add the modules that define tasks after a file's imports."""
    lines = "".join(f'    "{name}",\n' for name in modules)
    statement = cst.parse_statement(f"\n{MODULES} = (\n{lines})\n")
    at = max((i for i, line in enumerate(module.body) if m.matches(line, IMPORTS)), default=-1) + 1
    return module.with_changes(body=[*module.body[:at], statement, *module.body[at:]])


def _root(node: cst.CSTNode) -> str:
    while isinstance(node, cst.Attribute):
        node = node.value
    return node.value if isinstance(node, cst.Name) else ""
