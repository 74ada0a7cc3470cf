"""The transfer between Celery's queues and TaskIQ's, on a real Redis; long: with all that runs on both."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord
from celery.result import AsyncResult

from playbook.lab import Process, RedisServer, wait_until
from playbook.lab.errors import LabError
from playbook.lab.surroundings import child_env
from playbook.oracle import lab
from playbook.oracle.cases import Case, read_cases
from playbook.oracle.comparison import differences
from playbook.oracle.observing import observations
from playbook.scaffold.worker.connections import client
from playbook.scaffold.worker.streams import StreamBroker
from playbook.scaffold.worker.transfer import Transfer
from playbook.scaffold.worker.transfer_celery import CeleryRedis, Found
from tests.playbook.integration.scaffold import HERE, our_broker, receiving
from tests.playbook.integration.transfer_load import cutover_and_rollback

pytestmark = pytest.mark.integration

CASES = HERE.parent / "oracle" / "canvas_cases.json"
MORE = CASES.with_name("more_cases.json")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """Two Redis servers."""
    folder = tmp_path_factory.mktemp("redis")
    with RedisServer(folder / "one") as one, RedisServer(folder / "two") as two:
        yield [one, two]


def add(x: int, y: int) -> int:
    return x + y


def total(numbers: list[int]) -> int:
    return sum(numbers)


def only_celery() -> None:
    """Do what TaskIQ does not know."""


class Both:
    """Celery and TaskIQ with the tasks `add` and `total`, and a transfer between them."""

    def __init__(self, celery_url: str, taskiq_url: str, **options: Any) -> None:
        self.app = Celery("both", broker=celery_url, backend=celery_url)
        self.broker: StreamBroker = our_broker(taskiq_url, **options)
        for function in (add, total, only_celery):
            self.app.task(name=function.__name__, shared=False)(function)
        for function in (add, total):
            self.broker.task(function.__name__)(function)
        self.celery = CeleryRedis(client(celery_url), client(celery_url))
        self.transfer = Transfer(self.broker, self.celery, client(taskiq_url))
        self.add, self.total = self.app.tasks["add"], self.app.tasks["total"]

    def close(self) -> None:
        """Let go of the results for which Celery's client listens."""
        consumer = self.app.backend.result_consumer
        consumer.stop()
        consumer.subscribed_to.clear()
        self.app.close()

    def read(self) -> Found:
        return self.celery.read()

    def counts(self) -> dict[str, Any]:
        return self.transfer.count()


@pytest.fixture
def both(servers: list[RedisServer]) -> Iterator[Both]:
    """Both on one Redis."""
    started = Both(servers[0].url, servers[0].url, queues=("default", "high"))
    yield started
    started.close()
    servers[0].client().flushall()


def ids_in(found: Found) -> dict[str, int]:
    """All task ids in messages, those of later steps and bodies included, with the number of messages."""
    ids: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            options = value.get("options") or {}
            if "task_id" in options and value.get("subtask_type") is None:
                ids.add(options["task_id"])
            for part in value.values():
                look(part)
        elif isinstance(value, (list, tuple)):
            for part in value:
                look(part)

    for message in found.messages:
        ids.add(message.id)
        look(message.embed)
    return {"messages": len(found.messages), **dict.fromkeys(sorted(ids), 1)}


