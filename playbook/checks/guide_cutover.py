"""The guide's claims about the cutover and the tests' new setup, decided by the cut-over application."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping

from playbook.checks.guide import Facts, GuideClaim
from playbook.config import Application
from playbook.rewrite.suite import test_files
from playbook.tree import Tree

SYNC_CALL = re.compile(r"\.(?:delay|apply_async)_sync\(")
CELERY_FIXTURE = re.compile(r"\bcelery_(?:session_)?(?:app|worker|config|includes)\b")
SCHEMA = re.compile(r"\bmapped_column\(|\bTable\(|\bColumn\(")


def facts(
    application: Application,
    baseline: Tree,
    after: Tree,
    runtime: frozenset[str],
    outcome: Mapping[str, bool],
) -> Facts:
    """What the claims below are decided by.

    Args:
        application: names package, tests and loop bridges.
        baseline: the files before the migration.
        after: the files after the cutover.
        runtime: paths of the modules that were copied into the application.
        outcome: of the checks of this phase, by name.
    """
    tests = {name: list(test_files(application, tree)) for name, tree in (("old", baseline), ("new", after))}
    code = {
        path: text
        for path, text in after.items()
        if path.endswith(".py") and path not in runtime and path not in tests["new"]
    }
    bridges = [bridge.rpartition(".")[2] for bridge in application.loop_bridges]
    bridge = re.compile(rf"^@(?:{'|'.join(bridges) or '(?!)'})\b", re.MULTILINE)
    needed = _dependencies(application, after)
    return {
        "left": ", ".join(sorted(needed & {"celery", "flower", "kombu", "billiard"})) or "none",
        "needed": ", ".join(sorted(name for name in needed if name.startswith("taskiq"))) or "none",
        "pipelines": "taskiq-pipelines" in needed,
        "bridged": sum(len(bridge.findall(text)) for text in code.values()),
        "sync_calls": sum(len(SYNC_CALL.findall(text)) for text in code.values()),
        "sync_files": ", ".join(path for path, text in code.items() if SYNC_CALL.search(text)) or "none",
        "old_fixtures": sum(len(CELERY_FIXTURE.findall(baseline[path])) for path in tests["old"]),
        "new_fixtures": sum(len(CELERY_FIXTURE.findall(after[path])) for path in tests["new"]),
        "tests_pass": outcome["tests_pass"],
        "same_tests": outcome["same_tests"],
        "processes": outcome["processes"],
        "schema": ", ".join(_schema_changes(baseline, after)) or "none",
    }


def _dependencies(application: Application, tree: Tree) -> set[str]:
    text = tree.get(f"{application.root}/pyproject.toml", "")
    asked = tomllib.loads(text).get("project", {}).get("dependencies", [])
    return {re.split(r"[\[<>=!~; ]", str(one))[0].lower() for one in asked}


def _schema_changes(baseline: Tree, after: Tree) -> Iterator[str]:
    for path, text in baseline.items():
        if path.endswith(".py") and SCHEMA.search(text) and after.get(path) != text:
            yield path


CLAIMS = (
    GuideClaim(
        "1. Installation",
        "Celery and Flower leave the dependencies.",
        True,
        lambda f: f["left"] == "none",
        "Of Celery's packages the application still asks for: {left}.",
    ),
    GuideClaim(
        "1. Installation",
        "taskiq, taskiq-redis and taskiq-pipelines take their place.",
        False,
        lambda f: bool(f["pipelines"]),
        "The application asks for: {needed}.",
        "Chains, groups and chords are modules of the application's own: taskiq-pipelines has no group "
        "and no chord, and loses what follows a step (03_pipelines).",
    ),
    GuideClaim(
        "Advantages of TaskIQ",
        "There is no need for @asynctask.",
        True,
        lambda f: f["bridged"] == 0,
        "Functions under a loop bridge after the cutover: {bridged}.",
    ),
    GuideClaim(
        "Key points, 2: invocation",
        "All invocations become async/await.",
        False,
        lambda f: f["sync_calls"] == 0,
        "Calls from synchronous code after the cutover: {sync_calls} ({sync_files}).",
        "Synchronous code calls delay_sync or apply_async_sync; async code awaits delay or apply_async.",
    ),
    GuideClaim(
        "Testing migration",
        "Fixtures for TaskIQ take the place of Celery's, and the tests remain.",
        True,
        lambda f: f["new_fixtures"] == 0 and f["same_tests"] and f["tests_pass"],
        "Mentions of Celery's fixtures: {old_fixtures} before, {new_fixtures} after; the same tests are "
        "collected: {same_tests}; they pass without Celery: {tests_pass}.",
    ),
    GuideClaim(
        "Command line changes",
        "Workers and scheduler start from TaskIQ's commands alone.",
        True,
        lambda f: bool(f["processes"]),
        "Server, worker and scheduler start from the changed start script, without Celery: {processes}.",
        "The commands name the modules with tasks; without them every message is refused (01_poc).",
    ),
    GuideClaim(
        "Rollback plan",
        "No schema changes are required.",
        True,
        lambda f: f["schema"] == "none",
        "Modules with tables that the migration has changed: {schema}.",
    ),
)
