"""The planted faults: mistakes that a migration can make, each of which the checks must find.

The catalogue is data; `playbook.checks.trials` tries it, and `docs/plants.md` shows it.
"""

from playbook.plants import deployment, errands, pipelines, poc, schedules, sending, suite
from playbook.plants.plant import Edit, Plant, PlantError, planted

__all__ = ["PLANTS", "Edit", "Plant", "PlantError", "find_plant", "planted"]

PLANTS: tuple[Plant, ...] = (
    *poc.POC,
    *suite.SOURCES,
    *sending.REGISTERED,
    *schedules.SCHEDULES,
    *sending.CALLED,
    *errands.ERRANDS,
    *pipelines.PIPELINES,
    *deployment.STARTED,
    *errands.LOADED,
    *suite.RUNS,
)
"""All of them, those of one trial together."""


def find_plant(name: str) -> Plant:
    """Return the fault of that name; raise PlantError if there is none."""
    for plant in PLANTS:
        if plant.name == name:
            return plant
    raise PlantError(f"there is no planted fault {name}; `playbook plants` lists them")
