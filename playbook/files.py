"""Files that several processes meet at: written in one step, or held by one process alone."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file beside its place, then move it there: nobody ever sees half of it. Makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content.encode() if isinstance(content, str) else content)
    draft.replace(path)


@contextmanager
def exclusive(path: Path, patience: float = 0.0) -> Iterator[int]:
    """Hold a lock file alone. The system frees it when its holder, and all who inherited it, are gone.

    Parameters:
        path: the lock file; made if need be, never removed.
        patience: seconds to wait for another holder.
    Yields: the file descriptor, for a child process that is to hold the lock, too.
    Raises: BlockingIOError if another process still holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + patience
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)
        yield lock.fileno()
