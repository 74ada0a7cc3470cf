"""What the commands share: their options, and what they do with them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from playbook.config import load_application
from playbook.errors import ParameterError, PlaybookError
from playbook.lab.masking import mask_url
from playbook.parameters import Parameters, check_reality, parse_parameters
from playbook.phases import Phase

if TYPE_CHECKING:
    from playbook.inventory import Inventory

AppArgument = Annotated[
    Path | None, typer.Argument(metavar="[APP]", help="Folder of the application; default: playbook.toml's.")
]
PhaseArgument = Annotated[str, typer.Argument(metavar="PHASE", help="Name, word or number: 01_poc, poc, 1.")]
OptionalPhaseArgument = Annotated[
    str | None, typer.Argument(metavar="[PHASE]", help="Name, word or number: 01_poc, poc, 1.")
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Default: the nearest playbook.toml.")]
RunOption = Annotated[str, typer.Option("--run", help="Name of the run.")]
RunsOption = Annotated[Path, typer.Option("--runs-dir", help="Folder of the runs.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Write nothing; end with 3 if changes are pending.")
]
ParameterOption = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="A parameter of the notebooks."),
]


def source_folder(app_dir: Path | None, config: Path | None) -> Path:
    """The application's folder, as given or as configured. Raises PlaybookError if it is not there."""
    folder = app_dir if app_dir is not None else load_application(config).root_path
    if not folder.is_dir():
        raise PlaybookError(f"there is no folder {folder}; give the folder of an application")
    return folder


def take_inventory(folder: Path) -> Inventory:
    """The inventory of an application. Raises PlaybookError if it cannot be read at all."""
    from playbook.inventory import InventoryError, inventory

    try:
        return inventory(folder)
    except InventoryError as error:
        raise PlaybookError(str(error)) from None


def run_folder(runs_dir: Path, name: str) -> Path:
    """The folder of a run, absolute; it need not exist. Raises PlaybookError if the name cannot be one."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise PlaybookError(f"{name!r} cannot name a run; use letters, digits, '.', '_' and '-'")
    if runs_dir.exists() and not runs_dir.is_dir():
        raise PlaybookError(f"{runs_dir} is not a folder; give one with --runs-dir")
    return runs_dir.resolve() / name


def checked_parameters(phases: list[Phase], given: list[str] | None) -> Mapping[str, Parameters]:
    """The parameters of each phase, by its name, once all that they name has been found and has answered.

    A parameter counts for those of the phases that know it; one of them must.
    Raises: ParameterError.
    """
    pairs = dict(map(_pair, given or ()))
    for reserved in sorted({"run_dir", "config"} & set(pairs)):
        raise ParameterError(f"parameter {reserved} cannot be given here; use --run, --runs-dir and --config")
    elsewhere = {name for phase in phases for name in phase.parameters.model_fields}
    parsed = {}
    for phase in phases:
        skipped = elsewhere - set(phase.parameters.model_fields)
        own = {name: value for name, value in pairs.items() if name not in skipped}
        parsed[phase.name] = parse_parameters(phase.parameters, own)
    for distinct in set(parsed.values()):
        check_reality(distinct)
    return parsed


def stderr() -> Console:
    """Where progress and remarks go."""
    return Console(stderr=True)


def print_json(data: Any) -> None:
    """Print data for programs, without credentials."""
    typer.echo(mask_url(json.dumps(data, indent=2, ensure_ascii=False)))


def _pair(item: str) -> tuple[str, str]:
    name, separator, value = item.partition("=")
    if not separator:
        raise ParameterError(f"-p {item}: write NAME=VALUE")
    return name, value
