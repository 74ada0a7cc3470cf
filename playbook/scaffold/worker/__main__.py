"""Start workers that stop at once.

    python -m PACKAGE.worker MODULE ...

takes the options of `taskiq worker` and does the same, for this package's broker. One thing differs: taskiq's
manager looks once a second whether it was told to stop (taskiq/cli/worker/process_manager.py, `start`); here
that second ends when a signal comes.
"""

import signal
import sys
import time
from functools import partial
from types import FrameType
from typing import Any

from taskiq.cli.worker import process_manager, run
from taskiq.cli.worker.args import WorkerArgs
from taskiq.cli.worker.process_manager import ProcessManager

LOOK = 0.02
"""Seconds between two looks whether a signal has come."""


class PromptManager(ProcessManager):
    """taskiq's manager of worker processes, without its delay at the end.

    The signal handlers only put down what is to be done, as taskiq's do. One that raised an error, to end the
    manager's sleep, could hit a moment in which Python drops errors, such as a fork: nobody would ever stop.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, partial(self._tell, signal.getsignal(number)))
        process_manager.sleep = self._pause  # type: ignore[attr-defined, assignment]

    def _tell(self, put_down: Any, number: int, frame: FrameType | None) -> None:
        self._told = True
        put_down(number, frame)

    def _pause(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        # The queue's own thread needs a moment to bring what the handler has put down.
        while time.monotonic() < ends and not (self._told and not self.action_queue.empty()):
            time.sleep(LOOK)


def main() -> int | None:
    """Run workers until they are told to stop; return the exit status."""
    run.ProcessManager = PromptManager  # type: ignore[attr-defined]
    return run.run_worker(WorkerArgs.from_cli([f"{__package__}.broker:broker", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
