"""The work that runs while faults strike: single tasks, delayed and retried ones, chains, chords. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Literal, TypeAlias

from playbook.models import Model

Kind: TypeAlias = Literal["plain", "delayed", "retried", "chain", "chord", "written", "posted"]

MIXED: Mapping[Kind, int] = {"plain": 10, "delayed": 4, "retried": 4, "chain": 2, "chord": 1}
"""How often each is drawn. Counted in tasks, a fifth are in chains and a fifth in chords."""

STEPS, MEMBERS = 4, 5
"""Tasks of a chain, members of a chord's header."""

LONGEST, LATEST = 0.1, 2.0
"""Seconds that a task takes at most, and that a delayed one waits at most."""


class Unit(Model):
    """What is sent in one call.

    Attributes:
        number: names it.
        kind: what it is; `written` inserts a row into the database, `posted` calls the outside world.
        seconds: that each of its tasks takes.
        countdown: seconds until a delayed one is due; 0: at once.
        failures: how often a retried one fails first.
    """

    number: int
    kind: Kind
    seconds: float
    countdown: float = 0.0
    failures: int = 0

    @property
    def keys(self) -> list[str]:
        """The names of its tasks, in order; a chord's body is the last."""
        if self.kind == "chain":
            return [f"{self.number}.{step}" for step in range(STEPS)]
        if self.kind == "chord":
            return [*(f"{self.number}.{member}" for member in range(MEMBERS)), f"{self.number}.body"]
        return [str(self.number)]


def draw_units(tasks: int, seed: int, kinds: Mapping[Kind, int] = MIXED) -> list[Unit]:
    """Draw units with exactly so many tasks in all; the same for the same seed.

    Args:
        tasks: how many.
        seed: of the random numbers.
        kinds: how often each kind is drawn, among them one of a single task.
    """
    return list(_draw(tasks, Random(f"units {seed}"), kinds))  # noqa: S311


def _draw(left: int, random: Random, kinds: Mapping[Kind, int]) -> Iterator[Unit]:
    number = 0
    while left:
        (kind,) = random.choices(list(kinds), list(kinds.values()))
        unit = Unit(
            number=number,
            kind=kind,
            seconds=round(random.uniform(0, LONGEST), 3),
            countdown=round(random.uniform(0.1, LATEST), 3) if kind == "delayed" else 0.0,
            failures=random.randint(1, 2) if kind == "retried" else 0,
        )
        if len(unit.keys) <= left:
            yield unit
            left -= len(unit.keys)
            number += 1
