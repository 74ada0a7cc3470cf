"""What a phase is made of: slices and checks. Rules and checks are written against these types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from playbook.config import Application
from playbook.errors import in_one_line
from playbook.parameters import Parameters
from playbook.tree import Tree

JSON: TypeAlias = Any
"""A value that `json.dumps` takes. (Spelled out, it would refuse a `list[str]`: lists are invariant.)"""


@dataclass(frozen=True)
class Refusal:
    """A construct that the playbook leaves alone, and why. `line` is 1-based, `path` relative to the tree."""

    path: str
    line: int
    construct: str
    reason: str


@dataclass(frozen=True)
class Slice:
    """What one phase makes of a tree, and what it refuses to touch."""

    tree: Tree
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class CheckContext:
    """Where a check works.

    `workspace` is the root of the migrated copy: the folder to start child processes in, and their
    PYTHONPATH. `work_dir` is for the files of the phase (logs, databases) and exists. A URL or `audio` that
    is None means: use the lab's own. `parameters` are the notebook's, of the phase's own type.
    """

    application: Application
    workspace: Path
    run_dir: Path
    work_dir: Path
    redis_url: str | None = None
    database_url: str | None = None
    audio: Path | None = None
    parameters: Parameters = field(default_factory=Parameters)


@dataclass(frozen=True, repr=False)
class CheckResult:
    """The outcome of one check.

    `detail` is one plain sentence and, like `evidence`, the same for equal runs: no timings, ports or paths
    of the machine. A check's function leaves `name` and `title` to `Check`.
    """

    ok: bool
    detail: str
    evidence: JSON = None
    name: str = ""
    title: str = ""

    def __repr__(self) -> str:
        outcome = "passed" if self.ok else "FAILED"
        return f"{outcome}: {self.title or self.name}\n        {self.detail}"

    @classmethod
    def passed(cls, detail: str, evidence: JSON = None) -> CheckResult:
        """A check that holds."""
        return cls(True, detail, evidence)

    @classmethod
    def failed(cls, detail: str, evidence: JSON = None) -> CheckResult:
        """A check that does not hold."""
        return cls(False, detail, evidence)


@dataclass(frozen=True)
class Check:
    """One thing that a phase proves, with a function that tries it. Call the check to run it."""

    name: str
    title: str
    run: Callable[[CheckContext], CheckResult]

    def __call__(self, context: CheckContext) -> CheckResult:
        """Run the check. What goes wrong inside is a failed check, never an exception of the caller."""
        try:
            result = self.run(context)
        except Exception as error:
            what = f"{type(error).__name__}: {in_one_line(str(error))}"
            result = CheckResult.failed(f"the check itself failed: {what}")
        return replace(result, name=self.name, title=self.title)
