"""Workers and schedulers of both systems: started, traced, stopped, killed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from playbook.lab import Lab, LabError, wait_until
from playbook.models import TaskEvent
from tests.playbook.integration.miniapp.target import MINI, SEND_CELERY, SEND_TASKIQ, WORKSPACE

pytestmark = pytest.mark.integration

SEND_CHAIN = """
import json
from celery import chain
from mini.celery_app import add
print(json.dumps(chain(add.s(1, 2), add.s(3), add.s(4), add.s(5)).delay().id))
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(WORKSPACE, tmp_path_factory.mktemp("lab"), target=MINI) as lab:
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Lab:
    shared.reset()
    return shared


@pytest.fixture(scope="module")
def celery(shared: Lab) -> Iterator[None]:
    with shared.celery_worker(concurrency=2):
        yield


@pytest.fixture(scope="module")
def taskiq(shared: Lab) -> Iterator[None]:
    with shared.taskiq_worker(modules=["mini.taskiq_tasks"]):
        yield


def ends(lab: Lab) -> list[TaskEvent]:
    return [event for event in lab.trace() if event.kind == "end"]


def outcomes(lab: Lab, source: str, name: str, args: list[Any], count: int = 1) -> list[TaskEvent]:
    """Send a task, wait until so many attempts of it have ended, and return their events."""
    task_id = lab.probe(source, name, json.dumps(args))
    assert wait_until(lambda: len(ends(lab)) == count, timeout=20), lab.trace()
    assert {event.id for event in lab.trace()} == {task_id}
    assert {event.task for event in lab.trace()} == {name}
    return lab.trace()


@pytest.mark.usefixtures("celery")
def test_celery_success(lab: Lab):
    start, end = outcomes(lab, SEND_CELERY, "mini.add", [1, 2])
    assert (start.kind, start.args, start.kwargs, start.outcome) == ("start", [1, 2], {}, None)
    assert (end.kind, end.outcome, end.error, end.system) == ("end", "success", None, "celery")
    assert start.at <= end.at
    assert start.worker == end.worker
    assert start.root_id == start.id


@pytest.mark.usefixtures("celery")
def test_celery_failure(lab: Lab):
    _, end = outcomes(lab, SEND_CELERY, "mini.fail", [])
    assert (end.outcome, end.error) == ("failure", "ValueError('on purpose')")


@pytest.mark.usefixtures("celery")
def test_celery_retries_with_their_delay(lab: Lab):
    events = outcomes(lab, SEND_CELERY, "mini.flaky", [2], count=3)
    seen = [(event.attempt, event.outcome, event.delay) for event in events if event.kind == "end"]
    assert seen == [(0, "retry", 0.2), (1, "retry", 0.2), (2, "success", None)]
    assert "not yet" in str(events[1].error)
    starts = [event.at for event in events if event.kind == "start"]
    assert starts[1] - starts[0] >= 0.2


@pytest.mark.usefixtures("celery")
def test_each_step_of_a_celery_chain_ends_before_the_next_one_starts(lab: Lab):
    lab.probe(SEND_CHAIN)
    assert wait_until(lambda: len(ends(lab)) == 4, timeout=20)
    events = lab.trace()
    assert [event.kind for event in events] == ["start", "end"] * 4
    assert [event.args for event in events if event.kind == "start"] == [[1, 2], [3, 3], [6, 4], [10, 5]]
    assert {event.root_id for event in events} == {events[0].id}
    assert events[2].parent_id == events[0].id


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_the_other_pools_are_traced_as_well(pool: str, tmp_path: Path):
    with Lab(WORKSPACE, tmp_path, target=MINI) as lab:
        lab.celery_worker(pool=pool)
        outcomes(lab, SEND_CELERY, "mini.add", [1, 2])


