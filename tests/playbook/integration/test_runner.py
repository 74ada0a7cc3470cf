"""`playbook run`: notebooks in order, what they find, and when there is nothing to do."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from playbook.lab import RedisServer
from tests.playbook.integration import tiny
from tests.playbook.integration.playbook_process import playbook

pytestmark = pytest.mark.integration


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.make_shop(tmp_path)


def result(base: Path, run: str = "default") -> dict[str, Any]:
    return json.loads((base / "runs" / run / "result.json").read_text())


def phase(base: Path, name: str, run: str = "default") -> dict[str, Any]:
    return next(entry for entry in result(base, run)["phases"] if entry["name"] == name)


def test_a_whole_run_and_then_nothing_to_do(base: Path) -> None:
    first = playbook(base, "run")
    assert first.returncode == 0, first.stderr
    assert "signed off" in first.stdout
    assert re.search(r"^01_poc: cell 4 of 8: Applying$", first.stderr, re.MULTILINE)
    assert "WARNING" not in first.stderr
    run = base / "runs" / "default"
    found = result(base)
    assert found["schema"] == 1
    assert [entry["status"] for entry in found["phases"]] == ["signed_off", "signed_off"]
    poc = phase(base, "01_poc")
    assert poc["checks"][0]["ok"]
    assert poc["claims"][0]["holds"] is False
    assert (run / poc["figures"][0]["path"]).read_bytes() == b"\x89PNG"
    assert "+broker" in (run / poc["diff"]).read_text()
    assert "signed off" in (run / poc["notebook"]).read_text()
    assert (run / "index.html").is_file()
    assert (run / "workspace" / "shop" / "broker.py").is_file()
    assert not list((run / "notebooks").glob(".*"))
    assert str(base) not in (run / "result.json").read_text()

    second = playbook(base, "run")
    assert second.returncode == 0
    assert second.stderr.count("nothing to do") == 2
    assert result(base) == found


def test_equal_runs_differ_in_timings_and_name_only(base: Path) -> None:
    for name in ("one", "two"):
        assert playbook(base, "run", "--run", name).returncode == 0
    one, two = result(base, "one"), result(base, "two")
    timings = one.pop("timings"), two.pop("timings")
    assert timings[0].keys() == timings[1].keys()
    assert timings[0]["01_poc"]["measured"]["clock"] != timings[1]["01_poc"]["measured"]["clock"]
    assert (one.pop("run"), two.pop("run")) == ("one", "two")
    assert one == two


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "cell 5 (Applying): RuntimeError: first line ... last line"),
        ("die", "cell 5 (Applying): the kernel died"),
        ("check", "01_poc stops: check broker failed: the broker does not name redis"),
        ("silent", "the notebook ended without signing off; let its last cell call phase.sign_off()"),
    ],
)
def test_a_phase_that_fails_stops_the_run_and_is_run_again(base: Path, fault: str, message: str) -> None:
    done = playbook(base, "run", TINY_FAULT=fault)
    assert done.returncode == 1
    assert f"01_poc: {message}" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert phase(base, "00_inventory")["status"] == "signed_off"
    assert (phase(base, "01_poc")["status"], phase(base, "01_poc")["message"]) == ("stopped", message)
    assert (base / "runs" / "default" / "notebooks" / "01_poc.ipynb").is_file()
    if fault == "check":  # the fault was an edit by hand in the workspace, which nobody may overwrite
        (base / "runs" / "default" / "workspace" / "shop" / "broker.py").write_text("broker = 'redis'\n")
    again = playbook(base, "run")
    assert again.returncode == 0, again.stderr
    assert "00_inventory: nothing to do" in again.stderr
    assert phase(base, "01_poc")["message"] is None


def test_what_has_changed_is_run_again(base: Path) -> None:
    assert playbook(base, "run").returncode == 0
    notebook = base / "notebooks" / "01_poc.ipynb"
    notebook.write_text(notebook.read_text().replace("it is easy", "it is simple"))
    again = playbook(base, "run")
    assert "00_inventory: nothing to do" in again.stderr
    assert phase(base, "01_poc")["claims"][0]["text"] == "it is simple"

    (base / "shop" / "app.py").write_text("app = 'newer'\n")
    again = playbook(base, "run")
    assert again.returncode == 0
    assert "nothing to do" not in again.stderr
    assert (base / "runs" / "default" / "workspace" / "shop" / "app.py").read_text() == "app = 'newer'\n"


def test_what_was_rolled_back_is_run_again(base: Path) -> None:
    assert playbook(base, "run").returncode == 0
    assert playbook(base, "rollback", "poc").stdout == "undone  01_poc\n"
    again = playbook(base, "run")
    assert "00_inventory: nothing to do" in again.stderr
    assert "01_poc: signed off" in again.stderr


def test_a_phase_can_be_run_alone(base: Path) -> None:
    assert playbook(base, "run", "1").returncode == 0
    assert phase(base, "00_inventory")["status"] == "pending"
    assert phase(base, "01_poc")["status"] == "signed_off"


def test_a_notebook_that_is_missing_or_broken(base: Path) -> None:
    notebook = base / "notebooks" / "00_inventory.ipynb"
    notebook.write_text("{")
    broken = playbook(base, "run")
    assert broken.returncode == 2
    assert "is not a notebook" in broken.stderr
    notebook.unlink()
    missing = playbook(base, "run")
    assert missing.returncode == 2
    assert missing.stderr.startswith("playbook: there is no notebook ")


def test_a_password_reaches_the_kernel_and_no_file(base: Path) -> None:
    with RedisServer(base / "redis") as server:
        server.client().config_set("requirepass", "hush-hush")
        url = server.url.replace("redis://", "redis://:hush-hush@")
        done = playbook(base, "run", "0", "-p", f"redis_url={url}")
        assert done.returncode == 0, done.stderr
    assert "redis://***@" in phase(base, "00_inventory")["values"]["redis"]
    written = [path for path in (base / "runs").rglob("*") if path.is_file()]
    assert not [path for path in written if b"hush-hush" in path.read_bytes()]
    assert "hush-hush" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("parameter", "complaint"),
    [
        ("nix=1", "unknown parameter nix; known are run_dir"),
        ("audio=nix.wav", "audio: there is no file"),
        ("redis_url=redis://:hush@127.0.0.1:1/0", "redis_url: cannot use redis://***@127.0.0.1:1/0"),
        ("audio", "-p audio: write NAME=VALUE"),
        ("run_dir=x", "parameter run_dir cannot be given here"),
    ],
)
def test_parameters_are_checked_before_anything_starts(base: Path, parameter: str, complaint: str) -> None:
    done = playbook(base, "run", "-p", parameter)
    assert done.returncode == 2
    assert done.stderr.startswith(f"playbook: {complaint}")
    assert done.stderr.count("\n") == 1
    assert not (base / "runs").exists()


def test_two_runs_of_one_name_do_not_meet(base: Path) -> None:
    from playbook.runs import hold_run

    with hold_run(base / "runs" / "default"):
        done = playbook(base, "run")
    assert done.returncode == 2
    assert "another playbook works on" in done.stderr


def test_the_kernel_is_this_interpreter_whatever_the_machine_has(base: Path, tmp_path: Path) -> None:
    spec = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/nix"], "display_name": "broken", "language": "python"}))
    started = time.monotonic()
    done = playbook(base, "run", "0", JUPYTER_PATH=str(tmp_path / "jupyter"))
    assert done.returncode == 0, (done.stderr, time.monotonic() - started)
