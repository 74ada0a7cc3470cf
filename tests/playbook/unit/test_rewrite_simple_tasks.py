"""The slice of the simple tasks on the bundled application: every call and task is converted or refused."""

import ast
import re
from pathlib import Path

import pytest

from playbook.config import Application, load_application
from playbook.contracts import Slice
from playbook.inventory import inventory
from playbook.inventory.plan import plan
from playbook.rewrite import cutover, cutover_suite, poc, schedules, simple_tasks, suite
from playbook.tree import Tree, read_tree

ROOT = Path(__file__).parents[3]
ROOMS = "reflector/views/rooms.py"
SCRIPT = "reflector/runserver.sh"


@pytest.fixture(scope="module")
def application() -> Application:
    return load_application(ROOT / "playbook.toml")


@pytest.fixture(scope="module")
def before(application: Application) -> Tree:
    return poc.slice_(application, read_tree(application.base, application.folders)).tree


@pytest.fixture(scope="module")
def after(application: Application, before: Tree) -> Slice:
    return simple_tasks.slice_(application, before)


def test_what_is_planned_is_converted(application: Application, after: Slice) -> None:
    found = inventory(application.root_path)
    items = {
        (item.list, item.path, item.line)
        for phase in plan(found).phases
        for item in phase.items
        if phase.phase == "02_simple_tasks"
    }
    tasks = [task for task in found.tasks if ("tasks", task.path, task.line) in items]
    calls = [call for call in found.calls if ("calls", call.path, call.line) in items]
    assert len(tasks) >= 4
    assert len(calls) >= 6
    for task in tasks:
        assert f"{task.function}_taskiq = twin(" in after.tree[f"reflector/{task.path}"]
    for call in calls:
        name = str(call.task).rpartition(".")[2]
        source = after.tree[f"reflector/{call.path}"]
        assert not re.search(rf"\b{name}\.(delay|apply_async)\(", source)


def test_calls_that_a_canvas_or_a_later_phase_needs_stay(after: Slice) -> None:
    assert "post_chain.delay()" in after.tree["reflector/pipelines/main_file_pipeline.py"]
    assert "task_pipeline_file_process.delay(" in after.tree["reflector/worker/process.py"]


def test_async_code_awaits_and_sync_code_does_not(after: Slice) -> None:
    assert "    await dispatch(sync_room_ics, room.id)\n" in after.tree[ROOMS]
    live = after.tree["reflector/pipelines/main_live_pipeline.py"]
    assert "return dispatch_sync(task_pipeline_process, transcript_id=transcript_id).id\n" in live
    process = after.tree["reflector/worker/process.py"]
    assert (
        "await dispatch_apply(process_recording, args=(bucket_name, object_key), countdown=countdown)"
        in process
    )


def test_no_celery_task_is_changed(before: Tree, after: Slice) -> None:
    """The decorators, names and options of the tasks are the same, in the same order."""
    for path, source in before.items():
        if path.startswith("reflector/") and path.endswith(".py"):
            assert _tasks(after.tree[path]) == _tasks(source)


def _tasks(source: str) -> list[tuple[str, list[str]]]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, functions)]
    decorated = [(node.name, [ast.unparse(d) for d in node.decorator_list]) for node in found]
    return [(name, names) for name, names in decorated if any("task" in text for text in names)]


def test_what_is_refused_says_where_and_what_to_do(after: Slice) -> None:
    assert [(r.path, r.construct) for r in after.refusals] == [
        (SCRIPT, "start script"),
        (SCRIPT, "start script"),
    ]
    assert all("by hand" in refusal.reason for refusal in after.refusals)


def test_a_second_application_changes_nothing(application: Application, after: Slice) -> None:
    again = simple_tasks.slice_(application, after.tree)
    assert after.tree.changes(again.tree) == []


def test_every_python_file_compiles(after: Slice) -> None:
    for path, source in after.tree.items():
        if path.endswith(".py"):
            compile(source, path, "exec")


def test_what_is_copied_stays_as_it_is(before: Tree, after: Slice) -> None:
    """The rules must not rewrite the runtime itself, which imports Celery's `current_task` on purpose."""
    for module in poc.WORKER_MODULES:
        path = f"reflector/worker/{module}.py"
        assert after.tree[path] == before[path]
    assert "from celery import current_task as celery_task" in after.tree["reflector/worker/routing.py"]
    for path, source in after.tree.items():
        assert not path.startswith("reflector/") or "playbook" not in source


