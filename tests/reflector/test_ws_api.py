"""Events on their whole way: database, Redis, a real server, a real WebSocket client."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from reflector import ws_manager
from reflector.app import app
from reflector.db import get_session_context
from reflector.db.transcripts import transcripts_controller
from reflector.ws_manager import get_ws_manager
from tests.reflector.audio import write_tone
from tests.reflector.waiting import wait_for

DEADLINE = 20.0


class Server:
    """The API on a real port, in a thread with a loop of its own."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        # The system would take megabytes for a client that does not read.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=5))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> "Server":
        self._thread.start()
        wait_for(lambda: self._server.started or not self._thread.is_alive(), "the API")
        assert self._server.started
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(DEADLINE)
        self._socket.close()
        assert not self._thread.is_alive()

    def narrow(self) -> socket.socket:
        """A connection on which little fits that the client has not read."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        connection.connect(self._socket.getsockname())
        return connection

    def listen(self, path: str, **options: Any) -> connect:
        """A WebSocket client, to be entered."""
        return connect(f"ws://{self.address}/v1{path}", proxy=None, **options)


@pytest.fixture
def server(database: None, redis_url: str, data_dir: Path) -> Iterator[Server]:
    get_ws_manager.cache_clear()
    with Server() as server:
        yield server


async def new_transcript(**values: Any) -> str:
    async with get_session_context() as session:
        return (await transcripts_controller.add(session, "A talk", **values)).id


async def append(transcript_id: str, *numbers: int) -> None:
    """Store and broadcast one event for each number, each in a transaction of its own."""
    for number in numbers:
        async with get_session_context() as session:
            transcript = await transcripts_controller.get_by_id(session, transcript_id)
            assert transcript is not None
            await transcripts_controller.append_event(session, transcript, "DURATION", {"duration": number})


async def receive(socket: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(socket.recv(), DEADLINE))


async def durations(socket: ClientConnection, count: int) -> list[int]:
    """The numbers in the next `count` events."""
    return [(await receive(socket))["data"]["duration"] for _ in range(count)]


async def test_stored_events_come_first_then_live_ones(server: Server) -> None:
    transcript_id = await new_transcript()
    await append(transcript_id, 1, 2, 3)
    async with server.listen(f"/transcripts/{transcript_id}/events") as socket:
        assert await receive(socket) == {"event": "DURATION", "data": {"duration": 1}}
        assert await durations(socket, 2) == [2, 3]
        await append(transcript_id, 4, 5)
        assert await durations(socket, 2) == [4, 5]


async def test_clients_that_join_while_events_fly_miss_and_repeat_nothing(server: Server) -> None:
    transcript_id = await new_transcript()
    expected = list(range(60))

    async def watch() -> list[int]:
        async with server.listen(f"/transcripts/{transcript_id}/events") as socket:
            return await durations(socket, len(expected))

    watching = []
    for number in expected:
        if number % 6 == 0:
            watching.append(asyncio.create_task(watch()))
        await append(transcript_id, number)
    assert await asyncio.gather(*watching) == [expected] * len(watching)


async def test_events_of_several_processes_arrive_in_their_order(server: Server) -> None:
    transcript_id = await new_transcript()
    threads = [
        threading.Thread(target=lambda: asyncio.run(append(transcript_id, *range(15)))) for _ in range(3)
    ]
    async with server.listen(f"/transcripts/{transcript_id}/events") as socket:
        for thread in threads:
            thread.start()
        heard = await durations(socket, 45)
        for thread in threads:
            await asyncio.to_thread(thread.join)
    async with get_session_context() as session:
        stored = await transcripts_controller.get_events(session, transcript_id)
    assert heard == [event.data["duration"] for event in stored]


async def test_events_that_redis_lost_are_read_from_the_database(server: Server) -> None:
    transcript_id = await new_transcript()
    async with server.listen(f"/transcripts/{transcript_id}/events") as socket:
        await append(transcript_id, 1)
        assert await durations(socket, 1) == [1]
        async with get_session_context() as session:
            transcript = await transcripts_controller.get_by_id(session, transcript_id)
            assert transcript is not None
            await transcripts_controller.append_event(session, transcript, "DURATION", {"duration": 2})
            session.info.clear()  # committed, but never broadcast
        await append(transcript_id, 3)
        assert await durations(socket, 2) == [2, 3]


async def test_messages_published_twice_or_without_a_number(server: Server) -> None:
    transcript_id = await new_transcript()
    room = f"ts:{transcript_id}"
    async with server.listen(f"/transcripts/{transcript_id}/events") as socket:
        await append(transcript_id, 1)
        assert await durations(socket, 1) == [1]
        await get_ws_manager().send_json(room, {"event": "DURATION", "data": {"duration": 1}}, seq=1)
        await get_ws_manager().send_json(room, {"event": "DURATION", "data": {"duration": 9}})
        await append(transcript_id, 2)
        assert await durations(socket, 2) == [9, 2]


async def test_a_client_that_reads_nothing_holds_up_nobody(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    overflows = []

    class Queue(ws_manager.Subscription):
        def put(self, item: ws_manager.Published | ws_manager.Resync) -> None:
            overflows.append(self._queue.full())
            super().put(item)

    monkeypatch.setattr(ws_manager, "QUEUE_SIZE", 10)
    monkeypatch.setattr(ws_manager, "Subscription", Queue)
    transcript_id = await new_transcript()
    path = f"/transcripts/{transcript_id}/events"
    text = "x" * 50_000
    narrow = {"max_queue": 1, "compression": None, "sock": server.narrow()}
    async with server.listen(path) as eager, server.listen(path, **narrow) as lazy:
        for _ in range(40):
            async with get_session_context() as session:
                transcript = await transcripts_controller.get_by_id(session, transcript_id)
                assert transcript is not None
                await transcripts_controller.append_event(session, transcript, "TRANSCRIPT", {"text": text})
            assert (await receive(eager))["data"]["text"] == text
        assert any(overflows)
        # The lazy one wakes up, and still gets all.
        for _ in range(40):
            assert (await receive(lazy))["data"]["text"] == text


async def test_a_client_that_leaves_is_forgotten(server: Server, redis: Any) -> None:
    transcript_id = await new_transcript()
    channel = f"ts:{transcript_id}"
    for _ in range(3):
        async with server.listen(f"/transcripts/{transcript_id}/events") as socket:
            await append(transcript_id, 1)
            await receive(socket)
            await socket.send("anything")
    await asyncio.to_thread(wait_for, lambda: not redis.pubsub_channels(channel), "an empty room")


async def test_an_unknown_transcript_is_refused(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with server.listen("/transcripts/none/events"):
            pass
    assert caught.value.response.status_code == 404
    assert json.loads(caught.value.response.body) == {"detail": "There is no transcript none"}


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/events", {"X-User-Id": "u1"}), ("/events?user_id=u1", {})],
    ids=["header", "query"],
)
async def test_a_user_hears_of_their_transcripts(server: Server, path: str, headers: dict[str, str]) -> None:
    mine, other = await new_transcript(user_id="u1"), await new_transcript(user_id="u2")
    async with server.listen(path, additional_headers=headers) as socket:
        # Nothing is replayed here, so the test begins when the server listens.
        await asyncio.to_thread(_wait_for_subscriber, "user:u1")
        await append(other, 1)
        await append(mine, 2)
        assert await receive(socket) == {"event": "DURATION", "data": {"id": mine, "duration": 2}}


def _wait_for_subscriber(room: str) -> None:
    """Wait until the server has taken the mark that begins the subscription to `room`."""

    def ready() -> bool:
        subscriptions = get_ws_manager()._rooms.get(room, set())
        return bool(subscriptions) and all(not item.stale for item in subscriptions)

    wait_for(ready, f"a subscriber of {room}")


async def test_a_user_who_missed_messages_is_told_to_come_again(server: Server) -> None:
    async with server.listen("/events?user_id=u1") as socket:
        await asyncio.to_thread(_wait_for_subscriber, "user:u1")
        # As after a break of the connection to Redis.
        server_side = get_ws_manager()
        server_side._mark_stale("user:u1")
        listener = server_side._listener
        assert listener is not None
        listener.get_loop().call_soon_threadsafe(
            server_side._deliver, {"type": "subscribe", "channel": b"user:u1"}
        )
        with pytest.raises(ConnectionClosed) as caught:
            await receive(socket)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1013


async def test_nobody_in_particular_is_refused(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with server.listen("/events"):
            pass
    assert caught.value.response.status_code == 401


async def test_the_server_stops_while_clients_listen(database: None, redis_url: str, data_dir: Path) -> None:
    get_ws_manager.cache_clear()
    transcript_id = await new_transcript()
    server = Server()
    await asyncio.to_thread(server.__enter__)
    async with server.listen(f"/transcripts/{transcript_id}/events") as socket:
        await append(transcript_id, 1)
        await receive(socket)
        await asyncio.to_thread(server.__exit__)
        with pytest.raises(ConnectionClosed):
            await receive(socket)


@pytest.mark.usefixtures("celery_session_app", "celery_session_worker", "aws", "world")
async def test_an_upload_is_heard_from_start_to_end(server: Server, tmp_path: Path) -> None:
    transcript_id = await new_transcript()
    audio = write_tone(tmp_path / "tone.wav").read_bytes()
    heard: list[dict[str, Any]] = []
    async with (
        server.listen(f"/transcripts/{transcript_id}/events") as socket,
        httpx.AsyncClient(base_url=f"http://{server.address}/v1", trust_env=False) as client,
    ):
        answer = await client.post(
            f"/transcripts/{transcript_id}/record/upload?chunk_number=0&total_chunks=1",
            files={"chunk": ("tone.wav", audio)},
        )
        assert answer.status_code == 200
        while not heard or heard[-1] != {"event": "STATUS", "data": {"value": "ended"}}:
            heard.append(await receive(socket))
            assert heard[-1]["data"] != {"value": "error"}
        transcript = (await client.get(f"/transcripts/{transcript_id}")).json()

    assert [item["data"]["value"] for item in heard if item["event"] == "STATUS"] == [
        "uploaded",
        "processing",
        "ended",
    ]
    assert {item["event"] for item in heard} == {
        "STATUS",
        "TRANSCRIPT",
        "TOPIC",
        "WAVEFORM",
        "DURATION",
        "FINAL_TITLE",
        "FINAL_SHORT_SUMMARY",
        "FINAL_LONG_SUMMARY",
    }
    assert (transcript["status"], transcript["title"], transcript["duration"]) == ("ended", "A title", 2000)
