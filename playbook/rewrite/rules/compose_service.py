"""The compose file has a service for the TaskIQ worker."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playbook.rewrite.rule import Outcome, Refusal

PROCESS = "taskiq-worker"
KEY = re.compile(r"^(\s*)([\w.-]+):\s*(#.*)?$")


@dataclass(frozen=True)
class ComposeService:
    """The service that starts the Celery worker gets a copy that starts TaskIQ's.

    It is the one whose `command` hands `worker` to the start script.

    Attributes:
        script: name of the start script that knows `taskiq-worker`.
    """

    script: str

    def apply(self, source: str) -> Outcome:
        """Add the service to a compose file."""
        lines = source.splitlines(keepends=True)
        command = re.compile(rf'^\s*command:.*{re.escape(self.script)}["\']?[,\s]+["\']?worker\b')
        number = next((i for i, line in enumerate(lines) if command.match(line)), None)
        if PROCESS in source:
            return Outcome(source)
        if number is None:
            return _without(lines)
        start = next((i for i in range(number, -1, -1) if KEY.match(lines[i])), None)
        if start is None:
            reason = "cannot tell which service this belongs to; add one for the TaskIQ worker by hand"
            return Outcome(source, (Refusal(number + 1, "service", reason),))
        end = _end(lines, start)
        key = re.sub(r"[\w.-]+", PROCESS, lines[start], count=1)
        called = re.sub(r"\bworker\b(?!.*\bworker\b)", PROCESS, lines[number])
        copy = [key, *lines[start + 1 : number], called, *lines[number + 1 : end]]
        return Outcome("".join([*lines[:end], "\n", *copy, *lines[end:]]))


def _without(lines: list[str]) -> Outcome:
    """The file as it is, with a refusal if it starts a Celery worker in another way."""
    for number, line in enumerate(lines, start=1):
        if re.search(r"\bcelery\b.*\bworker\b", line) and not line.lstrip().startswith("#"):
            reason = "this starts Celery's worker directly; add a service for TaskIQ's by hand"
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