def test_the_worker_is_started_with_every_module_that_has_tasks(
    application: Application, after: Slice
) -> None:
    branch = re.search(r"taskiq-worker\)\n(.*?);;", after.tree[SCRIPT], re.DOTALL)
    assert branch is not None
    words = branch.group(1).replace("\\\n", " ").split()
    assert words[:5] == ["exec", "python", "-m", "reflector.worker", "reflector.worker.app"]
    assert {task.module for task in inventory(application.root_path).tasks} <= set(words)
    assert '["/src/runserver.sh", "taskiq-worker"]' in after.tree["reflector/compose.yml"]


def test_every_module_of_the_runtime_is_copied_by_one_phase() -> None:
    modules = {path.stem for path in (ROOT / "playbook/scaffold/worker").glob("*.py")} - {"__init__"}
    copied = [
        *poc.WORKER_MODULES,
        *simple_tasks.ROUTING_MODULES,
        *schedules.SCHEDULER_MODULES,
        schedules.MODULE,
        *suite.MODULES,
        *cutover.NEW_MODULES,
        cutover_suite.PLUGIN,
    ]
    assert sorted(copied) == sorted(modules)


def test_the_routes_are_settings(after: Slice) -> None:
    assert 'TASKIQ_ROUTE: str = "celery"' in after.tree["reflector/settings.py"]
    assert "TASKIQ_ROUTE=celery\nTASKIQ_ROUTES={}\n" in after.tree["reflector/env.example"]


EXPORT = "from reflector.worker.ics_sync import sync_room_ics as sync\n"
USE = """from reflector.tasks import sync


async def now(room_id: str) -> None:
    sync.delay(room_id)
"""


def test_a_call_that_its_file_does_not_explain_is_refused(application: Application, before: Tree) -> None:
    """The inventory follows a re-export; the rule, which sees one file, must not guess."""
    tree = before.with_file("reflector/tasks.py", EXPORT).with_file("reflector/now.py", USE)
    sliced = simple_tasks.slice_(application, tree)
    assert [(r.line, r.construct) for r in sliced.refusals if r.path == "reflector/now.py"] == [
        (5, "delay of reflector.worker.ics_sync.sync_room_ics")
    ]
    assert sliced.tree["reflector/now.py"] == USE


BY_NAME = """from reflector.worker.app import app


def now(room_id: str) -> None:
    app.send_task("reflector.worker.ics_sync.sync_room_ics", (room_id,))
"""


def test_a_task_that_is_sent_by_its_name_is_refused(application: Application, before: Tree) -> None:
    sliced = simple_tasks.slice_(application, before.with_file("reflector/now.py", BY_NAME))
    assert [(r.line, r.construct) for r in sliced.refusals if r.path == "reflector/now.py"] == [
        (5, "send_task of reflector.worker.ics_sync.sync_room_ics")
    ]


def test_a_file_that_cannot_be_parsed_is_refused_once(application: Application, before: Tree) -> None:
    broken = "from celery import current_task\nfrom celery.result import AsyncResult\nt.delay(\n"
    sliced = simple_tasks.slice_(application, before.with_file("reflector/now.py", broken))
    refused = [r for r in sliced.refusals if r.path == "reflector/now.py"]
    assert [r.construct for r in refused] == ["file"]
    assert "cannot parse" in refused[0].reason
    assert "sync_room_ics_taskiq = twin(" in sliced.tree["reflector/worker/ics_sync.py"]


SIGNAL = """from celery.signals import task_postrun, worker_process_init


@task_postrun.connect
def after(sender, **_):
    print(sender.name)


@worker_process_init.connect
def start(**_):
    print("started")
"""


def test_a_handler_of_a_signal_that_twins_do_not_send_is_refused(
    application: Application, before: Tree
) -> None:
    sliced = simple_tasks.slice_(application, before.with_file("reflector/hooks.py", SIGNAL))
    refused = [(r.line, r.construct) for r in sliced.refusals if r.path == "reflector/hooks.py"]
    assert refused == [(9, "worker_process_init.connect")]
