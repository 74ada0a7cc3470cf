"""The application's processes: workers, schedulers, API, and programs that run once."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playbook.lab import programs
from playbook.lab.errors import LabError
from playbook.lab.process import Process
from playbook.lab.surroundings import child_env
from playbook.lab.target import Target
from playbook.lab.waiting import free_port

START_TIMEOUT = 60.0
TAIL_LINES = 20


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


class Children:
    """Starts the application's programs in a workspace and keeps hold of them.

    Parameters:
        target: the application.
        workspace: folder to run in and to import from first.
        run_dir: folder for logs and other files.
        port: TCP port of the API.
    """

    def __init__(self, target: Target, workspace: Path, run_dir: Path, port: int) -> None:
        self.target = target
        self.workspace = workspace.absolute()
        self.run_dir = run_dir.absolute()
        self.logs_dir = self.run_dir / "logs"
        self.api_url = f"http://127.0.0.1:{port}"
        self.env: dict[str, str] = {}
        self._port = port
        self._names: Counter[str] = Counter()
        self._processes: list[Process] = []

    def child_env(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the complete environment of the application's processes, with `env` on top."""
        return child_env(self.workspace, variables=self.env | dict(env or {}))

    def spawn(
        self,
        command: Sequence[str],
        *,
        name: str,
        env: Mapping[str, str] | None = None,
        ready: Callable[[Process], object] | None = None,
        timeout: float = START_TIMEOUT,
    ) -> Process:
        """Start a command in the workspace, in the application's environment, and wait until it is ready.

        Parameters:
            command: program and arguments.
            name: for messages and for the log's name; a number is added when it was used before.
            env: more environment variables.
            ready: probe that is given the process; None: it is ready at once.
            timeout: seconds to become ready.

        Raises:
            LabError: it did not start; the end of its log is in the message.
        """
        self._names[name] += 1
        if (number := self._names[name]) > 1:
            name = f"{name}-{number}"
        log = self.logs_dir / f"{name}.log"
        process = Process(command, name=name, log_path=log, env=self.child_env(env), cwd=self.workspace)
        self._processes.append(process)
        return process.wait_ready(lambda: ready is None or ready(process), timeout)

    def celery_worker(
        self,
        *,
        pool: str = "prefork",
        concurrency: int = 2,
        name: str = "celery",
        queues: Sequence[str] = (),
        modules: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = START_TIMEOUT,
    ) -> Process:
        """Start a Celery worker with tracing.

        Parameters:
            pool: `prefork`, `threads` or `solo`.
            concurrency: number of pool processes or threads.
            name: for messages, its log and its node name.
            queues: queues to read; none: Celery's default.
            modules: modules that it imports besides the application's.
            env: more environment variables.
            timeout: seconds until Celery's signal `worker_ready`.
        """
        ready_file = self.run_dir / f"ready-{name}-{free_port()}"
        command = programs.celery_worker(
            self.target.celery_app, f"{name}@lab", pool, concurrency, queues, modules
        )
        variables = {**(env or {}), programs.READY_VARIABLE: str(ready_file)}
        try:
            return self.spawn(
                command, name=name, env=variables, ready=lambda _: ready_file.exists(), timeout=timeout
            )
        finally:
            ready_file.unlink(missing_ok=True)

    def beat(
        self, *, name: str = "beat", env: Mapping[str, str] | None = None, timeout: float = START_TIMEOUT
    ) -> Process:
        """Start Celery's scheduler. Its file of last runs is `NAME-state` in `run_dir` and outlives it."""
        command = programs.celery_beat(self.target.celery_app, self.run_dir / f"{name}-state")
        ready = programs.log_says(programs.BEAT_READY)
        return self.spawn(command, name=name, env=env, ready=ready, timeout=timeout)

    def taskiq_worker(
        self,
        broker: str | None = None,
        modules: Sequence[str] = (),
        *,
        workers: int = 1,
        name: str = "taskiq",
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = START_TIMEOUT,
    ) -> Process:
        """Start a TaskIQ worker with tracing.

        Parameters:
            broker: `module:attribute`; None: the target's.
            modules: the modules that define tasks. Without them a worker drops every message.
            workers: number of worker processes.
            name: for messages and its log.
            args: more arguments of `taskiq worker`.
            env: more environment variables.
            timeout: seconds until all worker processes listen.
        """
        broker = broker or self.target.broker
        command = programs.taskiq_worker(broker, modules, workers, args)
        variables = {**(env or {}), programs.BROKER_VARIABLE: broker}
        ready = programs.taskiq_says(programs.TASKIQ_READY, workers)
        return self.spawn(command, name=name, env=variables, ready=ready, timeout=timeout)

    def taskiq_scheduler(
        self,
        scheduler: str | None = None,
        modules: Sequence[str] = (),
        *,
        name: str = "scheduler",
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = START_TIMEOUT,
    ) -> Process:
        """Start TaskIQ's scheduler; parameters as for `taskiq_worker`."""
        command = programs.taskiq_scheduler(scheduler or self.target.scheduler, modules, args)
        ready = programs.taskiq_says(programs.TASKIQ_SCHEDULER_READY)
        return self.spawn(command, name=name, env=env, ready=ready, timeout=timeout)

    def api(
        self, *, name: str = "api", env: Mapping[str, str] | None = None, timeout: float = START_TIMEOUT
    ) -> Process:
        """Start the application's API at `api_url`."""
        command = programs.asgi_server(self.target.asgi_app, self._port)
        ready = programs.answers(f"{self.api_url}{self.target.health_path}")
        return self.spawn(command, name=name, env=env, ready=ready, timeout=timeout)

    def run(
        self, command: Sequence[str], *, timeout: float = 120.0, env: Mapping[str, str] | None = None
    ) -> Finished:
        """Run a command in the workspace, in the application's environment, until it ends.

        Parameters:
            command: program and arguments.
            timeout: seconds.
            env: more environment variables.

        Returns:
            Exit status and output.

        Raises:
            LabError: it did not end in time; it is killed.
        """
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "stdout"), Path(folder, "stderr")
            out.touch()
            name = " ".join(command)[:80]
            process = Process(
                command, name=name, log_path=err, stdout=out, env=self.child_env(env), cwd=self.workspace
            )
            try:
                code = process.wait(timeout)
            finally:
                process.kill()
            return Finished(code, out.read_text(errors="replace"), err.read_text(errors="replace"))

    def probe(
        self,
        script_or_module: Path | str,
        *args: str,
        timeout: float = START_TIMEOUT,
        env: Mapping[str, str] | None = None,
    ) -> Any:
        """Run a short Python program in the application's environment and return what it prints.

        Parameters:
            script_or_module: a file (`Path`), a module (`"package.module"`), or source text.
            args: arguments of the program.
            timeout: seconds.
            env: more environment variables.

        Returns:
            The last line of its standard output, parsed as JSON.

        Raises:
            LabError: it failed, or that line is not JSON.
        """
        if isinstance(script_or_module, Path):
            source = [str(script_or_module.absolute())]
        elif re.fullmatch(r"[A-Za-z_][\w.]*", script_or_module):
            source = ["-m", script_or_module]
        else:
            source = ["-c", script_or_module]
        done = self.run([sys.executable, *source, *args], timeout=timeout, env=env)
        if done.returncode:
            raise LabError(f"the probe ended with {done.returncode}:\n{tail(done.stderr)}")
        lines = done.stdout.strip().splitlines()
        try:
            return json.loads(lines[-1])
        except (IndexError, ValueError):
            raise LabError(f"the probe's last line is not JSON:\n{tail(done.stdout)}") from None


def tail(text: str) -> str:
    """Return the last lines of a text."""
    return "\n".join(text.strip().splitlines()[-TAIL_LINES:])
