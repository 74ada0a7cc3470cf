"""The compose file has services for TaskIQ's processes."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playbook.rewrite.rule import Outcome, Refusal

KEY = re.compile(r"^(\s*)([\w.-]+):\s*(#.*)?$")


@dataclass(frozen=True)
class ComposeService:
    """The service that starts a process of Celery's gets a copy that starts TaskIQ's.

    It is the one whose `command` hands `worker`, or `beat`, to the start script.

    Attributes:
        script: name of the start script that knows the process.
        process: what the script calls it.
        beside: what the script calls Celery's.
        grace: how long the process has to stop, if the service states nothing; empty: Docker's ten seconds,
            which are less than a TaskIQ worker gives its tasks.
    """

    script: str
    process: str = "taskiq-worker"
    beside: str = "worker"
    grace: str = ""

    def apply(self, source: str) -> Outcome:
        """Add the service to a compose file."""
        lines = source.splitlines(keepends=True)
        command = re.compile(rf'^\s*command:.*{re.escape(self.script)}["\']?[,\s]+["\']?{self.beside}\b')
        number = next((i for i, line in enumerate(lines) if command.match(line)), None)
        if self.process in source:
            return Outcome(source)
        if number is None:
            return _without(lines, self.beside)
        start = next((i for i in range(number, -1, -1) if KEY.match(lines[i])), None)
        if start is None:
            reason = f"cannot tell which service this belongs to; add one for {self.process} by hand"
            return Outcome(source, (Refusal(number + 1, "service", reason),))
        end = _end(lines, start)
        key = re.sub(r"[\w.-]+", self.process, lines[start], count=1)
        called = re.sub(rf"\b{self.beside}\b(?!.*\b{self.beside}\b)", self.process, lines[number])
        copy = [key, *lines[start + 1 : number], called, *lines[number + 1 : end]]
        if self.grace and not any("stop_grace_period" in line for line in copy):
            depth = called[: len(called) - len(called.lstrip())]
            copy.append(f"{depth}stop_grace_period: {self.grace}\n")
        return Outcome("".join([*lines[:end], "\n", *copy, *lines[end:]]))


def _without(lines: list[str], beside: str) -> Outcome:
    """The file as it is, with a refusal if it starts Celery's process in another way."""
    for number, line in enumerate(lines, start=1):
        if re.search(rf"\bcelery\b.*\b{beside}\b", line) and not line.lstrip().startswith("#"):
            reason = f"this starts Celery's {beside} directly; add a service for TaskIQ's by hand"
            return Outcome("".join(lines), (Refusal(number, "service", reason),))
    return Outcome("".join(lines))


def _end(lines: list[str], start: int) -> int:
    """The line after a service's last one: what follows is not indented deeper than its name."""
    depth = len(lines[start]) - len(lines[start].lstrip())
    last = start
    for i in range(start + 1, len(lines)):
        if lines[i].strip() and len(lines[i]) - len(lines[i].lstrip()) <= depth:
            break
        if lines[i].strip():
            last = i
    return last + 1
