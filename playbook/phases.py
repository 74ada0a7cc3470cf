"""The phases of the migration, in order: what each one applies, checks and needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import Field

from playbook.config import Application
from playbook.contracts import Check, Refusal, Slice
from playbook.errors import PlaybookError
from playbook.parameters import Parameters
from playbook.slices import Slicing, sliced
from playbook.tree import Change, Tree, read_tree
from playbook.workspace import Workspace


@dataclass(frozen=True)
class Phase:
    """One phase.

    `slice` turns the tree of the phase before into this one's; None: the phase applies nothing.
    `load_checks` gives the checks; it is a function, so that naming a phase does not import what only
    running it needs. `needs` names the phases whose slices must be in place. The notebook is `<name>.ipynb`.
    """

    name: str
    title: str
    summary: str
    needs: tuple[str, ...] = ()
    slice: Slicing | None = None
    load_checks: Callable[[], tuple[Check, ...]] = tuple
    parameters: type[Parameters] = Parameters

    @property
    def checks(self) -> tuple[Check, ...]:
        """What the phase proves."""
        return self.load_checks()


@dataclass(frozen=True)
class Applied:
    """What applying a phase came to: whether anything was written, and what the slice changes and refuses."""

    name: str
    changed: bool
    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    diff: str = ""


def _inventory_checks() -> tuple[Check, ...]:
    from playbook.checks.inventory import CHECKS

    return CHECKS


def _poc_slice(application: Application, tree: Tree) -> Slice:
    from playbook.rewrite.poc import slice_

    return slice_(application, tree)


def _poc_checks() -> tuple[Check, ...]:
    from playbook.checks.poc import CHECKS

    return CHECKS


class SimpleTasksParameters(Parameters):
    """What 02_simple_tasks takes besides.

    `calls` is how many calls are made while the route flips, `kills` how many workers are killed meanwhile,
    one every two seconds.
    """

    calls: int = Field(300, ge=50)
    kills: int = Field(2, ge=1)


def _simple_tasks_slice(application: Application, tree: Tree) -> Slice:
    from playbook.rewrite.simple_tasks import slice_

    return slice_(application, tree)


def _simple_tasks_checks() -> tuple[Check, ...]:
    from playbook.checks.simple_tasks import CHECKS

    return CHECKS


def _pipelines_slice(application: Application, tree: Tree) -> Slice:
    from playbook.rewrite.pipelines import slice_

    return slice_(application, tree)


def _pipelines_checks() -> tuple[Check, ...]:
    from playbook.checks.pipelines import CHECKS

    return CHECKS


class SchedulerParameters(Parameters):
    """What 04_scheduler takes besides.

    `days` is how long the simulated year is, `slots` how many slots of an interval are compared in it.
    """

    days: int = Field(365, ge=1)
    slots: int = Field(2000, ge=1)


def _scheduler_slice(application: Application, tree: Tree) -> Slice:
    from playbook.rewrite.schedules import slice_

    return slice_(application, tree)


def _scheduler_checks() -> tuple[Check, ...]:
    from playbook.checks.schedules import CHECKS

    return CHECKS


class ValidationParameters(Parameters):
    """What 05_validation takes besides.

    `full` runs everything at full size: an hour or two. If it is not given, sizes are such that the notebook
    takes about a minute. `tests` names test files of the application to run, apart by spaces; empty: those
    of the size.
    """

    full: bool = False
    tests: str = ""


def _validation_slice(application: Application, tree: Tree) -> Slice:
    from playbook.rewrite.suite import slice_

    return slice_(application, tree)


def _validation_checks() -> tuple[Check, ...]:
    from playbook.checks.validation import CHECKS

    return CHECKS


class CutoverParameters(Parameters):
    """What 06_cutover takes besides.

    `full` runs everything at full size: all tests of the application in the fresh environment, both kinds of
    upload. If it is not given, sizes are such that the notebook takes about a minute. `tests` names test
    files of the application to run there, apart by spaces; empty: those of the size.
    """

    full: bool = False
    tests: str = ""


def _cutover_slice(application: Application, tree: Tree) -> Slice:
    from playbook.rewrite.cutover import slice_

    return slice_(application, tree)


def _cutover_checks() -> tuple[Check, ...]:
    from playbook.checks.cutover import CHECKS

    return CHECKS


PHASES: tuple[Phase, ...] = (
    Phase(
        name="00_inventory",
        title="Inventory",
        summary="Finds every use of Celery, orders the tasks by risk, names what will be refused.",
        load_checks=_inventory_checks,
    ),
    Phase(
        name="01_poc",
        title="Proof of concept",
        summary="Adds the TaskIQ broker and one twin, and tries the claims that the guide calls verified.",
        needs=("00_inventory",),
        slice=_poc_slice,
        load_checks=_poc_checks,
    ),
    Phase(
        name="02_simple_tasks",
        title="Simple tasks",
        summary="Adds twins of the tasks without canvas or schedule, and routes their calls by live flags.",
        needs=("01_poc",),
        slice=_simple_tasks_slice,
        load_checks=_simple_tasks_checks,
        parameters=SimpleTasksParameters,
    ),
    Phase(
        name="03_pipelines",
        title="Pipelines",
        summary="Moves both pipelines with chain, group and chord; kills a worker in each of their tasks.",
        needs=("02_simple_tasks",),
        slice=_pipelines_slice,
        load_checks=_pipelines_checks,
    ),
    Phase(
        name="04_scheduler",
        title="Scheduler",
        summary="Moves beat's schedule: the same due times, each slot sent once, by either system.",
        needs=("03_pipelines",),
        slice=_scheduler_slice,
        load_checks=_scheduler_checks,
        parameters=SchedulerParameters,
    ),
    Phase(
        name="05_validation",
        title="Validation",
        summary="Runs the application's tests on both systems; compares speed and cost; plants faults.",
        needs=("04_scheduler",),
        slice=_validation_slice,
        load_checks=_validation_checks,
        parameters=ValidationParameters,
    ),
    Phase(
        name="06_cutover",
        title="Cutover",
        summary="Removes Celery; the application, its tests and its start script run where there is none.",
        needs=("05_validation",),
        slice=_cutover_slice,
        load_checks=_cutover_checks,
        parameters=CutoverParameters,
    ),
)


def find_phase(name: str) -> Phase:
    """The phase of that name, word (`poc`) or number (`01`, `1`). Raises PlaybookError if there is none."""
    for phase in PHASES:
        number, _, word = phase.name.partition("_")
        if name in (phase.name, word, number, str(int(number))):
            return phase
    raise PlaybookError(f"unknown phase {name}; known are {', '.join(phase.name for phase in PHASES)}")


def plan_phase(phase: Phase, workspace: Workspace) -> Applied:
    """What applying a phase would come to; writes nothing.

    Phases that it needs and that are not in place are taken as applied.
    """
    before, slice_ = _planned(phase, workspace)
    in_place = workspace.is_current() and phase.name in workspace.applied()
    changed = phase.slice is not None and not (in_place and workspace.after(phase.name) == slice_.tree)
    return _applied(phase, changed, before, slice_)


def apply_phase(phase: Phase, workspace: Workspace) -> Applied:
    """Put a phase's slice into the workspace, after those it needs: one commit and tag each.

    A slice that is in place already is left alone. One that has been made by another state of the rules is
    replaced; that is refused if commits by hand would be undone with it.
    Raises: WorkspaceError if the workspace must not be written.
    """
    with workspace.locked():
        workspace.ensure()
        for needed in phase.needs:
            apply_phase(find_phase(needed), workspace)
        planned = plan_phase(phase, workspace)
        if planned.changed:
            if phase.name in workspace.applied():
                workspace.rollback(phase.name, by_hand=False)
            workspace.commit(phase.name, _planned(phase, workspace)[1].tree, f"{phase.name}: {phase.title}")
        return planned


def _planned(phase: Phase, workspace: Workspace) -> tuple[Tree, Slice]:
    """The tree that a phase starts from, and its slice of it."""
    if workspace.is_current():
        before = workspace.before(phase.name)
        missing = (
            set(phase.needs) - set(workspace.applied()) if phase.name not in workspace.applied() else set()
        )
    else:
        before = read_tree(workspace.application.base, workspace.application.folders)
        missing = set(phase.needs)
    for needed in (find_phase(name) for name in sorted(missing)):
        before = _sliced(needed, workspace.application, before).tree
    return before, _sliced(phase, workspace.application, before)


def _sliced(phase: Phase, application: Application, tree: Tree) -> Slice:
    if phase.slice is None:
        return Slice(tree)
    return sliced(phase.slice, application, tree)


def _applied(phase: Phase, changed: bool, before: Tree, slice_: Slice) -> Applied:
    changes = tuple(before.changes(slice_.tree))
    return Applied(phase.name, changed, changes, slice_.refusals, before.unified_diff(slice_.tree))
