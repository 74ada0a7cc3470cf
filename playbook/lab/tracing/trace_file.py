"""The trace file: one `TaskEvent` as JSON per line, appended by any number of processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from playbook.models import TaskEvent

TRACE_VARIABLE = "PLAYBOOK_TRACE"


def plain(value: Any) -> Any:
    """Turn a task's argument into what JSON holds; what JSON does not know becomes its `str`."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def worker_name() -> str:
    """Name this process: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def write_event(event: TaskEvent) -> None:
    """Append an event to the file named by PLAYBOOK_TRACE.

    Opened for each line, so that it works after a fork; written by one call in append mode, so that the lines
    of several processes do not mix (POSIX write(2), O_APPEND) and a killed process leaves whole lines.
    """
    line = event.model_dump_json(exclude_defaults=True).encode() + b"\n"
    target = os.open(os.environ[TRACE_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(target, line)
    finally:
        os.close(target)


class TraceReader:
    """Reads a trace file as it grows; each line is read once.

    Parameters:
        path: the file; one that does not exist yet is empty.
        offset: byte to start at; the start of a line.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset

    def news(self) -> list[TaskEvent]:
        """Return the events that have been written since the last call, in the order of the file."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as trace:
            trace.seek(self.offset)
            written = trace.read()
        complete = written[: written.rfind(b"\n") + 1]
        self.offset += len(complete)
        return [TaskEvent.model_validate_json(line) for line in complete.splitlines()]


def read_trace(path: Path, offset: int = 0) -> list[TaskEvent]:
    """Read the events of a trace file, by time; parameters as for `TraceReader`."""
    return by_time(TraceReader(path, offset).news())


def by_time(events: Iterable[TaskEvent]) -> list[TaskEvent]:
    """Sort events. (The end of a task may be written after the start of what follows it.)"""
    return sorted(events, key=lambda event: event.at)
