"""Faults drawn at random strike a site that works; the same seed draws the same work and the same faults."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

from playbook.checks.faults_ledger import Note, Strike, Tally
from playbook.checks.faults_load import draw_units
from playbook.checks.faults_site import FaultSite
from playbook.checks.faults_strikes import DRAWN
from playbook.models import Model

RATE = 250.0
"""Tasks per second that are sent."""

PAUSES = 0.2, 1.5
"""Seconds between the end of a fault and the next one, at least and at most."""

SHORTEST = 0.1
"""Part of a fault's longest duration that it lasts at least."""

BIN = 0.5
"""Seconds for which ended tasks are counted together."""


class Storm(Model):
    """What came of one seed.

    Attributes:
        seed: the seed.
        strikes: the faults in order; times are seconds since the first task was sent.
        tally: the counts.
        ended: how many tasks ended in each `BIN` seconds since then.
    """

    seed: int
    strikes: list[Strike]
    tally: Tally
    ended: list[int]

    @property
    def problems(self) -> list[str]:
        """What must not be."""
        counts = {
            "lost": len(self.tally.lost),
            "never sent": self.tally.unsent,
            "run twice for no reason": len(self.tally.unexplained),
            "given a wrong result": len(self.tally.wrong),
            "started before they were due": self.tally.early,
            "dead letters": self.tally.dead,
        }
        return [f"seed {self.seed}: {count} {what}" for what, count in counts.items() if count]


def run_storm(
    seed: int, tasks: int, workspace: Path, run_dir: Path, package: str = "reflector.worker"
) -> Storm:
    """Send tasks while faults strike, until all is sent; wait for the end.

    Args:
        seed: draws units, faults and pauses. (When a fault strikes what is a matter of the machine.)
        tasks: how many.
        workspace: the migrated application's root.
        run_dir: folder for this run; must not exist.
        package: the package with the runtime.
    """
    random = Random(f"faults {seed}")  # noqa: S311
    with FaultSite(workspace, run_dir, package=package, proxy=True) as site:
        sender = site.send(draw_units(tasks, seed), RATE)
        site.started(1)
        while sender.alive:
            strike, longest = random.choice(DRAWN)
            strike(site, random.uniform(SHORTEST * longest, longest))
            time.sleep(random.uniform(*PAUSES))
        site.settle(sender)
        return storm(seed, site.notes(), site.strikes, site.tally())


def storm(seed: int, notes: list[Note], strikes: list[Strike], tally: Tally) -> Storm:
    """Return what the ledger says, with times since the first note."""
    began = notes[0].at
    ends = [int((note.at - began) / BIN) for note in notes if note.what == "end"]
    moved = [
        one.model_copy(update={"since": one.since - began, "until": one.until - began}) for one in strikes
    ]
    counts = [0] * (max(ends, default=0) + 1)
    for end in ends:
        counts[end] += 1
    return Storm(seed=seed, strikes=moved, tally=tally, ended=counts)
