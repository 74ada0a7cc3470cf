"""From words to topics, and from topics to title and summaries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from pydantic import BaseModel, ValidationError

from reflector.processors.errors import ServiceRejected
from reflector.processors.llm import ask
from reflector.processors.types import Topic, TopicText, Word, join_words
from reflector.settings import settings

# Characters of speech per question. Small enough that topics appear early during a live recording.
TOPIC_CHARS = 160

_TOPIC = (
    "Read the transcript excerpt. Answer with a JSON object of two strings: "
    '"title", at most eight words, and "summary", one or two sentences.'
)
_TITLE = "Read the topics of a conversation. Answer with a title of at most eight words."
_SHORT = "Read the topics of a conversation. Answer with its summary in at most three sentences."
_LONG = (
    "Read the topics of a conversation. Answer with a detailed summary in Markdown, a paragraph per topic."
)


class _TopicAnswer(BaseModel):
    title: str
    summary: str


def split_words(words: Sequence[Word], max_chars: int = TOPIC_CHARS) -> list[list[Word]]:
    """Cut the words into pieces worth one topic each; joined they are `words` again.

    A piece ends with the first sentence that brings it to half of `max_chars` characters or more, or with the
    word before it would exceed `max_chars`. A single longer word is a piece of its own.
    """
    return list(_pieces(words, max_chars))


def _pieces(words: Sequence[Word], max_chars: int) -> Iterator[list[Word]]:
    piece: list[Word] = []
    size = 0
    for word in words:
        text = word.text.strip()
        if piece and size + 1 + len(text) > max_chars:
            yield piece
            piece, size = [], 0
        size += len(text) + (1 if piece else 0)
        piece.append(word)
        if size >= max_chars / 2 and text.endswith((".", "!", "?")):
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


async def detect_topic(words: Sequence[Word]) -> Topic:
    """The topic of one piece of speech (at least one word)."""
    answer = await ask("topics", _TOPIC, join_words(words), as_json=True)
    try:
        found = _TopicAnswer.model_validate_json(answer)
    except ValidationError as error:
        raise ServiceRejected("llm", settings.LLM_URL, "a topic without title and summary") from error
    start, end = words[0].start, words[-1].end
    return Topic(
        title=found.title, summary=found.summary, timestamp=start, duration=end - start, words=list(words)
    )


async def detect_topics(words: Sequence[Word]) -> AsyncIterator[Topic]:
    """The topics of a recording in order, each as soon as the model has named it."""
    for piece in split_words(words):
        yield await detect_topic(piece)


async def write_title(topics: Sequence[TopicText]) -> str:
    """A title for the conversation, on one line."""
    return " ".join((await ask("title", _TITLE, _outline(topics))).strip('"').split())


async def write_short_summary(topics: Sequence[TopicText]) -> str:
    """A summary of a few sentences."""
    return await ask("short_summary", _SHORT, _outline(topics))


async def write_long_summary(topics: Sequence[TopicText]) -> str:
    """A detailed summary in Markdown."""
    return await ask("long_summary", _LONG, _outline(topics))


def _outline(topics: Sequence[TopicText]) -> str:
    return "\n".join(f"- {topic.title}: {topic.summary}" for topic in topics)