@pytest.mark.usefixtures("taskiq")
def test_taskiq_success(lab: Lab):
    start, end = outcomes(lab, SEND_TASKIQ, "mini.add", [1, 2])
    assert (start.kind, start.args, start.kwargs, start.outcome) == ("start", [1, 2], {}, None)
    assert (end.kind, end.outcome, end.error, end.system) == ("end", "success", None, "taskiq")


@pytest.mark.usefixtures("taskiq")
def test_taskiq_failure(lab: Lab):
    _, end = outcomes(lab, SEND_TASKIQ, "mini.fail", [])
    assert (end.outcome, end.error) == ("failure", "ValueError('on purpose')")


@pytest.mark.usefixtures("taskiq")
def test_taskiq_retries(lab: Lab):
    events = outcomes(lab, SEND_TASKIQ, "mini.flaky", [2], count=3)
    seen = [(event.attempt, event.outcome) for event in events if event.kind == "end"]
    assert seen == [(0, "retry"), (1, "retry"), (2, "success")]
    assert "not yet" in str(events[1].error)


def test_both_schedulers(tmp_path: Path):
    with Lab(WORKSPACE, tmp_path, target=MINI) as lab:
        lab.celery_worker(pool="solo")
        lab.taskiq_worker(modules=["mini.taskiq_tasks"])
        lab.beat()
        lab.taskiq_scheduler(modules=["mini.taskiq_tasks"])

        def ticks(system: str) -> int:
            return sum(event.system == system and event.task == "mini.tick" for event in ends(lab))

        assert wait_until(lambda: ticks("celery") >= 2 and ticks("taskiq") >= 1, timeout=30)


def test_a_killed_worker_leaves_a_start_without_an_end_and_no_process(lab: Lab):
    worker = lab.celery_worker(concurrency=2, name="victim", queues=["victims"])
    tree = [worker.pid, *(child.pid for child in psutil.Process(worker.pid).children(recursive=True))]
    assert len(tree) == 3
    source = SEND_CELERY.replace("args=args", "args=args, queue='victims'")
    lab.probe(source, "mini.sleep", "[600]")
    assert wait_until(lambda: lab.trace(), timeout=20)
    worker.kill()
    assert not worker.alive
    assert not [pid for pid in tree if psutil.pid_exists(pid)]
    assert [event.kind for event in lab.trace()] == ["start"]


def test_a_stopped_worker_finishes_what_it_runs(lab: Lab):
    worker = lab.celery_worker(concurrency=1, name="polite", queues=["polite"])
    source = SEND_CELERY.replace("args=args", "args=args, queue='polite'")
    lab.probe(source, "mini.sleep", "[1]")
    assert wait_until(lambda: lab.trace(), timeout=20)
    worker.stop()
    assert worker.returncode == 0
    assert [event.outcome for event in ends(lab)] == ["success"]


def test_several_taskiq_worker_processes_are_awaited(lab: Lab):
    with lab.taskiq_worker(modules=["mini.taskiq_tasks"], workers=2, name="pair") as worker:
        assert worker.tail(1000).count("Listening started.") == 2


def test_a_worker_that_cannot_start_shows_why(lab: Lab):
    with pytest.raises(LabError, match=r"(?s)wrong ended with \d+ before it became ready.*logs/wrong\.log"):
        lab.celery_worker(pool="no-such-pool", name="wrong")


@pytest.mark.parametrize("start", ["taskiq_worker", "taskiq_scheduler"])
def test_taskiq_without_one_of_its_modules_is_an_error_not_a_worker_that_drops_messages(lab: Lab, start: str):
    with pytest.raises(LabError, match=rf"(?s){start}-lame cannot import a module of tasks.*'mini\.no'"):
        getattr(lab, start)(modules=["mini.no"], name=f"{start}-lame")


def test_logs_are_kept_and_a_second_worker_gets_its_own(lab: Lab):
    for _ in range(2):
        with lab.spawn(["true"], name="same"):
            pass
    assert {"same.log", "same-2.log"} <= {path.name for path in lab.logs_dir.iterdir()}
