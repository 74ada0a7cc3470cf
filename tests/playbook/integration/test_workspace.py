"""The working copy: its history, its refusals, and what kill -9 leaves of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from playbook import workspace as workspace_module
from playbook.config import Application, load_application
from playbook.errors import WorkspaceError
from playbook.files import exclusive
from playbook.tree import Tree, read_tree
from playbook.workspace import Workspace
from tests.playbook.integration import tiny

pytestmark = pytest.mark.integration


@pytest.fixture
def application(tmp_path: Path) -> Application:
    return load_application(tiny.make_shop(tmp_path / "base") / "playbook.toml")


@pytest.fixture
def workspace(application: Application, tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "run", application)
    made.ensure()
    return made


def git(workspace: Workspace, *args: str) -> str:
    return subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", *args],
        cwd=workspace.path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def migrated(application: Application, tree: Tree) -> Tree:
    return tiny.slice_(application, tree).tree


def test_the_copy_equals_the_application(workspace: Workspace, application: Application) -> None:
    copy = read_tree(workspace.path)
    assert copy == read_tree(application.base, application.folders)
    assert copy == workspace.tree()
    assert copy.binary == workspace.tree().binary == {"shop/logo.png"}
    assert os.access(workspace.path / "shop" / "run.sh", os.X_OK)
    assert workspace.applied() == []
    assert git(workspace, "tag") == "phase/baseline"


def test_ensure_keeps_a_copy_that_is_current(workspace: Workspace) -> None:
    (workspace.path / "shop" / "app.py").write_text("edited\n")
    workspace.ensure()
    assert workspace.edited() == ["shop/app.py"]


def test_one_slice_is_one_commit_and_one_tag(workspace: Workspace, application: Application) -> None:
    before = workspace.tree()
    after = migrated(application, before).without("shop/app.py")
    workspace.commit("01_poc", after, "01_poc: Proof")
    assert read_tree(workspace.path) == after == workspace.after("01_poc")
    assert workspace.before("01_poc") == before
    assert workspace.applied() == ["01_poc"]
    assert workspace.edited() == workspace.commits_by_hand() == []
    assert (
        git(workspace, "log", "--format=%s|%an")
        == "01_poc: Proof|playbook\nThe application as it was|playbook"
    )
    assert workspace.tree_id("01_poc") == git(workspace, "rev-parse", "HEAD^{tree}")


def test_modes_survive_and_scripts_are_executable(workspace: Workspace) -> None:
    tree = workspace.tree().with_file("shop/run.sh", "#!/bin/sh\n").with_file("shop/stop.sh", "#!/bin/sh\n")
    workspace.commit("01_poc", tree, "m")
    assert all(os.access(workspace.path / "shop" / name, os.X_OK) for name in ("run.sh", "stop.sh"))


def test_a_slice_that_changes_nothing_still_leaves_its_mark(workspace: Workspace) -> None:
    workspace.commit("01_poc", workspace.tree(), "m")
    assert workspace.applied() == ["01_poc"]


def test_rollback_takes_later_phases_along_and_loses_nothing(workspace: Workspace) -> None:
    start = workspace.tree()
    one = start.with_file("shop/one.py", "1\n")
    workspace.commit("01_poc", one, "m")
    workspace.commit("02_simple", one.with_file("shop/two.py", "2\n"), "m")
    tip = git(workspace, "rev-parse", "HEAD")
    assert workspace.rollback("01_poc") == ["01_poc", "02_simple"]
    assert read_tree(workspace.path) == start
    assert workspace.applied() == []
    assert git(workspace, "rev-parse", "undone/1") == tip
    workspace.commit("01_poc", one, "m")
    assert workspace.rollback("01_poc") == ["01_poc"]
    assert git(workspace, "tag", "--list", "undone/*") == "undone/1\nundone/2"


def test_edits_by_hand_stop_everything_that_writes(workspace: Workspace) -> None:
    workspace.commit("01_poc", workspace.tree(), "m")
    (workspace.path / "shop" / "mine.py").write_text("mine\n")
    for write in (
        lambda: workspace.commit("02_x", workspace.tree(), "m"),
        lambda: workspace.rollback("01_poc"),
    ):
        with pytest.raises(WorkspaceError, match=r"edits that are not committed \(shop/mine.py\); commit or"):
            write()
    assert (workspace.path / "shop" / "mine.py").read_text() == "mine\n"


def test_caches_are_no_edits(workspace: Workspace) -> None:
    (workspace.path / "shop" / "__pycache__").mkdir()
    (workspace.path / "shop" / "__pycache__" / "app.pyc").write_bytes(b"x")
    assert workspace.edited() == []


def test_commits_by_hand_carry_later_phases(workspace: Workspace) -> None:
    (workspace.path / "shop" / "mine.py").write_text("mine\n")
    git(workspace, "add", "--all")
    git(workspace, "commit", "-m", "by hand")
    assert [line.split(" ", 1)[1] for line in workspace.commits_by_hand()] == ["by hand"]
    workspace.commit("01_poc", workspace.tree(), "m")
    assert "shop/mine.py" in workspace.after("01_poc")


def test_a_changed_application_gets_a_fresh_copy(workspace: Workspace, application: Application) -> None:
    workspace.commit("01_poc", workspace.tree(), "m")
    (application.root_path / "app.py").write_text("app = 'newer'\n")
    workspace.ensure()
    assert workspace.tree()["shop/app.py"] == "app = 'newer'\n"
    assert workspace.applied() == []
    assert (workspace.run_dir / "workspace.before-1" / ".git").is_dir()


def test_a_changed_application_does_not_cost_work_done_by_hand(
    workspace: Workspace, application: Application
) -> None:
    (application.root_path / "app.py").write_text("app = 'newer'\n")
    (workspace.path / "shop" / "mine.py").write_text("mine\n")
    with pytest.raises(WorkspaceError, match="the application has changed since"):
        workspace.ensure()
    git(workspace, "add", "--all")
    git(workspace, "commit", "-m", "by hand")
    with pytest.raises(WorkspaceError, match=r"commits made by hand \(\w+ by hand\)"):
        workspace.ensure()


def test_a_folder_of_someone_else_is_left_alone(application: Application, tmp_path: Path) -> None:
    (tmp_path / "run" / "workspace").mkdir(parents=True)
    with pytest.raises(WorkspaceError, match="was not made by the playbook"):
        Workspace(tmp_path / "run", application).ensure()


def test_the_users_git_has_no_say(
    application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "reference-transaction").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "reference-transaction").chmod(0o755)
    (tmp_path / "gitconfig").write_text(f"[commit]\ngpgSign = true\n[core]\nhooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "someone")
    workspace = Workspace(tmp_path / "run", application)
    workspace.ensure()
    workspace.commit("01_poc", workspace.tree().with_file("shop/x.py", ""), "m")
    monkeypatch.undo()
    assert git(workspace, "log", "-1", "--format=%an") == "playbook"


def test_without_git_the_message_says_so(
    application: Application, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WorkspaceError, match="git is not on the PATH; install it"):
        Workspace(tmp_path / "run", application).ensure()


def test_only_one_process_at_a_time(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace_module, "LOCK_PATIENCE", 0.1)
    with (
        exclusive(workspace.run_dir / "workspace.lock"),
        pytest.raises(WorkspaceError, match="another process works on"),
    ):
        workspace.commit("01_poc", workspace.tree(), "m")


def test_who_waits_for_the_lock_gets_it(workspace: Workspace) -> None:
    taken, free = threading.Event(), threading.Event()

    def hold() -> None:
        with exclusive(workspace.run_dir / "workspace.lock"):
            taken.set()
            free.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait()
    threading.Timer(0.2, free.set).start()
    workspace.commit("01_poc", workspace.tree(), "m")
    holder.join()
    assert workspace.applied() == ["01_poc"]


# What kill -9 leaves. The killed process works in a loop, so that the blow falls anywhere.

CREATING = """
number = 0
while True:
    Workspace(Path(sys.argv[1]) / f"run{number}", application).ensure()
    number += 1
