"""What the tests of the scaffold share: brokers, receivers in this process, and real workers."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
from redis.exceptions import ResponseError
from taskiq import AsyncBroker, AsyncTaskiqTask
from taskiq.kicker import AsyncKicker
from taskiq.receiver import Receiver

from playbook.lab import Process, RedisServer, wait_until
from playbook.lab.surroundings import child_env
from playbook.scaffold.worker.broker import equip
from playbook.scaffold.worker.streams import StreamBroker

HERE = Path(__file__).parent
BROKER = "playbook.scaffold.worker.broker:broker"
TASKS = "scaffold_tasks"
LOG = "tests:log"
QUEUE = "{taskiq}:queue:default"
GROUP = "workers"
READY = "Listening started."


def our_broker(url: str, **options: Any) -> StreamBroker:
    """A broker as `create_broker` makes it."""
    broker = StreamBroker(url, **options)
    equip(broker)
    return broker


async def kick(broker: AsyncBroker, task: str, *args: Any, **labels: Any) -> AsyncTaskiqTask[Any]:
    """Send a task by its name."""
    kicker: AsyncKicker[Any, Any] = AsyncKicker(task, broker, labels)
    return await kicker.kiq(*args)


@contextlib.asynccontextmanager
async def receiving(broker: AsyncBroker, slots: int = 10) -> AsyncIterator[Receiver]:
    """A worker in this process: TaskIQ's own receiver."""
    broker.is_worker_process = True
    finish = asyncio.Event()
    with ThreadPoolExecutor(2) as threads:
        receiver = Receiver(broker, threads, max_async_tasks=slots)
        listening = asyncio.create_task(receiver.listen(finish))
        try:
            yield receiver
        finally:
            finish.set()
            await asyncio.wait([listening])
            await broker.shutdown()


async def until(condition: Callable[[], object], within: float = 10) -> None:
    """Wait until a condition holds; fail if it does not in time (s)."""
    assert await asyncio.to_thread(wait_until, condition, within), "it did not happen in time"


class Site:
    """A Redis and workers on it.

    Parameters:
        server: the Redis.
        folder: for logs.
    """

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.server = server
        self.redis = server.client()
        self.folder = folder
        self.processes: list[Process] = []

    def start(self, command: list[str], ready: str, **env: str) -> Process:
        """Start a program and wait until its log says `ready`."""
        name = f"worker-{len(self.processes)}"
        variables = {"CELERY_BROKER_URL": self.server.url, "PATH": os.environ["PATH"], **env}
        log = self.folder / f"{name}.log"
        process = Process(command, name=name, log_path=log, env=child_env(HERE, variables=variables))
        self.processes.append(process)
        return process.wait_ready(lambda: ready in log.read_text(), 30)

    def worker(self, *options: str, broker: str = BROKER, tasks: str = TASKS, **env: str) -> Process:
        """Start `taskiq worker` with one child; a lease of 2 s unless `env` says otherwise."""
        command = [sys.executable, "-m", "taskiq", "worker", broker, tasks, "--workers", "1", *options]
        return self.start(command, READY, **{"TASKIQ_LEASE": "2", **env})

    def log(self) -> list[str]:
        """What the tasks have noted, without the times."""
        return [line.rpartition(" ")[0] for line in self.redis.lrange(LOG, 0, -1)]

    def times(self, what: str) -> list[float]:
        """When (s) the tasks have noted `what`."""
        lines = (line.rpartition(" ") for line in self.redis.lrange(LOG, 0, -1))
        return [float(at) for noted, _, at in lines if noted == what]

    def stop(self) -> None:
        """Kill all workers and forget everything."""
        for process in self.processes:
            process.kill()
        self.processes.clear()
        if self.server.process:
            self.redis.flushall()


@contextlib.contextmanager
def site_on(server: RedisServer, folder: Path) -> Iterator[Site]:
    """A site that is cleaned up in the end. The Redis is our own."""
    site = Site(server, folder)
    try:
        yield site
    finally:
        site.stop()


def send(site: Site, *tasks: tuple[Any, ...]) -> None:
    """Send tasks: name and arguments of each."""

    async def main() -> None:
        broker = our_broker(site.server.url)
        for name, *args in tasks:
            await kick(broker, name, *args)
        await broker.shutdown()

    asyncio.run(main())


def child(worker: Process) -> psutil.Process:
    """The process of `taskiq worker` that runs tasks."""
    (found,) = (
        p for p in psutil.Process(worker.pid).children() if "resource_tracker" not in str(p.cmdline())
    )
    return found


def pending(site: Site) -> int:
    """How many messages workers hold; none as long as no worker has come up."""
    try:
        return int(site.redis.xpending(QUEUE, GROUP)["pending"])
    except ResponseError:
        return 0


def gone(process: psutil.Process) -> bool:
    """Whether a process has ended, be it that its parent has not noticed yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
