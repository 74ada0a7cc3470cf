"""The clients of outside services against a real HTTP server that answers what a test tells it to."""

import base64
import email.parser
import email.policy
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from reflector import whereby, zulip
from reflector.processors import (
    AudioError,
    ServiceRejected,
    ServiceUnavailable,
    Topic,
    Word,
    detect_topic,
    detect_topics,
    diarize,
    http,
    transcribe,
    transcribe_file,
    write_long_summary,
    write_short_summary,
    write_title,
)
from reflector.processors.audio import RATE, to_wav
from reflector.services.ics import fetch_calendar
from reflector.settings import settings


@dataclass
class Received:
    """One request as the server saw it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(self.body.decode()).items()}

    def parts(self) -> dict[str, tuple[str | None, bytes]]:
        """Multipart fields by name: file name and content."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        return {
            str(part.get_param("name", header="content-disposition")): (
                part.get_filename(),
                part.get_payload(decode=True),
            )
            for part in message.iter_parts()
        }


Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | None


@dataclass
class Service:
    """A server that answers with `answer(request)`: status, body, headers; None drops the connection."""

    url: str
    requests: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Answer] = lambda _: (404, {})

    def always(self, status: int, body: Any, **headers: str) -> None:
        self.answer = lambda _: (status, body, headers)