def test_there_and_back_every_canvas_is_what_it_was(both: Both) -> None:
    add, total = both.add, both.total
    add.apply_async((1, 2), countdown=60, expires=3600)
    chain(add.s(1, 2), add.s(3), add.s(4).on_error(total.si([1]))).apply_async()
    (chord([add.s(1, 1), chain(add.s(1, 1), add.s(2))], total.s()) | add.s(5)).apply_async()
    chord([chord([add.s(1, 1), add.s(2, 2)], total.s()), add.s(3, 3)], total.s()).apply_async(queue="high")
    before = ids_in(both.read())
    etas = sorted(str(m.headers["eta"]) for m in both.read().messages)
    report = both.transfer.to_taskiq()
    assert (report.moved, report.left, report.workflows) == (before["messages"], [], 3)
    assert ids_in(both.read()) == {"messages": 0}
    assert both.counts()["taskiq"]["for later"] == 1
    back = both.transfer.to_celery()
    assert (back.moved, back.left) == (before["messages"], [])
    assert ids_in(both.read()) == before
    assert sorted(str(m.headers["eta"])[:22] for m in both.read().messages) == [eta[:22] for eta in etas]
    counts = both.counts()["taskiq"]
    assert counts["workflows"] == counts["for later"] == counts["queued"]["default"] == 0
    # And once more: what came back is as good as what Celery had sent.
    assert both.transfer.to_taskiq().left == []


def test_what_cannot_be_moved_stays_and_is_named(both: Both) -> None:
    redis = both.celery.broker
    both.app.send_task("only_celery")
    both.add.apply_async((1, 2), queue="nobody_reads")
    redis.lpush("celery", b"foreign")
    redis.hset("unacked", "tag", b"foreign")
    before = {key: redis.lrange(key, 0, -1) for key in ("celery", "nobody_reads")}
    both.add.delay(1, 2)
    report = both.transfer.to_taskiq()
    assert report.moved == 1
    assert len(report.left) == 4
    reasons = " ".join(one["reason"] for one in report.left)
    for part in ("only_celery is not known", "queue nobody_reads", "no message of kombu"):
        assert part in reasons
    assert {key: redis.lrange(key, 0, -1) for key in before} == before
    assert redis.hlen("unacked") == 1


def test_what_a_dead_worker_held_is_moved_and_a_living_one_keeps_its_own(both: Both) -> None:
    redis = both.celery.broker
    both.add.delay(1, 2)
    held = both.add.delay(3, 4)
    for tag in ("one", "two"):
        # As a worker keeps what it has read (kombu/transport/redis.py, `QoS.append`).
        message = json.loads(redis.rpop("celery"))
        redis.hset("unacked", tag, json.dumps([message, "", "celery"]))
        redis.zadd("unacked_index", {tag: 1})
    assert both.counts()["celery"]["held"] == 2
    # The worker waits for more: it lives.
    other = redis.connection_pool.make_connection()
    other.connect()
    other.send_command("BRPOP", "celery", 0)
    assert wait_until(both.celery.workers, 5)
    left = both.transfer.to_taskiq().left
    assert [one["reason"] for one in left] == ["a Celery worker holds it; stop the Celery workers first"] * 2
    other.disconnect()
    assert wait_until(lambda: not both.celery.workers(), 5)
    report = both.transfer.to_taskiq()
    assert (report.moved, report.held, report.left) == (2, 2, [])
    assert held.id in str(redis.xrange(both.broker.keys.stream("default")))
    assert not redis.exists("unacked", "unacked_index")


def test_what_is_revoked_does_not_come_to_life_on_celery(both: Both) -> None:
    sent = both.add.delay(1, 2)
    both.transfer.to_taskiq()
    both.transfer.taskiq.zadd(both.broker.keys.revoked, {sent.id: 10**15})
    (left,) = both.transfer.to_celery().left
    assert "it is revoked" in left["reason"]


def test_a_chord_goes_on_with_the_results_that_it_has(both: Both) -> None:
    """One member has ended, one is lost: left, unless its end is asked for."""
    sent = chord([both.add.s(1, 1), both.add.s(2, 2), both.add.s(3, 3)], both.total.s()).apply_async()
    redis = both.celery.broker
    first = redis.rpop("celery")
    member = json.loads(first)["headers"]
    key = f"celery-taskset-meta-{member['group']}"
    redis.zadd(f"{key}.j", {json.dumps([1, member["id"], "SUCCESS", 2]): member["group_index"]})
    lost = redis.rpop("celery")
    assert "lacks 1 of 3 members" in both.transfer.to_taskiq().left[0]["reason"]
    # The first is still there as well: a worker that had run it died before it could acknowledge it.
    redis.rpush("celery", lost, first)
    assert both.transfer.to_taskiq().left == []
    assert sum(map(both.transfer.taskiq.xlen, [both.broker.keys.stream("default")])) == 2
    assert not redis.keys(f"{key}*")
    assert asyncio.run(result_of(both, sent.id)) == 12


