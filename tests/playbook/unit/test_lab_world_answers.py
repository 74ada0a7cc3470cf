"""The invented answers of the outside world: deterministic, and plausible enough to work with."""

import io
import json
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbook.lab.audio import TWO_SPEAKERS
from playbook.lab.world import language, speech
from playbook.lab.world.faults import Fault, Faults


def wav(samples: np.ndarray) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(speech.RATE)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return out.getvalue()


def tone(seconds: float) -> np.ndarray:
    return 0.5 * np.sin(np.arange(int(speech.RATE * seconds)) * 0.1)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(int(speech.RATE * seconds))


TURNS = st.lists(st.tuples(st.floats(0.4, 2), st.floats(0.5, 1)), min_size=1, max_size=4)


@settings(max_examples=25, deadline=None)
@given(TURNS)
def test_words_lie_in_the_voiced_parts_in_order_and_speakers_take_turns(turns: list[tuple[float, float]]):
    audio = wav(np.concatenate([np.concatenate([tone(loud), silence(quiet)]) for loud, quiet in turns]))
    duration = sum(loud + quiet for loud, quiet in turns)
    spans = speech.voiced_spans(speech.decode(audio))
    words = speech.transcribe(audio)
    assert len(spans) == len(turns)
    assert words == sorted(words, key=lambda word: word["start"])
    for word in words:
        assert 0 <= word["start"] < word["end"] <= duration + speech.FRAME_SECONDS
        assert any(start <= word["start"] and word["end"] <= end + 0.001 for start, end in spans)
    assert [turn["speaker"] for turn in speech.diarize(audio)] == [number % 2 for number in range(len(turns))]


def test_the_sample_is_answered_the_same_each_time_with_two_speakers_and_sentences():
    audio = TWO_SPEAKERS.read_bytes()
    words = speech.transcribe(audio)
    assert words == speech.transcribe(audio)
    assert speech.diarize(audio) == speech.diarize(audio)
    assert {turn["speaker"] for turn in speech.diarize(audio)} == {0, 1}
    assert sum(word["text"].endswith((".", "?")) for word in words) >= 2


def test_other_audio_gets_other_words():
    texts = {
        " ".join(word["text"] for word in speech.transcribe(wav(tone(seconds)))) for seconds in (2, 2.5, 3)
    }
    assert len(texts) > 1


def test_silence_has_no_words():
    assert speech.transcribe(wav(silence(1))) == []
    assert speech.diarize(wav(silence(0.001))) == []


@pytest.mark.parametrize("data", [b"", b"not audio", TWO_SPEAKERS.read_bytes()[:20]])
def test_what_is_no_audio_is_refused(data: bytes):
    with pytest.raises(ValueError, match="audio"):
        speech.transcribe(data)


def ask(kind: str, text: str) -> str:
    return language.complete(
        [{"role": "system", "content": f"TASK: {kind}\nBe brief."}, {"role": "user", "content": text}]
    )


TEXT = (
    "The scheduler moves first. The scheduler is small! Is the pipeline larger? It is. Much. Larger. Still."
)


def test_each_kind_of_question_has_its_answer():
    assert json.loads(ask("topics", TEXT)) == {
        "title": "Scheduler larger moves first",
        "summary": "About: The scheduler moves first.",
    }
    assert ask("title", TEXT) == "Scheduler larger moves first"
    assert ask("short_summary", TEXT) == "In short: The scheduler moves first. The scheduler is small!"
    assert ask("long_summary", TEXT).endswith("Much. Larger.")


@given(st.sampled_from(sorted(language.ANSWERS)), st.text())
def test_every_text_has_an_answer_and_always_the_same(kind: str, text: str):
    assert ask(kind, text)
    assert ask(kind, text) == ask(kind, text)


@pytest.mark.parametrize("first", ["TASK: sing", "topics", ""])
def test_an_unknown_question_is_refused_with_the_known_ones(first: str):
    with pytest.raises(ValueError, match="known are TASK: topics, TASK: title"):
        language.complete([{"role": "system", "content": first}, {"role": "user", "content": "x"}])


def test_faults_are_taken_in_order_so_many_times_and_per_service():
    faults = Faults()
    faults.plan(Fault(service="zulip", status=503, times=2))
    faults.plan(Fault(service="zulip", drop=True))
    taken = [faults.take("zulip") for _ in range(4)]
    assert [fault and (fault.status, fault.drop) for fault in taken] == [
        (503, False),
        (503, False),
        (None, True),
        None,
    ]
    faults.plan(Fault(service="zulip", delay=1))
    assert faults.take("llm") is None
    faults.clear()
    assert faults.take("zulip") is None


@pytest.mark.parametrize("wrong", [{}, {"status": 99}, {"drop": True, "times": 0}, {"delay": -1}])
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError, match="validation error"):
        Fault.model_validate({"service": "zulip", **wrong})
