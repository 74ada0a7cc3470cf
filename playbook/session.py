"""What a notebook uses: one phase, opened, applied, checked and signed off.

    # %% tags=["parameters"]
    run_dir: str = ""       # a run's folder; empty: a temporary one, removed when the kernel ends
    config: str = ""        # a playbook.toml; empty: the nearest one from here upward
    redis_url: str = ""     # a Redis of yours; empty: the lab starts one
    database_url: str = ""  # a PostgreSQL of yours, or "postgres" for one of the lab; empty: SQLite
    audio: str = ""         # an audio file; empty: the bundled sample

    # %%
    from playbook.session import open_phase
    phase = open_phase("01_poc", run_dir=run_dir, config=config, redis_url=redis_url,
                       database_url=database_url, audio=audio)
    phase.apply()

    # %%
    phase.check("round_trip")

    # %%
    phase.sign_off()

The same notebook runs in JupyterLab, under nbval, under papermill, and as part of `playbook run`, which
gives it the run's folder. All that it finds is kept in `<run_dir>/phases/<name>/outcome.json` and goes
from there into the run's `result.json`. An error that has to do with its use is one line, not a traceback.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from playbook.config import Application, load_application
from playbook.contracts import JSON, CheckContext, CheckResult, Refusal
from playbook.errors import PhaseStopped, PlaybookError
from playbook.files import write_atomically
from playbook.parameters import Parameters, check_injected, check_reality, typed_parameters
from playbook.phases import Applied, Phase, apply_phase, find_phase, plan_phase
from playbook.results import Claim, Figure, PhaseResult, save
from playbook.tree import Tree
from playbook.workspace import Workspace


@dataclass(frozen=True)
class SignedOff:
    """The good end of a phase: how much was checked."""

    phase: str
    checks: int
    claims: int
    refuted: int

    def __repr__(self) -> str:
        claims = (
            f", {self.claims} claims of the guide tried, {self.refuted} of them do not hold"
            if self.claims
            else ""
        )
        return f"{self.phase} is signed off: {self.checks} checks passed{claims}"


def open_phase(name: str, **given: Any) -> PhaseSession:
    """Open a phase from a notebook.

    Parameters:
        name: the phase, e.g. "01_poc".
        given: the notebook's parameters, all of them (`playbook.parameters.Parameters`).
    Returns: the session. Nothing has been applied or started yet.
    Raises: ParameterError, ConfigError or PlaybookError, rendered as one line.
    """
    phase = find_phase(name)
    check_injected(phase.parameters, _executed_cells())
    parameters = typed_parameters(phase.parameters, given)
    check_reality(parameters)
    application = load_application(Path(parameters.config) if parameters.config else None)
    return PhaseSession(phase, application, parameters)


class PhaseSession:
    """One phase at work. Made by `open_phase`.

    `run_dir` is the run's folder, `work_dir` the phase's own below it, `workspace` the migrated copy (the
    folder to start the application's processes in).
    """

    def __init__(self, phase: Phase, application: Application, parameters: Parameters) -> None:
        self.phase = phase
        self.name, self.title, self.summary = phase.name, phase.title, phase.summary
        self.application = application
        self.parameters = parameters
        if parameters.run_dir:
            self.run_dir = Path(parameters.run_dir).resolve()
        else:
            self._temporary = tempfile.TemporaryDirectory(prefix="playbook-", ignore_cleanup_errors=True)
            self.run_dir = Path(self._temporary.name).resolve()
        self.work_dir = self.run_dir / "phases" / phase.name
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self._workspace = Workspace(self.run_dir, application)
        self._outcome = PhaseResult(
            name=phase.name, title=phase.title, summary=phase.summary, status="running"
        )
        self._save()

    def __repr__(self) -> str:
        return f"<{self.name}: {self.title}>"

    @property
    def workspace(self) -> Path:
        """The migrated copy; it exists after `apply`."""
        return self._workspace.path

    @cached_property
    def context(self) -> CheckContext:
        """Where checks work."""
        return CheckContext(
            application=self.application,
            workspace=self.workspace,
            run_dir=self.run_dir,
            work_dir=self.work_dir,
            redis_url=self.parameters.redis_url or None,
            database_url=self.parameters.database_url or None,
            audio=Path(self.parameters.audio).resolve() if self.parameters.audio else None,
            parameters=self.parameters,
        )

    def diff(self) -> str:
        """What this phase changes, or would change, as a unified diff."""
        return plan_phase(self.phase, self._workspace).diff

    def apply(self) -> Applied:
        """Put the phase's slice into the workspace, those it needs first. Doing it again changes nothing."""
        applied = apply_phase(self.phase, self._workspace)
        write_atomically(self.work_dir / "slice.diff", applied.diff)
        self._outcome.diff = self._relative(self.work_dir / "slice.diff")
        self._outcome.tree = self._workspace.tree_id(self.name)
        self._outcome.changes = list(applied.changes)
        self._outcome.refusals = list(applied.refusals)
        self._save()
        return applied

    @property
    def before(self) -> Tree:
        """The source that this phase starts from."""
        self._workspace.ensure()
        return self._workspace.before(self.name)

    @property
    def after(self) -> Tree:
        """The source after this phase. Raises WorkspaceError if it is not applied."""
        return self._workspace.after(self.name)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """What this phase leaves alone, and why."""
        return plan_phase(self.phase, self._workspace).refusals

    def check(self, name: str) -> CheckResult:
        """Run one of the phase's checks and keep the result. A failed one stops `sign_off`, not this call."""
        for check in self.phase.checks:
            if check.name == name:
                return self._keep(check(self.context))
        known = ", ".join(check.name for check in self.phase.checks) or "none"
        raise PlaybookError(f"{self.name} has no check {name}; it has: {known}")

    def verify(self) -> list[CheckResult]:
        """Run the phase's checks that have not run yet in this session."""
        kept = {record.name for record in self._outcome.checks}
        return [self._keep(check(self.context)) for check in self.phase.checks if check.name not in kept]

    def expect(self, name: str, title: str, ok: bool, detail: str, evidence: JSON = None) -> CheckResult:
        """Keep a check that the notebook makes itself. Arguments as in `CheckResult`."""
        return self._keep(CheckResult(bool(ok), detail, evidence, name, title))

    def claim(
        self, text: str, holds: bool, found: str, instead: str = "", source: str = "", evidence: JSON = None
    ) -> Claim:
        """Keep what came of a claim of the guide. One that does not hold is no failure, but a finding.

        Parameters:
            text: the claim, in our words.
            holds: whether it does.
            found: what was seen.
            instead: what the playbook does, where the claim does not hold.
            source: the section of the guide.
            evidence: JSON.
        """
        claim = Claim(
            text=text,
            holds=holds,
            found=found,
            instead=instead,
            source=source,
            evidence=_json(evidence, f"the evidence of {text!r}"),
        )
        self._outcome.claims = [kept for kept in self._outcome.claims if kept.text != text] + [claim]
        self._save()
        return claim

    def record(self, name: str, value: JSON) -> None:
        """Keep any JSON value under a name. It must be the same for equal runs."""
        self._outcome.values[name] = _json(value, f"the value {name!r}")
        self._save()

    def measure(self, name: str, value: JSON) -> None:
        """Keep any JSON value that differs between equal runs, such as a timing, under a name."""
        self._outcome.measured[name] = _json(value, f"the value {name!r}")
        self._save()

    def figure(self, name: str, figure: Any, caption: str) -> Any:
        """Keep a picture.

        Parameters:
            name: file name without suffix.
            figure: a matplotlib figure, or the bytes of a PNG.
            caption: one sentence.
        Returns: `figure`, so that a cell can end with the call.
        """
        path = self.work_dir / "figures" / f"{name}.png"
        write_atomically(path, figure if isinstance(figure, bytes) else _png(figure))
        entry = Figure(name=name, path=self._relative(path), caption=caption)
        self._outcome.figures = [kept for kept in self._outcome.figures if kept.name != name] + [entry]
        self._save()
        return figure

    def sign_off(self) -> SignedOff:
        """End the phase well, or not at all.

        Raises: PhaseStopped with all reasons, if a check failed or never ran, or the slice is not in place.
        """
        reasons = self._reasons_to_stop()
        self._outcome.status = "stopped" if reasons else "signed_off"
        self._outcome.message = f"{self.name} stops: {'; '.join(reasons)}" if reasons else None
        self._save()
        if reasons:
            raise PhaseStopped(self._outcome.message)
        refuted = sum(not claim.holds for claim in self._outcome.claims)
        return SignedOff(self.name, len(self._outcome.checks), len(self._outcome.claims), refuted)

    def _reasons_to_stop(self) -> list[str]:
        records = self._outcome.checks
        reasons = [f"check {record.name} failed: {record.detail}" for record in records if not record.ok]
        missing = {check.name for check in self.phase.checks} - {record.name for record in records}
        reasons += [f"check {name} did not run" for name in sorted(missing)]
        if self.phase.slice is not None and self.name not in self._workspace.applied():
            reasons.append("its slice is not applied")
        return reasons

    def _keep(self, result: CheckResult) -> CheckResult:
        result = replace(result, evidence=_json(result.evidence, f"the evidence of check {result.name!r}"))
        self._outcome.checks = [kept for kept in self._outcome.checks if kept.name != result.name] + [result]
        self._save()
        return result

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.run_dir).as_posix()

    def _save(self) -> None:
        save(self._outcome, self.work_dir / "outcome.json")


def _executed_cells() -> list[str]:
    """Sources of the cells that this kernel has run; none outside of IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return list(shell.user_ns["In"]) if shell else []


def _json(value: JSON, what: str) -> JSON:
    """The value as it will be read back. Raises PlaybookError if it is not JSON."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise PlaybookError(f"{what} cannot be written as JSON: {error}; give plain values") from None


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()
