"""The slice of phase 01_poc: the broker and what belongs to it, and one task's twin."""

from __future__ import annotations

import libcst as cst

from playbook.config import Application
from playbook.contracts import Slice
from playbook.errors import ConfigError
from playbook.rewrite.edit import Edit, settings_fields
from playbook.rewrite.rule import code_of
from playbook.rewrite.rules.requirements import Requirements
from playbook.rewrite.rules.twins import TASK_DECORATORS, Twins
from playbook.rewrite.rules.wire_signature import WireSignature
from playbook.tree import Tree

WORKER_MODULES = (
    "__main__",
    "batches",
    "broker",
    "builtin_tasks",
    "canvas",
    "connections",
    "context",
    "deadletters",
    "dependencies",
    "errors",
    "executors",
    "health",
    "in_place",
    "intake",
    "keeper",
    "keys",
    "lua",
    "lua_steps",
    "lua_workflows",
    "messages",
    "metrics",
    "middleware",
    "plans",
    "probes",
    "processes",
    "reader",
    "results",
    "retries",
    "retry_arguments",
    "running",
    "sending",
    "serialization",
    "signals",
    "state",
    "steps",
    "streams",
    "tasks",
    "twins",
    "wire",
)
PREFIX = "TASKIQ_"
ROUTES = "TASKIQ_ROUTE"
"""Begins the names of the settings that are of use once calls are routed."""
REQUIREMENTS = ("pebble>=5.2,<6", "prometheus-client>=0.22,<1", "taskiq>=0.13,<0.14", "taskiq-redis>=1.2,<2")


def slice_(application: Application, tree: Tree) -> Slice:
    """Add the TaskIQ broker, its settings, requirements and health task, and one twin.

    Args:
        application: names the broker and the task whose twin is made (`[phases.01_poc] twin`).
        tree: the working copy's files.

    Raises:
        ConfigError: `playbook.toml` does not name a twin, or names a broker that the slice cannot make.
    """
    edit = Edit(application, tree)
    for module in WORKER_MODULES:
        edit.copy(module)
    edit.add_settings(settings_fields(PREFIX, but=ROUTES))
    edit.apply(f"{application.root}/pyproject.toml", Requirements(REQUIREMENTS))
    _state_wire_signatures(edit)
    _add_twin(edit)
    return edit.done()


def _state_wire_signatures(edit: Edit) -> None:
    """Rewrite the decorators that stand on tasks and inject arguments."""
    sources = {path: edit.tree[path] for path in edit.files(".py")}
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


def _add_twin(edit: Edit) -> None:
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
