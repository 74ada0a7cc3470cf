"""The command line: `playbook ...`.

Exit status: 0 done, 1 a check failed, 2 unusable input, 3 changes pending (with `--check`). Data goes to
stdout, progress and errors to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from playbook import rendering
from playbook.cli_common import (
    AppArgument,
    CheckOption,
    ConfigOption,
    JsonOption,
    OptionalPhaseArgument,
    ParameterOption,
    PhaseArgument,
    RunOption,
    RunsOption,
    checked_parameters,
    print_json,
    run_folder,
    source_folder,
    stderr,
    take_inventory,
)
from playbook.cli_plants import PlantOption, plants, verify_plants
from playbook.config import load_application
from playbook.contracts import CheckContext
from playbook.errors import PlaybookError, in_words
from playbook.lab.errors import LabError
from playbook.lab.masking import mask_url
from playbook.lifeline import end_with
from playbook.oracle.cli import oracle
from playbook.phases import PHASES, apply_phase, find_phase, plan_phase
from playbook.progress import RunProgress
from playbook.results import load_result
from playbook.runs import RESULT_NAME, current_result, hold_run
from playbook.workspace import Workspace

PARENT_VARIABLE = "PLAYBOOK_PARENT"
"""Environment variable: id of the parent process with which the playbook is to end; default: its parent."""

PAGE_NAME = "index.html"
"""The page of a run, as `playbook.report.render_run` calls it."""

CHECK_FAILED, CHANGES_PENDING = 1, 3

app = typer.Typer(
    help="Move a Celery application to TaskIQ, one proven phase at a time.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(oracle, name="oracle")
app.command()(plants)


def main() -> None:
    """Entry point of `playbook`. Unusable input ends in one line on stderr, never in a traceback."""
    if "MAKELEVEL" in os.environ:  # make may be killed in a way that it cannot pass on
        end_with(int(os.environ.get(PARENT_VARIABLE, os.getppid())))
    try:
        app()
    except PlaybookError as error:
        sys.exit(_complaint(error, error.exit_status))
    except (LabError, OSError) as error:
        sys.exit(_complaint(in_words(error), PlaybookError.exit_status))


@app.command()
def inventory(app_dir: AppArgument = None, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Every task, call, canvas and schedule, and what else mentions Celery."""
    found = take_inventory(source_folder(app_dir, config))
    if as_json:
        print_json(found.to_json())
    else:
        rendering.print_inventory(Console(), found)


