"""The language model of the outside world: short texts made of the words of the question. Pure functions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_WORD = re.compile(r"[^\W\d_]{5,}")
TITLE_WORDS = 4
SHORT_SENTENCES = 2
LONG_SENTENCES = 6


def keywords(text: str, count: int) -> list[str]:
    """Return the most frequent words of five letters or more, first come first."""
    return [word for word, _ in Counter(_WORD.findall(text.lower())).most_common(count)]


def sentences(text: str, count: int) -> str:
    """Return the first sentences of a text."""
    return " ".join(re.split(r"(?<=[.!?])\s+", " ".join(text.split()))[:count])


def title(text: str) -> str:
    """Make a title of a text's keywords."""
    return " ".join(keywords(text, TITLE_WORDS)).capitalize() or "Untitled"


def topic(text: str) -> str:
    """Answer the question for a topic: JSON with title and summary."""
    return json.dumps({"title": title(text), "summary": f"About: {sentences(text, 1)}"})


ANSWERS: dict[str, Callable[[str], str]] = {
    "topics": topic,
    "title": title,
    "short_summary": lambda text: f"In short: {sentences(text, SHORT_SENTENCES)}",
    "long_summary": lambda text: f"In full: {sentences(text, LONG_SENTENCES)}",
}


def complete(messages: Sequence[Mapping[str, Any]]) -> str:
    """Answer a chat.

    Parameters:
        messages: as in OpenAI's chat completions: objects with `role` and `content`. The first line of the
            system message tells what is asked, for instance `TASK: topics`.

    Returns:
        The content of the assistant's message.

    Raises:
        ValueError: the first line asks for nothing that is known.
    """
    system = next((str(part["content"]) for part in messages if part["role"] == "system"), "")
    first = system.split("\n", 1)[0].strip()
    kind = first.removeprefix("TASK:").strip()
    if not first.startswith("TASK:") or kind not in ANSWERS:
        known = ", ".join(f"TASK: {name}" for name in ANSWERS)
        raise ValueError(f"the system message begins with {first!r}; known are {known}")
    return ANSWERS[kind]("\n".join(str(part["content"]) for part in messages if part["role"] == "user"))
