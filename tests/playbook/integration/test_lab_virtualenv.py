"""An environment of an application's own: its content, its further use, its failures."""

from pathlib import Path

import pytest

from playbook.lab import LabError
from playbook.lab.virtualenv import VirtualEnvironment, make_environment

pytestmark = pytest.mark.integration

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "shop"
version = "1.0"
dependencies = []

[project.optional-dependencies]
dev = []
"""
BACKEND = '''
"""Builds a wheel of one module, with nothing but Python."""

import zipfile


def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "shop-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.write("shop.py")
        meta = "Metadata-Version: 2.1\\nName: shop\\nVersion: 1.0\\n"
        wheel.writestr("shop-1.0.dist-info/METADATA", meta)
        tags = "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("shop-1.0.dist-info/WHEEL", tags)
        wheel.writestr("shop-1.0.dist-info/RECORD", "")
    return name
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that needs no others."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "shop.py").write_text("PRICE = 1\n")
    return folder


def test_it_holds_the_application_and_nothing_else(package: Path, tmp_path: Path) -> None:
    made = make_environment(tmp_path / "environment", package, ["dev"])
    assert made.packages() == {"shop": "1.0"}
    assert made.importable(["shop", "playbook", "celery", "taskiq"]) == ["shop"]
    assert made.variables()["PYTHONPATH"] == ""
    assert made.variables({"A": "1"})["PATH"].startswith(str(made.python.parent))
    assert sorted(path.name for path in package.iterdir()) == ["backend.py", "pyproject.toml", "shop.py"]


def test_it_is_used_again_while_the_requirements_are_the_same(package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "environment"
    made = make_environment(folder, package)
    mark = folder / "mark"
    mark.touch()
    (package / "shop.py").write_text("PRICE = 2\n")
    assert make_environment(folder, package) == VirtualEnvironment(made.folder)
    assert mark.exists()
    (installed,) = folder.glob("lib/python*/site-packages/shop.py")
    assert installed.read_text() == "PRICE = 2\n"

    (package / "pyproject.toml").write_text(f"{PROJECT}# changed\n")
    make_environment(folder, package)
    assert not mark.exists()


def test_what_cannot_be_had_is_told_in_one_line(package: Path, tmp_path: Path) -> None:
    wanting = PROJECT.replace("dependencies = []", 'dependencies = ["a-package-that-nobody-has-made"]', 1)
    (package / "pyproject.toml").write_text(wanting)
    with pytest.raises(LabError, match=r"could not be installed.*a-package-that-nobody.*network") as caught:
        make_environment(tmp_path / "environment", package)
    assert "\n" not in str(caught.value)
    (package / "pyproject.toml").unlink()
    with pytest.raises(LabError, match=r"shop has no pyproject.toml"):
        make_environment(tmp_path / "environment", package)
