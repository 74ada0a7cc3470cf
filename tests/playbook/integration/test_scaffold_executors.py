"""Tasks in child processes: parallel, limited in time, and no trouble for anybody else. Real workers."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from taskiq import InMemoryBroker

from playbook.lab import RedisServer, wait_until
from playbook.scaffold.worker.executors import place
from playbook.scaffold.worker.processes import Limits, ProcessLostError, TimeLimitExceededError
from playbook.scaffold.worker.streams import StreamBroker
from tests.playbook.integration.scaffold import LOG, Site, kick, our_broker, site_on, until

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration
TASKS = "executor_tasks"
WAIT = 30.0


@pytest.fixture(scope="module")
def worker(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One worker with two child processes, for all tests of this file that do not harm it."""
    with site_on(server, tmp_path_factory.mktemp("worker")) as site:
        site.worker(tasks=TASKS, TASKIQ_PROCESSES="2")
        yield site


@pytest.fixture(autouse=True)
def clean(worker: Site) -> None:
    """Forget what tests before this one have noted."""
    worker.redis.delete(LOG)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """A Redis of its own, for workers that are harmed."""
    with RedisServer(tmp_path / "redis") as server, site_on(server, tmp_path) as site:
        yield site


@pytest.fixture
async def broker(worker: Site) -> AsyncIterator[StreamBroker]:
    sender = our_broker(worker.server.url)
    yield sender
    await sender.shutdown()


def gone(pid: int) -> bool:
    """Whether a process has ended. What nobody has waited for yet is a zombie, and does nothing any more."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def run(broker: StreamBroker, task: str, *args: Any) -> Any:
    """Run a task; return its value or raise its error."""
    result = await (await kick(broker, task, *args)).wait_result(check_interval=0.05, timeout=WAIT)
    result.raise_for_error()
    return result.return_value


async def test_tasks_keep_two_cores_busy_at_once(worker: Site, broker: StreamBroker) -> None:
    """Each has a process and an interpreter lock of its own; the worker's loop is free."""
    await run(broker, "crunch", 0)
    pids = await asyncio.gather(*(run(broker, "crunch", 1.0) for _ in range(2)))
    assert len(set(pids)) == 2
    starts, ends = worker.times("start:crunch")[1:], worker.times("end:crunch")[1:]
    assert max(starts) < min(ends), "one waited for the other"


async def test_busy_processes_stop_neither_heartbeat_nor_other_tasks(
    worker: Site, broker: StreamBroker
) -> None:
    """The lease is 2 s: a worker without a heartbeat would lose the task, and it would run again."""
    long = asyncio.create_task(run(broker, "sleeps", 5.0))
    await until(lambda: any(line.startswith("pid:") for line in worker.log()), WAIT)
    for _ in range(5):
        await run(broker, "ping")
    assert not worker.times("end:sleeps")
    await long
    assert [line for line in worker.log() if line.startswith("pid:")] == [worker.log()[0]]
    assert len(worker.times("end:sleeps")) == 1


async def test_stock_does_not_stop_a_synchronous_task() -> None:
    """Its `timeout` gives up waiting; the thread runs on and keeps its place (T24)."""
    stock, ended = InMemoryBroker(await_inplace=True), threading.Event()

    def busy() -> None:
        time.sleep(0.5)
        ended.set()

    task = stock.register_task(busy, "busy", timeout=0.1)
    result = await (await task.kiq()).wait_result()
    assert isinstance(result.error, TimeoutError)
    assert await asyncio.to_thread(ended.wait, WAIT), "it was stopped"


async def test_a_soft_limit_is_raised_inside_the_task(broker: StreamBroker) -> None:
    assert await run(broker, "soft") == "cleaned up"


async def test_a_soft_limit_ends_a_coroutine_over_the_loop_bridge(broker: StreamBroker) -> None:
    with pytest.raises(Exception, match=r"0\.5") as caught:
        await run(broker, "softly")
    assert type(caught.value).__name__ == "SoftTimeLimitExceeded"


async def test_a_hard_limit_kills_the_process_and_not_the_pool(worker: Site, broker: StreamBroker) -> None:
    with pytest.raises(TimeLimitExceededError, match=r"hard was killed after 0\.5 s"):
        await run(broker, "hard")
    pid = int(next(line for line in worker.log() if line.startswith("pid:")).partition(":")[2])
    await until(lambda: gone(pid), WAIT)
    assert await run(broker, "crunch", 0) != pid


