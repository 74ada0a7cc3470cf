"""A child process of the lab, held through its guard (`playbook.lab.guard`)."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from playbook.lab import guard
from playbook.lab.errors import LabError
from playbook.lab.masking import mask_url
from playbook.lab.waiting import INTERVAL

STOP_GRACE = 10.0
KILL_TIMEOUT = 2 * guard.KILL_LIMIT
TAIL_LINES = 20


class Process:
    """One running command with all its descendants. Created running; ends with the lab at the latest.

    Parameters:
        command: the program and its arguments.
        name: what messages call it.
        log_path: file to which standard output and error are appended.
        env: the child's complete environment; None: that of this process.
        cwd: the child's working directory.
        stdout: file for standard output alone, if it must not be mixed with the log.
        user: system user to run as, for a lab that runs as root.

    Raises:
        LabError: the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdout: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.command = list(command)
        self.name = name
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        options = ["--stdout", str((stdout or log_path).absolute()), "--stderr", str(log_path.absolute())]
        options += ["--user", user] if user else []
        with log_path.open("ab") as log:
            # By path and isolated (-I): it must start even where the application's modules shadow others.
            # The pipes are close-on-exec, so no other child can hold this guard's standard input open.
            self._guard = subprocess.Popen(
                [sys.executable, "-I", guard.__file__, *options, "--", *self.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=env,
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._read_pid()

    def _read_pid(self) -> int:
        assert self._guard.stdout is not None
        with self._guard.stdout as stdout:
            words = stdout.readline().split()
        if len(words) != 2:
            self._guard.wait()
            raise LabError(f"{self.name} could not be started; {self.last_lines()}")
        return int(words[1])

    def __repr__(self) -> str:
        state = "running" if self.alive else f"ended with {self.returncode}"
        return f"<{self.name} pid={self.pid} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """Whether the child or any part of its tree still runs."""
        return self._guard.poll() is None

    @property
    def returncode(self) -> int | None:
        """The child's exit status once it has ended: 128 + n after signal n."""
        return self._guard.poll()

    def wait(self, timeout: float) -> int:
        """Wait until the child has ended by itself.

        Parameters:
            timeout: seconds.

        Returns:
            The exit status.

        Raises:
            LabError: it still runs after the timeout.
        """
        try:
            return self._guard.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} still runs after {timeout:g} s; {self.last_lines()}") from None

    def stop(self, grace: float = STOP_GRACE) -> None:
        """Ask the child to end (SIGTERM); kill its whole tree if it has not ended after `grace` seconds."""
        self._tell(f"stop {grace}\n", grace + KILL_TIMEOUT)

    def kill(self) -> None:
        """SIGKILL the child's whole tree; return when nothing of it is left."""
        self._tell("kill\n", KILL_TIMEOUT)

    def _tell(self, command: str, timeout: float) -> None:
        assert self._guard.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._guard.stdin.write(command.encode())
            self._guard.stdin.flush()
        self.wait(timeout)
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.close()

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of the log, credentials masked."""
        with self.log_path.open(encoding="utf-8", errors="replace") as log:
            return mask_url("".join(deque(log, maxlen=lines)).rstrip())

    def last_lines(self) -> str:
        """Return the end of the log with its path, as error messages show it."""
        return f"last lines of {self.log_path}:\n{self.tail() or '(empty)'}"

    def wait_ready(self, ready: Callable[[], object], timeout: float) -> Self:
        """Poll a probe until it says that the child is ready to serve.

        Parameters:
            ready: the probe; must return soon.
            timeout: seconds. A child that is not ready by then is killed, also when the probe raises.

        Returns:
            This process.

        Raises:
            LabError: the child ended, or was not ready in time. The end of its log is in the message.
        """
        try:
            self._await_ready(ready, timeout)
        except BaseException:
            self.kill()
            raise
        return self

    def _await_ready(self, ready: Callable[[], object], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.alive:
                ended = f"{self.name} ended with {self.returncode} before it became ready"
                raise LabError(f"{ended}; {self.last_lines()}")
            if time.monotonic() >= deadline:
                late = f"{self.name} did not become ready within {timeout:g} s"
                raise LabError(f"{late}; {self.last_lines()}")
            time.sleep(INTERVAL)
