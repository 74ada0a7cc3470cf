"""What is left of Celery's name: each kind is told, and code that needs it is not excused."""

import pytest

from playbook.checks.cutover_kinds import DEPLOYMENT, SETTINGS, TASKS, TESTS, diffs
from playbook.checks.cutover_mentions import (
    DATA,
    OLD_COMMAND,
    OLD_SETTING,
    PROSE,
    RUNTIME,
    imports,
    mentions,
)
from playbook.config import Application
from playbook.tree import Tree


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("app/settings.py", "CELERY_BROKER_URL: str | None = None\n", OLD_SETTING),
        ("app/env.example", "#CELERY_RESULT_BACKEND=\n", OLD_SETTING),
        ("app/tasks.py", "# Celery did this\n", PROSE),
        ("app/tasks.py", '"""The tasks\nof Celery."""\n', PROSE),
        ("app/tasks.py", 'key = "_kombu.binding"\n', DATA),
        ("app/tasks.py", "app = celery_app\n", ""),
        ("app/tasks.py", "from celery import chain\n", ""),
        ("app/worker/canvas.py", "CELERY_KINDS = {}\n", RUNTIME),
        ("app/worker/canvas.py", "import celery\n", ""),
        ("app/run.sh", "exec celery -A app worker\n", ""),
        ("app/run.sh", "flower) echo 'flower is gone'\n", OLD_COMMAND),
        ("app/README.md", "It was built on Celery.\n", PROSE),
    ],
)
def test_a_line_is_explained_or_not(path: str, text: str, why: str) -> None:
    found = mentions(Tree({path: text}), frozenset({"app/worker/canvas.py"}))
    assert [one.why for one in found] == [why]


def test_imports_are_found() -> None:
    tree = Tree(
        {"a.py": "import os\n\n\ndef f():\n    from kombu import Queue\n", "b.txt": "import celery\n"}
    )
    assert [(one.path, one.line) for one in imports(tree)] == [("a.py", 5)]


def test_changes_are_sorted_by_kind(tmp_path_factory: pytest.TempPathFactory) -> None:
    application = Application(
        base=tmp_path_factory.getbasetemp(),
        name="app",
        root="app",
        tests="tests",
        celery_app="app.worker:app",
        broker="app.broker:broker",
    )
    before = {
        "app/tasks.py": "@shared_task\ndef f(): ...\n",
        "app/settings.py": "A = 1\n",
        "app/run.sh": "celery\n",
        "tests/test_f.py": "f.delay()\n",
        "app/gone.py": "",
    }
    after = {path: text + "# new\n" for path, text in before.items() if path != "app/gone.py"}
    found = diffs(application, Tree(before), Tree(after))
    assert {kind for kind, text in found.items() if text} == {TASKS, SETTINGS, DEPLOYMENT, TESTS}
    assert "app/tasks.py" in found[TASKS]
