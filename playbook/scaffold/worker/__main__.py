"""Start workers that stop at once and share their memory.

    python -m PACKAGE.worker MODULE ...

takes the options of `taskiq worker` and does the same, for this package's broker. Three things differ.
taskiq's manager looks once a second whether it was told to stop (taskiq/cli/worker/process_manager.py,
`start`); here that second ends when a signal comes. The modules are imported once, before the processes are
forked, as Celery's prefork pool does it: what they import lies in memory once, and a process that takes the
place of another is there at once. (Not with `--reload`, or where processes are not forked.) And if
TASKIQ_HTTP_PORT is set, it answers there (`probes`).

Exit status: 0 after SIGTERM or SIGINT; 1 when `--max-fails` worker processes have died; 2 for wrong use.

Invariant: a signal is heard, whenever it comes. A handler that raises an error, as taskiq's does in a process
that has just been forked, may hit a moment in which Python drops errors, and that process would run for ever.
So signals wait until the manager pauses, and until a new process is ready for them.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from taskiq.cli.utils import import_object, import_tasks
from taskiq.cli.worker import process_manager, run
from taskiq.cli.worker.args import WorkerArgs
from taskiq.cli.worker.process_manager import ProcessManager

from ..settings import settings

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

LOOK = 0.02
"""Seconds between two looks whether a signal has come."""

COUNTERS = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder in which worker processes count (prometheus_client's multiprocess mode)."""

SHARED_MEMORY = "/dev/shm"  # noqa: S108 (a folder of its own is made there, for this user only)
"""Where that folder is, if there is such a place: on a disk, whoever counts waits while the disk writes."""


class PromptManager(ProcessManager):
    """taskiq's manager of worker processes, without its delay; the processes share what it has imported."""

    def __init__(self, args: WorkerArgs, *rest: Any, **kwargs: Any) -> None:
        if multiprocessing.get_start_method() == "fork" and not args.reload:
            preload(args)
        super().__init__(args, *rest, **kwargs)
        self.worker_function = partial(work, self.worker_function)
        self.ending = False
        process_manager.sleep = self._pause  # type: ignore[attr-defined, assignment]
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        if settings.TASKIQ_HTTP_PORT:
            self._answer()

    def _answer(self) -> None:
        """Answer probes and Prometheus."""
        from .broker import broker
        from .probes import WorkerProbes, serve
        from .streams import StreamBroker

        if isinstance(broker, StreamBroker):
            serve(WorkerProbes(broker, self._pids, self.args.max_async_tasks, lambda: self.ending))

    def _pids(self) -> list[int]:
        return [worker.pid for worker in self.workers if worker.pid and worker.is_alive()]

    def _shutdown_workers(self) -> None:
        self.ending = True
        super()._shutdown_workers()

    def _pause(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not (told := signal.sigpending() & SIGNALS) and time.monotonic() < ends:
            time.sleep(LOOK)
        # Now taskiq's handlers put down what is to be done; the queue's own thread needs a moment for it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        while told and self.action_queue.empty():
            time.sleep(LOOK / 10)


def preload(args: WorkerArgs) -> None:
    """Import what each worker process would import by itself."""
    broker = import_object(args.broker, app_dir=args.app_dir)
    # As taskiq does it first in a worker process: the tasks of other brokers become this one's.
    broker.is_worker_process = True
    import_tasks(args.modules, args.tasks_pattern, args.fs_discover)
    gc.collect()
    # The collector writes to what it looks at, and what a process writes to it shares no longer.
    gc.freeze()


def work(listen: Callable[[WorkerArgs], None], args: WorkerArgs) -> None:
    """Run a worker process. Until it has handlers of its own, a signal ends it: it has read nothing yet."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    if COUNTERS in os.environ:
        from .broker import broker
        from .metrics import measure
        from .streams import StreamBroker

        if isinstance(broker, StreamBroker):
            measure(broker)
    listen(args)


def main() -> int:
    """Run workers until they are told to stop; return the exit status."""
    run.ProcessManager = PromptManager  # type: ignore[attr-defined]
    args = WorkerArgs.from_cli([f"{__package__}.broker:broker", *sys.argv[1:]])
    with contextlib.ExitStack() as stack:
        if settings.TASKIQ_HTTP_PORT:
            memory = SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None
            folder = tempfile.TemporaryDirectory(prefix="taskiq-", dir=memory)
            os.environ[COUNTERS] = stack.enter_context(folder)
        failed = run.run_worker(args) is not None
        # They were told to stop; or too many have died, and nobody looks after the others.
        for worker in multiprocessing.active_children():
            if failed:
                worker.terminate()
            worker.join()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
