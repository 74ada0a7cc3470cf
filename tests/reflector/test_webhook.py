"""The webhook: what is sent, how it is signed, and what is tried again."""

import hashlib
import hmac
import re
from collections.abc import Iterator

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st

from reflector.db import Session
from reflector.db.rooms import Room, rooms_controller
from reflector.db.transcript_tables import Transcript
from reflector.db.transcripts import transcripts_controller
from reflector.worker.webhook import send_transcript_webhook, sign
from tests.reflector.environment import WORLD_URL
from tests.reflector.world import World

pytestmark = pytest.mark.usefixtures("celery_session_worker")


@pytest.fixture
async def room(db_session: Session) -> Room:
    """A room with a webhook and a secret."""
    room = await rooms_controller.add(
        db_session, "room", webhook_url=f"{WORLD_URL}/webhooks/room", webhook_secret="secret"
    )
    await db_session.commit()
    return room


@pytest.fixture
async def transcript(db_session: Session, room: Room) -> Transcript:
    """A finished transcript with a topic and a speaker."""
    transcript = await transcripts_controller.add(
        db_session, name="Talk", status="ended", title="Boats", room_id=room.id
    )
    await transcripts_controller.upsert_topic(
        db_session, transcript, 0.0, title="Sails", summary="", transcript="Hi"
    )
    await transcripts_controller.upsert_participant(db_session, transcript, 0, "Ann")
    await db_session.commit()
    return transcript


@pytest.fixture
def fast_retries(celery_session_app: Celery) -> Iterator[None]:
    """Retries after a hundredth of a second in place of a minute, five at the most."""
    task = celery_session_app.tasks[send_transcript_webhook.name]
    before = task.default_retry_delay, task.max_retries
    task.default_retry_delay, task.max_retries = 0.01, 5
    yield
    task.default_retry_delay, task.max_retries = before


def send(transcript: Transcript, room_id: str) -> dict[str, object]:
    """Send the webhook as the pipeline does, and wait for the outcome."""
    result = send_transcript_webhook.delay(transcript.id, room_id=room_id, event_id="e1")
    return dict(result.get(timeout=30))


async def test_the_payload_is_signed_and_complete(world: World, transcript: Transcript, room: Room) -> None:
    assert send(transcript, room.id) == {"success": True, "status_code": 200}

    (request,) = world.sent_to("webhooks")
    assert request.headers["x-webhook-event"] == request.body["event"] == "transcript.completed"
    assert request.headers["x-webhook-retry"] == "0"
    assert request.body["event_id"] == "e1"
    sent = request.body["transcript"]
    assert (sent["id"], sent["title"], sent["status"]) == (transcript.id, "Boats", "ended")
    assert sent["participants"] == [{"speaker": 0, "name": "Ann"}]
    assert [topic["text"] for topic in sent["topics"]] == ["Hi"]
    assert re.fullmatch(r"t=\d+,v1=[0-9a-f]{64}", request.headers["x-webhook-signature"])


async def test_without_a_secret_nothing_is_signed(
    db_session: Session, world: World, transcript: Transcript, room: Room
) -> None:
    await rooms_controller.update(db_session, room, {"webhook_secret": None})
    await db_session.commit()
    send(transcript, room.id)
    assert "x-webhook-signature" not in world.sent_to("webhooks")[0].headers


@pytest.mark.usefixtures("fast_retries")
async def test_a_server_error_is_tried_again_with_the_count_in_the_header(
    world: World, transcript: Transcript, room: Room
) -> None:
    world.fail("webhooks", 503, times=2)
    assert send(transcript, room.id) == {"success": True, "status_code": 200}
    assert [request.headers["x-webhook-retry"] for request in world.sent_to("webhooks")] == ["0", "1", "2"]


@pytest.mark.usefixtures("fast_retries")
async def test_after_the_last_retry_the_error_remains(
    world: World, transcript: Transcript, room: Room
) -> None:
    world.fail("webhooks", 500, times=99)
    with pytest.raises(Exception, match="500"):
        send(transcript, room.id)
    assert len(world.sent_to("webhooks")) == 6


@pytest.mark.usefixtures("fast_retries")
async def test_a_receiver_that_is_not_there_is_tried_again(
    db_session: Session, transcript: Transcript, room: Room
) -> None:
    await rooms_controller.update(db_session, room, {"webhook_url": "http://127.0.0.1:1/nobody"})
    await db_session.commit()
    with pytest.raises(Exception, match=r"(?i)connect"):
        send(transcript, room.id)


async def test_a_refusal_is_final(world: World, transcript: Transcript, room: Room) -> None:
    world.fail("webhooks", 410)
    assert send(transcript, room.id) == {"success": False, "status_code": 410}
    assert len(world.sent_to("webhooks")) == 1


async def test_without_room_there_is_nothing_to_send(world: World, transcript: Transcript) -> None:
    assert send(transcript, "nobody") == {"success": False, "status_code": None}
    assert world.requests == []


def test_retries_are_configured_as_promised() -> None:
    assert send_transcript_webhook.max_retries == 30
    assert send_transcript_webhook.default_retry_delay == 60


@given(body=st.binary(), secret=st.text(min_size=1), timestamp=st.integers(0, 2**33))
def test_a_receiver_can_verify_the_signature(body: bytes, secret: str, timestamp: int) -> None:
    parts = dict(part.split("=") for part in sign(body, secret, timestamp).split(","))
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert parts == {"t": str(timestamp), "v1": expected}