def test_a_group_that_took_a_tasks_place_is_collected(both: Both) -> None:
    """Celery makes a chord of it, whose body is a task of Celery's own (celery/app/task.py, `replace`)."""
    collect = both.app.tasks["celery.accumulate"]
    sent = chord([both.add.s(1, 1), both.add.s(2, 2)], collect.s(index=0)).apply_async()
    assert both.transfer.to_taskiq().left == []
    assert asyncio.run(result_of(both, sent.id)) == [2, 4]


def test_a_chord_that_lost_a_member_ends_with_an_error_if_asked(both: Both) -> None:
    sent = chord([both.add.s(1, 1), both.add.s(2, 2)], both.total.s()).apply_async()
    both.celery.broker.rpop("celery")
    assert both.transfer.to_taskiq(end_incomplete=True).left == []
    with pytest.raises(Exception, match="a Celery worker died"):
        asyncio.run(result_of(both, sent.id))


async def result_of(both: Both, id: str) -> Any:
    """Run what there is on TaskIQ, and return a result."""
    async with receiving(both.broker):
        for _ in range(200):
            if await both.broker.result_backend.is_result_ready(id):
                break
            await asyncio.sleep(0.05)
        found = await both.broker.result_backend.get_result(id)
    if found.error is not None:
        raise found.error
    return found.return_value


def test_who_waits_for_a_celery_result_is_told(both: Both) -> None:
    sent = both.add.delay(20, 22)
    both.transfer.to_taskiq()
    assert both.transfer.tell() == (0, 1)
    assert asyncio.run(result_of(both, sent.id)) == 42
    assert both.transfer.tell() == (1, 0)
    assert AsyncResult(sent.id, app=both.app).get(timeout=5) == 42


