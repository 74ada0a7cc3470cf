"""The command lines of workers, schedulers and the API, and how each tells that it is ready."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from playbook.lab import loopback
from playbook.lab.errors import LabError
from playbook.lab.process import Process

Probe: TypeAlias = Callable[[Process], object]

READY_VARIABLE = "PLAYBOOK_READY"
BROKER_VARIABLE = "PLAYBOOK_TRACE_BROKER"
CELERY_TRACE = "playbook.lab.tracing.celery_trace"
TASKIQ_TRACE = "playbook.lab.tracing.taskiq_trace"

# What the programs log at INFO when they have started (celery/apps/beat.py, taskiq/receiver/receiver.py,
# taskiq/cli/scheduler/run.py).
BEAT_READY = "beat: Starting..."
TASKIQ_READY = "Listening started."
TASKIQ_SCHEDULER_READY = "Startup completed."
# A TaskIQ program goes on without a module that it cannot import, and drops the messages of its tasks
# (taskiq/cli/utils.py).
TASKIQ_LACKS_MODULE = "Cannot import "


def celery_worker(
    app: str, node: str, pool: str, concurrency: int, queues: Sequence[str], modules: Sequence[str] = ()
) -> list[str]:
    """Return the command for a Celery worker with tracing; it imports `modules`, too."""
    command = [sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel", "INFO"]
    command += ["--pool", pool, "--concurrency", str(concurrency), "--hostname", node]
    command += ["-I", ",".join((CELERY_TRACE, *modules))]
    # These two only synchronise several workers with one another, and cost a second at the start.
    command += ["--without-mingle", "--without-gossip"]
    return command + (["--queues", ",".join(queues)] if queues else [])


def celery_beat(app: str, state: Path) -> list[str]:
    """Return the command for Celery's scheduler; `state` is its file of last runs."""
    command = [sys.executable, "-m", "celery", "-A", app, "beat", "--loglevel", "INFO"]
    return [*command, "--schedule", str(state), "--pidfile", ""]


def taskiq_worker(broker: str, modules: Sequence[str], workers: int, args: Sequence[str]) -> list[str]:
    """Return the command for a TaskIQ worker with tracing; modules come directly after the broker."""
    command = [sys.executable, "-m", "taskiq", "worker", broker, TASKIQ_TRACE, *modules]
    return [*command, "--workers", str(workers), "--log-level", "INFO", *args]


def taskiq_scheduler(scheduler: str, modules: Sequence[str], args: Sequence[str]) -> list[str]:
    """Return the command for TaskIQ's scheduler."""
    return [sys.executable, "-m", "taskiq", "scheduler", scheduler, *modules, "--log-level", "INFO", *args]


def asgi_server(app: str, port: int) -> list[str]:
    """Return the command for the API."""
    return [sys.executable, "-m", "uvicorn", app, "--host", "127.0.0.1", "--port", str(port)]


def log_says(text: str, times: int = 1) -> Probe:
    """Return a probe: is `text` in the process's log, at least so many times?"""
    return lambda process: process.log_path.read_text(errors="replace").count(text) >= times


def taskiq_says(text: str, times: int = 1) -> Probe:
    """Return a probe like `log_says` that raises `LabError` if a module could not be imported."""

    def ready(process: Process) -> bool:
        log = process.log_path.read_text(errors="replace")
        if TASKIQ_LACKS_MODULE in log:
            raise LabError(f"{process.name} cannot import a module of tasks; {process.last_lines()}")
        return log.count(text) >= times

    return ready


def answers(url: str) -> Probe:
    """Return a probe: does the address answer with success?"""
    return lambda _: loopback.answers(url)
