"""The trace file: one `TaskEvent` as JSON per line, appended by any number of processes."""

from __future__ import annotations

import os
import socket
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


def read_trace(path: Path, offset: int = 0) -> list[TaskEvent]:
    """Read the events of a trace file.

    Parameters:
        path: the file; one that does not exist yet is empty.
        offset: byte to start at; the start of a line.

    Returns:
        The events by time. (The end of a task may be written after the start of what follows it.)
    """
    if not path.exists():
        return []
    with path.open("rb") as trace:
        trace.seek(offset)
        events = [TaskEvent.model_validate_json(line) for line in trace if line.endswith(b"\n")]
    return sorted(events, key=lambda event: event.at)
