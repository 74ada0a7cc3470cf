"""Probes, metrics, the health command and the terminal view, with real workers and schedulers."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from playbook.lab import RedisServer, wait_until
from playbook.lab.waiting import free_port
from playbook.scaffold.worker.canvas import chain, signature
from playbook.scaffold.worker.plans import Plan
from playbook.scaffold.worker.workflow import start
from tests.playbook.integration.command_line import CommandLine
from tests.playbook.integration.operations_site import (
    LEASE,
    WORKER,
    Answering,
    labelled,
    run,
    start_worker,
)
from tests.playbook.integration.scaffold import READY, TASKS, Site, kick, our_broker, send, site_on
from tests.playbook.integration.schedule_site import QUEUE, ROUTES, ScheduleSite
from tests.playbook.operations_files import names_in_files

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration


class Running:
    """A worker of two processes, and the command line."""

    def __init__(self, site: Site, worker: Answering, commands: CommandLine) -> None:
        self.site, self.worker, self.commands = site, worker, commands

    def ended(self, task: str, outcome: str) -> float:
        """How often a task has ended so."""
        name = labelled("taskiq_tasks_total", task=task, outcome=outcome)
        return self.worker.metrics().get(name, 0)

    def inspect(self, id: str) -> Any:
        """What the view says of a task."""
        return json.loads(self.commands.run("top", "inspect", id).stdout)


@pytest.fixture(scope="module")
def running(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """For the tests that follow, in this order."""
    with site_on(server, tmp_path_factory.mktemp("operations")) as site:
        modules = f"{TASKS} {WORKER}.health"
        limits = {"TASKIQ_MAX_DELIVERIES": "2", "TASKIQ_STOP_TIMEOUT": "4"}
        worker = start_worker(site, "--workers", "2", tasks=modules, **limits)
        env = {"TASKIQ_LEASE": LEASE, "TASKIQ_HTTP_PORT": str(worker.port)}
        with CommandLine(server.url, **env) as commands:
            assert wait_until(lambda: worker.get("/readyz")[0] == 200, 10)
            yield Running(site, worker, commands)


def test_metrics_are_what_the_tasks_did(running: Running) -> None:
    site, worker = running.site, running.worker
    assert worker.metrics()[labelled("taskiq_tasks_total", task="tests.note", outcome="failure")] == 0
    send(site, *(("tests.note", str(number)) for number in range(30)), ("tests.retry",), ("tests.none",))
    assert wait_until(lambda: running.ended("tests.retry", "failure") == 1, 10)
    assert wait_until(lambda: running.ended("tests.note", "success") == 30, 10)
    found = worker.metrics()
    assert len([line for line in site.log() if line.startswith("attempt")]) == 3
    assert found[labelled("taskiq_tasks_total", task="tests.retry", outcome="retry")] == 2
    assert found[labelled("taskiq_task_duration_seconds_count", task="tests.note")] == 30
    assert found[labelled("taskiq_task_duration_seconds_count", task="tests.retry")] == 3
    assert found[labelled("taskiq_task_wait_seconds_count", queue="default")] == 33
    assert found["taskiq_dead_letters"] == 1
    assert found["taskiq_worker_processes"] == 2
    assert found[labelled("taskiq_queue_workers", queue="default")] == 2


def test_probes_answer_on_the_command_line(running: Running) -> None:
    for what in ("live", "ready"):
        done = running.commands.run("probes", what)
        assert (done.status, done.stdout) == (0, "ok\n"), done.stderr
    assert running.worker.get("/")[0] == 404


def test_the_health_command_says_whether_a_worker_answers(running: Running) -> None:
    done = running.commands.run("health")
    assert (done.status, json.loads(done.stdout)["status"]) == (0, "healthy"), done.stderr
    done = running.commands.run("health", "--queue", "nobody", "--timeout", "0.3")
    assert (done.status, done.stderr) == (1, "unhealthy: no worker has answered within 0.3 s\n")


def test_sighup_replaces_the_processes(running: Running) -> None:
    def pids() -> set[int]:
        return {process.pid for process in psutil.Process(running.worker.process.pid).children()}

    before = pids()
    os.kill(running.worker.process.pid, signal.SIGHUP)
    assert wait_until(lambda: len(pids()) == 2 and not before & pids(), 20)
    assert wait_until(lambda: running.worker.get("/readyz")[0] == 200, 20)


def test_without_redis_commands_say_so() -> None:
    with CommandLine(f"redis://127.0.0.1:{free_port()}/0") as commands:
        for command in (["health"], ["top", "--once"], ["top", "inspect", "x"], ["top", "replay", "--all"]):
            done = commands.run(*command)
            assert (done.status, "Redis cannot be reached" in done.stderr) == (2, True), command
            assert "Traceback" not in done.stderr
        assert "TASKIQ_HTTP_PORT is not set" in commands.run("probes", "live").stderr


def test_the_view_shows_and_finds_what_runs_and_what_is_dead(running: Running) -> None:
    send(running.site, ("tests.sleep", "long", 600), ("tests.none",))
    assert wait_until(lambda: "start:long" in running.site.log(), 10)
    assert wait_until(lambda: running.site.redis.xlen("{taskiq}:dead") == 2, 10)
    seen = json.loads(running.commands.run("top", "--json").stdout)
    (task,) = seen["running"]
    assert task["name"] == "tests.sleep"
    assert task["worker"] in {worker["name"] for worker in seen["state"]["queues"]["default"]["workers"]}
    assert [letter["reason"].partition(":")[0] for letter in seen["dead"]] == [
        "no task of this name is registered in the worker"
    ] * 2
    found = running.inspect(task["id"])
    assert (found["state"], found["task"], found["args"]) == ("running", "tests.sleep", ["long", 600])
    assert running.inspect(seen["dead"][0]["task_id"])["state"] == "dead"
    assert running.inspect("none")["state"] == "unknown"
    text = running.commands.run("top", "--once").stdout
    assert re.search(r"tests\.sleep +" + task["id"], text)
    assert "no task of this name" in text
    assert running.worker.metrics()["taskiq_worker_running"] == 1


def test_dead_letters_are_sent_again(running: Running) -> None:
    letters = running.site.redis.xrange("{taskiq}:dead")
    done = running.commands.run("top", "replay", letters[0][0])
    assert (done.status, done.stdout) == (0, "1 sent again\n"), done.stderr
    assert wait_until(lambda: running.site.redis.xlen("{taskiq}:dead") == 2, 10), "nobody knows it still"
    assert running.commands.run("top", "replay", "--all").stdout == "2 sent again\n"
    assert running.commands.run("top", "replay", "0-1").status == 1


def test_what_is_revoked_does_not_start(running: Running) -> None:
    async def later() -> str:
        broker = our_broker(running.site.server.url)
        task = await kick(broker, "tests.note", "later", countdown=2.0)
        await broker.shutdown()
        return task.task_id

    id = asyncio.run(later())
    found = running.inspect(id)
    assert (found["state"], found["task"]) == ("delayed", "tests.note")
    assert running.commands.run("top", "revoke", id).stdout == "1 will not start\n"
    assert wait_until(lambda: running.ended("tests.note", "revoked") == 1, 20)
    assert "TaskRevokedError" in str(running.inspect(id)["result"]["error"])
    assert running.commands.run("top", "revoke", id).status == 1


def test_a_workflow_is_found_with_its_steps(running: Running) -> None:
    async def begin() -> str:
        broker = our_broker(running.site.server.url)
        calls = signature("tests.note", ("first",)), signature("tests.note", ("then",), immutable=True)
        plan = Plan.of(chain(calls[0], calls[1].set(countdown=3600)), (), {}, {})
        await start(plan, broker)
        await broker.shutdown()
        return plan.final

    id = asyncio.run(begin())
    assert wait_until(lambda: running.inspect(id)["state"] == "delayed", 10)
    found = running.inspect(id)
    assert {step["id"]: step["state"] for step in found["steps"]}[id] == "sent"
    assert sorted(step["state"] for step in found["steps"]) == ["done", "sent"]
    assert running.commands.run("top", "revoke", id).status == 0


def test_a_killed_process_is_seen_and_its_counts_stay(running: Running) -> None:
    worker = running.worker
    before = running.ended("tests.note", "success")
    for process in psutil.Process(worker.process.pid).children():
        process.kill()
    assert wait_until(lambda: worker.get("/readyz")[0] == 503, 5, interval=0.02), "not ready without workers"
    assert wait_until(lambda: worker.get("/readyz")[0] == 200, 20), "the manager starts others"
    assert worker.get("/livez") == (200, "ok\n")
    assert running.ended("tests.note", "success") == before
    send(running.site, *(("tests.note", str(number)) for number in range(10)))
    assert wait_until(lambda: running.ended("tests.note", "success") == before + 10, 10)
    assert wait_until(lambda: running.site.log().count("start:long") == 2, 20), "what it ran starts again"


def test_all_that_alerts_and_dashboard_name_is_there(running: Running, tmp_path: Path) -> None:
    site = ScheduleSite(running.site.server, tmp_path, {"fast": 0.5})
    site.redis.hset(ROUTES, "*", "taskiq")
    port = free_port()
    process = site.scheduler(TASKIQ_HTTP_PORT=str(port), TASKIQ_QUEUES="scheduled")
    try:
        scheduler = Answering(process, port)
        sent = labelled("taskiq_schedule_sent_total", entry="fast")
        assert wait_until(lambda: scheduler.metrics().get(sent, 0) >= 3, 20)
        assert scheduler.get("/livez") == scheduler.get("/readyz") == (200, "ok\n")
        found = scheduler.metrics()
        assert found[labelled("taskiq_schedule_lateness_seconds_count", entry="fast")] == found[sent]
        waiting = site.redis.xlen(QUEUE.replace("default", "scheduled"))
        assert found[sent] <= waiting <= found[sent] + 2
        names = {name.partition("{")[0] for name in [*found, *running.worker.metrics()]}
        assert names_in_files() - names <= {"up"}, "up is Prometheus' own"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
    finally:
        process.kill()


def test_a_worker_that_is_told_to_stop_is_not_ready_and_ends_what_it_runs(running: Running) -> None:
    site, worker = running.site, running.worker
    send(site, ("tests.sleep", "last", 1.5))
    assert wait_until(lambda: "start:last" in site.log(), 10)
    os.kill(worker.process.pid, signal.SIGTERM)
    assert wait_until(lambda: worker.get("/readyz")[0] == 503, 20, interval=0.02)
    assert worker.get("/livez")[0] == 200
    assert wait_until(lambda: "end:last" in site.log(), 10)


@pytest.mark.long
def test_a_worker_whose_redis_goes_and_comes_back(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "redis")
    with server, site_on(server, tmp_path) as site:
        worker = start_worker(site, "--workers", "1")
        assert wait_until(lambda: worker.get("/readyz")[0] == 200, 10)
        server.stop()
        assert worker.get("/readyz")[0] == 503
        status, text = worker.get("/livez")
        assert (status, "a restart would not help" in text) == (200, True)
        assert worker.metrics()["taskiq_redis_up"] == 0
        server.start()
        assert wait_until(lambda: worker.get("/readyz")[0] == 200, 10)
        taken = run(site, "__main__", TASKS, TASKIQ_HTTP_PORT=str(worker.port))
        assert taken.returncode == 1
        assert "TASKIQ_HTTP_PORT: cannot listen on 127.0.0.1:" in taken.stderr


@pytest.mark.long
def test_a_worker_whose_processes_keep_dying_gives_up_and_measures_nothing_unasked(site: Site) -> None:
    command = [sys.executable, "-m", WORKER, TASKS, "--workers", "2", "--max-fails", "2"]
    worker = site.start(command, READY, TASKIQ_LEASE="1")
    assert not [
        c for c in psutil.Process(worker.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN
    ]
    send(site, ("tests.kill", "x"), ("tests.kill", "y"))
    assert worker.wait(30) == 1
