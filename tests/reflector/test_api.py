"""The HTTP API over a real database; started tasks are looked up in the real queue."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from celery import current_app
from celery.signals import after_task_publish
from redis import Redis

from reflector import uploads
from reflector.app import app
from reflector.db import Session, get_session_context
from reflector.db.meetings import meeting_consent_controller, meetings_controller
from reflector.db.rooms import rooms_controller
from reflector.db.transcript_tables import Transcript, TranscriptTopic
from reflector.db.transcripts import transcripts_controller
from reflector.processors import AudioError
from reflector.settings import settings
from tests.reflector.audio import write_tone

FILE_TASK = "reflector.pipelines.main_file_pipeline.task_pipeline_file_process"
LIVE_TASK = "reflector.pipelines.main_live_pipeline.task_pipeline_process"


@pytest.fixture
async def client(database: None, redis_url: str, data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    # The server answers 500 in real life; here the exception would come through instead.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


Sent = list[tuple[str, list[Any], dict[str, Any]]]


@pytest.fixture
def sent(redis: Redis) -> Iterator[Sent]:
    """Name, arguments and keywords of the tasks sent during the test, to a queue that no worker reads."""
    queue = f"unread-{uuid4().hex}"
    usual, current_app.conf.task_default_queue = current_app.conf.task_default_queue, queue
    sent: Sent = []

    def record(sender: str, body: tuple[Any, ...], **_: Any) -> None:
        sent.append((sender, list(body[0]), body[1]))

    after_task_publish.connect(record)
    yield sent
    after_task_publish.disconnect(record)
    current_app.conf.task_default_queue = usual
    redis.delete(queue, f"_kombu.binding.{queue}")


@pytest.fixture
def wav(tmp_path: Path) -> bytes:
    return write_tone(tmp_path / "tone.wav", 1).read_bytes()


async def create(client: httpx.AsyncClient, **body: Any) -> str:
    answer = await client.post("/v1/transcripts", json={"name": "A talk", **body})
    assert answer.status_code == 200
    return str(answer.json()["id"])


async def upload(
    client: httpx.AsyncClient, transcript_id: str, content: bytes, name: str = "talk.wav", **query: Any
) -> httpx.Response:
    return await client.post(
        f"/v1/transcripts/{transcript_id}/record/upload",
        params={"chunk_number": 0, "total_chunks": 1, **query},
        files={"chunk": (name, content)},
    )


async def load(transcript_id: str) -> Transcript:
    async with get_session_context() as session:
        transcript = await transcripts_controller.get_by_id(session, transcript_id)
    assert transcript is not None
    return transcript


async def set_columns(transcript_id: str, **values: Any) -> Transcript:
    async with get_session_context() as session:
        transcript = await transcripts_controller.get_by_id(session, transcript_id)
        assert transcript is not None
        return await transcripts_controller.update(session, transcript, values)


class TestTranscripts:
    async def test_create_and_read(self, client: httpx.AsyncClient) -> None:
        body = {"name": "A talk", "source_language": "de", "target_language": "en"}
        created = (await client.post("/v1/transcripts", json=body, headers={"X-User-Id": "u1"})).json()
        assert created["status"] == "idle"
        assert created["user_id"] == "u1"
        assert {key: created[key] for key in body} == body
        assert (await client.get(f"/v1/transcripts/{created['id']}")).json() == created
        assert (await client.get(f"/v1/transcripts/{created['id']}/status")).json() == {"status": "idle"}

    async def test_a_user_sees_their_own(self, client: httpx.AsyncClient) -> None:
        anonymous = await create(client)
        headers = {"X-User-Id": "u1"}
        mine = (await client.post("/v1/transcripts", json={"name": "Mine"}, headers=headers)).json()["id"]
        assert [item["id"] for item in (await client.get("/v1/transcripts")).json()] == [anonymous]
        listed = (await client.get("/v1/transcripts", headers=headers)).json()
        assert [item["id"] for item in listed] == [mine]

    async def test_a_room_must_exist(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/transcripts", json={"name": "A talk", "room_id": "none"})
        assert (answer.status_code, answer.json()) == (404, {"detail": "There is no room none"})

    @pytest.mark.parametrize("body", [{}, {"name": 1}, {"name": "x", "colour": "red"}, {"name": "x" * 201}])
    async def test_bad_input_is_explained(self, client: httpx.AsyncClient, body: dict[str, Any]) -> None:
        answer = await client.post("/v1/transcripts", json=body)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "body"

    @pytest.mark.parametrize(
        "path", ["", "/topics", "/participants", "/status", "/audio/mp3", "/audio/waveform"]
    )
    async def test_an_unknown_transcript(self, client: httpx.AsyncClient, path: str) -> None:
        answer = await client.get(f"/v1/transcripts/none{path}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "There is no transcript none"})

    async def test_topics_and_participants(self, client: httpx.AsyncClient) -> None:
        transcript_id = await create(client)
        words = [{"text": "hello", "start": 0.0, "end": 0.5, "speaker": 1}]
        async with get_session_context() as session:
            transcript = await transcripts_controller.get_by_id(session, transcript_id)
            assert transcript is not None
            for timestamp in (5.0, 0.0):
                topic = {"title": "T", "summary": "S", "duration": 1.0, "transcript": "hello", "words": words}
                session.add(TranscriptTopic(transcript_id=transcript_id, timestamp=timestamp, **topic))
            await transcripts_controller.upsert_participant(session, transcript, 1, "Speaker 2")
        topics = (await client.get(f"/v1/transcripts/{transcript_id}/topics")).json()
        assert [topic["timestamp"] for topic in topics] == [0.0, 5.0]
        assert topics[0]["words"] == words
        participants = (await client.get(f"/v1/transcripts/{transcript_id}/participants")).json()
        assert participants == [{"speaker": 1, "name": "Speaker 2"}]

    async def test_delete_takes_the_files_along(
        self, client: httpx.AsyncClient, wav: bytes, sent: Sent
    ) -> None:
        transcript_id = await create(client)
        await upload(client, transcript_id, wav)
        assert (settings.DATA_DIR / transcript_id).exists()
        assert (await client.delete(f"/v1/transcripts/{transcript_id}")).json() == {"status": "ok"}
        assert not (settings.DATA_DIR / transcript_id).exists()
        assert (await client.get(f"/v1/transcripts/{transcript_id}")).status_code == 404


class TestUpload:
    async def test_one_chunk_starts_the_pipeline(
        self, client: httpx.AsyncClient, wav: bytes, sent: Sent
    ) -> None:
        transcript_id = await create(client)
        answer = await upload(client, transcript_id, wav)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert (settings.DATA_DIR / transcript_id / "upload.wav").read_bytes() == wav
        assert sent == [(FILE_TASK, [], {"transcript_id": transcript_id})]
        async with get_session_context() as session:
            statuses = await transcripts_controller.get_statuses(session, transcript_id)
        assert [row.status for row in statuses] == ["idle", "uploaded"]

    async def test_the_task_is_sent_after_the_commit(
        self, client: httpx.AsyncClient, wav: bytes, sent: Sent
    ) -> None:
        transcript_id = await create(client)
        seen = []

        def look(**_: Any) -> None:
            # What the worker would see at the moment that the message is in the queue.
            thread = threading.Thread(target=lambda: seen.append(asyncio.run(load(transcript_id)).status))
            thread.start()
            thread.join()

        after_task_publish.connect(look)
        try:
            await upload(client, transcript_id, wav)
        finally:
            after_task_publish.disconnect(look)
        assert seen == ["uploaded"]

    async def test_chunks_in_any_order(self, client: httpx.AsyncClient, wav: bytes, sent: Sent) -> None:
        transcript_id = await create(client)
        parts = [wav[:100], wav[100:9000], wav[9000:]]
        for number in (2, 0, 2):
            answer = await upload(client, transcript_id, parts[number], chunk_number=number, total_chunks=3)
            assert answer.status_code == 200
            assert sent == []
        await upload(client, transcript_id, parts[1], chunk_number=1, total_chunks=3)
        assert (settings.DATA_DIR / transcript_id / "upload.wav").read_bytes() == wav
        assert [path.name for path in (settings.DATA_DIR / transcript_id).iterdir()] == ["upload.wav"]
        assert len(sent) == 1

    async def test_chunks_at_the_same_time_start_one_task(
        self, client: httpx.AsyncClient, wav: bytes, sent: Sent
    ) -> None:
        transcript_id = await create(client)
        size = len(wav) // 8 + 1
        parts = [wav[start : start + size] for start in range(0, len(wav), size)]
        answers = await asyncio.gather(
            *(
                upload(client, transcript_id, part, chunk_number=number, total_chunks=len(parts))
                for number, part in enumerate(parts)
            )
        )
        assert {answer.status_code for answer in answers} == {200}
        assert (settings.DATA_DIR / transcript_id / "upload.wav").read_bytes() == wav
        assert len(sent) == 1

    async def test_live_mode(self, client: httpx.AsyncClient, wav: bytes, sent: Sent) -> None:
        transcript_id = await create(client)
        await upload(client, transcript_id, wav, mode="live")
        assert sent == [(LIVE_TASK, [], {"transcript_id": transcript_id})]
        assert (await load(transcript_id)).source_kind == "live"

    async def test_broken_audio_is_refused_and_can_be_replaced(
        self, client: httpx.AsyncClient, wav: bytes, sent: Sent
    ) -> None:
        transcript_id = await create(client)
        answer = await upload(client, transcript_id, b"no audio")
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("This is no audio")
        assert list((settings.DATA_DIR / transcript_id).iterdir()) == []
        assert (await load(transcript_id)).status == "idle"
        assert sent == []
        assert (await upload(client, transcript_id, wav)).status_code == 200

    async def test_a_second_upload_is_refused(
        self, client: httpx.AsyncClient, wav: bytes, sent: Sent
    ) -> None:
        transcript_id = await create(client)
        await upload(client, transcript_id, wav)
        answer = await upload(client, transcript_id, wav)
        assert answer.status_code == 409
        assert "has its audio already" in answer.json()["detail"]
        assert len(sent) == 1

    async def test_after_an_error_another_file_replaces_the_first(
        self, client: httpx.AsyncClient, wav: bytes, sent: Sent
    ) -> None:
        transcript_id = await create(client)
        await upload(client, transcript_id, wav)
        await set_columns(transcript_id, status="error")
        await upload(client, transcript_id, wav, name="../../etc/other.WAVE")
        assert [path.name for path in (settings.DATA_DIR / transcript_id).iterdir()] == ["upload.wave"]

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ({"chunk_number": 2, "total_chunks": 2}, 400),
            ({"chunk_number": -1}, 422),
            ({"total_chunks": 0}, 422),
            ({"total_chunks": 10**9}, 422),
            ({"mode": "fast"}, 422),
        ],
    )
    async def test_bad_numbers(
        self, client: httpx.AsyncClient, wav: bytes, query: dict[str, Any], status: int
    ) -> None:
        transcript_id = await create(client)
        assert (await upload(client, transcript_id, wav, **query)).status_code == status

    @pytest.mark.parametrize(
        ("name", "stored"),
        [(None, ".audio"), ("blob", ".audio"), ("a.WEBM", ".webm"), ("a.b c", ".audio"), ("a.x/y", ".audio")],
    )
    def test_the_extension_is_a_harmless_one(
        self, tmp_path: Path, wav: bytes, name: str | None, stored: str
    ) -> None:
        with (tmp_path / "tone.wav").open("rb") as content:
            assert uploads.store_chunk(tmp_path / "t", 0, 1, name, content)
        assert [path.name for path in (tmp_path / "t").iterdir()] == [f"upload{stored}"]

    def test_a_chunk_that_comes_too_late_changes_nothing(self, tmp_path: Path, wav: bytes) -> None:
        class Slow:
            """A chunk during whose transfer another request completes the recording."""

            def read(self, _: int) -> bytes:
                (tmp_path / "t" / "chunks").rename(tmp_path / "t" / "claimed")
                return b""

        assert not uploads.store_chunk(tmp_path / "t", 0, 1, "a.wav", Slow())  # type: ignore[arg-type]

    def test_broken_audio_forgets_the_chunks(self, tmp_path: Path) -> None:
        (tmp_path / "bad").write_bytes(b"bad")
        with (tmp_path / "bad").open("rb") as content, pytest.raises(AudioError):
            uploads.store_chunk(tmp_path / "t", 0, 1, "a.wav", content)
        assert list((tmp_path / "t").iterdir()) == []


class TestProcess:
    async def test_it_starts_again(self, client: httpx.AsyncClient, wav: bytes, sent: Sent) -> None:
        transcript_id = await create(client)
        await upload(client, transcript_id, wav)
        await set_columns(transcript_id, status="ended", task_id=None)
        for mode, task in (("file", FILE_TASK), ("live", LIVE_TASK)):
            sent.clear()
            answer = await client.post(f"/v1/transcripts/{transcript_id}/process", params={"mode": mode})
            assert (answer.status_code, answer.json()) == (200, {"status": "started"})
            assert sent == [(task, [], {"transcript_id": transcript_id})]
            await set_columns(transcript_id, task_id=None)

    async def test_refused_while_queued(self, client: httpx.AsyncClient, wav: bytes, sent: Sent) -> None:
        transcript_id = await create(client)
        (settings.DATA_DIR / transcript_id).mkdir(parents=True)
        (settings.DATA_DIR / transcript_id / "upload.wav").write_bytes(wav)
        await set_columns(transcript_id, status="uploaded", task_id="a-task-that-nobody-took")
        answer = await client.post(f"/v1/transcripts/{transcript_id}/process")
        assert answer.status_code == 409
        assert "already queued or running" in answer.json()["detail"]
        assert sent == []

    @pytest.mark.parametrize("status", ["recording", "processing"])
    async def test_refused_while_running(self, client: httpx.AsyncClient, sent: Sent, status: str) -> None:
        transcript_id = await create(client)
        await set_columns(transcript_id, status=status)
        assert (await client.post(f"/v1/transcripts/{transcript_id}/process")).status_code == 409
        assert sent == []

    @pytest.mark.parametrize("deleted", [False, True])
    async def test_refused_without_audio(self, client: httpx.AsyncClient, sent: Sent, deleted: bool) -> None:
        transcript_id = await create(client)
        await set_columns(transcript_id, audio_deleted=deleted)
        answer = await client.post(f"/v1/transcripts/{transcript_id}/process")
        assert answer.status_code == 400
        assert answer.json() == {"detail": "Transcript has no audio; upload it first"}


class TestAudio:
    async def test_local_mp3(self, client: httpx.AsyncClient) -> None:
        transcript = await load(await create(client))
        transcript.data_path.mkdir(parents=True)
        transcript.audio_mp3_path.write_bytes(b"ID3 audio")
        answer = await client.get(f"/v1/transcripts/{transcript.id}/audio/mp3")
        assert (answer.status_code, answer.content) == (200, b"ID3 audio")
        assert answer.headers["content-type"] == "audio/mpeg"

    async def test_stored_mp3(self, client: httpx.AsyncClient, aws: Any) -> None:
        transcript = await set_columns(await create(client), audio_location="storage")
        aws.s3.put_object(Bucket="transcripts", Key=transcript.storage_audio_path, Body=b"ID3 stored")
        answer = await client.get(f"/v1/transcripts/{transcript.id}/audio/mp3")
        assert answer.status_code == 307
        async with httpx.AsyncClient() as outside:
            assert (await outside.get(answer.headers["location"])).content == b"ID3 stored"

    async def test_deleted_mp3(self, client: httpx.AsyncClient) -> None:
        transcript_id = await create(client)
        await set_columns(transcript_id, audio_location="storage", audio_deleted=True)
        assert (await client.get(f"/v1/transcripts/{transcript_id}/audio/mp3")).status_code == 404

    async def test_waveform(self, client: httpx.AsyncClient) -> None:
        transcript = await load(await create(client))
        assert (await client.get(f"/v1/transcripts/{transcript.id}/audio/waveform")).status_code == 404
        transcript.data_path.mkdir(parents=True)
        transcript.audio_waveform_path.write_text("[0, 0.5, 1]")
        answer = await client.get(f"/v1/transcripts/{transcript.id}/audio/waveform")
        assert answer.json() == {"data": [0.0, 0.5, 1.0]}


ROOM = {
    "name": "demo",
    "zulip_auto_post": True,
    "zulip_stream": "general",
    "zulip_topic": "demo",
    "webhook_url": "http://localhost/hook",
    "webhook_secret": "hush",
    "ics_url": "http://localhost/demo.ics",
    "ics_enabled": True,
    "ics_fetch_interval": 60,
}


class TestRooms:
    async def test_create_read_change_delete(self, client: httpx.AsyncClient) -> None:
        created = (await client.post("/v1/rooms", json=ROOM)).json()
        assert {key: created[key] for key in ROOM if key != "webhook_secret"} == {
            key: value for key, value in ROOM.items() if key != "webhook_secret"
        }
        assert (await client.get("/v1/rooms/demo")).json() == created
        assert (await client.get("/v1/rooms")).json() == [created]
        changed = (await client.patch("/v1/rooms/demo", json={"webhook_url": None})).json()
        assert changed == {**created, "webhook_url": None}
        assert (await client.delete("/v1/rooms/demo")).json() == {"status": "ok"}
        assert (await client.get("/v1/rooms/demo")).status_code == 404

    async def test_the_secret_is_kept_but_never_shown(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/rooms", json=ROOM)
        assert "hush" not in answer.text
        async with get_session_context() as session:
            room = await rooms_controller.get_by_name(session, "demo")
        assert room is not None
        assert room.webhook_secret == "hush"

    async def test_a_name_is_taken_once(self, client: httpx.AsyncClient) -> None:
        await client.post("/v1/rooms", json=ROOM)
        answer = await client.post("/v1/rooms", json=ROOM)
        assert (answer.status_code, answer.json()) == (409, {"detail": "There is a room demo already"})

    @pytest.mark.parametrize(
        "change",
        [{"name": "a/b"}, {"name": ""}, {"webhook_url": "no url"}, {"ics_fetch_interval": 1}, {"x": 1}],
    )
    async def test_bad_settings(self, client: httpx.AsyncClient, change: dict[str, Any]) -> None:
        assert (await client.post("/v1/rooms", json={**ROOM, **change})).status_code == 422

    async def test_sync_starts_the_task(self, client: httpx.AsyncClient, sent: Sent) -> None:
        room_id = (await client.post("/v1/rooms", json=ROOM)).json()["id"]
        assert (await client.post("/v1/rooms/demo/ics/sync")).json() == {"status": "started"}
        assert sent == [("reflector.worker.ics_sync.sync_room_ics", [room_id], {})]

    async def test_sync_needs_a_calendar(self, client: httpx.AsyncClient, sent: Sent) -> None:
        await client.post("/v1/rooms", json={**ROOM, "ics_enabled": False})
        answer = await client.post("/v1/rooms/demo/ics/sync")
        assert answer.status_code == 400
        assert "set ics_url and ics_enabled" in answer.json()["detail"]
        assert sent == []

    async def test_meetings_and_consent(self, client: httpx.AsyncClient, db_session: Session) -> None:
        room_id = (await client.post("/v1/rooms", json=ROOM)).json()["id"]
        now = datetime(2026, 3, 1, tzinfo=UTC)
        await meetings_controller.add(
            db_session,
            id="m1",
            room_id=room_id,
            room_name="/demo-1",
            room_url="http://rooms/1",
            host_room_url="http://rooms/1?host",
            start_date=now,
            end_date=now,
        )
        await db_session.commit()
        (meeting,) = (await client.get("/v1/rooms/demo/meetings")).json()
        assert (meeting["id"], meeting["is_active"]) == ("m1", True)
        assert "host_room_url" not in meeting

        for given in (True, False):
            answer = await client.post(
                "/v1/meetings/m1/consent", json={"consent_given": given}, headers={"X-User-Id": "u1"}
            )
            assert answer.json()["consent_given"] is given
        (consent,) = await meeting_consent_controller.get_by_meeting(db_session, "m1")
        assert (consent.user_id, consent.consent_given) == ("u1", False)

    async def test_consent_needs_a_meeting(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/meetings/none/consent", json={"consent_given": True})
        assert answer.status_code == 404


class TestService:
    async def test_healthy(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/health")
        assert answer.status_code == 200
        assert answer.json() == {"status": "healthy", "database": "ok", "redis": "ok"}

    async def test_redis_is_away(
        self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
    ) -> None:
        monkeypatch.setattr(settings, "REDIS_URL", f"redis://127.0.0.1:{unused_tcp_port}/0")
        answer = await client.get("/health")
        assert answer.status_code == 503
        assert answer.json() == {"status": "unhealthy", "database": "ok", "redis": "unreachable"}

    async def test_other_origins_are_not_let_in(self, client: httpx.AsyncClient) -> None:
        for origin, allowed in ((settings.UI_BASE_URL, settings.UI_BASE_URL), ("http://evil.example", None)):
            answer = await client.get("/health", headers={"Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == allowed

    async def test_an_internal_error_tells_nothing(
        self, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: Any) -> None:
            raise RuntimeError("secret detail")

        monkeypatch.setattr(rooms_controller, "get_all", fail)
        answer = await client.get("/v1/rooms")
        assert answer.status_code == 500
        assert answer.json() == {"detail": "Internal error; the server's log has the details"}
