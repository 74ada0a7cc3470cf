"""What a run found out: the content of `result.json`, and of the `outcome.json` of each phase.

Everything in a `result.json` is the same for equal runs, but for `timings`. Paths are relative to the run's
folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from playbook.contracts import CheckResult, Refusal
from playbook.files import write_atomically
from playbook.lab.masking import mask_url
from playbook.tree import Change

Status = Literal["pending", "running", "signed_off", "stopped"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Claim(_Model):
    """A claim of the guide: whether it holds, what was found, and what the playbook does instead."""

    text: str
    holds: bool
    found: str
    instead: str = ""
    source: str = ""
    evidence: Any = None


class Figure(_Model):
    """A picture (PNG)."""

    name: str
    path: str
    caption: str


class PhaseResult(_Model):
    """One phase of a run.

    `message` says why it stopped; `tree` is git's name of the content after it. `measured` differs between
    equal runs; the runner moves it to the timings.
    """

    name: str
    title: str
    summary: str
    status: Status = "pending"
    message: str | None = None
    inputs: str | None = None
    tree: str | None = None
    notebook: str | None = None
    diff: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    changes: list[Change] = Field(default_factory=list)
    checks: list[CheckResult] = Field(default_factory=list)
    claims: list[Claim] = Field(default_factory=list)
    figures: list[Figure] = Field(default_factory=list)
    refusals: list[Refusal] = Field(default_factory=list)
    values: dict[str, Any] = Field(default_factory=dict)
    measured: dict[str, Any] = Field(default_factory=dict)


class CellTiming(_Model):
    """Seconds that one code cell took; `cell` counts from 1."""

    cell: int
    seconds: float


class PhaseTiming(_Model):
    """When a phase started (ISO 8601, UTC), how long it took, and what else it measured."""

    started: str
    seconds: float
    cells: list[CellTiming] = Field(default_factory=list)
    measured: dict[str, Any] = Field(default_factory=dict)


class RunResult(_Model):
    """The content of `result.json`."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    run: str
    playbook: str
    application: dict[str, Any]
    phases: list[PhaseResult]
    timings: dict[str, PhaseTiming] = Field(default_factory=dict)

    def phase(self, name: str) -> PhaseResult:
        """The entry of one phase. Raises KeyError if there is none."""
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)


def load_result(path: Path) -> RunResult | None:
    """Read a `result.json`. None if there is none, or one of another schema: the run starts afresh then."""
    try:
        return RunResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def load_outcome(path: Path) -> PhaseResult | None:
    """Read an `outcome.json`. None if there is none."""
    try:
        return PhaseResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def save(result: RunResult | PhaseResult, path: Path) -> None:
    """Write a result in one step, without credentials."""
    data = result.model_dump(mode="json", by_alias=True)
    write_atomically(path, mask_url(json.dumps(data, indent=1, ensure_ascii=False)) + "\n")
