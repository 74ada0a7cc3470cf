"""The outside world: what the services answer, what is recorded, how they fail."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from playbook.lab import LabError, World, wait_until
from playbook.lab.audio import TWO_SPEAKERS

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(server: World) -> World:
    server.clear()
    server.calm()
    return server


@pytest.fixture
def http(world: World) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=world.url, trust_env=False) as client:
        yield client


def audio() -> dict[str, tuple[str, bytes, str]]:
    return {"file": ("talk.wav", TWO_SPEAKERS.read_bytes(), "audio/wav")}


def test_transcription_and_diarisation(http: httpx.Client, world: World):
    answer = http.post("/transcription/v1/audio/transcriptions", files=audio(), data={"language": "en"})
    words = answer.json()["words"]
    assert answer.json()["text"] == " ".join(word["text"] for word in words)
    assert set(words[0]) == {"text", "start", "end"}
    turns = http.post("/diarization/diarize", files=audio()).json()["diarization"]
    assert set(turns[0]) == {"start", "end", "speaker"}
    transcription, diarisation = world.requests()
    assert (transcription.service, diarisation.service) == ("transcription", "diarization")
    assert transcription.body["language"] == "en"
    assert transcription.body["file"] == diarisation.body["file"]
    assert transcription.body["file"]["filename"] == "talk.wav"
    assert transcription.body["file"]["size"] == TWO_SPEAKERS.stat().st_size


@pytest.mark.parametrize("path", ["/transcription/v1/audio/transcriptions", "/diarization/diarize"])
def test_what_is_no_audio_gets_400(http: httpx.Client, path: str):
    wrong = http.post(path, files={"file": ("x.wav", b"no sound", "audio/wav")})
    missing = http.post(path, data={"language": "en"})
    assert (wrong.status_code, missing.status_code) == (400, 400)
    assert "file" in missing.json()["error"]


def test_the_language_model(http: httpx.Client, world: World):
    messages = [{"role": "system", "content": "TASK: title"}, {"role": "user", "content": "A planning call"}]
    path = "/llm/v1/chat/completions"
    answer = http.post(path, json={"model": "m", "messages": messages}).json()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Planning"}
    assert http.post(path, json={"messages": messages[1:]}).status_code == 400
    assert http.post(path, content=b"{", headers={"Content-Type": "application/json"}).status_code == 400
    assert [request.status for request in world.requests("llm")] == [200, 400, 400]


def test_the_chat(http: httpx.Client, world: World):
    form = {"type": "stream", "to": "s", "topic": "t", "content": "hello"}
    first = http.post("/zulip/api/v1/messages", data=form, auth=("bot", "secret")).json()
    again = http.post("/zulip/api/v1/messages", data=form).json()
    assert first["result"] == "success"
    assert first["id"] == again["id"] > 0
    changed = http.patch(f"/zulip/api/v1/messages/{first['id']}", data={"content": "bye"})
    assert changed.json()["result"] == "success"
    assert http.post("/zulip/api/v1/messages", data={"type": "stream"}).status_code == 400
    assert [request.body.get("content") for request in world.requests("zulip")] == [
        "hello",
        "hello",
        "bye",
        None,
    ]


def test_credentials_are_recorded_as_digests_only(http: httpx.Client, world: World):
    for password in ("one", "one", "two"):
        http.post("/webhooks/a", json={}, headers={"Authorization": f"Bearer {password}", "X-Kept": "yes"})
    seen = [request.headers["authorization"] for request in world.requests()]
    assert seen[0] == seen[1] != seen[2]
    assert all(value.startswith("sha256:") for value in seen)
    assert world.requests()[0].headers["x-kept"] == "yes"


def test_calendars_with_etag(http: httpx.Client, world: World):
    assert http.get("/calendars/team.ics").status_code == 404
    assert world.set_calendar("team", "BEGIN:VCALENDAR") == f"{world.url}/calendars/team.ics"
    answer = http.get("/calendars/team.ics")
    assert answer.text == "BEGIN:VCALENDAR"
    assert answer.headers["content-type"].startswith("text/calendar")
    etag = answer.headers["etag"]
    assert http.get("/calendars/team.ics", headers={"If-None-Match": etag}).status_code == 304
    world.set_calendar("team", "BEGIN:VCALENDAR changed")
    assert http.get("/calendars/team.ics", headers={"If-None-Match": etag}).status_code == 200


def test_meeting_rooms(http: httpx.Client, world: World):
    body = {"roomNamePrefix": "team", "endDate": "2024-05-01T13:00:00Z", "roomMode": "normal"}
    answer = http.post("/whereby/v1/meetings", json=body)
    meeting = answer.json()
    assert answer.status_code == 201
    assert meeting == http.post("/whereby/v1/meetings", json=body).json()
    assert set(meeting) == {"meetingId", "roomName", "roomUrl", "hostRoomUrl", "startDate", "endDate"}
    assert meeting["endDate"] == "2024-05-01T13:00:00+00:00"
    assert http.post("/whereby/v1/meetings", json={}).status_code == 400
    where = {"params": {"roomName": meeting["roomName"]}}
    assert http.get("/whereby/v1/insights/room-sessions", **where).json() == {"results": []}
    sessions = [{"startedAt": "2024-05-01T12:00:00Z", "endedAt": None}]
    world.set_sessions(meeting["roomName"], sessions)
    assert http.get("/whereby/v1/insights/room-sessions", **where).json() == {"results": sessions}


def test_webhook_health_and_unknown_paths(http: httpx.Client, world: World):
    assert http.post("/webhooks/a", json={"x": 1}).json() == {"received": "a"}
    assert http.get("/health-ping").status_code == 200
    assert http.get("/elsewhere").status_code == 404
    assert [(request.service, request.status) for request in world.requests()] == [
        ("webhooks", 200),
        ("health", 200),
        ("elsewhere", 404),
    ]


def test_planned_faults_come_in_order_and_then_it_works_again(http: httpx.Client, world: World):
    world.fail("webhooks", status=503, times=2)
    world.fail("webhooks", drop=True)
    statuses = [http.post("/webhooks/a", json={}).status_code for _ in range(2)]
    assert statuses == [503, 503]
    with pytest.raises(httpx.TransportError):
        http.post("/webhooks/a", json={})
    assert http.get("/health-ping").status_code == 200
    assert http.post("/webhooks/a", json={}).status_code == 200
    assert [request.status for request in world.requests("webhooks")] == [503, 503, None, 200]


def test_a_delay_lets_the_client_time_out_and_the_order_of_arrival_stays(http: httpx.Client, world: World):
    world.fail("webhooks", delay=0.5)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/webhooks/slow", json={}, timeout=0.1)
    http.post("/webhooks/fast", json={})
    assert wait_until(lambda: len(world.requests()) == 2, timeout=10)
    assert [request.path for request in world.requests()] == ["/webhooks/slow", "/webhooks/fast"]


def test_faults_can_be_called_off_and_wrong_ones_are_refused(http: httpx.Client, world: World):
    world.fail("webhooks", status=500, times=9)
    world.calm()
    assert http.post("/webhooks/a", json={}).status_code == 200
    with pytest.raises(LabError, match=r"refused POST /faults: .*needs a status"):
        world.fail("webhooks")


def test_clearing_forgets_also_what_is_under_way(http: httpx.Client, world: World):
    world.fail("webhooks", delay=0.4)
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(http.post, "/webhooks/slow", json={})
        with httpx.Client(base_url=world.url, trust_env=False) as other:
            assert wait_until(lambda: not slow.done() and other.get("/health-ping").is_success, timeout=5)
        world.clear()
        assert slow.result().status_code == 200
    assert world.requests() == []


def test_a_world_that_is_not_started_says_so(tmp_path):
    with pytest.raises(LabError, match="is it started"):
        World(tmp_path).requests()
