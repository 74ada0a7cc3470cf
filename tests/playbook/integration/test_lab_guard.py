"""The guard: whatever happens to the lab or to the child, nothing is left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from playbook.lab import LabError, Process, wait_until
from playbook.lab.surroundings import PLAYBOOK_ROOT

pytestmark = pytest.mark.integration

# A child with a child that left its session and process group, as daemons do.
FAMILY = """
import os, subprocess, sys, time
left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(os.getpid(), left.pid, flush=True)
time.sleep(600)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
POLITE = """
import signal, sys, time
def leave(*_):
    print("goodbye", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, leave)
print("hello", flush=True)
time.sleep(600)
"""


def python(source: str, folder: Path) -> Process:
    return Process([sys.executable, "-c", source], name="child", log_path=folder / "child.log")


def says(process: Process, text: str) -> bool:
    return wait_until(lambda: text in process.tail(), timeout=20)


def family(process: Process) -> list[int]:
    assert wait_until(lambda: len(process.tail().split()) == 2, timeout=20)
    return [int(pid) for pid in process.tail().split()]


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)


def test_a_command_that_ends_gives_its_exit_status(tmp_path: Path):
    process = python("import sys; print('done'); sys.exit(7)", tmp_path)
    assert process.wait(20) == 7
    assert not process.alive
    assert process.tail() == "done"


def test_a_command_that_dies_of_a_signal_gives_128_and_the_signal(tmp_path: Path):
    process = python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert process.wait(20) == 128 + signal.SIGKILL


def test_stop_lets_the_child_say_goodbye(tmp_path: Path):
    process = python(POLITE, tmp_path)
    assert says(process, "hello")
    process.stop()
    assert process.returncode == 3
    assert "goodbye" in process.tail()


def test_stop_kills_what_does_not_listen(tmp_path: Path):
    process = python(STUBBORN, tmp_path)
    assert says(process, "deaf")
    process.stop(grace=0.3)
    assert process.returncode == 128 + signal.SIGKILL


def test_stop_twice_and_kill_after_the_end_do_nothing(tmp_path: Path):
    process = python("pass", tmp_path)
    process.wait(20)
    process.stop()
    process.stop()
    process.kill()
    assert process.returncode == 0


def test_kill_reaches_descendants_that_left_the_session(tmp_path: Path):
    process = python(FAMILY, tmp_path)
    pids = family(process)
    process.kill()
    assert gone(pids)


def test_descendants_do_not_outlive_a_child_that_is_killed_by_somebody_else(tmp_path: Path):
    process = python(FAMILY, tmp_path)
    pids = family(process)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(20) == 128 + signal.SIGKILL
    assert gone(pids)


def test_a_command_that_does_not_exist_is_one_clear_error(tmp_path: Path):
    with pytest.raises(LabError, match=r"(?s)ghost could not be started.*cannot start /no/such/program"):
        Process(["/no/such/program"], name="ghost", log_path=tmp_path / "ghost.log")


def test_a_start_that_fails_shows_the_end_of_the_log_without_credentials(tmp_path: Path):
    process = python("import sys; print('no redis://:secret@host'); sys.exit(1)", tmp_path)
    with pytest.raises(LabError) as caught:
        process.wait_ready(lambda: False, timeout=20)
    message = str(caught.value)
    assert "child ended with 1 before it became ready" in message
    assert "no redis://***@host" in message
    assert "secret" not in message


def test_a_start_that_takes_too_long_is_killed(tmp_path: Path):
    process = python(FAMILY, tmp_path)
    pids = family(process)
    with pytest.raises(LabError, match=r"child did not become ready within 0\.2 s; last lines of"):
        process.wait_ready(lambda: False, timeout=0.2)
    assert gone(pids)


def test_a_wait_that_is_too_short_says_so_and_leaves_the_child_alone(tmp_path: Path):
    with python(POLITE, tmp_path) as process:
        with pytest.raises(LabError, match=r"child still runs after 0\.1 s"):
            process.wait(0.1)
        assert process.alive


LAB = """
import sys, time
from pathlib import Path
from playbook.lab import Lab
from tests.playbook.integration.miniapp.target import MINI, WORKSPACE
lab = Lab(WORKSPACE, Path(sys.argv[1]), target=MINI).start()
lab.celery_worker(concurrency=2)
{extra}
print("up", flush=True)
time.sleep(600)
"""
# A forked copy holds the write ends of all pipes open after the lab is gone.
FORKED = """
import os
copy = os.fork()
if copy == 0:
    time.sleep(600)
print("copy", copy, flush=True)
"""


def start_lab(folder: Path, extra: str = "") -> tuple[subprocess.Popen[str], list[int], list[int]]:
    """Start a lab in a process of its own; return it with its descendants and the forked copies of itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAB.format(extra=extra), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PLAYBOOK_ROOT,
    )
    assert process.stdout is not None
    copies = []
    while (line := process.stdout.readline().strip()) != "up":
        assert line, "the lab did not start"
        copies.append(int(line.split()[1]))
    descendants = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    return process, [pid for pid in descendants if pid not in copies], copies


def finish(process: subprocess.Popen[str], pids: list[int]) -> None:
    """Leave nothing behind when a test has failed."""
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    for pid in pids:
        if not gone([pid]):
            os.kill(pid, signal.SIGKILL)


def test_nothing_is_left_ten_seconds_after_the_lab_is_killed(tmp_path: Path):
    lab, descendants, _ = start_lab(tmp_path)
    try:
        # Redis, moto, world, the worker with two pool processes, and a guard for each of the four.
        assert len(descendants) >= 10
        os.kill(lab.pid, signal.SIGKILL)
        lab.wait()
        assert wait_until(lambda: gone(descendants), timeout=10)
    finally:
        finish(lab, descendants)


def test_a_forked_copy_of_the_lab_does_not_keep_its_children_alive(tmp_path: Path):
    lab, descendants, copies = start_lab(tmp_path, extra=FORKED)
    try:
        os.kill(lab.pid, signal.SIGKILL)
        lab.wait()
        assert not gone(copies)
        assert wait_until(lambda: gone(descendants), timeout=10)
    finally:
        finish(lab, [*descendants, *copies])
