"""The compose file has services for TaskIQ's processes only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playbook.rewrite.rule import Outcome

KEY = re.compile(r"^(\s*)([\w.-]+):\s*(#.*)?$")
RENAMED = {"taskiq-worker": "worker", "taskiq-scheduler": "scheduler"}


@dataclass(frozen=True)
class NativeCompose:
    """The services that hand `worker`, `beat` or `flower` to the start script go; those of TaskIQ take their
    places, as `worker` and `scheduler`.

    Other services that wait for one that goes or is renamed wait for what takes its place.

    Attributes:
        script: name of the start script that knows the processes.
    """

    script: str

    def apply(self, source: str) -> Outcome:
        """Rewrite a compose file."""
        lines = source.splitlines(keepends=True)
        services = {process: place for process in _PROCESSES if (place := self._service(lines, process))}
        ours = {process: place for process, place in services.items() if process in RENAMED}
        if not ours:
            return Outcome(source)
        renamed, gone = {}, []
        for process in ("worker", "beat", "flower"):
            counterpart = {"worker": "taskiq-worker", "beat": "taskiq-scheduler"}.get(process)
            if process in services and (counterpart is None or counterpart in services):
                name, start, end = services[process]
                gone.append((start, end))
                if counterpart is not None:
                    renamed[name] = RENAMED[counterpart]
        for process, (name, start, _) in ours.items():
            renamed[name] = RENAMED[process]
            lines[start] = lines[start].replace(name, RENAMED[process], 1)
        lines = [_called(line, self.script) for line in lines]
        for start, end in sorted(gone, reverse=True):
            after = end + 1 if end < len(lines) and not lines[end].strip() else end
            del lines[start:after]
        return Outcome("".join(_awaiting(line, renamed) for line in lines))

    def _service(self, lines: list[str], process: str) -> tuple[str, int, int] | None:
        """Name, first line and end of the service that starts a process."""
        command = re.compile(rf'^\s*command:.*{re.escape(self.script)}["\']?[,\s]+["\']?{process}["\'\]\s]')
        number = next((i for i, line in enumerate(lines) if command.match(line)), None)
        if number is None:
            return None
        depth = len(lines[number]) - len(lines[number].lstrip())
        for start in range(number, -1, -1):
            key = KEY.match(lines[start])
            if key and len(key.group(1)) < depth:
                return key.group(2), start, _end(lines, start)
        return None


_PROCESSES = ("worker", "beat", "flower", *RENAMED)


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


def _called(line: str, script: str) -> str:
    """A command with the new name of the process."""
    if script not in line:
        return line
    for old, new in RENAMED.items():
        line = re.sub(rf"(?<![\w-]){old}(?![\w-])", new, line)
    return line


def _awaiting(line: str, renamed: dict[str, str]) -> str:
    """A line that names one service, as in `depends_on`, with its new name."""
    entry = re.match(r"^(\s+-\s+)([\w.-]+)(\s*)$", line)
    if entry and entry.group(2) in renamed:
        return f"{entry.group(1)}{renamed[entry.group(2)]}{entry.group(3)}"
    return line
