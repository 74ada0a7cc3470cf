"""The generated recordings are what the outside world takes for speech, pauses and silence."""

import io
import wave

from playbook.lab.audio import generated
from playbook.lab.world import speech


def test_turns_are_heard_one_after_the_other() -> None:
    audio = generated.turns(2.0, 3.0, rate=44_100, channels=2)
    with wave.open(io.BytesIO(audio)) as file:
        assert (file.getframerate(), file.getnchannels()) == (44_100, 2)
        assert file.getnframes() / file.getframerate() == 2.0 + 3.0 + 3 * generated.PAUSE
    turns = speech.diarize(audio)
    assert [turn["speaker"] for turn in turns] == [0, 1]
    assert [round(turn["end"] - turn["start"], 1) for turn in turns] == [2.0, 3.0]
    assert speech.transcribe(audio)


def test_nobody_speaks_in_silence() -> None:
    audio = generated.silence(1.5)
    assert speech.transcribe(audio) == []
    assert speech.diarize(audio) == []


def test_equal_calls_make_equal_bytes() -> None:
    assert generated.turns(1.0, 2.0) == generated.turns(1.0, 2.0)
