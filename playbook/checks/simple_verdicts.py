"""What was seen in 02_simple_tasks -> whether it holds. Pure: reads observations, starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from playbook.checks.flood import Flood
from playbook.checks.rollback import Rollback
from playbook.checks.simple_scenarios import RECEIVERS
from playbook.checks.webhook_requests import badly_signed, received, schedules
from playbook.contracts import CheckResult
from playbook.models import Observation


def ran_where_routed(seen: Mapping[str, tuple[Observation, ...]], simple: Sequence[str]) -> CheckResult:
    """Whether each simple task ran, in A and A' on Celery, in B on TaskIQ."""
    wrong, ran, labels = set(), set(), set()
    for runs in seen.values():
        for observation in runs:
            labels.add(observation.label)
            for event in observation.trace:
                if event.task in simple:
                    ran.add((event.task, observation.label))
                    if event.system != observation.system:
                        wrong.add(f"{event.task} on {event.system} in {observation.label}")
    idle = sorted(f"{task} in {label}" for task in simple for label in labels if (task, label) not in ran)
    if wrong or idle:
        return CheckResult.failed(f"On the wrong system: {sorted(wrong)}; never ran: {idle}")
    return CheckResult.passed(f"All {len(simple)} tasks ran on the system that the route named")


def requests_agree(runs: tuple[Observation, ...]) -> CheckResult:
    """Whether the receivers got what they expect, and got the same in all runs."""
    a, *others = (received(run) for run in runs)
    evidence = [each.model_dump() for each in a]
    counted = [str(number) for number in range(len(max(a, key=lambda each: len(each.retries)).retries))]
    for each in a:
        if each.retries != counted[: len(each.retries)]:
            return CheckResult.failed(f"{each.receiver} was told the retries {each.retries}", evidence)
        if len(each.answers) != sum(answer.get("times", 1) for answer in RECEIVERS[each.receiver]):
            return CheckResult.failed(f"{each.receiver} got {len(each.answers)} requests", evidence)
    for other in others:
        for expected, got in zip(a, other, strict=True):
            if expected != got:
                return CheckResult.failed(
                    f"{got.receiver} got {got.retries}, not {expected.retries}", evidence
                )
    total = sum(len(each.answers) for each in a)
    return CheckResult.passed(f"{len(a)} receivers got the same {total} requests in all runs", evidence)


def all_signed(runs: tuple[Observation, ...]) -> CheckResult:
    """Whether every webhook of all runs carries a signature that holds."""
    wrong = {run.label: receivers for run in runs if (receivers := badly_signed(run))}
    if wrong:
        return CheckResult.failed(f"Signatures that do not hold: {wrong}")
    total = sum(request.service in RECEIVERS for run in runs for request in run.effects.requests)
    return CheckResult(total > 0, f"All {total} signatures hold")


def retries_agree(runs: tuple[Observation, ...], task: str) -> CheckResult:
    """Whether a task was retried as often and with the same planned delays in all runs."""
    a, *others = ([schedule for schedule in schedules(run) if schedule.task == task] for run in runs)
    evidence = [schedule.model_dump() for schedule in a]
    if not a:
        return CheckResult.failed("Nothing was retried on Celery", evidence)
    for other in others:
        for expected, got in zip(a, other, strict=False):
            if expected != got:
                what = f"{got.what}: {len(got.outcomes)} attempts, delays {sorted(set(got.planned))}"
                wanted = f"{len(expected.outcomes)} attempts, delays {sorted(set(expected.planned))}"
                return CheckResult.failed(f"{what}; Celery has {wanted}", evidence)
        if len(a) != len(other):
            return CheckResult.failed(f"{len(other)} were retried, on Celery {len(a)}", evidence)
    delays = sorted({delay for schedule in a for delay in schedule.planned})
    attempts = max(len(schedule.outcomes) for schedule in a)
    text = (
        f"Up to {attempts} attempts, {', '.join(f'{delay:g}' for delay in delays)} s apart, on both systems"
    )
    return CheckResult.passed(text, evidence)


def nothing_lost(flood: Flood) -> CheckResult:
    """Whether every call arrived, and was run by one system."""
    if flood.lost or flood.on_both:
        return CheckResult.failed(f"Lost: {flood.lost[:20]}; ran on both systems: {flood.on_both[:20]}")
    if not (flood.share("celery") and flood.share("taskiq") and flood.flips > 1):
        return CheckResult.failed("The route did not flip: one system ran everything")
    return CheckResult.passed("Every call arrived, and one system ran it, while the route flipped")


def doubled_in_flight(flood: Flood, kills: int) -> CheckResult:
    """Whether what ran twice was in flight when its worker was killed."""
    if flood.unexplained:
        return CheckResult.failed(f"Ran twice although nobody was killed over them: {flood.unexplained[:20]}")
    if len(flood.kills) != kills:
        return CheckResult.failed(f"{len(flood.kills)} workers were killed instead of {kills}")
    return CheckResult.passed(f"{kills} workers were killed; what ran twice was in flight at a kill")


def goes_back(flood: Flood) -> CheckResult:
    """Whether calls went to Celery, and kept going there, once the route was set back."""
    after = flood.after_back
    first = after.index("celery") if "celery" in after else len(after)
    if first == len(after) or "taskiq" in after[first:]:
        return CheckResult.failed(f"Calls after the route went back to Celery ran on {after[-20:]}")
    if "taskiq" not in (system for call in flood.calls[: flood.back] for system in call.systems):
        return CheckResult.failed("Nothing ran on TaskIQ before")
    return CheckResult.passed("From one call on, all went to Celery, and what TaskIQ still had, it ran")


def rolls_back(rollback: Rollback) -> CheckResult:
    """Whether the code of before is back, and whether nothing that was sent is gone."""
    facts = rollback.model_dump()
    wrong = [name for name in ("same_source", "celery_ran", "taskiq_ran", "replayed") if not facts[name]]
    if wrong or not rollback.undone:
        return CheckResult.failed(f"Does not hold: {', '.join(wrong) or 'undone'}", facts)
    if len(rollback.refused) != 1:
        return CheckResult.failed(f"Dead letters: {rollback.refused}", facts)
    text = (
        "Messages of both kinds ran; what only the migrated code knows waited as a dead letter, and ran later"
    )
    return CheckResult.passed(text, facts)
