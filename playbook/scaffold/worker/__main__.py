"""Start workers that stop at once.

    python -m PACKAGE.worker MODULE ...

takes the options of `taskiq worker` and does the same, for this package's broker. One thing differs: taskiq's
manager looks once a second whether it was told to stop (taskiq/cli/worker/process_manager.py); this one
tells its workers from the signal handler.
"""

import signal
import sys
from multiprocessing import current_process
from types import FrameType
from typing import Any

from taskiq.cli.worker import run
from taskiq.cli.worker.args import WorkerArgs
from taskiq.cli.worker.process_manager import ProcessManager


class PromptManager(ProcessManager):
    """taskiq's manager of worker processes, without its delay at the end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        self._stopping = False

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if current_process().name.startswith("worker"):
            raise KeyboardInterrupt
        self._shutdown_workers()
        if not self._stopping:
            self._stopping = True
            # The interpreter waits for the workers before it ends.
            raise SystemExit(0)


def main() -> int | None:
    """Run workers until they are told to stop; return the exit status."""
    run.ProcessManager = PromptManager  # type: ignore[attr-defined]
    return run.run_worker(WorkerArgs.from_cli([f"{__package__}.broker:broker", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
