"""The application's tests at cutover: on TaskIQ alone, none fewer and none weaker."""

from __future__ import annotations

import re
from collections.abc import Iterator

import libcst as cst
import libcst.matchers as m

from playbook.rewrite.edit import Edit
from playbook.rewrite.rules.celery_names import CeleryNames
from playbook.rewrite.rules.native_tasks import NativeTasks
from playbook.rewrite.rules.suite_app import SuiteApp
from playbook.rewrite.rules.suite_calls import SuiteCalls
from playbook.rewrite.rules.suite_fixtures import SuiteFixtures
from playbook.rewrite.rules.suite_variables import SuiteVariables
from playbook.rewrite.rules.wording import Wording
from playbook.rewrite.suite import test_files
from playbook.rewrite.unused import without_unused

PLUGIN, DUAL_PLUGIN = "pytest_plugin", "testing"
TASK = m.Attribute(m.Name("broker"), m.Name("task"))
DEFINITION = m.Decorator(decorator=TASK | m.Call(func=TASK))


def rewrite_suite(edit: Edit) -> None:
    """Rewrite the tests for TaskIQ alone.

    Args:
        edit: the application's files cut over already, the tests as they were in dual mode.
    """
    application = edit.application
    app, _, name = application.celery_app.partition(":")
    tests = list(test_files(application, edit.tree))
    for path in tests:
        if "task" in edit.tree[path]:
            bridges, broker = application.loop_bridges, f"{edit.worker}.broker"
            rule = NativeTasks(edit.module_of(path), broker, f"{edit.worker}.twins", bridges, f"{app}.{name}")
            edit.apply(path, rule)
    own, theirs = list(edit.files(".py")), _tasks(edit, tests)
    ours = _tasks(edit, own)
    if not (ours or theirs):
        return
    edit.copy(PLUGIN)
    modules = sorted({task.rpartition(".")[0] for task in ours})
    if application.module_path(app) in edit.tree:
        modules.insert(0, app)
    plugin, replaced = f"{edit.worker}.{PLUGIN}", f"{edit.worker}.{DUAL_PLUGIN}"
    for path in tests:
        module, before = edit.module_of(path), edit.tree[path]
        edit.apply(path, SuiteFixtures(plugin, replaced))
        edit.apply(path, SuiteApp(module, application.celery_app, edit.worker, modules))
        edit.apply(path, SuiteCalls(module, [*ours, *theirs]))
        edit.apply(path, SuiteVariables())
        edit.apply(path, CeleryNames(edit.worker))
        _tidy(edit, path, before)
        edit.apply(path, Wording(edit.worker, "", python=True))


def _tidy(edit: Edit, path: str, before: str) -> None:
    """Take out imports that nothing uses any more; point the others to where things are now."""
    old = rf"^from {re.escape(edit.worker)}\.handles import "
    text = re.sub(old, f"from {edit.worker}.sent import ", edit.tree[path], flags=re.MULTILINE)
    edit.tree = edit.tree.with_file(path, without_unused(before, text) if text != before else text)


def _tasks(edit: Edit, paths: list[str]) -> list[str]:
    """Return the dotted names of the tasks that files define."""
    return [f"{edit.module_of(path)}.{name}" for path in paths for name in _defined(edit.tree[path])]


def _defined(source: str) -> Iterator[str]:
    if "broker.task" not in source:
        return
    for node in m.findall(cst.parse_module(source), m.FunctionDef()):
        function = cst.ensure_type(node, cst.FunctionDef)
        if any(m.matches(decorator, DEFINITION) for decorator in function.decorators):
            yield function.name.value
