"""The session that a notebook works with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from playbook import phases
from playbook.errors import ParameterError, PhaseStopped, PlaybookError
from playbook.session import PhaseSession, open_phase
from tests.playbook.integration import tiny

pytestmark = pytest.mark.integration


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(phases, "PHASES", tiny.PHASES)
    base = tiny.make_shop(tmp_path / "base")
    monkeypatch.chdir(base / "notebooks")
    return base


@pytest.fixture
def phase(base: Path, tmp_path: Path) -> PhaseSession:
    return open_phase("poc", run_dir=str(tmp_path / "run"))


def outcome(phase: PhaseSession) -> dict[str, Any]:
    return json.loads((phase.run_dir / "phases" / "01_poc" / "outcome.json").read_text())


def test_a_phase_from_opening_to_signing_off(phase: PhaseSession) -> None:
    assert outcome(phase)["status"] == "running"
    assert "+broker" in phase.diff()
    assert phase.apply().changed
    assert not phase.apply().changed
    assert list(phase.before) != list(phase.after)
    assert phase.refusals[0].path == "shop/app.py"
    assert phase.check("broker").ok
    assert phase.verify() == []
    phase.expect("own", "made here", True, "fine", {"n": 1})
    phase.claim("it is easy", holds=False, found="it is not")
    phase.record("lines", [1, 2])
    signed = phase.sign_off()
    assert repr(signed) == (
        "01_poc is signed off: 2 checks passed, 1 claims of the guide tried, 1 of them do not hold"
    )
    kept = outcome(phase)
    assert kept["status"] == "signed_off"
    assert [check["name"] for check in kept["checks"]] == ["broker", "own"]
    assert kept["values"] == {"lines": [1, 2]}
    assert (phase.run_dir / kept["diff"]).read_text() == phase.diff()
    assert len(kept["tree"]) == 40


def test_without_a_folder_a_session_leaves_nothing_behind(base: Path) -> None:
    phase = open_phase("poc")
    phase.apply()
    folder = phase.run_dir
    assert (folder / "workspace").is_dir()
    del phase
    assert not folder.exists()


def test_sign_off_gives_all_reasons(phase: PhaseSession) -> None:
    phase.expect("own", "made here", False, "it is red")
    with pytest.raises(PhaseStopped) as caught:
        phase.sign_off()
    assert str(caught.value) == (
        "01_poc stops: check own failed: it is red; check broker did not run; its slice is not applied"
    )
    assert outcome(phase)["status"] == "stopped"
    assert outcome(phase)["message"] == str(caught.value)


def test_a_check_that_is_made_again_counts_once(phase: PhaseSession) -> None:
    phase.apply()
    (phase.workspace / "shop" / "broker.py").write_text("")
    assert not phase.check("broker").ok
    (phase.workspace / "shop" / "broker.py").write_text("redis")
    assert phase.check("broker").ok
    assert [check["ok"] for check in outcome(phase)["checks"]] == [True]


def test_an_unknown_check_is_answered_with_the_known_ones(phase: PhaseSession) -> None:
    with pytest.raises(PlaybookError, match="01_poc has no check nix; it has: broker"):
        phase.check("nix")


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_what_is_no_json_is_refused_where_it_is_given(phase: PhaseSession, value: object) -> None:
    with pytest.raises(PlaybookError, match="the value 'x' cannot be written as JSON"):
        phase.record("x", value)


def test_figures_are_kept_and_are_the_same_each_time(phase: PhaseSession) -> None:
    contents = []
    for _ in range(2):
        figure = Figure(figsize=(1, 1))
        figure.subplots().plot([1, 2])
        assert phase.figure("line", figure, "A line.") is figure
        contents.append((phase.run_dir / outcome(phase)["figures"][0]["path"]).read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(b"\x89PNG")
    assert len(outcome(phase)["figures"]) == 1


def test_credentials_are_not_kept(phase: PhaseSession) -> None:
    phase.record("url", "redis://:secret@host/1")
    assert "secret" not in json.dumps(outcome(phase))


def test_errors_of_use_render_as_one_line(base: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        open_phase("poc", nonsense=1)
    assert caught.value._render_traceback_() == [
        "ParameterError: unknown parameter nonsense; "
        "known are run_dir, config, redis_url, database_url, audio"
    ]
