"""Messages to Zulip, through a bot account (https://zulip.com/api/send-message, update-message)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import httpx
from pydantic import BaseModel, TypeAdapter

from reflector.processors.errors import ServiceRejected
from reflector.processors.http import parse, request
from reflector.settings import settings


class _Sent(BaseModel):
    id: int


_SENT = TypeAdapter(_Sent)


class TimedTopic(Protocol):
    """A topic with its place in the recording, `timestamp` in seconds."""

    @property
    def title(self) -> str: ...

    @property
    def timestamp(self) -> float: ...


async def send_message_to_zulip(stream: str, topic: str, content: str) -> int:
    """Post `content` (Markdown) to a stream and return the message's id.

    Raises `ServiceUnavailable` or `ServiceRejected`.
    """
    form = {"type": "stream", "to": stream, "topic": topic, "content": content}
    return parse("zulip", await _call("POST", "messages", form), _SENT).id


async def update_zulip_message(message_id: int, content: str) -> None:
    """Replace the content of a message of the bot. Raises `ServiceUnavailable` or `ServiceRejected`."""
    await _call("PATCH", f"messages/{message_id}", {"content": content})


def zulip_content(
    *, title: str, url: str, short_summary: str, topics: Sequence[TimedTopic], duration_ms: int
) -> str:
    """The Markdown text that announces a finished transcript at `url`."""
    lines = [f"## [{title}]({url})", "", f"*Duration: {_clock(duration_ms / 1000)}*", "", short_summary]
    if topics:
        lines += ["", "**Topics**", *(f"- {_clock(topic.timestamp)} {topic.title}" for topic in topics)]
    return "\n".join(lines)


async def _call(method: str, path: str, form: dict[str, str]) -> httpx.Response:
    if not settings.ZULIP_URL:
        raise ServiceRejected("zulip", "(no address)", "set ZULIP_URL, ZULIP_BOT_EMAIL and ZULIP_API_KEY")
    auth = (settings.ZULIP_BOT_EMAIL or "", settings.ZULIP_API_KEY or "")
    return await request("zulip", method, f"{settings.ZULIP_URL}/api/v1/{path}", data=form, auth=auth)


def _clock(seconds: float) -> str:
    """Minutes and seconds, with hours only when there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
