"""kill -9, at any time: nothing is left after ten seconds, and the next run works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.playbook.integration import tiny
from tests.playbook.integration.playbook_process import TINY, Marked, environment, eventually, playbook

pytestmark = pytest.mark.integration

LIKE_MAKE = "import os, subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
"""Starts a command and waits for it, as make does."""

INSTANTS = {
    "at once": lambda run: True,
    "run begun": lambda run: (run / "run.lock").exists(),
    "workspace in the making": lambda run: any(run.glob(".workspace-*")) or (run / "workspace").exists(),
    "kernel starting": lambda run: (run / "kernel.lock").exists(),
    "phase open": lambda run: (run / "phases" / "00_inventory" / "outcome.json").exists(),
    "a cell at work": lambda run: '"files"' in text(run / "phases" / "00_inventory" / "outcome.json"),
}


def text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.make_shop(tmp_path)


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("victim", ["make", "playbook"])
def test_nothing_is_left_and_the_next_run_works(base: Path, instant: str, victim: str) -> None:
    marked = Marked()
    extra = {"TINY_SECONDS": "60", **marked.variables}
    command = [sys.executable, str(TINY), "run", "0"]
    if victim == "make":
        command = [sys.executable, "-c", LIKE_MAKE, *command]
        extra["MAKELEVEL"] = "1"
    with subprocess.Popen(
        command, cwd=base, env=environment(**extra), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as parent:
        run = base / "runs" / "default"
        assert eventually(lambda: INSTANTS[instant](run), 60), "the instant never came"
        os.kill(parent.pid, signal.SIGKILL)
    assert marked.end_within(10), marked.alive()
    done = playbook(base, "run", "0")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "result.json").read_text())["phases"][0]["status"] == "signed_off"
    assert not list((run / "notebooks").glob(".*"))


def test_the_next_run_need_not_wait_for_the_dead(base: Path) -> None:
    marked = Marked()
    extra = {"TINY_SECONDS": "60", **marked.variables}
    command = [sys.executable, str(TINY), "run", "0"]
    run = base / "runs" / "default"
    with subprocess.Popen(
        command, cwd=base, env=environment(**extra), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as parent:
        assert eventually(lambda: INSTANTS["a cell at work"](run), 60)
        os.kill(parent.pid, signal.SIGKILL)
    done = playbook(base, "run", "0")
    assert done.returncode == 0, done.stderr


def test_a_stop_from_the_keyboard_ends_all(base: Path) -> None:
    marked = Marked()
    command = [sys.executable, str(TINY), "run", "0"]
    extra = {"TINY_SECONDS": "60", **marked.variables}
    run = base / "runs" / "default"
    with subprocess.Popen(
        command,
        cwd=base,
        env=environment(**extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background ignores the signal, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as child:
        assert eventually(lambda: INSTANTS["a cell at work"](run), 60)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=30)
        assert child.returncode != 0
        assert "Traceback" not in errors
    assert marked.end_within(10), marked.alive()
