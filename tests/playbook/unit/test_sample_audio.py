"""The sample recording is the one that its provenance describes, and can be made again."""

import hashlib
import itertools
import shutil
import wave
from pathlib import Path

import pytest

from playbook.lab.audio import make_sample

FOLDER = Path(make_sample.__file__).parent
SAMPLE = FOLDER / "two_speakers.wav"


def test_the_provenance_names_this_recording() -> None:
    digest = hashlib.sha256(SAMPLE.read_bytes()).hexdigest()
    assert digest in (FOLDER / "PROVENANCE.md").read_text()


def test_the_recording_is_small_speech() -> None:
    with wave.open(str(SAMPLE)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        assert 10 <= file.getnframes() / 16_000 <= 20
    assert SAMPLE.stat().st_size < 500_000


def test_two_voices_take_turns() -> None:
    voices = [voice for voice, _ in make_sample.DIALOGUE]
    assert len(set(voices)) == 2
    assert all(first != second for first, second in itertools.pairwise(voices))


def test_without_the_synthesiser_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["make_sample", str(tmp_path / "out.wav")])
    assert make_sample.main() == 1
    assert "apt-get install espeak-ng" in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()


if shutil.which("espeak-ng"):  # the bytes depend on its version, the shape does not

    def test_it_can_be_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        target = tmp_path / "out.wav"
        monkeypatch.setattr("sys.argv", ["make_sample", str(target)])
        assert make_sample.main() == 0
        with wave.open(str(target)) as file:
            assert 10 <= file.getnframes() / file.getframerate() <= 20
        first = target.read_bytes()
        assert make_sample.main() == 0
        assert target.read_bytes() == first
