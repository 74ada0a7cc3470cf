"""What a start script starts is told without starting it."""

from pathlib import Path

import pytest

from playbook.checks.starts import start_scripts, started

GOOD = """
case "$1" in
taskiq-worker) exec python -m app.worker app.worker.health app.tasks ;;
taskiq-scheduler) exec python -m app.worker.scheduler app.tasks ;;
beat) exec celery -A app beat ;;
esac
"""
MODULES = ["app.worker.health", "app.tasks"]


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "runserver.sh"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_command_is_noted_and_nothing_runs(tmp_path: Path) -> None:
    path = script(tmp_path, GOOD)
    assert started(path, "beat") == ["celery", "-A", "app", "beat"]
    assert started(path, "nothing") == []


def test_a_good_script_passes(tmp_path: Path) -> None:
    assert start_scripts(script(tmp_path, GOOD), "app.worker", MODULES).ok


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("exec python -m app.worker app", "exec celery -A app", "taskiq-worker starts: celery -A app"),
        ("exec python -m app.worker.scheduler", "exec celery beat", "taskiq-scheduler starts: celery beat"),
        ("app.worker.health app.tasks", "app.worker.health", "taskiq-worker does not name app.tasks"),
        ("exec python -m app.worker.scheduler app.tasks", ":", "taskiq-scheduler starts: nothing"),
    ],
)
def test_what_starts_something_else_is_told(tmp_path: Path, right: str, wrong: str, says: str) -> None:
    found = start_scripts(script(tmp_path, GOOD.replace(right, wrong)), "app.worker", MODULES)
    assert not found.ok
    assert says in found.detail
