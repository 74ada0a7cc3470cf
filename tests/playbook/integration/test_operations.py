"""Probes, metrics, the health command and the terminal view, with real workers."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from playbook.lab import RedisServer, wait_until
from playbook.lab.waiting import free_port
from tests.playbook.integration.operations_site import WORKER, Answering, labelled, run, start_worker
from tests.playbook.integration.scaffold import READY, TASKS, Site, send, site_on

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def running(
    server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Site, Answering]]:
    """A worker of two processes, for the tests that follow, in this order."""
    with site_on(server, tmp_path_factory.mktemp("operations")) as site:
        worker = start_worker(
            site, "--workers", "2", tasks=f"{TASKS} {WORKER}.health", TASKIQ_MAX_DELIVERIES="2"
        )
        assert wait_until(lambda: worker.get("/readyz")[0] == 200, 10)
        yield site, worker


def ended(worker: Answering, task: str, outcome: str) -> float:
    return worker.metrics().get(labelled("taskiq_tasks_total", task=task, outcome=outcome), 0)


def test_metrics_are_what_the_tasks_did(running: tuple[Site, Answering]) -> None:
    site, worker = running
    assert ended(worker, "tests.note", "failure") == 0, "series begin at zero"
    send(site, *(("tests.note", str(number)) for number in range(30)), ("tests.retry",), ("tests.none",))
    assert wait_until(lambda: ended(worker, "tests.retry", "failure") == 1, 10)
    assert wait_until(lambda: ended(worker, "tests.note", "success") == 30, 10)
    found = worker.metrics()
    log = site.log()
    assert len([line for line in log if line.startswith("attempt")]) == 3
    assert found[labelled("taskiq_tasks_total", task="tests.retry", outcome="retry")] == 2
    assert found[labelled("taskiq_task_duration_seconds_count", task="tests.note")] == 30
    assert found[labelled("taskiq_task_duration_seconds_count", task="tests.retry")] == 3
    assert found[labelled("taskiq_task_wait_seconds_count", queue="default")] == 33
    assert found["taskiq_dead_letters"] == 1
    assert found["taskiq_worker_processes"] == 2
    assert found[labelled("taskiq_queue_workers", queue="default")] == 2


def test_the_health_command_says_whether_a_worker_answers(running: tuple[Site, Answering]) -> None:
    site, _ = running
    done = run(site, "health")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "healthy"), done.stderr
    done = run(site, "health", "--queue", "nobody", "--timeout", "0.3")
    assert (done.returncode, done.stderr) == (1, "unhealthy: no worker has answered within 0.3 s\n")
    done = run(site, "health", CELERY_BROKER_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert done.returncode == 2
    assert "Redis cannot be reached" in done.stderr


def test_top_shows_everything_and_acts(running: tuple[Site, Answering]) -> None:
    site, worker = running
    send(site, ("tests.sleep", "long", 600), ("tests.later",))
    (letter,) = site.redis.xrange("{taskiq}:dead")[:1]
    done = run(site, "top", "inspect", letter[1]["id"])
    assert json.loads(done.stdout)["state"] == "dead"
    assert wait_until(lambda: "start:long" in site.log(), 10)
    seen = json.loads(run(site, "top", "--json").stdout)
    assert [task["name"] for task in seen["running"]] == ["tests.sleep"]
    assert seen["running"][0]["worker"] in {w["name"] for w in seen["state"]["queues"]["default"]["workers"]}
    assert len(seen["dead"]) == 2, "two tasks that nobody knows"
    assert "no task of this name" in seen["dead"][0]["reason"]
    found = json.loads(run(site, "top", "inspect", seen["running"][0]["id"]).stdout)
    assert (found["state"], found["task"], found["args"]) == ("running", "tests.sleep", ["long", 600])
    text = run(site, "top", "--once").stdout
    assert "tests.sleep" in text
    assert "no task of this name" in text

    done = run(site, "top", "replay", "--all")
    assert (done.returncode, done.stdout) == (0, "2 sent again\n"), done.stderr
    assert wait_until(lambda: site.redis.xlen("{taskiq}:dead") == 2, 10), "still nobody knows them"
    assert run(site, "top", "replay", "0-1").returncode == 1
    assert run(site, "top", "inspect", "none").returncode == 1
    assert worker.metrics()["taskiq_worker_running"] == 1


def test_what_is_revoked_does_not_start(running: tuple[Site, Answering]) -> None:
    site, worker = running
    site.start([sys.executable, "-c", SEND_LATER], "sent")
    (task,) = json.loads(run(site, "top", "--json").stdout)["delayed"]
    found = json.loads(run(site, "top", "inspect", task["id"]).stdout)
    assert (found["state"], found["task"]) == ("delayed", "tests.note")
    assert run(site, "top", "revoke", task["id"]).stdout == "1 will not start\n"
    assert wait_until(lambda: ended(worker, "tests.note", "revoked") == 1, 20)
    assert json.loads(run(site, "top", "inspect", task["id"]).stdout)["state"] == "failed"


def test_a_killed_process_is_seen_and_its_counts_stay(running: tuple[Site, Answering]) -> None:
    site, worker = running
    before = worker.metrics()
    manager = psutil.Process(worker.process.pid)
    processes = [p for p in manager.children() if "resource_tracker" not in str(p.cmdline())]
    for process in processes:
        process.kill()
    assert wait_until(lambda: worker.get("/readyz")[0] == 503, 5), "not ready without workers"
    assert wait_until(lambda: worker.get("/readyz")[0] == 200, 20), "the manager starts others"
    assert worker.get("/livez") == (200, "ok\n")
    note = labelled("taskiq_tasks_total", task="tests.note", outcome="success")
    assert worker.metrics()[note] == before[note]
    send(site, *(("tests.note", str(number)) for number in range(10)))
    assert wait_until(lambda: worker.metrics()[note] == before[note] + 10, 10)
    # A task that has seen two workers die is a dead letter here.
    assert wait_until(lambda: site.log().count("start:long") == 2, 20)


def test_a_worker_that_is_told_to_stop_is_not_ready_and_ends_well(running: tuple[Site, Answering]) -> None:
    site, worker = running
    send(site, ("tests.sleep", "last", 1.5))
    assert wait_until(lambda: "start:last" in site.log(), 10)
    os.kill(worker.process.pid, signal.SIGTERM)
    assert wait_until(lambda: worker.get("/readyz")[0] == 503, 5, interval=0.02)
    assert "end:last" not in site.log()
    assert worker.get("/livez")[0] == 200


SEND_LATER = """
import asyncio, scaffold_tasks as tasks
from playbook.scaffold.worker.sending import send
asyncio.run(send(tasks.note_task, ("later",), countdown=8))
print("sent", flush=True)
"""


def test_redis_away_is_not_ready_but_live(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    with server, site_on(server, tmp_path) as site:
        worker = start_worker(site, "--workers", "1")
        assert wait_until(lambda: worker.get("/readyz")[0] == 200, 10)
        server.stop()
        assert worker.get("/readyz")[0] == 503
        status, text = worker.get("/livez")
        assert status == 200
        assert "a restart would not help" in text
        assert worker.metrics()["taskiq_redis_up"] == 0
        server.start()
        assert wait_until(lambda: worker.get("/readyz")[0] == 200, 10)


def test_a_port_that_is_taken_is_told(site: Site) -> None:
    worker = start_worker(site, "--workers", "1")
    done = run(site, "__main__", TASKS, TASKIQ_HTTP_PORT=str(worker.port))
    assert done.returncode == 1
    assert "TASKIQ_HTTP_PORT: cannot listen on 127.0.0.1:" in done.stderr
    assert run(site, "probes", "ready", TASKIQ_HTTP_PORT=str(worker.port)).returncode in (0, 1)


def test_a_worker_whose_processes_keep_dying_gives_up(site: Site) -> None:
    worker = start_worker(site, "--workers", "2", "--max-fails", "2")
    send(site, ("tests.kill", "x"))
    assert worker.process.wait(30) == 1


def test_without_a_port_nothing_is_measured(site: Site) -> None:
    worker = site.start([sys.executable, "-m", WORKER, TASKS, "--workers", "1"], READY)
    assert not [
        c for p in [psutil.Process(worker.pid)] for c in p.net_connections("tcp") if c.status == "LISTEN"
    ]
