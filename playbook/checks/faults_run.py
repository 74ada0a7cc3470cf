"""Lets one fault strike a site of its own, and holds what came of it against the promise."""

from __future__ import annotations

from pathlib import Path

from playbook.checks.faults_cases import Case
from playbook.checks.faults_ledger import Tally
from playbook.checks.faults_load import draw_units
from playbook.checks.faults_site import DURABLE, FaultSite
from playbook.lab.clock import JUMP_VARIABLE
from playbook.models import Model, System

SHORTEST, RATE = 3.0, 50
"""Tasks are sent for so many seconds besides those of the fault at least, at so many per second at most."""

LONGEST = 6.0
"""Seconds of a fault for which tasks are sent at most; a long one does not make the sending slower."""


class Outcome(Model):
    """What came of a fault, as the table shows it; counts are None where nothing is counted.

    Attributes:
        fault: what happened.
        promise: what was promised.
        system: who had to stand it.
        observed: what was seen besides the counts.
        tasks: tasks, or slots of a schedule, that were accepted.
        lost: of these, how many never ran to their end.
        doubled: how many ran more than once.
        late: how many began more than a second after they were due.
        dead: how many are dead letters.
        problems: what is against the promise.
    """

    fault: str
    promise: str
    system: System
    observed: str
    tasks: int | None = None
    lost: int | None = None
    doubled: int | None = None
    late: int | None = None
    dead: int | None = None
    problems: list[str]


def run_case(
    case: Case, system: System, tasks: int, workspace: Path, run_dir: Path, package: str = "reflector.worker"
) -> Outcome:
    """Let a fault strike a site of its own.

    Args:
        case: the fault.
        system: whose workers run.
        tasks: how many are sent meanwhile.
        workspace: the migrated application's root.
        run_dir: folder for this run; must not exist.
        package: the package with the runtime.
    """
    with FaultSite(
        workspace, run_dir, package=package, system=system, **{"redis": DURABLE, **case.site}
    ) as site:
        sending = max(SHORTEST, tasks / RATE) + min(case.seconds, LONGEST)
        sender = site.send(draw_units(tasks, 0, case.kinds), tasks / sending)
        site.started(tasks // 5)
        case.strike(site, case.seconds)
        site.settle(sender, case.quiet)
        tally = site.tally()
        problems = [*_problems(case, tally), *_missed(case, tally, site), *_missing(case, site)]
        return Outcome(
            fault=case.fault,
            promise=case.promise,
            system=system,
            observed=_observed(case, tally, site),
            tasks=tally.tasks,
            lost=len(tally.lost),
            doubled=len(tally.doubled),
            late=tally.late,
            dead=tally.dead,
            problems=problems,
        )


def _problems(case: Case, tally: Tally) -> list[str]:
    counts = {
        "lost": len(tally.lost_later if case.lossy else tally.lost),
        "never sent": tally.unsent,
        "run twice for no reason": len(tally.unexplained),
        "given a wrong result": len(tally.wrong),
        "started before they were due": tally.early,
        "dead letters too many or too few": abs(tally.dead - case.dead),
    }
    return [f"{count} {what}" for what, count in counts.items() if count]


def _missed(case: Case, tally: Tally, site: FaultSite) -> list[str]:
    """What says that the fault did not strike as it should have, or struck what it should not have."""
    problems = []
    jump = int(case.site.get("env", {}).get(JUMP_VARIABLE, 0))
    if abs(tally.skew - jump) > 1:
        problems.append(f"the workers' clocks were {tally.skew} s off, not {jump} s")
    if not tally.failed:
        problems.append("no attempt failed: the fault did not strike")
    if site.revived:
        problems.append(f"{site.revived} workers ended by themselves")
    return problems


def _missing(case: Case, site: FaultSite) -> list[str]:
    """What the database or the outside world lacks, or has twice."""
    keys = sorted(key for unit in site.units for key in unit.keys)
    if "written" in case.kinds and (rows := sorted(site.rows())) != keys:
        return [f"{len(set(keys) - set(rows))} rows are missing, {len(rows) - len(set(rows))} are double"]
    if "posted" in case.kinds:
        told = {request.body["key"] for request in site.world.requests("webhooks")}
        return [f"{len(missing)} requests are missing"] if (missing := set(keys) - told) else []
    return []


def _observed(case: Case, tally: Tally, site: FaultSite) -> str:
    counts = {
        "attempts failed and were made again": tally.failed if "plain" not in case.kinds else 0,
        "sendings refused and made again": tally.refused,
        "of the lost held until Celery's visibility timeout, an hour": site.held(),
        "started before they were due": tally.early,
        "workers ended by themselves and were started again": site.revived,
    }
    if case.lossy:
        counts["of the lost sent after the fault"] = len(tally.lost_later)
    told = [f"{count} {what}" for what, count in counts.items() if count]
    return ", ".join([*told, f"longest wait {tally.latest} s"])
