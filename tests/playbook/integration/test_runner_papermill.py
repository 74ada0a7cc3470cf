"""The same notebooks under papermill itself and under nbval."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.playbook.integration import tiny
from tests.playbook.integration.playbook_process import environment

pytestmark = pytest.mark.integration


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.make_shop(tmp_path)


def python(base: Path, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *args],
        cwd=base,
        env=environment(TINY_HOME=str(Path(tiny.__file__).parent), **extra),
        capture_output=True,
        text=True,
        check=False,
    )


def papermill(base: Path, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return python(
        base, "papermill", "notebooks/01_poc.ipynb", "out.ipynb", "--no-progress-bar", *args, **extra
    )


def test_a_notebook_runs_without_the_runner(base: Path) -> None:
    done = papermill(base)
    assert done.returncode == 0, done.stderr
    assert "01_poc is signed off: 1 checks passed" in (base / "out.ipynb").read_text()
    assert not (base / "runs").exists()


def test_a_notebook_takes_a_runs_folder(base: Path) -> None:
    assert papermill(base, "-p", "run_dir", str(base / "mine")).returncode == 0
    assert (base / "mine" / "phases" / "01_poc" / "outcome.json").is_file()


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("nonsense", "1", "unknown parameter nonsense; known are run_dir, config, redis_url"),
        ("audio", "5", "parameter audio must be of type str, not 5"),
        ("audio", "nix.wav", "audio: there is no file nix.wav; give the path of an existing file"),
        ("redis_url", "redis://127.0.0.1:1/0", "redis_url: cannot use redis://127.0.0.1:1/0: Error 111"),
    ],
)
def test_papermill_ends_with_one_clear_line(base: Path, name: str, value: str, complaint: str) -> None:
    done = papermill(base, "-p", name, value)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith(f"ParameterError: {complaint}")


def test_a_stop_is_one_line_too(base: Path) -> None:
    done = papermill(base, TINY_FAULT="check")
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last == "PhaseStopped: 01_poc stops: check broker failed: the broker does not name redis"


def test_nbval_replays_the_notebook(base: Path) -> None:
    done = papermill(base)
    assert done.returncode == 0
    replay = python(base, "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider", "out.ipynb")
    assert replay.returncode == 0, replay.stdout
