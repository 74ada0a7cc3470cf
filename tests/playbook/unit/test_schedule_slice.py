"""The slice of the scheduler on the bundled application, and on ones that make it harder."""

from pathlib import Path

import pytest

from playbook.config import Application, load_application
from playbook.inventory import inventory
from playbook.rewrite import poc, schedules, simple_tasks
from playbook.tree import Tree, read_tree

ROOT = Path(__file__).parents[3]
APP, MODULE = "reflector/worker/app.py", "reflector/worker/beat_schedule.py"


@pytest.fixture(scope="module")
def application() -> Application:
    return load_application(ROOT / "playbook.toml")


@pytest.fixture(scope="module")
def before(application: Application) -> Tree:
    tree = read_tree(application.base, application.folders)
    for slice_ in (poc.slice_, simple_tasks.slice_):
        tree = slice_(application, tree).tree
    return tree


def test_every_entry_moves_and_celerys_schedule_stays(application: Application, before: Tree) -> None:
    after = schedules.slice_(application, before)
    assert after.refusals == ()
    line = 'app.conf.beat_scheduler = "reflector.worker.beat:SharedScheduler"\n'
    assert after.tree[APP].replace(line, "") == before[APP]
    module = after.tree[MODULE]
    for entry in inventory(application.root_path).schedules:
        assert f'"{entry.entry}"' in module
        assert f'"schedule": {entry.schedule}' in module
        assert entry.condition is None or f"if {entry.condition}:" in module
    assert "taskiq-scheduler)" in after.tree["reflector/runserver.sh"]
    assert "  taskiq-scheduler:\n" in after.tree["reflector/compose.yml"]
    for path in after.tree:
        if path.endswith(".py"):
            compile(after.tree[path], path, "exec")
    assert schedules.slice_(application, after.tree).tree == after.tree


def test_tasks_without_twin_and_second_schedules_are_refused(application: Application, before: Tree) -> None:
    spread = before.with_file(
        "reflector/extra.py",
        "from reflector.worker.app import app\n"
        'app.conf.beat_schedule["more"] = {\n'
        '    "task": "reflector.worker.process.process_meetings",\n    "schedule": 5,\n}\n',
    )
    changed = spread.with_file(
        APP,
        spread[APP]
        + 'app.conf.beat_schedule["twinless"] = {\n    "task": "other.task",\n    "schedule": 5.0,\n}\n',
    )
    after = schedules.slice_(application, changed)
    found = {(refusal.path, refusal.reason.partition(";")[0]) for refusal in after.refusals}
    assert (APP, "its task other.task has no twin, so TaskIQ could not run it") in found
    module = after.tree[MODULE]
    assert "twinless" not in module
    assert ("more" in module) != ("process_messages" in module)
    assert any("has a schedule as well" in refusal.reason for refusal in after.refusals)


def test_an_application_without_a_schedule(application: Application, before: Tree) -> None:
    source = before[APP]
    start = source.index("app.conf.beat_schedule")
    bare = before.with_file(APP, source[:start] + source[source.index("@task_postrun") :])
    after = schedules.slice_(application, bare)
    assert after.tree[MODULE].endswith('(`beat_cron_starting_deadline`)."""\n')
    assert after.tree[APP] == bare[APP]
