"""Claims of the guide, and what decides whether they hold.

A claim is judged by facts that were found in the application, never by what is written here. `held` is the
verdict on the versions that this playbook was made with: another verdict is news.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class GuideClaim:
    """One claim.

    `found` is a format string over the facts. `instead` says what the playbook does where the claim does not
    hold, or holds only in part.
    """

    source: str
    text: str
    held: bool
    decide: Callable[[Facts], bool]
    found: str
    instead: str = ""


@dataclass(frozen=True)
class Verdict:
    """A claim with the facts applied."""

    source: str
    text: str
    holds: bool
    expected: bool
    found: str
    instead: str


def judge(claims: Iterable[GuideClaim], facts: Facts) -> list[Verdict]:
    """Decide every claim. Raises KeyError if a fact that a claim needs has not been found."""
    words = {key: _word(value) for key, value in facts.items()}
    return [
        Verdict(c.source, c.text, c.decide(facts), c.held, c.found.format_map(words), c.instead)
        for c in claims
    ]


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
