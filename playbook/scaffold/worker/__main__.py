"""Start workers that stop at once.

    python -m PACKAGE.worker MODULE ...

takes the options of `taskiq worker` and does the same, for this package's broker. One thing differs: taskiq's
manager looks once a second whether it was told to stop (taskiq/cli/worker/process_manager.py, `start`); here
that second ends when a signal comes.

Invariant: a signal is heard, whenever it comes. A handler that raises an error, as taskiq's does in a process
that has just been forked, may hit a moment in which Python drops errors, and that process would run for ever.
So signals wait until the manager pauses, and until a new process is ready for them.
"""

import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from taskiq.cli.worker import process_manager, run
from taskiq.cli.worker.args import WorkerArgs
from taskiq.cli.worker.process_manager import ProcessManager

SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

LOOK = 0.02
"""Seconds between two looks whether a signal has come."""


class PromptManager(ProcessManager):
    """taskiq's manager of worker processes, without its delay."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.worker_function = partial(work, self.worker_function)
        process_manager.sleep = self._pause  # type: ignore[attr-defined, assignment]
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def _pause(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while not (told := signal.sigpending() & SIGNALS) and time.monotonic() < ends:
            time.sleep(LOOK)
        # Now taskiq's handlers put down what is to be done; the queue's own thread needs a moment for it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        while told and self.action_queue.empty():
            time.sleep(LOOK / 10)


def work(listen: Callable[[WorkerArgs], None], args: WorkerArgs) -> None:
    """Run a worker process. Until it has handlers of its own, a signal ends it: it has read nothing yet."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    listen(args)


def main() -> int | None:
    """Run workers until they are told to stop; return the exit status."""
    run.ProcessManager = PromptManager  # type: ignore[attr-defined]
    return run.run_worker(WorkerArgs.from_cli([f"{__package__}.broker:broker", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
