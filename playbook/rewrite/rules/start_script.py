"""The start script can start TaskIQ's processes as well."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

from playbook.rewrite.rule import Outcome, Refusal

WIDTH = 98
LABEL = re.compile(r"^(\s*)([\w-]+)\)\s*$")


@dataclass(frozen=True)
class StartScript:
    """A `case` branch that starts a process of Celery's is followed by one for TaskIQ's.

    The worker is followed by `taskiq-worker)`, beat by `taskiq-scheduler)`.

    Texts that list the processes stay as they are, and are reported: tests may look at them.

    Attributes:
        command: what starts the process.
        process: what the script is to call it.
        beside: what Celery calls its own.
    """

    command: str
    process: str = "taskiq-worker"
    beside: str = "worker"

    def apply(self, source: str) -> Outcome:
        """Add the branch to a shell script that has one for Celery's process."""
        lines = source.splitlines(keepends=True)
        celery = re.compile(rf"\bcelery\b.*\s{re.escape(self.beside)}\b")
        number = next((i for i, line in enumerate(lines) if celery.search(line)), None)
        if number is None or any(line.strip() == f"{self.process})" for line in lines):
            return Outcome(source)
        label = _label_above(lines, number)
        end = _end_below(lines, number)
        if label is None or end is None:
            reason = f"this does not stand in a branch of a case; start TaskIQ's beside it: {self.command}"
            return Outcome(source, (Refusal(number + 1, f"celery {self.beside}", reason),))
        indent = re.match(r"\s*", lines[number])
        inner = indent.group() if indent else ""
        outer, name = label
        branch = [
            f"{outer}{self.process})\n",
            *_wrapped(f"exec {self.command}", inner),
            re.sub(r"\S.*", ";;", lines[end]),
        ]
        refusals = tuple(_texts(lines, name, number, self.process))
        return Outcome("".join([*lines[: end + 1], *branch, *lines[end + 1 :]]), refusals)


def _wrapped(command: str, indent: str) -> list[str]:
    """The lines of a command; all but the last end with a backslash."""
    lines = textwrap.wrap(
        command, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}    ", break_on_hyphens=False
    )
    return [f"{line} \\\n" for line in lines[:-1]] + [f"{lines[-1]}\n"]


def _label_above(lines: list[str], number: int) -> tuple[str, str] | None:
    """Indentation and name of the case label above a line."""
    for line in reversed(lines[:number]):
        if line.strip() == ";;":
            return None
        if found := LABEL.match(line):
            return found.group(1), found.group(2)
    return None


def _end_below(lines: list[str], number: int) -> int | None:
    return next((i for i in range(number, len(lines)) if lines[i].strip() == ";;"), None)


def _texts(lines: list[str], name: str, number: int, process: str) -> list[Refusal]:
    """The lines that list the processes by name."""
    labels = {found.group(2) for line in lines if (found := LABEL.match(line))}
    reason = f"this text names the processes; add {process} by hand, and to the tests that look at it"
    return [
        Refusal(i + 1, "start script", reason)
        for i, line in enumerate(lines)
        if i != number and len(labels) > 1 and labels <= set(re.findall(r"[\w-]+", line)) and name in line
    ]