def test_with_two_redis_servers_a_crash_between_neither_loses_nor_doubles(
    servers: list[RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = Both(servers[0].url, servers[1].url)
    chain(both.add.s(1, 2), both.add.s(3)).apply_async()
    both.add.delay(1, 2)

    def crash(*_: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(both.transfer, "_take", crash)
        with pytest.raises(SystemExit):
            both.transfer.to_taskiq()
    stream = both.broker.keys.stream("default")
    assert both.transfer.taskiq.xlen(stream) == 1
    assert both.transfer.to_taskiq().moved == 2
    assert both.transfer.taskiq.xlen(stream) == 2
    assert both.counts()["celery"]["queued"] == {}
    assert both.transfer.to_celery().moved == 2
    assert both.counts()["celery"]["queued"] == {"celery": 2}
    assert both.transfer.taskiq.xlen(stream) == 0
    both.close()


def test_the_command_line_says_what_is_wrong(servers: list[RedisServer]) -> None:
    def run(*words: str, url: str = servers[0].url) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "playbook.scaffold.worker.transfer", *words]
        env = child_env(HERE, variables={"CELERY_BROKER_URL": url})
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)

    wrong = run("to-taskiq", "no_such_module")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == ("transfer: no_such_module cannot be imported: No module named 'no_such_module'\n")
    away = run("count", url="redis://127.0.0.1:1/0")
    assert away.returncode == 2
    assert away.stderr.count("\n") == 1


# The whole: recorded canvases, and load.


def replay(
    folder: Path, cases: list[Case], command: str, run_first: float = 0.0
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Start all cases on one system and end them on the other; return what differs, and the last transfer.

    With `run_first` the first system's workers run until so many of the expected attempts have started. What
    cannot go to Celery is drained by TaskIQ workers in the end.
    """
    first, last = ("celery", "taskiq") if command == "to-taskiq" else ("taskiq", "celery")
    go, out = folder / "go", folder / "out.json"
    workers: list[Process] = []

    def start(system: Any, name: str) -> list[Process]:
        (folder / name).mkdir()
        started: list[Process] = []
        lab._start_workers(system, folder / name, redis.url, started)
        workers.extend(started)
        return started

    with RedisServer(folder / "redis") as redis:
        given = [{"structure": case.structure, "call": case.call} for case in cases]
        (folder / "cases.json").write_text(json.dumps(given))
        words = [command, str(folder / "cases.json"), str(out), str(go)]
        driver = [sys.executable, "-m", "tests.playbook.integration.transfer_oracle", *words]
        env = child_env(variables={"CELERY_BROKER_URL": redis.url})
        try:
            start(last, "last")
            before = start(first, "first") if run_first else []
            process = Process(driver, name="driver", log_path=folder / "driver.log", env=env)
            workers.append(process)
            if run_first:
                wait_until(lambda: redis.client().llen("oracle:events") >= run_first, 60)
                for worker in before:
                    worker.stop(30)
            go.touch()
            if command == "to-celery":
                _wait_for_rest(out.with_name("out.json.state"))
                start("taskiq", "drain")
            if process.wait(600):
                raise LabError(process.last_lines())
        finally:
            for worker in workers:
                worker.kill()
    seen = observations(json.loads(out.read_text()))
    found = [differences(case, one) for case, one in zip(cases, seen, strict=True)]
    state = json.loads(out.with_name("out.json.state").read_text())
    return [one for one in found if one is not None], state


def _wait_for_rest(state: Path) -> None:
    """Wait until transfers move nothing any more."""
    wait_until(state.exists, 60)
    moved = [-1, 0]
    while moved[-1] != moved[-2]:
        # Longer than the driver keeps a place for a case that waits.
        wait_until(lambda: False, 8)
        moved.append(json.loads(state.read_text())["moved"])


def unresolved(cases: list[Case]) -> set[str]:
    """The cases that Celery leaves without a result; TaskIQ's error for them reaches Celery's clients."""
    return {case.id for case in cases if case.oracle.get("timeout")}


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("file", [CASES, MORE], ids=lambda path: path.stem)
def test_every_recorded_canvas_ends_on_taskiq_as_on_celery(tmp_path: Path, file: Path) -> None:
    cases = list(read_cases(file).cases)
    failed, state = replay(tmp_path, cases, "to-taskiq")
    assert {one["id"] for one in failed} <= unresolved(cases)
    assert state["left"] == []
    assert state["moved"] >= len(cases)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("attempts", [5, 20, 60, 120])
def test_canvases_that_celery_has_begun_end_on_taskiq_as_on_celery(tmp_path: Path, attempts: int) -> None:
    cases = list(read_cases(CASES).cases)
    failed, state = replay(tmp_path, cases, "to-taskiq", attempts)
    assert failed == []
    assert state["left"] == []
    assert state["moved"] > 0


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_every_recorded_canvas_ends_on_celery_as_on_celery(tmp_path: Path) -> None:
    """But for one, of which Celery tells its own clients only by way of the header's results."""
    cases = list(read_cases(CASES).cases)
    failed, state = replay(tmp_path, cases, "to-celery")
    assert {one["id"] for one in failed} <= {"chord-nested-header-error"}
    assert state["moved"] >= len(cases)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(5))
def test_under_load_nothing_is_lost_and_nothing_doubled(tmp_path: Path, number: int) -> None:
    with RedisServer(tmp_path / "redis") as server:
        outcome = cutover_and_rollback(server, tmp_path, rate=200, seconds=10)
    assert (outcome.lost, outcome.doubled) == (set(), [])
    assert min(outcome.moved) > 0
    assert outcome.sent > 3 * 200 * 10
