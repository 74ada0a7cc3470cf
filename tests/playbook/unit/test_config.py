"""playbook.toml: what it may say, and the one line that tells what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from playbook.config import load_application
from playbook.errors import ConfigError

GOOD = """\
[application]
name = "shop"
root = "src/shop"
tests = "tests/shop"
celery_app = "shop.worker.app:app"
asgi_app = "shop:asgi"
broker = "shop.worker.broker:broker"

[phases.01_poc]
twin = "shop.tasks.bill"
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for folder in ("src/shop/worker", "tests/shop"):
        (tmp_path / folder).mkdir(parents=True)
    for module in ("src/shop/__init__.py", "src/shop/worker/app.py"):
        (tmp_path / module).touch()
    (tmp_path / "playbook.toml").write_text(GOOD)
    return tmp_path


def test_paths_are_relative_to_the_file(base: Path) -> None:
    application = load_application(base / "playbook.toml")
    assert application.base == base
    assert application.package == "shop"
    assert application.root_path == base / "src" / "shop"
    assert application.tests_path == base / "tests" / "shop"
    assert application.notebooks_path == base / "notebooks"
    assert application.folders == ("src/shop", "tests/shop")
    assert application.module_path("shop.worker.app") == "src/shop/worker/app.py"
    assert application.phases.poc is not None
    assert application.phases.poc.twin == "shop.tasks.bill"


def test_it_is_found_from_a_folder_below(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base / "src" / "shop" / "worker")
    assert load_application().base == base
    assert load_application(start=base / "tests").base == base


def test_tests_and_asgi_app_may_be_left_out(base: Path) -> None:
    kept = [line for line in GOOD.splitlines() if not line.startswith(("tests", "asgi_app"))]
    (base / "playbook.toml").write_text("\n".join(kept[:-3]))
    application = load_application(base / "playbook.toml")
    assert application.folders == ("src/shop",)
    assert application.tests_path is None
    assert application.phases.poc is None


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "shop"', "", "application.name is missing; add it"),
        ('name = "shop"', "name = 3", "application.name = 3: Input should be a valid string"),
        ('name = "shop"', 'nam = "shop"', "application.name is missing"),
        ('root = "src/shop"', 'root = "src/shop"\ncolour = 1', "application.colour is not a known key"),
        ('root = "src/shop"', 'root = "/shop"', "application.root = '/shop' does not have the right form"),
        ('root = "src/shop"', 'root = "../shop"', "write a path relative to playbook.toml"),
        ('root = "src/shop"', 'root = "src/nix"', "application.root = 'src/nix' is not a folder"),
        ('tests = "tests/shop"', 'tests = "nix"', "application.tests = 'nix' is not a folder"),
        ("shop.worker.app:app", "shop.worker.app", "write package.module:name"),
        ("shop.worker.app:app", "shop.worker.nix:app", "there is no src/shop/worker/nix.py"),
        ("shop.worker.broker:broker", "other.broker:broker", "must live in application.root"),
        ("shop.tasks.bill", "shop tasks", "phases.01_poc.twin = 'shop tasks' does not have the right form"),
        ("[phases.01_poc]", "[phases.77_x]", "phases.77_x is not a known key"),
        ("[phases.01_poc]", "[other]", "unknown section [other]"),
        ("[application]", "[applicatio]", "unknown section [applicatio]"),
        ("[application]", "[application", "is not valid TOML"),
        ('name = "shop"', 'name = "shop"\nbase = "/x"', "application.base is not a key"),
    ],
)
def test_every_error_is_one_line_with_file_and_remedy(base: Path, old: str, new: str, complaint: str) -> None:
    path = base / "playbook.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_application(path)
    message = str(caught.value)
    assert complaint in message
    assert str(path) in message
    assert "\n" not in message


def test_an_empty_file_names_the_missing_section(base: Path) -> None:
    (base / "playbook.toml").write_text("")
    with pytest.raises(ConfigError, match=r"section \[application\] is missing"):
        load_application(base / "playbook.toml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*nix\.toml: No such file"):
        load_application(tmp_path / "nix.toml")
    with pytest.raises(ConfigError, match=r"no playbook\.toml in .* or above it"):
        load_application(start=tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "playbook.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        load_application(tmp_path / "playbook.toml")
