"""The slice of the pipelines on the bundled application: canvases and tasks are converted or refused."""

from pathlib import Path

import pytest

from playbook.config import Application, load_application
from playbook.contracts import Slice
from playbook.inventory import inventory
from playbook.inventory.plan import plan
from playbook.rewrite import pipelines, poc, simple_tasks
from playbook.tree import Tree, read_tree

ROOT = Path(__file__).parents[3]
FILE, LIVE = "reflector/pipelines/main_file_pipeline.py", "reflector/pipelines/main_live_pipeline.py"


@pytest.fixture(scope="module")
def application() -> Application:
    return load_application(ROOT / "playbook.toml")


@pytest.fixture(scope="module")
def before(application: Application) -> Tree:
    start = poc.slice_(application, read_tree(application.base, application.folders)).tree
    return simple_tasks.slice_(application, start).tree


@pytest.fixture(scope="module")
def after(application: Application, before: Tree) -> Slice:
    return pipelines.slice_(application, before)


def test_every_planned_task_gets_a_twin(application: Application, after: Slice) -> None:
    found = inventory(application.root_path)
    (phase,) = (phase for phase in plan(found).phases if phase.phase == pipelines.PHASE)
    places = {(item.path, item.line) for item in phase.items if item.list == "tasks"}
    tasks = [task for task in found.tasks if (task.path, task.line) in places]
    assert len(tasks) >= 10
    for task in tasks:
        assert after.tree[f"reflector/{task.path}"].count(f"{task.function}_taskiq = twin(") == 1


def test_both_canvases_are_dispatched_and_built_as_before(before: Tree, after: Slice) -> None:
    assert "    await dispatch(post_chain)\n" in after.tree[FILE]
    assert "    return dispatch_sync(post)\n" in after.tree[LIVE]
    for path, text in ((FILE, "post_chain = chain(\n"), (LIVE, "post = chord(\n")):
        begin = before[path].index(text)
        end = before[path].index(".delay()", begin)
        assert before[path][begin : end - 20] in after.tree[path]


def test_calls_of_tasks_that_start_canvases_are_routed(after: Slice) -> None:
    audio = after.tree["reflector/views/transcripts_audio.py"]
    assert "(await dispatch(task_pipeline_file_process, transcript_id=transcript.id)).id" in audio
    process = after.tree["reflector/worker/process.py"]
    assert process.count("result = await dispatch(task_pipeline_file_process,") == 2


def test_a_function_that_returns_a_handle_says_so(after: Slice) -> None:
    assert "def pipeline_post(*, transcript_id: str) -> Handle:" in after.tree[LIVE]
    assert "AsyncResult" not in after.tree[LIVE]


def test_nothing_is_refused_and_a_second_application_changes_nothing(
    application: Application, after: Slice
) -> None:
    assert after.refusals == ()
    assert after.tree.changes(pipelines.slice_(application, after.tree).tree) == []


def test_what_is_changed_compiles(before: Tree, after: Slice) -> None:
    changed = [change.path for change in before.changes(after.tree) if change.path.endswith(".py")]
    assert len(changed) >= 4
    for path in changed:
        compile(after.tree[path], path, "exec")


SHARED = """from celery import chain

from reflector.worker.webhook import send_transcript_webhook

both = chain(send_transcript_webhook.si("1"), send_transcript_webhook.si("2"))
"""
USE = """from reflector.both import both


async def now(canvas) -> None:
    both.delay()
    both()
"""


def test_a_canvas_that_its_file_does_not_explain_is_refused(application: Application, before: Tree) -> None:
    tree = before.with_file("reflector/both.py", SHARED).with_file("reflector/now.py", USE)
    sliced = pipelines.slice_(application, tree)
    found = [(refusal.path, refusal.line, refusal.construct) for refusal in sliced.refusals]
    assert found == [
        ("reflector/now.py", 5, "delay of a canvas"),
        ("reflector/now.py", 6, "__call__ of a canvas"),
    ]
    assert sliced.tree["reflector/now.py"] == USE


SINGLE = """from reflector.worker.webhook import send_transcript_webhook


async def now() -> None:
    send_transcript_webhook.s("1").set(countdown=3).apply_async()
"""


def test_a_signature_that_is_sent_by_itself_waits_for_this_phase(
    application: Application, before: Tree
) -> None:
    tree = before.with_file("reflector/now.py", SINGLE)
    earlier = simple_tasks.slice_(application, tree)
    assert not [refusal for refusal in earlier.refusals if refusal.path == "reflector/now.py"]
    assert earlier.tree["reflector/now.py"] == SINGLE
    now = pipelines.slice_(application, earlier.tree).tree["reflector/now.py"]
    assert '    await dispatch_apply(send_transcript_webhook.s("1").set(countdown=3))\n' in now