@app.command()
def plan(app_dir: AppArgument = None, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Which phase moves what, in which order of risk, and what will be refused."""
    from playbook.inventory.plan import plan as make

    poc_task = load_application(config).poc_task if app_dir is None else None
    planned = make(take_inventory(source_folder(app_dir, config)), poc_task)
    if as_json:
        print_json(planned.to_json())
    else:
        rendering.print_plan(Console(), planned)


@app.command()
def diff(
    phase: PhaseArgument,
    check: CheckOption = False,
    run: RunOption = "default",
    runs_dir: RunsOption = Path("runs"),
    config: ConfigOption = None,
) -> None:
    """What a phase would change, or has changed, as a unified diff. Writes nothing."""
    planned = plan_phase(find_phase(phase), Workspace(run_folder(runs_dir, run), load_application(config)))
    sys.stdout.write(planned.diff)
    rendering.print_refusals(stderr(), planned.refusals)
    if check and planned.changed:
        raise typer.Exit(CHANGES_PENDING)


@app.command()
def apply(
    phase: PhaseArgument,
    check: CheckOption = False,
    run: RunOption = "default",
    runs_dir: RunsOption = Path("runs"),
    config: ConfigOption = None,
) -> None:
    """Change the workspace: one commit per phase. Applying again changes nothing."""
    chosen, run_dir = find_phase(phase), run_folder(runs_dir, run)
    workspace = Workspace(run_dir, load_application(config))
    if check:
        pending = plan_phase(chosen, workspace).changed
        typer.echo(f"{chosen.name}: {'changes are pending' if pending else 'nothing to do'}")
        raise typer.Exit(CHANGES_PENDING if pending else 0)
    with hold_run(run_dir):
        applied = apply_phase(chosen, workspace)
    rendering.print_refusals(stderr(), applied.refusals)
    if not applied.changed:
        typer.echo(f"{chosen.name}: nothing to do")
    for change in applied.changes if applied.changed else ():
        typer.echo(f"{change.kind:8}{change.path}  +{change.added} -{change.removed}")


@app.command()
def verify(
    phase: OptionalPhaseArgument = None,
    plant: PlantOption = None,
    parameter: ParameterOption = None,
    as_json: JsonOption = False,
    run: RunOption = "default",
    runs_dir: RunsOption = Path("runs"),
    config: ConfigOption = None,
) -> None:
    """The checks of a phase alone, without its notebook. The phase must have been applied.

    With --plant: what they say when a fault is planted in a copy. Ends with 1 if a check failed, so if it was
    caught. With --plant all: ends with 0 if every fault was caught and copies without one passed.
    """
    application, run_dir = load_application(config), run_folder(runs_dir, run)
    if plant is not None:
        of_phase = find_phase(phase) if phase else None
        if not verify_plants(plant, of_phase, application, run_dir, parameter, as_json):
            raise typer.Exit(CHECK_FAILED)
        return
    if phase is None:
        raise PlaybookError("name a phase, or a planted fault with --plant")
    chosen = find_phase(phase)
    parameters = checked_parameters([chosen], parameter)[chosen.name]
    workspace = Workspace(run_dir, application)
    if chosen.slice is not None:
        workspace.after(chosen.name)
    context = CheckContext(
        application=application,
        workspace=workspace.path,
        run_dir=run_dir,
        work_dir=run_dir / "verify" / chosen.name,
        redis_url=parameters.redis_url or None,
        database_url=parameters.database_url or None,
        audio=Path(parameters.audio) if parameters.audio else None,
        parameters=parameters,
    )
    context.work_dir.mkdir(parents=True, exist_ok=True)
    results = []
    with hold_run(run_dir):
        for check in chosen.checks:
            stderr().print(f"{chosen.name}: {check.title}", markup=False, highlight=False)
            results.append(check(context))
    if as_json:
        print_json([rendering.check_as_json(result) for result in results])
    else:
        rendering.print_checks(Console(), results)
    if not all(result.ok for result in results):
        raise typer.Exit(CHECK_FAILED)


@app.command()
def run(
    phases: Annotated[list[str] | None, typer.Argument(metavar="[PHASE]...", help="Default: all.")] = None,
    parameter: ParameterOption = None,
    name: RunOption = "default",
    runs_dir: RunsOption = Path("runs"),
    config: ConfigOption = None,
) -> None:
    """The notebooks, in order. Takes up where an earlier run stopped."""
    chosen = [phase for phase in PHASES if phase.name in {find_phase(given).name for given in phases or ()}]
    chosen = chosen or list(PHASES)
    application, run_dir = load_application(config), run_folder(runs_dir, name)
    parameters = checked_parameters(chosen, parameter)

    from playbook.runner import run_phases

    with RunProgress(stderr()) as progress:
        result = run_phases(application, chosen, run_dir, parameters, progress)
    page = run_dir / PAGE_NAME
    if not page.is_file() or page.stat().st_mtime < (run_dir / RESULT_NAME).stat().st_mtime:
        page = _rendered(run_dir)
    rendering.print_run(Console(), result, page)
    stopped = [entry for entry in result.phases if entry.name in parameters and entry.status != "signed_off"]
    for entry in stopped[:1]:
        message = f"{entry.name}: {entry.message}"
        stderr().print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(CHECK_FAILED)


@app.command()
def status(
    as_json: JsonOption = False,
    run: RunOption = "default",
    runs_dir: RunsOption = Path("runs"),
    config: ConfigOption = None,
) -> None:
    """How far a run is: what is applied, what has signed off."""
    application, run_dir = load_application(config), run_folder(runs_dir, run)
    result, applied = current_result(application, run_dir), Workspace(run_dir, application).applied()
    if as_json:
        states = [{"name": e.name, "status": e.status, "applied": e.name in applied} for e in result.phases]
        print_json({"run": result.run, "phases": states})
    else:
        rendering.print_status(Console(), result, applied)


@app.command()
def rollback(
    phase: PhaseArgument,
    run: RunOption = "default",
    runs_dir: RunsOption = Path("runs"),
    config: ConfigOption = None,
) -> None:
    """Undo a phase and those after it in the workspace. What is undone stays in its history as undone/N."""
    run_dir = run_folder(runs_dir, run)
    with hold_run(run_dir):
        undone = Workspace(run_dir, load_application(config)).rollback(find_phase(phase).name)
    for name in undone:
        typer.echo(f"undone  {name}")


@app.command()
def report(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="Name of the run.")] = "default",
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a summary in Markdown.")] = False,
    runs_dir: RunsOption = Path("runs"),
) -> None:
    """Render index.html of a run again, and print where it is."""
    run_dir = run_folder(runs_dir, run)
    if not (run_dir / RESULT_NAME).is_file():
        raise PlaybookError(f"there is no run {run} in {runs_dir}; start it with: playbook run --run {run}")
    if not markdown:
        return typer.echo(_rendered(run_dir))
    result = load_result(run_dir / RESULT_NAME)
    if result is None:
        raise PlaybookError(f"{run_dir / RESULT_NAME} is of another version; run the playbook again")

    from playbook.criteria import judge
    from playbook.report.summary import summary

    sys.stdout.write(summary(result, judge(result.phases)))


@app.command()
def lab(
    run: RunOption = "default",
    runs_dir: RunsOption = Path("runs"),
    config: ConfigOption = None,
) -> None:
    """Start Redis, S3, SQS, the outside world, a database; print their settings; wait for Ctrl-C."""
    from playbook.lab import Lab

    application, run_dir = load_application(config), run_folder(runs_dir, run)
    workspace = Workspace(run_dir, application)
    workspace.ensure()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Lab(workspace.path, run_dir / "lab") as running:
            for key, value in sorted(running.env.items()):
                typer.echo(f"{key}={mask_url(value)}")
            sys.stdout.flush()
            stderr().print("The lab is up. Ctrl-C stops it.")
            signal.pause()
    except KeyboardInterrupt:
        stderr().print("The lab is down.")


def _rendered(run_dir: Path) -> Path:
    from playbook.report import render_run  # takes seconds

    return render_run(run_dir)


def _complaint(error: Exception, exit_status: int) -> int:
    print(f"playbook: {mask_url(' '.join(str(error).split()))}", file=sys.stderr)
    return exit_status
