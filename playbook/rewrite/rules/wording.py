"""Texts and comments name the new commands; what else they say of Celery is left to people."""

from __future__ import annotations

import io
import re
import tokenize
from dataclasses import dataclass
from functools import partial

from playbook.rewrite.rule import Outcome, Refusal

MENTION = re.compile(r"celery|kombu|billiard", re.IGNORECASE)
FLOWER = re.compile(r"\bflower\b", re.IGNORECASE)
NAMES = {"scheduler": "taskiq-scheduler|beat", "worker": "taskiq-worker"}
"""What the start script calls its processes, and what it called them before."""

REASON = "this text speaks of Celery; say by hand what is true now"


@dataclass(frozen=True)
class Wording:
    """`celery -A app worker` becomes `python -m app.worker MODULE ...`, `celery -A app beat` becomes
    `python -m app.worker.scheduler MODULE ...`; the start script's processes get their new names.

    In Python files this holds for comments and docstrings. Other lines that mention Celery are reported.

    Attributes:
        worker: the package of the worker modules.
        top: the module that shows what Flower showed.
        python: whether the file is Python.
        deliberate: patterns of what may stay, as deprecated settings.
        scripts: names of the start scripts.
    """

    worker: str
    top: str
    python: bool = False
    deliberate: tuple[str, ...] = ()
    scripts: tuple[str, ...] = ()

    def apply(self, source: str) -> Outcome:
        """Rewrite the texts of one file."""
        if not MENTION.search(source) and (self.python or not FLOWER.search(source)):
            return Outcome(source)
        lines = source.splitlines(keepends=True)
        texts = _lines_of_text(source) if self.python else set(range(1, len(lines) + 1))
        if texts is None:
            return Outcome(source)
        for number in texts:
            lines[number - 1] = self._written(lines[number - 1])
        refusals = [
            Refusal(number, lines[number - 1].strip(), REASON)
            for number in sorted(texts)
            if self._mentions(lines[number - 1])
        ]
        return Outcome("".join(lines), tuple(refusals))

    def _written(self, line: str) -> str:
        options = r"(?: +(?:-\w|--[\w-]+)(?:[= ](?!-|worker\b|beat\b|flower\b)[^\s`'\"#]+)?)*"
        for process, command in (
            ("worker", f"python -m {self.worker} MODULE ..."),
            ("beat", f"python -m {self.worker}.scheduler MODULE ..."),
            ("flower", f"python -m {self.top}"),
        ):
            line = re.sub(rf"\bcelery{options} +{process}\b{options}", command, line)
        for script in self.scripts:
            for new, old in NAMES.items():
                line = re.sub(rf"({re.escape(script)} +)({old})(?![\w-])( *)", partial(_named, new), line)
        return line

    def _mentions(self, line: str) -> bool:
        for pattern in self.deliberate:
            line = re.sub(pattern, "", line)
        return bool(MENTION.search(line) or (not self.python and FLOWER.search(line)))


def _named(new: str, found: re.Match[str]) -> str:
    """The new name of a process; what stands in a column after it stays there."""
    space = found.group(3)
    if len(space) > 1:
        space = " " * max(1, len(space) + len(found.group(2)) - len(new))
    return f"{found.group(1)}{new}{space}"


def _lines_of_text(source: str) -> set[int] | None:
    """The lines of a Python file that hold comments and docstrings, None if it cannot be read."""
    found: set[int] = set()
    begins = True
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                found.add(token.start[0])
            elif token.type == tokenize.STRING and begins:
                found.update(range(token.start[0], token.end[0] + 1))
            if token.type not in (tokenize.COMMENT, tokenize.NL):
                begins = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING)
    except (tokenize.TokenError, SyntaxError):
        return None
    return found
