"""The pure parts of the processors: words meet speakers, words become pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflector.processors import SpeakerSegment, Topic, Word, assign_speakers, split_words

times = st.floats(0, 1000, allow_nan=False)
words = st.lists(
    st.builds(
        lambda text, start, length: Word(text=text, start=start, end=start + length),
        st.text("abc.", min_size=1, max_size=30),
        times,
        st.floats(0, 5),
    ),
    max_size=40,
)
segments = st.lists(
    st.builds(
        lambda start, length, speaker: SpeakerSegment(start=start, end=start + length, speaker=speaker),
        times,
        st.floats(0.01, 50),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=10,
)


def word(start: float, end: float, text: str = "x") -> Word:
    return Word(text=text, start=start, end=end)


TWO = [SpeakerSegment(start=0, end=5, speaker=3), SpeakerSegment(start=6, end=10, speaker=8)]


@pytest.mark.parametrize(
    ("spoken", "speaker"),
    [
        pytest.param(word(1, 2), 3, id="inside the first"),
        pytest.param(word(7, 7), 8, id="inside the second, no length"),
        pytest.param(word(4.5, 5.4), 3, id="mostly the first"),
        pytest.param(word(4.9, 7.5), 8, id="mostly the second"),
        pytest.param(word(5.1, 5.2), 3, id="gap, nearer to the first"),
        pytest.param(word(5.8, 5.9), 8, id="gap, nearer to the second"),
        pytest.param(word(90, 91), 8, id="after the end"),
    ],
)
def test_a_word_belongs_to_who_speaks_then(spoken: Word, speaker: int) -> None:
    assert assign_speakers([spoken], TWO)[0].speaker == speaker


@given(words, segments)
def test_speakers_change_nothing_else(spoken: list[Word], who: list[SpeakerSegment]) -> None:
    before = [item.model_copy() for item in spoken]
    after = assign_speakers(spoken, who)
    assert spoken == before
    assert [item.model_copy(update={"speaker": 0}) for item in after] == before
    assert {item.speaker for item in after} <= {segment.speaker for segment in who}


def test_without_diarisation_the_words_stay() -> None:
    spoken = [Word(text="x", start=0, end=1, speaker=4)]
    assert assign_speakers(spoken, []) == spoken


@given(words, st.integers(1, 100))
def test_pieces_are_the_words_in_order(spoken: list[Word], size: int) -> None:
    pieces = split_words(spoken, size)
    assert [item for piece in pieces for item in piece] == spoken
    assert all(pieces)
    for piece in pieces:
        assert len(piece) == 1 or len(" ".join(item.text for item in piece)) <= size


def test_pieces_end_with_sentences() -> None:
    text = "One two three. Four five six seven eight. Nine ten"
    spoken = [word(index, index + 1, part) for index, part in enumerate(text.split())]
    pieces = [" ".join(item.text for item in piece) for piece in split_words(spoken, 30)]
    assert pieces == ["One two three. Four five six", "seven eight. Nine ten"]
    pieces = [" ".join(item.text for item in piece) for piece in split_words(spoken, 28)]
    assert pieces == ["One two three.", "Four five six seven eight.", "Nine ten"]


def test_a_topic_knows_its_text() -> None:
    topic = Topic(title="t", summary="s", timestamp=0, duration=2, words=[word(0, 1, " a "), word(1, 2, "b")])
    assert topic.transcript == "a b"
