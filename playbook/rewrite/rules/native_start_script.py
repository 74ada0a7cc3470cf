"""The start script starts TaskIQ's processes only."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playbook.rewrite.rule import Outcome, Refusal

LABEL = re.compile(r"^(\s*)([\w-]+)\)\s*$")
NEW = {"worker": "worker", "beat": "scheduler", "flower": "top"}
"""What a process of Celery's is called, and what takes its place."""
MONITOR = "Flower went with Celery; this is top. The processes have metrics as well (TASKIQ_HTTP_PORT)"


@dataclass(frozen=True)
class NativeStartScript:
    """In a `case` with branches for Celery's and TaskIQ's processes, TaskIQ's take Celery's place:
    `worker)` starts TaskIQ's worker, `scheduler)` its scheduler.

    The old names (`beat)`, `taskiq-worker)`, `taskiq-scheduler)`) go on working, with a note on stderr.
    `flower)` says what takes its place, `top)`, and starts that. Lists of the processes name the new ones.

    Attributes:
        top: the module that shows what Flower showed.
    """

    top: str

    def apply(self, source: str) -> Outcome:
        """Rewrite a shell script."""
        lines = source.splitlines(keepends=True)
        branches = _branches(lines)
        celery = {
            name: kind for name, (start, end) in branches.items() if (kind := _kind(lines[start + 1 : end]))
        }
        if not celery:
            return Outcome(source, _left(lines))
        replaced: dict[int, tuple[int, list[str]]] = {}
        for name, kind in celery.items():
            start, end = branches[name]
            if kind == "flower":
                replaced[start] = (end, self._without(lines, start, name))
                continue
            ours = f"taskiq-{NEW[kind]}"
            if ours not in branches:
                continue
            first, last = branches[ours]
            called = name if kind == "worker" else NEW[kind]
            head = re.sub(r"[\w-]+\)", f"{called})", lines[start], count=1)
            old = [old for old in (name, ours) if old != called]
            replaced[start] = (end, [head, *lines[first + 1 : last], *_renamed(lines, start, old, called)])
            replaced[first] = (last, [])
        result, number = [], 0
        while number < len(lines):
            if number in replaced:
                number, new = replaced[number]
                result += new
            else:
                result.append(lines[number])
                number += 1
        names = [NEW.get(kind, "") if kind != "worker" else name for name, kind in celery.items()]
        text = _listed("".join(result), list(branches), [name for name in names if name], list(celery))
        return Outcome(text, _left(text.splitlines(keepends=True)))

    def _without(self, lines: list[str], start: int, name: str) -> list[str]:
        inner = _indent(lines[start + 1])
        outer = _indent(lines[start])
        return [
            f"{outer}top)\n",
            f"{inner}exec python -m {self.top}\n",
            f"{inner};;\n",
            f"{outer}{name})\n",
            f'{inner}echo "{_script(lines)}: {MONITOR}" >&2\n',
            f"{inner}exec python -m {self.top}\n",
            f"{inner};;\n",
        ]


def _branches(lines: list[str]) -> dict[str, tuple[int, int]]:
    """The branches of a `case` by their names: first line, and the one after the last."""
    found = {}
    for start, line in enumerate(lines):
        if label := LABEL.match(line):
            end = next((i for i in range(start, len(lines)) if lines[i].strip() == ";;"), None)
            if end is not None:
                found[label.group(2)] = (start, end + 1)
    return found


def _kind(lines: list[str]) -> str | None:
    """Which of Celery's processes a branch starts."""
    for line in lines:
        if found := re.search(r"\bcelery\b.*\s(worker|beat|flower)\b", line):
            return found.group(1)
        if re.search(r"^\s*(exec\s+)?flower\b", line):
            return "flower"
    return None


def _renamed(lines: list[str], start: int, old: list[str], called: str) -> list[str]:
    """A branch for the old names of a process."""
    outer, inner = _indent(lines[start]), _indent(lines[start + 1])
    return [
        f"{outer}{' | '.join(old)})\n",
        f"{inner}echo \"{_script(lines)}: '$1' is deprecated, its name is {called} now\" >&2\n",
        f'{inner}exec sh "$0" {called}\n',
        f"{inner};;\n",
    ]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _script(lines: list[str]) -> str:
    """What the script calls itself in its messages."""
    found = re.search(r"""["']([\w.-]+\.sh):""", "".join(lines))
    return found.group(1) if found else "$0"


def _listed(text: str, before: list[str], new: list[str], celery: list[str]) -> str:
    """Lists of the processes, in texts, with the new names: `a | b | c`, `a, b or c`."""
    others = [
        name for name in before if name not in celery and not name.startswith("taskiq-") and name != "*"
    ]
    first = [*others, *dict.fromkeys(new)]
    names = "|".join(map(re.escape, sorted(before, key=len, reverse=True)))
    spoken = f"{_spoken(first)}; as before also "
    lines = []
    for line in text.splitlines(keepends=True):
        if set(celery) <= set(re.findall(r"[\w-]+", line)) and not LABEL.match(line):
            line = re.sub(rf"({names})( \| ({names}))+", lambda _: " | ".join(first), line)
            line = re.sub(rf"({names})(, ({names}))* or ({names})", lambda found: spoken + found[0], line)
        lines.append(line)
    return "".join(lines)


def _spoken(names: list[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _left(lines: list[str]) -> tuple[Refusal, ...]:
    """Commands of Celery's that the rule does not know."""
    reason = "this starts something of Celery's; start TaskIQ's worker or scheduler by hand"
    command = re.compile(r"(^|\s)(celery|flower)\s+(-|[a-z])")
    return tuple(
        Refusal(i, line.strip(), reason)
        for i, line in enumerate(lines, 1)
        if command.search(line) and not line.lstrip().startswith(("#", "echo"))
    )
