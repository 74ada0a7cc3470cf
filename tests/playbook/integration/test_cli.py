"""The command line: exit statuses, what goes where, and no traceback for bad input."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.playbook.integration import tiny
from tests.playbook.integration.playbook_process import ROOT, TINY, Marked, environment, playbook

pytestmark = pytest.mark.integration


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.make_shop(tmp_path)


def test_diff_shows_and_writes_nothing(base: Path) -> None:
    done = playbook(base, "diff", "poc")
    assert done.returncode == 0
    assert done.stdout.startswith("diff --git a/shop/broker.py b/shop/broker.py\n")
    assert done.stderr == "left alone: shop/app.py:1: solar(...): TaskIQ knows no sun\n"
    assert not (base / "runs").exists()


def test_check_tells_by_its_status_whether_changes_are_pending(base: Path) -> None:
    for command in ("diff", "apply"):
        assert playbook(base, command, "1", "--check").returncode == 3
    assert not (base / "runs").exists()
    assert playbook(base, "apply", "1").returncode == 0
    for command in ("diff", "apply"):
        assert playbook(base, command, "1", "--check").returncode == 0


def test_apply_tells_what_it_did_and_does_it_once(base: Path) -> None:
    first = playbook(base, "apply", "01_poc")
    assert first.stdout == "added   shop/broker.py  +1 -0\nadded   shop/settings.py  +1 -0\n"
    second = playbook(base, "apply", "01_poc")
    assert (second.returncode, second.stdout) == (0, "01_poc: nothing to do\n")


def test_apply_leaves_edits_by_hand_alone(base: Path) -> None:
    playbook(base, "apply", "0")
    (base / "runs" / "default" / "workspace" / "mine.txt").touch()
    done = playbook(base, "apply", "1")
    assert done.returncode == 2
    assert "has edits that are not committed (mine.txt)" in done.stderr


def test_verify_runs_the_checks_alone(base: Path) -> None:
    early = playbook(base, "verify", "1")
    assert early.returncode == 2
    assert "01_poc is not applied" in early.stderr
    playbook(base, "apply", "1")
    good = playbook(base, "verify", "1", "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout)[0]["ok"] is True
    (base / "runs" / "default" / "workspace" / "shop" / "broker.py").write_text("")
    bad = playbook(base, "verify", "1")
    assert bad.returncode == 1
    assert "FAILED" in bad.stdout
    assert "0 of 1 checks passed" in bad.stdout


def test_status_follows_the_run(base: Path) -> None:
    def states() -> list[tuple[str, bool]]:
        phases = json.loads(playbook(base, "status", "--json").stdout)["phases"]
        return [(phase["status"], phase["applied"]) for phase in phases]

    assert states() == [("pending", False), ("pending", False)]
    assert not (base / "runs").exists()
    playbook(base, "apply", "1")
    assert states() == [("pending", False), ("pending", True)]
    playbook(base, "run")
    assert states() == [("signed_off", False), ("signed_off", True)]
    playbook(base, "rollback", "1")
    assert states() == [("signed_off", False), ("signed_off", False)]


def test_rollback_of_what_is_not_applied(base: Path) -> None:
    done = playbook(base, "rollback", "1")
    assert done.returncode == 2
    assert "is not applied" in done.stderr


def test_report_renders_again(base: Path) -> None:
    missing = playbook(base, "report", "nix")
    assert missing.returncode == 2
    assert "there is no run nix" in missing.stderr
    playbook(base, "run", "0", "--run", "mine")
    page = base / "runs" / "mine" / "index.html"
    page.unlink()
    done = playbook(base, "report", "mine")
    assert done.returncode == 0
    assert done.stdout == f"{page}\n"
    assert page.is_file()


def test_inventory_and_plan_need_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "tasks.py").write_text(
        "from celery import shared_task\n\n\n@shared_task\ndef bill():\n    pass\n"
    )
    found = playbook(tmp_path, "inventory", "app", "--json")
    assert found.returncode == 0, found.stderr
    data = json.loads(found.stdout)
    assert [task["name"] for task in data["tasks"]] == ["tasks.bill"]
    assert set(data) == {"tasks", "calls", "canvases", "schedules", "touchpoints", "refused"}
    assert "tasks.bill" in playbook(tmp_path, "inventory", "app").stdout
    planned = playbook(tmp_path, "plan", "app", "--json")
    assert planned.returncode == 0, planned.stderr
    assert "tasks.bill" in planned.stdout
    assert "tasks.bill" in playbook(tmp_path, "plan", "app").stdout


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["apply", "9"], "unknown phase 9; known are 00_inventory, 01_poc"),
        (["run", "nix"], "unknown phase nix"),
        (["status", "--run", "../x"], "'../x' cannot name a run"),
        (["status", "--runs-dir", "playbook.toml"], "playbook.toml is not a folder"),
        (["status", "--config", "nix.toml"], "cannot read nix.toml: No such file or directory"),
        (["inventory", "nix"], "there is no folder nix"),
        (["plan", "nix"], "there is no folder nix"),
        (["verify", "1", "-p", "nix=1"], "unknown parameter nix"),
    ],
)
def test_bad_input_is_one_line_and_status_2(base: Path, args: list[str], complaint: str) -> None:
    done = playbook(base, *args)
    assert done.returncode == 2
    assert done.stderr.startswith(f"playbook: {complaint}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("args", [["nix"], ["apply"], ["run", "--nix"], ["diff", "1", "2"]])
def test_wrong_usage_is_status_2_without_a_traceback(base: Path, args: list[str]) -> None:
    done = playbook(base, *args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_broken_configuration_is_one_line(base: Path) -> None:
    (base / "playbook.toml").write_text("[application]\n")
    done = playbook(base, "run")
    assert done.returncode == 2
    assert re.fullmatch(r"playbook: .*playbook.toml: application.name is missing; add it\n", done.stderr)


def test_a_folder_that_cannot_be_written_is_one_line(base: Path) -> None:
    done = playbook(base, "apply", "1", "--runs-dir", "/proc/nix")
    assert done.returncode == 2
    assert done.stderr.startswith("playbook: ")
    assert "Traceback" not in done.stderr


def test_no_colour_and_no_prompt_without_a_terminal(base: Path) -> None:
    done = playbook(base, "run", "0", NO_COLOR="1")
    assert "\x1b" not in done.stdout + done.stderr


def test_the_lab_prints_its_settings_and_stops_when_told(tmp_path: Path) -> None:
    marked = Marked()
    with subprocess.Popen(
        [sys.executable, str(TINY), "lab", "--config", str(ROOT / "playbook.toml")],
        cwd=tmp_path,
        env=environment(**marked.variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        said = ""
        while "The lab is up" not in said:
            line = child.stderr.readline()
            assert line, said
            said += line
        child.send_signal(signal.SIGTERM)
        settings, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "REDIS_URL=redis://" in settings
    assert marked.end_within(10), marked.alive()
