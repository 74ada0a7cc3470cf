"""`docs/plants.md`, made from the catalogue: `python -m playbook.plants.docs` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from playbook.plants import PLANTS, Plant

PAGE = Path(__file__).parents[2] / "docs" / "plants.md"
HEAD = """# Planted faults

Does the comparison bite? Each entry is one mistake that a migration can make, planted in a copy of the
migrated application. The checks that are named must fail. A copy without a fault must raise no alarm.

    playbook plants                       the catalogue
    playbook verify --plant NAME          plant one; ends with 1 if a check failed, so if it was caught
    playbook verify [PHASE] --plant all   plant each; ends with 0 if every one was caught by the checks named
                                          here, and copies without a fault passed

The workspace is only read: each fault gets a copy of its own below the run's folder. What Celery does is
observed once, on the source as it is, and serves all faults of a trial. A *trial* is the part of a phase's
checks that can find a fault:

| trial | what is run |
|---|---|
| sources | nothing: the sources of the tests are compared |
| registered | what both systems have registered |
| due | due times of 40 days, and of the days on which clocks are set |
| calls | calls of every kind, on both systems: types, options, results, errors |
| webhooks, housekeeping, recording | a part of 02_simple_tasks, with workers |
| live, file, failing | a scenario of 03_pipelines, with workers |
| hand_over, replica_killed, downtime | a situation of 04_scheduler |
| scripts | the application's start script; what it would start is noted |
| flood | calls under load, the route flips, a worker is killed |
| whole | every check of the phase |
| suite | some of the application's own tests, on TaskIQ |

A fault is an entry in `playbook/plants/`: its name, phase and words, the text that is replaced (it must stand
there once, and what comes out must be Python), the trial, and the checks that have to fail.
`-p full=true` makes ten rounds without a fault. A hand migration of the same application lost what is marked
with ✋ (see [traps](traps.md)).

(This page is made from the catalogue: `python -m playbook.plants.docs`.)
"""


def render() -> str:
    """The page: every fault by phase, with the checks that find it."""
    phases = sorted(PLANTS, key=lambda plant: plant.phase)
    by_phase = groupby(phases, key=lambda plant: plant.phase)
    lines = [line for phase, plants in by_phase for line in _phase(phase, list(plants))]
    return "\n".join([HEAD, f"{len(PLANTS)} faults in all.\n", *lines])


def _phase(phase: str, plants: list[Plant]) -> Iterator[str]:
    yield f"## {phase}\n"
    yield "| fault | what is wrong | trial | found by |"
    yield "|---|---|---|---|"
    for plant in plants:
        name = f"{plant.name} ✋" if plant.by_hand else plant.name
        yield f"| {name} | {plant.what} | {plant.trial} | {', '.join(plant.caught_by)} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
