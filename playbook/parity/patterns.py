"""Patterns: JSON values whose places are open where control runs differ, and literal everywhere else."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

ABSENT: Final = type("Absent", (), {"__repr__": lambda self: "<absent>"})()


@dataclass(frozen=True)
class Wild:
    """A leaf of any value of the given JSON types; a text must fit `words`, where None is any one word."""

    types: frozenset[str]
    words: tuple[str | None, ...] | None = None

    def __repr__(self) -> str:
        if self.words is not None:
            return "".join("*" if word is None else word for word in self.words)
        return f"<any {' or '.join(sorted(self.types))}>"


@dataclass(frozen=True)
class Maybe:
    """A key that some control runs have and others do not; when it is there its value fits `pattern`."""

    pattern: Any

    def __repr__(self) -> str:
        return f"<nothing or {self.pattern!r}>"


@dataclass(frozen=True)
class Entry:
    """A pattern and how often it occurs in a run, at least and at most; `identity` must agree exactly."""

    pattern: Any
    low: int
    high: int
    identity: str = ""


@dataclass(frozen=True)
class Bag:
    """A list without order."""

    entries: tuple[Entry, ...]

    def __repr__(self) -> str:
        parts = (f"{entry.low} to {entry.high} x {key(entry.pattern)}" for entry in self.entries)
        return f"<in any order: {', '.join(parts)}>"


def key(pattern: Any) -> str:
    """Return a text that is equal for equal patterns."""
    return json.dumps(pattern, sort_keys=True, default=repr)


def openness(pattern: Any) -> int:
    """Return how many places of a pattern are open."""
    if isinstance(pattern, dict):
        return sum(map(openness, pattern.values()))
    if isinstance(pattern, list):
        return sum(map(openness, pattern))
    if isinstance(pattern, Bag):
        return sum(entry.high - entry.low + openness(entry.pattern) for entry in pattern.entries)
    return int(isinstance(pattern, Wild | Maybe))


def facts(pattern: Any) -> Counter[str]:
    """Return the leaves of a pattern with their paths; what two records share tells how alike they are."""
    found: Counter[str] = Counter()
    stack: list[tuple[str, Any]] = [("", pattern)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, dict) and item:
            stack.extend((f"{path}.{name}", inner) for name, inner in item.items())
        elif isinstance(item, list) and item:
            stack.extend((f"{path}[]", inner) for inner in item)
        else:
            found[f"{path}={item!r}"] += 1
    return found


def open_places(pattern: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, open part) for every place of a pattern that is not literal."""
    if isinstance(pattern, Wild | Maybe | Bag):
        yield path, pattern
    elif isinstance(pattern, dict):
        for name, item in pattern.items():
            yield from open_places(item, f"{path}.{name}")
    elif isinstance(pattern, list):
        for index, item in enumerate(pattern):
            yield from open_places(item, f"{path}[{index}]")


def at_path(value: Any, path: str) -> Any:
    """Return what stands at a path of a JSON value, as `open_places` and `differences` write paths."""
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
        try:
            value = value[int(index)] if index else value[name]
        except (KeyError, IndexError, TypeError):
            return plain(ABSENT)
    return value


def plain(pattern: Any) -> Any:
    """Return a pattern as JSON for a reader: open places become text."""
    if isinstance(pattern, dict):
        return {name: plain(item) for name, item in pattern.items()}
    if isinstance(pattern, list):
        return [plain(item) for item in pattern]
    return pattern if pattern is None or isinstance(pattern, str | int | float) else repr(pattern)
