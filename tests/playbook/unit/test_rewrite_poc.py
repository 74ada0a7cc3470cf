"""The slice of the proof of concept on the bundled application: what it changes, and what it leaves alone."""

import ast
from pathlib import Path

import pytest

from playbook.config import Application, load_application
from playbook.contracts import Slice
from playbook.errors import ConfigError
from playbook.rewrite.poc import WORKER_MODULES, slice_
from playbook.tree import Tree, read_tree

ROOT = Path(__file__).parents[3]
PIPELINE = "reflector/pipelines/main_file_pipeline.py"
SETTINGS = "reflector/settings.py"
DECORATORS = "reflector/worker/session_decorator.py"


@pytest.fixture(scope="module")
def application() -> Application:
    return load_application(ROOT / "playbook.toml")


@pytest.fixture(scope="module")
def before(application: Application) -> Tree:
    return read_tree(application.base, application.folders)


@pytest.fixture(scope="module")
def after(application: Application, before: Tree) -> Slice:
    return slice_(application, before)


def test_nothing_is_refused_in_the_bundled_application(after: Slice) -> None:
    assert after.refusals == ()


def test_only_what_the_phase_needs_is_changed(before: Tree, after: Slice) -> None:
    changes = {change.path: change.kind for change in before.changes(after.tree)}
    added = {f"reflector/worker/{module}.py" for module in WORKER_MODULES}
    changed = {PIPELINE, SETTINGS, DECORATORS, "reflector/pyproject.toml", "reflector/env.example"}
    assert changes == dict.fromkeys(added, "added") | dict.fromkeys(changed, "changed")


def test_no_line_of_the_application_is_removed(before: Tree, after: Slice) -> None:
    removed = {change.path: change.removed for change in before.changes(after.tree) if change.removed}
    assert removed == {}


def test_a_second_application_changes_nothing(application: Application, after: Slice) -> None:
    again = slice_(application, after.tree)
    assert after.tree.changes(again.tree) == []
    assert again.refusals == ()


def test_every_python_file_compiles(after: Slice) -> None:
    for path, source in after.tree.items():
        if path.endswith(".py"):
            compile(source, path, "exec")


def test_what_is_copied_knows_neither_the_playbook_nor_celery(after: Slice) -> None:
    for module in WORKER_MODULES:
        imports = _imported(after.tree[f"reflector/worker/{module}.py"])
        foreign = {"playbook", ""} if module in ("signals", "twins") else {"playbook", "celery", ""}
        assert not {name for name in imports if name.partition(".")[0] in foreign}


def _imported(source: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(source)))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_a_file_that_cannot_be_parsed_is_refused_and_the_rest_is_done(
    application: Application, before: Tree
) -> None:
    broken = slice_(application, before.with_file(SETTINGS, "class Settings(:\n"))
    assert [(r.path, r.construct) for r in broken.refusals] == [(SETTINGS, "file")]
    assert "cannot parse" in broken.refusals[0].reason
    assert broken.tree[SETTINGS] == "class Settings(:\n"
    assert "_taskiq = twin(" in broken.tree[PIPELINE]


def test_a_file_of_the_application_is_not_overwritten(application: Application, before: Tree) -> None:
    mine = before.with_file("reflector/worker/health.py", "VALUE = 1\n")
    sliced = slice_(application, mine)
    assert sliced.tree["reflector/worker/health.py"] == "VALUE = 1\n"
    assert [(r.path, r.line) for r in sliced.refusals] == [("reflector/worker/health.py", 1)]


def test_a_missing_file_is_refused(application: Application, before: Tree) -> None:
    sliced = slice_(application, before.without(SETTINGS))
    assert [(r.path, r.reason) for r in sliced.refusals] == [
        (SETTINGS, "it does not exist; SettingsFields had no effect")
    ]


def test_a_broker_under_another_name_is_a_configuration_error(application: Application, before: Tree) -> None:
    other = application.model_copy(update={"broker": "reflector.worker.queue:broker"})
    with pytest.raises(ConfigError, match=r"PACKAGE\.broker:broker"):
        slice_(other, before)
