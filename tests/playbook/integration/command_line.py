"""Runs commands of the worker package, each in a fork of one process that has imported it: that is quick.

It is also that process' program: it reads arguments as JSON, a line each, and answers with the outcome.
"""

import contextlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from playbook.lab.surroundings import child_env

WORKER = "playbook.scaffold.worker"


@dataclass(frozen=True)
class Done:
    """What became of a command."""

    status: int
    stdout: str
    stderr: str


class CommandLine:
    """Runs `python -m playbook.scaffold.worker...` on the Redis of a URL."""

    def __init__(self, url: str, **env: str) -> None:
        variables = {"CELERY_BROKER_URL": url, **env}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=child_env(Path(__file__).parent, variables=variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "CommandLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=10)

    def run(self, module: str, *args: str) -> Done:
        """Run one, and return what became of it."""
        assert self._process.stdin
        assert self._process.stdout
        name = f"{WORKER}.{module}" if module else WORKER
        print(json.dumps([name, *args]), file=self._process.stdin, flush=True)
        return Done(**json.loads(self._process.stdout.readline()))


def main() -> None:
    """Answer until there is nothing more to read."""
    import playbook.scaffold.worker.health
    import playbook.scaffold.worker.probes
    import playbook.scaffold.worker.top  # noqa: F401

    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            if (pid := os.fork()) == 0:
                os._exit(_run(json.loads(line), out.fileno(), err.fileno()))
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            texts = [file.seek(0) or file.read() for file in (out, err)]
        print(json.dumps({"status": status, "stdout": texts[0], "stderr": texts[1]}), flush=True)


def _run(argv: list[str], out: int, err: int) -> int:
    """Run a module as `python -m` does, in this process; return its exit status."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.argv = argv
    status: object = 0
    try:
        with contextlib.suppress(KeyError):
            # Else runpy warns that it was imported before.
            del sys.modules[argv[0]]
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
        if isinstance(status, str):
            print(status, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else int(bool(status))


if __name__ == "__main__":
    main()
