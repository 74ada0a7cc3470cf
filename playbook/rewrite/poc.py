"""The slice of phase 01_poc: the broker and what belongs to it, and one task's twin."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import libcst as cst

from playbook.config import Application
from playbook.contracts import Refusal, Slice
from playbook.errors import ConfigError
from playbook.rewrite.rule import Rule, code_of
from playbook.rewrite.rules.absolute_imports import AbsoluteImports
from playbook.rewrite.rules.requirements import Requirements
from playbook.rewrite.rules.settings_fields import SettingsFields
from playbook.rewrite.rules.twins import TASK_DECORATORS, Twins
from playbook.rewrite.rules.wire_signature import WireSignature
from playbook.tree import Tree

SCAFFOLD = Path(__file__).parent.parent / "scaffold"
WORKER_MODULES = (
    "__main__",
    "broker",
    "connections",
    "context",
    "deadletters",
    "dependencies",
    "errors",
    "executors",
    "health",
    "keeper",
    "keys",
    "lua",
    "messages",
    "middleware",
    "results",
    "retries",
    "retry_arguments",
    "running",
    "sending",
    "serialization",
    "streams",
    "tasks",
    "twins",
    "wire",
)
ROUTES = "TASKIQ_ROUTE"
"""Begins the names of the settings that are of use once calls are routed."""
REQUIREMENTS = ("pebble>=5.2,<6", "taskiq>=0.13,<0.14", "taskiq-redis>=1.2,<2")


def slice_(application: Application, tree: Tree) -> Slice:
    """Add the TaskIQ broker, its settings, requirements and health task, and one twin.

    Args:
        application: names the broker and the task whose twin is made (`[phases.01_poc] twin`).
        tree: the working copy's files.

    Raises:
        ConfigError: `playbook.toml` does not name a twin, or names a broker that the slice cannot make.
    """
    edit = _Edit(application, tree)
    for module in WORKER_MODULES:
        edit.copy(module)
    edit.apply(f"{application.root}/settings.py", SettingsFields(_settings_fields()))
    edit.apply(f"{application.root}/pyproject.toml", Requirements(REQUIREMENTS))
    _state_wire_signatures(edit)
    _add_twin(edit)
    return Slice(edit.tree, tuple(edit.refusals))


class _Edit:
    """The tree under change, and what was refused on the way."""

    def __init__(self, application: Application, tree: Tree) -> None:
        module = application.broker.partition(":")[0]
        self.worker = module.rpartition(".")[0]
        if application.broker != f"{self.worker}.broker:broker" or not self.worker:
            raise ConfigError(
                f"application.broker = {application.broker!r}: name it PACKAGE.broker:broker, "
                "in the package that is to hold the worker modules"
            )
        self.application = application
        self.tree = tree
        self.refusals: list[Refusal] = []

    def apply(self, path: str, rule: Rule) -> None:
        """Apply a rule to one file; a file that is missing or not Python is refused."""
        if path not in self.tree:
            return self.refuse(path, 1, "file", f"it does not exist; {type(rule).__name__} had no effect")
        try:
            outcome = rule.apply(self.tree[path])
        except cst.ParserSyntaxError as error:
            return self.refuse(path, error.raw_line, "file", f"libcst cannot parse it: {error.message}")
        for refusal in outcome.refusals:
            self.refuse(path, refusal.line, refusal.construct, refusal.reason)
        self.tree = self.tree.with_file(path, outcome.source)

    def copy(self, module: str) -> None:
        """Copy a scaffold module into the worker package, unless something else is there."""
        source = (SCAFFOLD / "worker" / f"{module}.py").read_text(encoding="utf-8")
        path = self.application.module_path(f"{self.worker}.{module}")
        text = AbsoluteImports(self.worker).apply(source).source
        if self.tree.get(path, text) != text:
            return self.refuse(path, 1, "file", "the application has a file of this name; rename that one")
        self.tree = self.tree.with_file(path, text)

    def refuse(self, path: str, line: int, construct: str, reason: str) -> None:
        self.refusals.append(Refusal(path, line, construct, reason))


def _settings_fields() -> str:
    """The fields of the scaffold's settings that are TaskIQ's own, with their comments."""
    module = cst.parse_module((SCAFFOLD / "settings.py").read_text(encoding="utf-8"))
    (settings,) = (node for node in module.body if isinstance(node, cst.ClassDef))
    lines = [code_of(node) for node in settings.body.body]
    return "".join(line for line in lines if "TASKIQ_" in line and ROUTES not in line)


def _state_wire_signatures(edit: _Edit) -> None:
    """Rewrite the decorators that stand on tasks and inject arguments."""
    root = PurePosixPath(edit.application.root)
    sources = {
        path: text
        for path, text in edit.tree.items()
        if path.endswith(".py") and PurePosixPath(path).is_relative_to(root)
    }
    names = {name for text in sources.values() if "celery" in text for name in _decorators_of_tasks(text)}
    rule = WireSignature(f"{edit.worker}.wire", sorted(names))
    for path, text in sources.items():
        if any(f"def {name}(" in text for name in names):
            edit.apply(path, rule)


def _decorators_of_tasks(source: str) -> set[str]:
    """Names of the decorators below Celery's on the functions of a file; none if it cannot be parsed."""
    try:
        module = cst.parse_module(source)
    except cst.ParserSyntaxError:
        return set()
    found: set[str] = set()
    for node in module.body:
        if isinstance(node, cst.FunctionDef):
            names = [code_of(d.decorator).partition("(")[0].rpartition(".")[2] for d in node.decorators]
            if "shared_task" in names or "task" in names:
                found |= set(names)
    return found - {name.rpartition(".")[2] for name in TASK_DECORATORS} - {"task"}


def _add_twin(edit: _Edit) -> None:
    task = edit.application.poc_task
    if task is None:
        raise ConfigError("phases.01_poc.twin is missing in playbook.toml; name the task to start with")
    module, _, name = task.rpartition(".")
    rule = Twins(
        module=module,
        tasks=(name,),
        twins_module=f"{edit.worker}.twins",
        bridges=edit.application.loop_bridges,
    )
    edit.apply(edit.application.module_path(module), rule)
