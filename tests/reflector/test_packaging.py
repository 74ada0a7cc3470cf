"""The files around the code: what is packaged, configured and started."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import reflector
from reflector.settings import Settings

PACKAGE = Path(reflector.__file__).parent
PYPROJECT = tomllib.loads((PACKAGE / "pyproject.toml").read_text())


def test_every_package_is_listed() -> None:
    found = {
        ".".join(("reflector", *path.parent.relative_to(PACKAGE).parts))
        for path in PACKAGE.rglob("__init__.py")
        if "build" not in path.relative_to(PACKAGE).parts
    }
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found


def test_every_folder_with_code_is_a_package() -> None:
    for module in PACKAGE.rglob("*.py"):
        assert (module.parent / "__init__.py").exists(), f"{module.parent} lacks __init__.py"


def test_the_example_names_every_setting_and_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PACKAGE / "env.example").read_text()
    assert set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE)) == set(Settings.model_fields)

    for name in Settings.model_fields:
        monkeypatch.delenv(name, raising=False)
    assert Settings(_env_file=PACKAGE / "env.example") == Settings(_env_file=None)


def test_the_start_script_knows_its_processes() -> None:
    script = PACKAGE / "runserver.sh"
    subprocess.run(["sh", "-n", script], check=True)
    done = subprocess.run(["sh", script, "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "server, worker, beat or flower" in done.stderr
