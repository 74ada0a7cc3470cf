"""`playbook plants`, and `playbook verify --plant`: faults planted in a copy of what is migrated.

The workspace is only read: each fault gets a copy of its own below the run's folder.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from playbook import rendering
from playbook.cli_common import JsonOption, checked_parameters, print_json, stderr
from playbook.config import Application
from playbook.contracts import CheckContext
from playbook.errors import PlaybookError
from playbook.phases import Phase, find_phase
from playbook.plants import PLANTS, Plant, PlantError, find_plant
from playbook.runs import hold_run

if TYPE_CHECKING:
    from playbook.checks.plant_runs import Bites, Tried

ALL = "all"
HOME = "05_validation"
"""The phase whose parameters count if faults of several phases are planted."""

PlantOption = Annotated[
    str | None,
    typer.Option("--plant", metavar="NAME", help="Plant this fault in a copy, and look there; all: each."),
]


def plants(as_json: JsonOption = False) -> None:
    """The faults that can be planted, with the phase whose checks have to find each."""
    if as_json:
        print_json([asdict(plant) for plant in PLANTS])
    else:
        rows = [[plant.name, plant.phase, plant.what] for plant in PLANTS]
        rendering.print_rows(Console(), ["fault", "phase", "what is wrong"], rows)


def verify_plants(
    name: str,
    phase: Phase | None,
    application: Application,
    run_dir: Path,
    given: list[str] | None,
    as_json: bool,
) -> bool:
    """Plant one fault or all, print what the checks say, and return whether none of it is to be looked at.

    Args:
        name: of the fault, or `all`.
        phase: only its faults; None: those of every phase.
        application: what is migrated.
        run_dir: of the run.
        given: parameters as on the command line.
        as_json: print JSON.

    Returns:
        For one fault whether all checks passed: it was not caught then. For all whether every one was caught,
        by the checks that have to, and copies without a fault passed.

    Raises:
        PlaybookError: there is no such fault, it is another phase's, or it does not fit.
    """
    chosen = _chosen(name, phase)
    home = phase or find_phase(chosen[0].phase if name != ALL else HOME)
    parameters = checked_parameters([home], given)[home.name]
    work_dir = run_dir / "verify" / "plants"
    context = CheckContext(
        application=application,
        workspace=run_dir / "workspace",
        run_dir=run_dir,
        work_dir=work_dir,
        redis_url=parameters.redis_url or None,
        database_url=parameters.database_url or None,
        audio=Path(parameters.audio) if parameters.audio else None,
        parameters=parameters,
    )

    from playbook.checks.plant_runs import try_one, try_plants
    from playbook.checks.plants import ROUNDS

    with hold_run(run_dir):
        work_dir.mkdir(parents=True, exist_ok=True)
        if name != ALL:
            return _show_one(try_one(context, chosen[0]), as_json)
        rounds = ROUNDS if getattr(parameters, "full", False) else 1
        say = stderr()
        return _show_all(
            try_plants(context, chosen, rounds, lambda text: say.print(text, markup=False, highlight=False)),
            as_json,
        )


def _chosen(name: str, phase: Phase | None) -> list[Plant]:
    if name == ALL:
        chosen = [plant for plant in PLANTS if phase is None or plant.phase == phase.name]
        if not chosen and phase is not None:
            raise PlantError(f"no fault is planted in {phase.name}; `playbook plants` lists them")
        return chosen
    plant = find_plant(name)
    if phase is not None and plant.phase != phase.name:
        raise PlantError(f"{name} is a fault of {plant.phase}, not of {phase.name}")
    return [plant]


def _show_one(tried: Tried, as_json: bool) -> bool:
    if tried.error:
        raise PlaybookError(f"{tried.plant.name} could not be tried: {tried.error}")
    if as_json:
        checks = [rendering.check_as_json(result) for result in tried.results]
        print_json({**_as_json(tried), "checks": checks})
    else:
        stderr().print(f"{tried.plant.name}: {tried.plant.what}", markup=False, highlight=False)
        rendering.print_checks(Console(), tried.results)
    return not tried.failed


def _show_all(found: Bites, as_json: bool) -> bool:
    if as_json:
        alarms = found.false_alarms
        print_json({"ok": found.ok, "plants": [_as_json(one) for one in found.tried], "false_alarms": alarms})
        return found.ok
    console = Console()
    rows = [[one.plant.name, one.plant.phase, ", ".join(one.failed), one.outcome] for one in found.tried]
    rendering.print_rows(console, ["fault", "phase", "checks that failed", "outcome"], rows)
    caught = sum(one.caught for one in found.tried)
    console.print(f"{caught} of {len(found.tried)} planted faults were caught", highlight=False)
    for alarm in found.false_alarms:
        console.print(f"without a fault: {alarm}", markup=False, highlight=False)
    return found.ok


def _as_json(tried: Tried) -> dict[str, Any]:
    plant = tried.plant
    return {
        "name": plant.name,
        "phase": plant.phase,
        "what": plant.what,
        "caught": tried.caught,
        "failed": tried.failed,
        "expected": list(plant.caught_by),
        "outcome": tried.outcome,
    }