async def test_a_process_that_dies_fails_its_task_alone(broker: StreamBroker) -> None:
    innocent = asyncio.create_task(run(broker, "sleeps", 1.0))
    with pytest.raises(ProcessLostError, match="the process that ran dies died"):
        await run(broker, "dies")
    await innocent
    assert await run(broker, "crunch", 0)


async def test_an_error_that_cannot_be_made_again_arrives_as_text(broker: StreamBroker) -> None:
    with pytest.raises(RuntimeError, match="OddError: 1: because"):
        await run(broker, "odd")


async def test_retries_are_the_same_in_a_process(worker: Site, broker: StreamBroker) -> None:
    task = await kick(broker, "again")
    result = await task.wait_result(check_interval=0.05, timeout=WAIT)
    assert result.return_value == [task.task_id, "again", 2]
    assert worker.log() == ["again:0", "again:1", "again:2"]


async def test_a_task_that_is_retried_by_itself_too(worker: Site, broker: StreamBroker) -> None:
    with pytest.raises(ValueError, match="always"):
        await run(broker, "by_itself")
    assert worker.log() == ["by_itself:0", "by_itself:1", "by_itself:2"]


async def test_a_coroutine_function_can_run_in_a_process(broker: StreamBroker) -> None:
    name, pid = await run(broker, "native")
    assert name == "native"
    assert pid != await run(broker, "ping")


async def test_a_limit_that_is_not_kept_is_reported_at_the_start(worker: Site, broker: StreamBroker) -> None:
    assert await run(broker, "threaded") == "threaded"
    log = worker.processes[0].log_path.read_text()
    assert "task threaded: time limits are not kept in a thread" in log


async def test_processes_end_with_their_worker_and_the_task_runs_again(alone: Site) -> None:
    """SIGKILL of the worker's child: what it has started must not run on beside the second run."""
    alone.worker(tasks=TASKS, TASKIQ_PROCESSES="1")
    broker = our_broker(alone.server.url)
    worker_pid = await run(broker, "ping")
    task = await kick(broker, "sleeps", 3.0)
    await until(lambda: _pids(alone), WAIT)
    os.kill(worker_pid, signal.SIGKILL)
    killed = time.time()
    await until(lambda: gone(_pids(alone)[0]), 5)
    await task.wait_result(check_interval=0.05, timeout=WAIT)
    await broker.shutdown()
    assert len(_pids(alone)) == 2
    assert len(alone.times("end:sleeps")) == 1
    assert alone.times("end:sleeps")[0] > killed


async def test_a_worker_with_processes_stops(alone: Site) -> None:
    process = alone.worker(tasks=TASKS, TASKIQ_PROCESSES="2")
    broker = our_broker(alone.server.url)
    pid = await run(broker, "crunch", 0)
    await broker.shutdown()
    await asyncio.to_thread(process.stop, 10.0)
    assert process.returncode == 0
    assert wait_until(lambda: gone(pid), 5)


async def test_a_worker_that_must_stop_hands_a_long_task_back(alone: Site) -> None:
    """The limit is 1 s: the process is killed, and another worker runs the task."""
    process = alone.worker(tasks=TASKS, TASKIQ_PROCESSES="1", TASKIQ_STOP_TIMEOUT="1")
    broker = our_broker(alone.server.url)
    task = await kick(broker, "sleeps", 4.0)
    await until(lambda: _pids(alone), WAIT)
    await asyncio.to_thread(process.stop, 10.0)
    assert gone(_pids(alone)[0])
    alone.worker(tasks=TASKS, TASKIQ_PROCESSES="1")
    result = await task.wait_result(check_interval=0.05, timeout=WAIT)
    await broker.shutdown()
    assert not result.is_err
    assert len(_pids(alone)) == 2
    assert len(alone.times("end:sleeps")) == 1


def _pids(site: Site) -> list[int]:
    return [int(line.partition(":")[2]) for line in site.log() if line.startswith("pid:")]


def test_an_unknown_executor_is_refused() -> None:
    with pytest.raises(ValueError, match="task t: executor is 'fiber'; use process or thread"):
        place(print, "t", "fiber")


def test_without_limits_a_task_stays_where_it_is() -> None:
    assert place(print, "t") is print
    assert place(len, "t", "thread", Limits(hard=1)) is len


async def test_outside_of_a_worker_it_runs_where_it_is_called() -> None:
    def pid() -> int:
        return os.getpid()

    assert await place(pid, "t", "process")() == os.getpid()
