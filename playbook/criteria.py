"""The guide's seven criteria of success, each with the checks that are its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from playbook.contracts import CheckResult
from playbook.results import PhaseResult, load_outcome


@dataclass(frozen=True)
class Criterion:
    """One criterion: its words, and by phase the names of the checks that show it."""

    text: str
    evidence: Mapping[str, tuple[str, ...]]


CRITERIA: tuple[Criterion, ...] = (
    Criterion(
        "All tasks migrated and functioning",
        {
            "00_inventory": ("tasks", "adds_up"),
            "01_poc": ("twin", "round_trip"),
            "02_simple_tasks": ("twins", "routed", "nothing_lost"),
            "03_pipelines": ("twins", "routed", "survives_kills"),
            "06_cutover": ("nothing_imported", "tests_pass", "processes"),
        },
    ),
    Criterion(
        "Test coverage maintained at current levels",
        {
            "05_validation": (
                "same_tests",
                "same_assertions",
                "nothing_skipped",
                "green_on_taskiq",
                "same_coverage",
            ),
            "06_cutover": ("same_assertions", "same_tests", "tests_pass"),
        },
    ),
    Criterion(
        "Performance equal or better than Celery",
        {"05_validation": ("speed_throughput", "speed_latency", "speed_cost", "speed_fan_in")},
    ),
    Criterion(
        "Scheduled tasks running reliably",
        {
            "04_scheduler": (
                "year",
                "clock_changes",
                "hand_over",
                "replica_killed",
                "restarts",
                "downtime",
            ),
            "06_cutover": ("processes",),
        },
    ),
    Criterion(
        "Error handling and retries working correctly",
        {
            "02_simple_tasks": ("webhook_requests", "webhook_retries", "cleanup_retries"),
            "03_pipelines": ("failure_stops", "results_failing", "caller_error", "same_effects_failing"),
        },
    ),
    Criterion(
        "WebSocket notifications still functioning",
        {"01_poc": ("upload",), "03_pipelines": ("told_in_order",), "06_cutover": ("same_effects",)},
    ),
    Criterion(
        "Pipeline processing maintaining same behavior",
        {
            "01_poc": ("same_effects",),
            "03_pipelines": ("same_effects_file", "same_effects_live", "order", "callbacks_once"),
            "06_cutover": ("same_effects",),
        },
    ),
)


@dataclass(frozen=True)
class Judgement:
    """What became of a criterion.

    `holds` is None if some of its evidence has not been taken. `evidence` names the checks by phase.
    """

    text: str
    holds: bool | None
    evidence: Mapping[str, tuple[str, ...]]


def judge(phases: Iterable[PhaseResult]) -> list[Judgement]:
    """Hold the criteria against what phases found.

    Args:
        phases: their results; those that are not there count as not run.
    """
    found = {
        (phase.name, check.name): check
        for phase in phases
        if phase.status != "pending"
        for check in phase.checks
    }
    judgements = []
    for criterion in CRITERIA:
        places = [(phase, name) for phase, names in criterion.evidence.items() for name in names]
        taken = [found.get(place) for place in places]
        failed = any(check is not None and not check.ok for check in taken)
        holds = False if failed else None if None in taken else True
        evidence = {
            phase: tuple(_told(name, found.get((phase, name))) for name in names)
            for phase, names in criterion.evidence.items()
        }
        judgements.append(Judgement(criterion.text, holds, evidence))
    return judgements


def _told(name: str, check: CheckResult | None) -> str:
    if check is None:
        return f"{name} (not run)"
    return check.title if check.ok else f"{check.title} (FAILED)"


def judge_run(run_dir: Path) -> list[Judgement]:
    """Hold the criteria against what the phases of a run found so far, in their own outcome files."""
    found = (load_outcome(path) for path in sorted(run_dir.glob("phases/*/outcome.json")))
    return judge(outcome for outcome in found if outcome)
