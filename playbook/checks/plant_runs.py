"""Plants, tried one after the other: which checks failed, and whether those did that have to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from playbook.checks.trials.bench import Bench
from playbook.contracts import CheckContext, CheckResult
from playbook.errors import PlaybookError, in_one_line
from playbook.lab import LabError
from playbook.models import Model
from playbook.plants import Plant, PlantError
from playbook.workspace import Workspace

Say = Callable[[str], object]


class Tried(Model):
    """A plant and what the checks said.

    Attributes:
        plant: the fault.
        results: of the checks of its trial.
        error: why the trial could not be made; empty: it could.
    """

    plant: Plant
    results: list[CheckResult]
    error: str = ""

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed."""
        return [result.name for result in self.results if not result.ok]

    @property
    def found_by(self) -> list[str]:
        """Names of the checks that had to fail, and did. (Others may fail as well, not in each run.)"""
        return [name for name in self.plant.caught_by if name in self.failed]

    @property
    def missed_by(self) -> list[str]:
        """Names of the checks that should have failed, and passed or did not run."""
        return [name for name in self.plant.caught_by if name not in self.failed]

    @property
    def caught(self) -> bool:
        """Whether all checks failed that have to."""
        return not self.error and not self.missed_by and bool(self.failed)

    @property
    def outcome(self) -> str:
        """What became of it, in words."""
        if self.error:
            return f"not tried: {self.error}"
        return "caught" if self.caught else f"missed by {', '.join(self.missed_by)}"


class Bites(Model):
    """What became of plants; and of copies without any, by trial, in each round."""

    tried: list[Tried]
    unchanged: list[dict[str, list[CheckResult]]]

    @property
    def false_alarms(self) -> list[str]:
        """Checks that failed although nothing was planted, with what they said."""
        return [
            f"{trial}: {result.name}: {result.detail}"
            for found in self.unchanged
            for trial, results in found.items()
            for result in results
            if not result.ok
        ]

    @property
    def ok(self) -> bool:
        """Whether everything was caught, and nothing else."""
        return all(one.caught for one in self.tried) and not self.false_alarms


def try_plants(
    context: CheckContext,
    plants: Sequence[Plant],
    rounds: int = 1,
    say: Say = lambda text: None,
    unchanged_too: Iterable[Plant] = (),
) -> Bites:
    """Try plants, and the same trials on copies without a plant.

    Args:
        context: of the phase at work. Copies go below its `work_dir`.
        plants: what to try.
        rounds: how often each trial is made without a plant.
        say: told what is being done.
        unchanged_too: plants whose trials are made without a plant, too.

    Raises:
        PlantError: a plant does not fit the workspace; nothing else is raised for a plant.
    """
    require_phases(context, plants)
    with Bench(context) as bench:
        unchanged = []
        for number in range(rounds):
            say(f"unchanged copy, round {number + 1} of {rounds}")
            trials = trials_of([*unchanged_too, *plants])
            unchanged.append({key: _unchanged(bench, plant) for key, plant in trials.items()})
        tried = []
        for plant in plants:
            say(f"{plant.name}: {plant.what}")
            tried.append(_tried(bench, plant))
    return Bites(tried=tried, unchanged=unchanged)


def try_one(context: CheckContext, plant: Plant) -> Tried:
    """Try one plant; see `try_plants`."""
    require_phases(context, [plant])
    with Bench(context) as bench:
        return _tried(bench, plant)


def require_phases(context: CheckContext, plants: Iterable[Plant]) -> None:
    """Raise PlantError if a plant's phase is not applied to the workspace."""
    applied = Workspace(context.run_dir, context.application).applied()
    for plant in plants:
        if plant.phase not in applied:
            raise PlantError(
                f"{plant.name} is planted in what {plant.phase} migrates; run: playbook apply {plant.phase}"
            )


def trials_of(plants: Iterable[Plant]) -> dict[str, Plant]:
    """Return the trials of plants, each with one plant that has it."""
    return {" ".join((plant.trial, *plant.tests)): plant for plant in plants}


def _unchanged(bench: Bench, plant: Plant) -> list[CheckResult]:
    try:
        return bench.try_unchanged(plant)
    except Exception as error:
        return [CheckResult(False, _told(error), name=plant.trial, title="The trial can be made")]


def _tried(bench: Bench, plant: Plant) -> Tried:
    try:
        return Tried(plant=plant, results=bench.try_plant(plant))
    except PlantError:
        raise
    except Exception as error:
        # A trial that breaks says nothing about a plant, and must not keep the others from being tried.
        return Tried(plant=plant, results=[], error=_told(error))


def _told(error: Exception) -> str:
    known = isinstance(error, PlaybookError | LabError)
    return in_one_line(str(error) if known else f"{type(error).__name__}: {error}")
