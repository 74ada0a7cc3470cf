"""`playbook oracle ...`: recorded behaviour of Celery, replayed and recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from playbook.cli_common import JsonOption, print_json, stderr

CHECK_FAILED = 1

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The case file.", show_default=False)]
OutputOption = Annotated[Path, typer.Option("--output", metavar="OUT", help="Where to write the record.")]

oracle = typer.Typer(
    help="Replay recorded behaviour of Celery on the TaskIQ runtime, or record it.", no_args_is_help=True
)
record = typer.Typer(help="Record case files from a real Celery.", no_args_is_help=True)
oracle.add_typer(record, name="record")


@oracle.command("canvas")
def replay_canvas(file: FileArgument, as_json: JsonOption = False) -> None:
    """Run the canvases of a case file on the TaskIQ runtime, on real workers. Ends with 1 if any differs."""
    from playbook.oracle.canvas import replay
    from playbook.oracle.cases import read_cases

    cases = read_cases(file)
    stderr().print(f"{len(cases.cases)} canvases on two workers", highlight=False)
    report(replay(cases), as_json)


@oracle.command("cron")
def replay_due_times(file: FileArgument, as_json: JsonOption = False) -> None:
    """Compute the due times of a case file with the application's schedules. Ends with 1 if any differs."""
    from playbook.oracle.cron import replay_cron

    report(replay_cron(file), as_json)


@record.command("canvas")
def record_canvas(file: FileArgument, output: OutputOption) -> None:
    """Run the canvases of a case file on Celery and write the file with what Celery did."""
    from playbook.oracle.canvas import record as record_cases
    from playbook.oracle.cases import read_cases, write_cases

    cases = read_cases(file)
    stderr().print(f"{len(cases.cases)} canvases on two workers of Celery", highlight=False)
    recorded = record_cases(cases)
    write_cases(output, recorded)
    unstable = sum(not case["oracle"]["stable"] for case in recorded["cases"])
    typer.echo(f"{output}: {len(cases.cases)} cases, {unstable} of them unstable")


def report(result: dict[str, object], as_json: bool) -> None:
    """Print how many cases passed and what differs in the others; end with 1 if any differs.

    Parameters:
        result: {"cases", "passed", "failed": [{"id", "expected", "got"}]}.
        as_json: print it as it is.
    """
    failed = result["failed"]
    assert isinstance(failed, list)
    if as_json:
        print_json(result)
    else:
        typer.echo(f"{result['passed']} of {result['cases']} cases passed")
        for case in failed:
            typer.echo(f"{case['id']}\n  expected {case['expected']}\n  got      {case['got']}")
    if failed:
        raise typer.Exit(CHECK_FAILED)
