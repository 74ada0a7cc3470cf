"""The compose file has services for TaskIQ's processes only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playbook.rewrite.rule import Outcome

KEY = re.compile(r"^(\s*)([\w.-]+):\s*(#.*)?$")
PORT = "TASKIQ_HTTP_PORT"
HTTP = (("TASKIQ_HTTP_HOST", "0.0.0.0"), (PORT, "9810"))  # noqa: S104 - the container's own
"""Where processes tell their health: to everybody in the container's network."""
RENAMED = {"taskiq-worker": "worker", "taskiq-scheduler": "scheduler"}


@dataclass(frozen=True)
class NativeCompose:
    """The services that hand `worker`, `beat` or `flower` to the start script go; those of TaskIQ take their
    places, as `worker` and `scheduler`.

    Other services that wait for one that goes or is renamed wait for what takes its place.

    Both tell their health, on a port inside of the container, if the file sets the address of their Redis.

    Attributes:
        script: name of the start script that knows the processes.
        url: the name of the setting that says where Redis is.
        probes: the module that asks a process for its health.
    """

    script: str
    url: str
    probes: str

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
        address = re.compile(rf"^(\s+){self.url}: ")
        watched = any(address.match(line) for line in lines) and PORT not in source
        for _, _, end in ours.values() if watched else ():
            lines[end - 1] += self._healthcheck(lines[end - 1])
        lines = [_called(line, self.script) for line in lines]
        for start, end in sorted(gone, reverse=True):
            after = end + 1 if end < len(lines) and not lines[end].strip() else end
            del lines[start:after]
        if watched:
            lines = [more for line in lines for more in _with_port(line, address)]
        return Outcome("".join(_awaiting(line, renamed) for line in lines))

    def _healthcheck(self, beside: str) -> str:
        """What asks a process whether it is alive; `beside` is a line of the service."""
        depth = beside[: len(beside) - len(beside.lstrip())]
        command = f'["CMD", "python", "-m", "{self.probes}", "live"]'
        end = "" if beside.endswith("\n") else "\n"
        return f"{end}{depth}healthcheck:\n{depth}  test: {command}\n{depth}  start_period: 30s\n"

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


def _with_port(line: str, address: re.Pattern[str]) -> list[str]:
    """A line, and after the address of Redis where processes tell their health."""
    found = address.match(line)
    return [line, *(f"{found.group(1)}{name}: {value}\n" for name, value in HTTP)] if found else [line]


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
