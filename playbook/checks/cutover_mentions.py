"""What is left of Celery's name in a tree, and why. Pure."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass

from playbook.tree import Tree

MENTION = re.compile(r"celery|kombu|billiard|flower", re.IGNORECASE)
IMPORT = re.compile(r"^\s*(?:from|import)\s+(?:celery|kombu|billiard|flower)\b")
SETTINGS = re.compile(r"CELERY_(?:BROKER_URL|RESULT_BACKEND)|FLOWER_PORT")

OLD_SETTING = "a deprecated name of a setting, which still counts where operators set it"
RUNTIME = "the runtime names the behaviour that it keeps, or reads what Celery has sent"
PROSE = "a text; people say what is true now"
OLD_COMMAND = "a note to those who use a name of before"
DATA = "a value in a test or in configuration; no code of Celery's is behind it"


@dataclass(frozen=True)
class Mention:
    """A line that names Celery, Kombu, Billiard or Flower.

    Attributes:
        path: the file.
        line: counts from 1.
        text: the line.
        why: why it may stay; empty: nothing explains it.
    """

    path: str
    line: int
    text: str
    why: str


def mentions(tree: Tree, runtime: frozenset[str]) -> list[Mention]:
    """Return what is left, in order.

    Args:
        tree: the files.
        runtime: paths of the modules that were copied into the application.
    """
    return [
        one for path, text in tree.items() if MENTION.search(text) for one in _of_file(path, text, runtime)
    ]


def imports(tree: Tree) -> list[Mention]:
    """Return the lines that import one of these packages."""
    return [
        Mention(path, number, line.strip(), "")
        for path, text in tree.items()
        if path.endswith(".py")
        for number, line in enumerate(text.splitlines(), 1)
        if IMPORT.match(line)
    ]


def _of_file(path: str, text: str, runtime: frozenset[str]) -> Iterator[Mention]:
    code = _code(text) if path.endswith(".py") else {}
    for number, line in enumerate(text.splitlines(), 1):
        if not MENTION.search(line):
            continue
        yield Mention(path, number, line.strip(), _why(path, line, code.get(number), path in runtime))


def _why(path: str, line: str, kinds: set[str] | None, is_runtime: bool) -> str:
    """Say why a line may stay.

    Args:
        path: the file.
        line: the line.
        kinds: in what a Python line mentions it: `name`, `string`, `comment`. None: no Python.
        is_runtime: whether the file belongs to the runtime.
    """
    left = SETTINGS.sub("", line)
    if not MENTION.search(left):
        return OLD_SETTING
    if IMPORT.match(line):
        return ""
    if is_runtime:
        return RUNTIME
    if path.endswith((".sh", ".yml", ".yaml")):
        return "" if re.search(r"\b(?:exec\s+)?celery\s+-A|command:.*celery", line) else OLD_COMMAND
    if kinds is None:
        return PROSE
    if "name" in kinds:
        return ""
    return DATA if "string" in kinds else PROSE


def _code(text: str) -> dict[int, set[str]]:
    """Return by line in what kinds of tokens it mentions one of the packages."""
    found: dict[int, set[str]] = {}
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if MENTION.search(token.string) or token.type == tokenize.STRING:
            docstring = token.type == tokenize.STRING and before in (
                tokenize.NEWLINE,
                tokenize.INDENT,
                tokenize.NL,
                tokenize.DEDENT,
                tokenize.ENCODING,
            )
            kind = {tokenize.COMMENT: "comment", tokenize.STRING: "string"}.get(token.type, "name")
            for offset, line in enumerate(token.string.splitlines() or [""]):
                if MENTION.search(line):
                    found.setdefault(token.start[0] + offset, set()).add("comment" if docstring else kind)
        if token.type != tokenize.COMMENT:
            before = token.type
    return found