@pytest.fixture
def service() -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            address = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {key.lower(): value for key, value in self.headers.items()}
            request = Received(self.command, address.path, parse_qs(address.query), headers, body)
            found.requests.append(request)
            answer = found.answer(request)
            if answer is None:
                self.connection.close()
                return
            content = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            for key, value in (answer[2] if len(answer) == 3 else {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = handle_any  # noqa: N815 - named by http.server

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Service(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def outside(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """All settings point to the server."""
    for name, value in {
        "TRANSCRIPT_URL": service.url,
        "TRANSCRIPT_API_KEY": "speech-key",
        "DIARIZATION_URL": service.url,
        "DIARIZATION_API_KEY": None,
        "LLM_URL": f"{service.url}/v1",
        "LLM_API_KEY": "llm-key",
        "LLM_MODEL": "small",
        "ZULIP_URL": service.url,
        "ZULIP_BOT_EMAIL": "bot@example.org",
        "ZULIP_API_KEY": "zulip-key",
        "WHEREBY_API_URL": f"{service.url}/v1",
        "WHEREBY_API_KEY": "rooms-key",
    }.items():
        monkeypatch.setattr(settings, name, value)


def completion(text: str) -> dict[str, Any]:
    return {"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}


def spoken(text: str) -> list[Word]:
    return [Word(text=part, start=index, end=index + 0.5) for index, part in enumerate(text.split())]


TOPICS = [
    Topic(title="Harbour", summary="Ships come.", timestamp=0, duration=61, words=[]),
    Topic(title="Storm", summary="Ships go.", timestamp=61, duration=9, words=[]),
]


class TestTranscription:
    async def test_sends_the_audio_and_shifts_the_words(self, service: Service) -> None:
        service.always(
            200,
            {"text": "hello you", "words": [{"text": "hello", "start": 0.5, "end": 1, "confidence": 0.9}]},
        )
        words = await transcribe(b"RIFF...", language="en", filename="a.wav", offset=30)
        assert words == [Word(text="hello", start=30.5, end=31)]
        (request,) = service.requests
        assert (request.method, request.path) == ("POST", "/v1/audio/transcriptions")
        assert request.headers["authorization"] == "Bearer speech-key"
        assert request.parts() == {"file": ("a.wav", b"RIFF..."), "language": (None, b"en")}

    async def test_a_file_is_sent_in_chunks(self, service: Service, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        path.write_bytes(to_wav(np.ones(RATE * 5 // 2, dtype=np.int16)))
        service.always(200, {"text": "x", "words": [{"text": "x", "start": 0.25, "end": 0.5}]})
        words = await transcribe_file(path, language="fr", chunk_seconds=1)
        assert [item.start for item in words] == [0.25, 1.25, 2.25]
        assert [item.parts()["file"][0] for item in service.requests] == [
            "chunk_0.wav",
            "chunk_1.wav",
            "chunk_2.wav",
        ]

    async def test_broken_audio_asks_nobody(self, service: Service, tmp_path: Path) -> None:
        path = tmp_path / "a.wav"
        path.write_bytes(b"x")
        with pytest.raises(AudioError):
            await transcribe_file(path, language="en")
        assert service.requests == []


class TestDiarization:
    async def test_sends_the_file(self, service: Service, tmp_path: Path) -> None:
        path = tmp_path / "a.mp3"
        path.write_bytes(b"ID3...")
        service.always(200, {"diarization": [{"start": 0, "end": 1.5, "speaker": 2}]})
        (segment,) = await diarize(path)
        assert (segment.start, segment.end, segment.speaker) == (0, 1.5, 2)
        (request,) = service.requests
        assert request.path == "/diarize"
        assert "authorization" not in request.headers
        assert request.parts() == {"file": ("a.mp3", b"ID3...")}

    async def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match=r"gone\.mp3: cannot be read"):
            await diarize(tmp_path / "gone.mp3")


class TestLanguageModel:
    async def test_topic(self, service: Service) -> None:
        service.always(200, completion('{"title": "Greeting", "summary": "They meet."}'))
        topic = await detect_topic(spoken("hello there friend"))
        assert (topic.title, topic.summary) == ("Greeting", "They meet.")
        assert (topic.timestamp, topic.duration, topic.transcript) == (0, 2.5, "hello there friend")
        (request,) = service.requests
        assert request.path == "/v1/chat/completions"
        assert request.headers["authorization"] == "Bearer llm-key"
        question = request.json()
        assert question["model"] == "small"
        assert question["temperature"] == 0
        assert question["response_format"] == {"type": "json_object"}
        system, user = question["messages"]
        assert system["content"].splitlines()[0] == "TASK: topics"
        assert user == {"role": "user", "content": "hello there friend"}

    async def test_topics_come_one_by_one(self, service: Service) -> None:
        service.always(200, completion('{"title": "t", "summary": "s"}'))
        speech = spoken("word " * 100)
        asked = []
        found = []
        async for topic in detect_topics(speech):
            asked.append(len(service.requests))
            found.append(topic)
        assert len(found) > 1
        assert asked == list(range(1, len(found) + 1))
        assert [item for topic in found for item in topic.words] == speech

    @pytest.mark.parametrize("answer", ["no json", "[]", '{"title": "t"}'])
    async def test_a_topic_that_is_none(self, service: Service, answer: str) -> None:
        service.always(200, completion(answer))
        with pytest.raises(ServiceRejected, match="a topic without title and summary"):
            await detect_topic(spoken("hello"))

    async def test_title_is_one_line_without_quotes(self, service: Service) -> None:
        service.always(200, completion('"Ships\n and storms"\n'))
        assert await write_title(TOPICS) == "Ships and storms"
        system, user = service.requests[0].json()["messages"]
        assert system["content"].startswith("TASK: title\n")
        assert user["content"] == "- Harbour: Ships come.\n- Storm: Ships go."

    async def test_summaries(self, service: Service) -> None:
        service.answer = lambda request: (
            200,
            completion(request.json()["messages"][0]["content"].splitlines()[0]),
        )
        assert await write_short_summary(TOPICS) == "TASK: short_summary"
        assert await write_long_summary(TOPICS) == "TASK: long_summary"
        assert "response_format" not in service.requests[0].json()

    @pytest.mark.parametrize("body", [{"choices": []}, {}, completion("  "), b"<html>"])
    async def test_an_answer_without_content(self, service: Service, body: Any) -> None:
        service.always(200, body)
        with pytest.raises(ServiceRejected):
            await write_title(TOPICS)


class TestZulip:
    async def test_send(self, service: Service) -> None:
        service.always(200, {"result": "success", "id": 42})
        assert await zulip.send_message_to_zulip("general", "meetings", "Hi & bye") == 42
        (request,) = service.requests
        assert (request.method, request.path) == ("POST", "/api/v1/messages")
        assert request.form() == {
            "type": "stream",
            "to": "general",
            "topic": "meetings",
            "content": "Hi & bye",
        }
        credentials = base64.b64encode(b"bot@example.org:zulip-key").decode()
        assert request.headers["authorization"] == f"Basic {credentials}"

    async def test_update(self, service: Service) -> None:
        service.always(200, {"result": "success"})
        await zulip.update_zulip_message(42, "new")
        (request,) = service.requests
        assert (request.method, request.path) == ("PATCH", "/api/v1/messages/42")
        assert request.form() == {"content": "new"}

    async def test_without_settings_it_says_which(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(settings, "ZULIP_URL", None)
        with pytest.raises(ServiceRejected, match="set ZULIP_URL"):
            await zulip.update_zulip_message(1, "x")

    def test_content(self) -> None:
        text = zulip.zulip_content(
            title="Ships", url="http://ui/t/1", short_summary="Ships move.", topics=TOPICS, duration_ms=70_900
        )
        assert text.splitlines() == [
            "## [Ships](http://ui/t/1)",
            "",
            "*Duration: 01:10*",
            "",
            "Ships move.",
            "",
            "**Topics**",
            "- 00:00 Harbour",
            "- 01:01 Storm",
        ]

    def test_content_of_a_long_silence(self) -> None:
        text = zulip.zulip_content(title="T", url="u", short_summary="s", topics=[], duration_ms=3_725_000)
        assert text == "## [T](u)\n\n*Duration: 1:02:05*\n\ns"


class TestWhereby:
    async def test_create(self, service: Service) -> None:
        end = datetime(2026, 3, 1, 12, tzinfo=UTC)
        service.always(
            201,
            {
                "meetingId": "7",
                "roomName": "/demo-7",
                "roomUrl": "http://rooms/demo-7",
                "hostRoomUrl": "http://rooms/demo-7?key=1",
                "startDate": "2026-03-01T11:00:00.000Z",
                "endDate": "2026-03-01T13:00:00+01:00",
            },
        )
        meeting = await whereby.create_meeting("demo", end, is_locked=True, room_mode="group")
        assert (meeting.meeting_id, meeting.room_name) == ("7", "/demo-7")
        assert meeting.end_date == end
        assert meeting.end_date - meeting.start_date == timedelta(hours=1)
        (request,) = service.requests
        assert request.path == "/v1/meetings"
        assert request.headers["authorization"] == "Bearer rooms-key"
        assert request.json() == {
            "roomNamePrefix": "demo",
            "endDate": "2026-03-01T12:00:00+00:00",
            "roomMode": "group",
            "isLocked": True,
            "fields": ["hostRoomUrl"],
        }

    async def test_sessions(self, service: Service) -> None:
        service.always(
            200,
            {
                "results": [
                    {"startedAt": "2026-03-01T11:00:00Z", "endedAt": "2026-03-01T11:30:00Z", "extra": 1},
                    {"startedAt": "2026-03-01T11:40:00Z", "endedAt": None},
                    {"startedAt": "2026-03-01T11:50:00Z"},
                ]
            },
        )
        sessions = await whereby.get_room_sessions("/demo-7")
        assert [item.ended_at is None for item in sessions] == [False, True, True]
        assert service.requests[0].query == {"roomName": ["/demo-7"]}


class TestCalendarFeed:
    async def test_first_fetch(self, service: Service) -> None:
        service.always(200, "BEGIN:VCALENDAR\r\nü".encode(), ETag='"1"')
        fetched = await fetch_calendar(f"{service.url}/a.ics")
        assert fetched.content == "BEGIN:VCALENDAR\r\nü"
        assert fetched.etag == '"1"'
        assert fetched.sha256 is not None
        assert "if-none-match" not in service.requests[0].headers

    async def test_the_header_names_the_charset(self, service: Service) -> None:
        service.always(200, "ü".encode("latin-1"), **{"Content-Type": "text/calendar; charset=iso-8859-1"})
        assert (await fetch_calendar(f"{service.url}/a.ics")).content == "ü"

    async def test_unchanged(self, service: Service) -> None:
        service.always(304, b"")
        fetched = await fetch_calendar(f"{service.url}/a.ics", etag='"1"')
        assert (fetched.content, fetched.etag, fetched.sha256) == (None, '"1"', None)
        assert service.requests[0].headers["if-none-match"] == '"1"'


class TestFailures:
    """All clients share `http.request`; the calendar stands for them."""

    @pytest.mark.parametrize("status", [429, 500, 503])
    async def test_worth_a_retry(self, service: Service, status: int) -> None:
        service.always(status, {"reason": "busy"})
        with pytest.raises(ServiceUnavailable, match=f"calendar at .*: answered {status} .*busy") as caught:
            await fetch_calendar(f"{service.url}/a.ics")
        assert caught.value.status == status

    @pytest.mark.parametrize("status", [400, 401, 404])
    async def test_not_worth_a_retry(self, service: Service, status: int) -> None:
        service.always(status, {})
        with pytest.raises(ServiceRejected) as caught:
            await fetch_calendar(f"{service.url}/a.ics")
        assert caught.value.status == status

    async def test_a_dropped_connection(self, service: Service) -> None:
        service.answer = lambda _: None
        with pytest.raises(ServiceUnavailable, match="connection failed") as caught:
            await fetch_calendar(f"{service.url}/a.ics")
        assert caught.value.status is None

    async def test_silence(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        done = threading.Event()
        monkeypatch.setattr(http, "ANSWER_TIMEOUT", 0.2)
        service.answer = lambda _: (200, {}) if done.wait(20) else None
        try:
            with pytest.raises(ServiceUnavailable, match="no answer in time"):
                await fetch_calendar(f"{service.url}/a.ics")
        finally:
            done.set()

    async def test_a_redirect_is_followed(self, service: Service) -> None:
        service.answer = lambda request: (
            (302, b"", {"Location": "/b.ics"}) if request.path == "/a.ics" else (200, b"there")
        )
        assert (await fetch_calendar(f"{service.url}/a.ics")).content == "there"

    async def test_redirects_without_end(self, service: Service) -> None:
        service.always(302, b"", Location="/a.ics")
        with pytest.raises(ServiceRejected):
            await fetch_calendar(f"{service.url}/a.ics")

    @pytest.mark.parametrize("url", ["http://localhost:port/a.ics", "ftp://127.0.0.1/a.ics", "nothing"])
    async def test_an_address_that_is_none(self, url: str) -> None:
        with pytest.raises(ServiceRejected):
            await fetch_calendar(url)

    async def test_messages_hide_credentials(self, service: Service) -> None:
        url = service.url.replace("//", "//user:secret@") + "/a.ics?token=secret"
        with pytest.raises(ServiceRejected) as caught:
            await fetch_calendar(url)
        assert "secret" not in str(caught.value)
        assert f"{service.url}/a.ics" in str(caught.value)

    async def test_an_answer_of_another_shape(self, service: Service) -> None:
        service.always(200, {"text": "x", "words": [{"text": "x", "start": "soon", "end": 1}]})
        with pytest.raises(ServiceRejected, match=r"unexpected answer, words\.0\.start"):
            await transcribe(b"", language="en")
