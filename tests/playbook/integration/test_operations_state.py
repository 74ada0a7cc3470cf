"""What probes and the search for a task make of what lies in Redis; no worker runs."""

import os
import socket
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from playbook.lab import wait_until
from playbook.lab.waiting import free_port
from playbook.scaffold.worker import find, probes
from playbook.scaffold.worker.errors import Reject
from playbook.scaffold.worker.find import Finder
from playbook.scaffold.worker.messages import Delivery, Outcome, Outgoing
from playbook.scaffold.worker.metrics import outcomes
from playbook.scaffold.worker.probes import WorkerProbes
from playbook.scaffold.worker.state import Observer
from tests.playbook.integration.scaffold import Site, kick, our_broker

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration
AGAIN = Outgoing("default", "x", b"")


async def test_a_process_without_a_lease_hangs(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "STUCK", 0.1)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    broker = our_broker(site.server.url, lease=0.2)
    worker = WorkerProbes(broker, lambda: [os.getpid()], 1, lambda: False)
    assert worker.live().ok, "it may be starting"
    assert not worker.ready().ok
    assert wait_until(lambda: not worker.live().ok, 5)
    assert f"process {os.getpid()} hangs" in worker.live().text
    name = f"{socket.gethostname()}-{os.getpid()}-00000000"
    site.redis.zadd(broker.keys.workers("default"), {name: int(site.redis.time()[0] * 1000) + 60_000})
    assert worker.live().ok
    assert worker.ready().ok
    await broker.shutdown()


async def test_redis_away_is_not_ready_but_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    broker = our_broker(f"redis://127.0.0.1:{free_port()}/0")
    worker = WorkerProbes(broker, lambda: [os.getpid()], 1, lambda: False)
    assert not worker.ready().ok
    assert worker.live().ok
    assert "a restart would not help" in worker.live().text
    metrics = generate_latest(worker.registry).decode()
    assert "taskiq_redis_up 0.0" in metrics
    assert "taskiq_queue_waiting" not in metrics
    await broker.shutdown()


async def test_each_task_is_found_page_by_page(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "PAGE", 3)
    broker = our_broker(site.server.url)
    finder = Finder(broker)
    waiting = [(await kick(broker, "tests.note", number)).task_id for number in range(7)]
    later = [(await kick(broker, "tests.note", n, countdown=3600.0)).task_id for n in range(7)]
    assert {finder.find(id)["state"] for id in waiting} == {"waiting"}
    assert {finder.find(id)["state"] for id in later} == {"delayed"}
    assert [finder.find(id)["args"] for id in waiting] == [[number] for number in range(7)]
    assert finder.find("none") == {"id": "none", "state": "unknown"}
    state = Observer(broker).look()
    queue = state.queues["default"]
    assert (queue.waiting, queue.delayed, queue.running, queue.alive) == (7, 7, 0, 0)
    await broker.shutdown()


async def test_what_is_due_and_not_moved_waits(site: Site) -> None:
    broker = our_broker(site.server.url)
    await kick(broker, "tests.note", 1, countdown=0.2)
    observer = Observer(broker)
    assert wait_until(lambda: observer.look().queues["default"].waiting == 1, 5)
    assert wait_until(lambda: observer.look().queues["default"].oldest > 0.3, 5)
    assert observer.look().queues["default"].delayed == 0
    await broker.shutdown()


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [
        (Outcome(result=b"1"), ["success"]),
        (Outcome(result=b"1", failed=True), ["failure"]),
        (Outcome(sends=[AGAIN]), ["retry"]),
        (Outcome(result=b"1", sends=[AGAIN]), ["retry", "success"]),
        (Outcome(successor=b"{}"), ["replaced"]),
        (Outcome(result=b"1", revoked=True), ["revoked"]),
        (Outcome(result=b"1", silent=True), ["ignored"]),
        (Outcome(), ["ignored"]),
        (Outcome(failed=True), ["failure"]),
        (Outcome(rejected=Reject("no")), ["rejected"]),
    ],
)
def test_how_a_delivery_is_counted(outcome: Outcome, counted: list[str]) -> None:
    delivery = Delivery("stream", "1-0", "default", None, outcome=outcome)  # type: ignore[arg-type]
    assert list(outcomes(delivery)) == counted
