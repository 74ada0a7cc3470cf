"""The notebooks' parameters: every mistake is one line, before anything starts."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from playbook.errors import ParameterError
from playbook.parameters import (
    Parameters,
    check_injected,
    check_reality,
    parse_parameters,
    typed_parameters,
)


class Special(Parameters):
    messages: int = 10
    quick: bool = False


@pytest.fixture(autouse=True)
def _no_urls_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLAYBOOK_REDIS_URL", raising=False)
    monkeypatch.delenv("PLAYBOOK_DATABASE_URL", raising=False)


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def complaint(values: dict[str, Any]) -> str:
    with pytest.raises(ParameterError) as caught:
        check_reality(typed_parameters(Special, values))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_text_becomes_typed() -> None:
    parsed = parse_parameters(Special, {"messages": "20", "quick": "true", "audio": "x.wav"})
    assert (parsed.messages, parsed.quick) == (20, True)
    assert parsed.audio == str(Path.cwd() / "x.wav")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"nix": "1"}, "unknown parameter nix; known are run_dir"),
        ({"messages": "many"}, "parameter messages must be of type int, not 'many'"),
        ({"quick": "perhaps"}, "parameter quick must be of type bool, not 'perhaps'"),
    ],
)
def test_text_that_does_not_fit(given: dict[str, str], expected: str) -> None:
    with pytest.raises(ParameterError, match=expected):
        parse_parameters(Special, given)


@pytest.mark.parametrize("value", ["5", 5.0, True, None, [5]])
def test_a_notebooks_values_are_not_bent(value: object) -> None:
    assert "parameter messages must be of type int, not" in complaint({"messages": value})


@pytest.mark.parametrize("name", ["redis_url", "database_url", "audio", "run_dir", "config"])
@pytest.mark.parametrize("value", [5, None, 0])
def test_text_must_be_text(name: str, value: object) -> None:
    assert f"parameter {name} must be of type str, not {value}" in complaint({name: value})


@pytest.mark.parametrize("name", ["audio", "config"])
def test_missing_files(name: str, tmp_path: Path) -> None:
    assert complaint({name: str(tmp_path / "nix")}).startswith(f"{name}: there is no file {tmp_path}/nix")
    assert complaint({name: str(tmp_path)}).startswith(f"{name}: there is no file {tmp_path}")


def test_a_file_is_no_folder_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is not a folder" in complaint({"run_dir": str(tmp_path / "file")})


def test_servers_that_do_not_answer(closed_port: int) -> None:
    assert "redis_url: cannot use redis://127.0.0.1" in complaint(
        {"redis_url": f"redis://127.0.0.1:{closed_port}/0"}
    )
    assert "database_url: cannot use postgresql://127.0.0.1" in complaint(
        {"database_url": f"postgresql://127.0.0.1:{closed_port}/x"}
    )


def test_a_server_that_accepts_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "redis_url: cannot use" in complaint({"redis_url": f"redis://127.0.0.1:{port}/0"})
        assert "database_url: cannot use" in complaint({"database_url": f"postgresql://127.0.0.1:{port}/x"})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"redis_url": "http://127.0.0.1"}, "Redis URL must specify one of the following schemes"),
        ({"database_url": "nonsense"}, "neither 'postgres' nor a URL such as"),
        ({"database_url": "sqlite:///x.db"}, "neither 'postgres' nor a URL such as"),
    ],
)
def test_urls_of_another_kind(given: dict[str, str], reason: str) -> None:
    assert reason in complaint(given)


def test_a_password_is_refused_in_a_notebook_and_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    url = f"redis://:secret@127.0.0.1:{closed_port}/0"
    message = complaint({"redis_url": url})
    assert "PLAYBOOK_REDIS_URL" in message
    assert "secret" not in message
    monkeypatch.setenv("PLAYBOOK_REDIS_URL", url)
    assert typed_parameters(Parameters, {"redis_url": ""}).redis_url == url
    assert parse_parameters(Parameters, {}).redis_url == url
    assert "secret" not in complaint({})


def test_the_labs_own_postgres_needs_no_server() -> None:
    check_reality(typed_parameters(Parameters, {"database_url": "postgres"}))


def test_injected_names_that_nobody_knows() -> None:
    cells = ["", "messages = 10", "# Parameters\nmessages = 5\nnix = 1\n", "other = 2"]
    with pytest.raises(ParameterError, match="unknown parameter nix"):
        check_injected(Special, cells)
    check_injected(Special, ["# Parameters\nmessages = 5\n", "nix = 1"])