"""

CHANGING = """
workspace = Workspace(Path(sys.argv[1]) / "run", application)
workspace.ensure()
if workspace.applied():
    workspace.rollback("01_poc")
after = tiny.slice_(application, workspace.tree()).tree
while True:
    workspace.commit("01_poc", after, "m")
    workspace.rollback("01_poc")
"""

PREAMBLE = """
import sys
from pathlib import Path
from playbook.config import load_application
from playbook.workspace import Workspace
from tests.playbook.integration import tiny
application = load_application(Path(sys.argv[1]) / "base" / "playbook.toml")
print("ready", flush=True)
"""


def killed_after(seconds: float, program: str, folder: Path, kill: Callable[[int], None]) -> None:
    """Run the program, and kill it so many seconds after it has begun its work."""
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", PREAMBLE + program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, start_new_session=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        blow = threading.Timer(seconds, kill, [child.pid])
        blow.start()
        child.wait()
        assert child.returncode == -signal.SIGKILL


def kill_all(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)


def kill_one(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


INSTANTS = [random.Random(7).uniform(0.02, 0.6) for _ in range(8)]


@pytest.mark.parametrize("kill", [kill_all, kill_one])
def test_a_killed_change_is_done_or_not_done(
    application: Application, tmp_path: Path, kill: Callable[[int], None]
) -> None:
    baseline = read_tree(application.base, application.folders)
    for seconds in INSTANTS:
        killed_after(seconds, CHANGING, tmp_path, kill)
        workspace = Workspace(tmp_path / "run", application)
        workspace.ensure()
        expected = migrated(application, baseline) if workspace.applied() else baseline
        assert read_tree(workspace.path) == workspace.tree() == expected
        assert workspace.edited() == workspace.commits_by_hand() == []
        git(workspace, "fsck", "--strict")


@pytest.mark.parametrize("kill", [kill_all, kill_one])
def test_a_killed_creation_leaves_a_whole_copy_or_none(
    application: Application, tmp_path: Path, kill: Callable[[int], None]
) -> None:
    baseline = read_tree(application.base, application.folders)
    for seconds in INSTANTS[:4]:
        killed_after(seconds, CREATING, tmp_path, kill)
        runs = sorted(tmp_path.glob("run*"))
        for run in runs:
            Workspace(run, application).ensure()
            assert read_tree(run / "workspace") == baseline
            assert not list(run.glob(".workspace-*"))
