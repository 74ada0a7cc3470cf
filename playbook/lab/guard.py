"""A small supervisor between the lab and one of its children. It outlives neither.

    python guard.py [--grace SECONDS] [--stdout FILE] [--stderr FILE] [--user NAME] -- COMMAND...

The guard holds the read end of a pipe as its standard input. The lab holds the only write end. The pipe ends
when the lab closes it and also when the lab dies in any way, SIGKILL included. The guard then stops the child
and everything that the child started: SIGTERM to the child, SIGKILL to the whole tree after the grace period.
Lines that the lab writes are commands: `stop SECONDS` (the same with another grace period) and `kill` (the
whole tree at once).

The child gets a session of its own. On Linux the guard is also a child subreaper (prctl(2)), so that
descendants whose parent is gone stay within its reach; elsewhere those which leave the child's process group
and lose their parent are out of reach.

The guard writes `pid N` to its standard output when the child runs, and ends with the child's exit status
(128 + n after signal n, 127 if the command cannot be started). It is run by path, not imported, and keeps to
the standard library until it has to kill, so that it starts fast and stays small.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
GRACE = 3.0
PARENT_CHECK = 1.0
KILL_LIMIT = 5.0


class Guard:
    """One child and the reasons to end it."""

    def __init__(self, child: int, grace: float, wake: int) -> None:
        self.child = child
        self.grace = grace
        self.wake = wake
        self.parent = os.getppid()
        self.status: int | None = None
        self.deadline: float | None = None
        self.commands = b""
        self.inputs = {sys.stdin.fileno(), wake}

    def run(self) -> int:
        """Supervise until the child has ended; leave nothing of its tree; return its exit status."""
        while self.reap() is None:
            self.listen()
            if self.deadline is not None and time.monotonic() >= self.deadline:
                break
        self.kill_tree()
        return self.status if self.status is not None else 128 + signal.SIGKILL

    def reap(self) -> int | None:
        """Collect ended children, adopted ones too. Return the exit status of the child if it has ended."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self.child:
                    code = os.waitstatus_to_exitcode(status)
                    self.status = code if code >= 0 else 128 - code
        return self.status

    def listen(self) -> None:
        """Wait for a command, the end of the lab, a signal or the next deadline, whichever is first."""
        timeout = PARENT_CHECK
        if self.deadline is not None:
            timeout = max(0.0, min(timeout, self.deadline - time.monotonic()))
        ready, _, _ = select.select(self.inputs, [], [], timeout)
        if self.wake in ready and any(number != signal.SIGCHLD for number in os.read(self.wake, 512)):
            self.stop(self.grace)
        if sys.stdin.fileno() in ready:
            self.obey(os.read(sys.stdin.fileno(), 4096))
        elif os.getppid() != self.parent:
            # A forked copy of the lab may keep the pipe open after the lab is gone.
            self.stop(self.grace)

    def obey(self, data: bytes) -> None:
        """Carry out what the lab wrote; no data means that the pipe has ended."""
        if not data:
            self.inputs.discard(sys.stdin.fileno())
            self.stop(self.grace)
            return
        *lines, self.commands = (self.commands + data).split(b"\n")
        for line in lines:
            if line == b"kill":
                self.deadline = time.monotonic()
            elif line.startswith(b"stop "):
                self.stop(float(line.split()[1]))

    def stop(self, grace: float) -> None:
        """Ask the child to end, once; set the time at which it is killed."""
        if self.deadline is None:
            # To the child alone: the pool processes of a Celery worker would drop what they run.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child, signal.SIGTERM)
        deadline = time.monotonic() + grace
        self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)

    def kill_tree(self) -> None:
        """SIGKILL the child's process group and every descendant, until none is left."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child, signal.SIGKILL)
        limit = time.monotonic() + KILL_LIMIT
        while time.monotonic() < limit:
            self.reap()
            if not kill_descendants():
                return
            time.sleep(0.02)


def kill_descendants() -> int:
    """SIGKILL all descendants of this process; return how many there were."""
    import psutil  # Slow to import, and needed only here.

    descendants = psutil.Process().children(recursive=True)
    for process in descendants:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return len(descendants)


def wake_on_signals() -> int:
    """Route SIGCHLD and the signals that end a process into a pipe; return its read end."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return read


def adopt_orphans() -> None:
    """Make this process the reaper of its descendants, where the system can."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start(command: list[str], stdout: Path | None, stderr: Path | None, user: str | None) -> int:
    """Start the command in a session of its own, output appended to the files; return its process id."""
    with contextlib.ExitStack() as files:
        out = files.enter_context(stdout.open("ab")) if stdout else None
        err = files.enter_context(stderr.open("ab")) if stderr else None
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, user=user
        )
    child.returncode = 0  # Reaped by the guard, not by this object.
    return child.pid


def main(arguments: list[str]) -> int:
    """Run the guard; see the module's text for the arguments and the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--grace", type=float, default=GRACE)
    parser.add_argument("--stdout", type=Path)
    parser.add_argument("--stderr", type=Path)
    parser.add_argument("--user")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)

    adopt_orphans()
    wake = wake_on_signals()
    try:
        child = start(options.command, options.stdout, options.stderr, options.user)
    except OSError as error:
        print(f"cannot start {options.command[0]}: {error.strerror}", file=sys.stderr)
        return 127
    with contextlib.suppress(BrokenPipeError):
        print(f"pid {child}", flush=True)
    return Guard(child, options.grace, wake).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
