"""What operators get: health, metrics, a killed worker that is seen, a dead letter that is sent again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil

from playbook.checks.once import once
from playbook.checks.operations_lab import PATIENCE, Counts, Site
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.inventory import inventory
from playbook.lab import LabError, wait_until
from playbook.models import Model

PINGS = 20
"""How often the health task of the application is sent; the outside world counts what arrives."""

FAILING = "task_pipeline_waveform"
"""A task that fails at once if nothing names its transcript."""

RETRIED = "cleanup_old_public_data_task"
"""A task that is tried again after any error."""

PING = "healthcheck_ping"


class Seen(Model):
    """All that was done and seen.

    Attributes:
        old_exit: exit status of a worker that was told to stop.
        dead: the reasons of the dead letters that it left, without ids.
        replayed: what the command said that sent them again.
        health: exit status of the round trip.
        probes: statuses of the probes, by process.
        pings: how many pings reached the outside world.
        traced, measured: how tasks ended, by themselves and by the metrics.
        timed: attempts in the histogram of durations.
        waiting: tasks that wait for their time in the view, and their retries.
        revoked: exit status of revoking one of them.
        killed: statuses of /readyz after the worker processes were killed: until noticed, and in the end.
        kept: whether the counts were the same after that.
        overdue: whether the scheduler tells how late it is.
        view: the terminal view.
    """

    old_exit: int
    dead: list[str]
    replayed: str
    health: int
    probes: dict[str, list[int]]
    pings: int
    traced: Counts
    measured: Counts
    timed: int
    waiting: list[tuple[str, int]]
    revoked: int
    killed: list[int]
    kept: bool
    overdue: bool
    view: str


@once
def look(context: CheckContext) -> Seen:
    """Run the application for an operator, once.

    Raises:
        PlaybookError: something could not be done.
    """
    names = {t.function: t.name for t in inventory(context.application.root_path).tasks}
    with Site(context) as site:
        old_exit, dead = _old_worker(site, names[PING])
        with ThreadPoolExecutor() as threads:
            starting = threads.submit(site.scheduler)
            worker = site.worker(site.modules, workers=2)
            scheduler = starting.result()
        worker.becomes("/readyz", 200)
        _, replayed = site.command("top", "replay", "--all")
        site.send((names[PING], PINGS - 1, {}), (names[FAILING], 3, {}), (names[RETRIED], 1, {"none": 1}))
        expected = PINGS + 3 + 1
        _wait(lambda: sum(sum(ends.values()) for ends in site.traced().values()) >= expected, "tasks")
        _wait(lambda: worker.total("taskiq_task_duration_seconds_count") >= expected, "metrics")
        traced, measured = site.traced(), worker.ended()
        timed = int(worker.total("taskiq_task_duration_seconds_count"))
        health, _ = site.command("health")
        _, seen = site.command("top", "--json")
        _, view = site.command("top", "--once")
        waiting = [(task["name"], task["retries"]) for task in seen["delayed"]]
        revoked, _ = site.command("top", "revoke", seen["delayed"][0]["id"]) if waiting else (1, "")
        probes = {
            process.process.name: [process.status("/livez"), process.status("/readyz")]
            for process in (worker, scheduler)
        }
        killed, kept = _killed(worker)
        return Seen(
            old_exit=old_exit,
            dead=dead,
            replayed=replayed,
            health=health,
            probes=probes,
            pings=len(site.lab.world.requests("health")),
            traced=traced,
            measured=measured,
            timed=timed,
            waiting=waiting,
            revoked=revoked,
            killed=killed,
            kept=kept,
            overdue=bool(scheduler.samples("taskiq_schedule_overdue_seconds")),
            view=view,
        )


def _old_worker(site: Site, task: str) -> tuple[int, list[str]]:
    """A worker of an older release, that knows the health task of the runtime only, gets a newer task."""
    old = site.worker([f"{site.package}.health"], workers=1)
    site.send((task, 1, {}))
    _wait(lambda: old.total("taskiq_dead_letters") == 1, "dead letter")
    _, seen = site.command("top", "--json")
    old.process.stop(grace=PATIENCE)
    return old.process.returncode or 0, [letter["reason"] for letter in seen["dead"]]


def _killed(worker: Any) -> tuple[list[int], bool]:
    """Kill the worker's processes; return the statuses of /readyz that follow, and whether counts stay."""
    before = worker.ended()
    for process in psutil.Process(worker.process.pid).children():
        process.kill()
    statuses = [worker.becomes("/readyz", 503), worker.becomes("/readyz", 200)]
    return statuses, worker.ended() == before


def _wait(done: Any, what: str) -> None:
    if not wait_until(done, PATIENCE):
        raise LabError(f"the expected {what} did not come within {PATIENCE:g} s")


def _health(context: CheckContext) -> CheckResult:
    seen = look(context)
    wrong = {name: found for name, found in seen.probes.items() if found != [200, 200]}
    if seen.health or wrong or not seen.overdue:
        return CheckResult.failed(f"the round trip ended with {seen.health}; probes: {wrong}")
    return CheckResult.passed(
        "A task went through Redis and a worker and back; worker and scheduler are live and ready",
        seen.probes,
    )


def _metrics(context: CheckContext) -> CheckResult:
    seen = look(context)
    attempts = sum(sum(ends.values()) for ends in seen.traced.values())
    if seen.measured != seen.traced or seen.timed != attempts or seen.pings != PINGS:
        evidence = {"measured": seen.measured, "done": seen.traced}
        return CheckResult.failed(
            f"{attempts} attempts, {seen.timed} timed, {seen.pings} of {PINGS} pings", evidence
        )
    return CheckResult.passed(
        f"{attempts} attempts of {len(seen.traced)} tasks ended as the metrics of two processes say",
        seen.measured,
    )


def _killed_seen(context: CheckContext) -> CheckResult:
    seen = look(context)
    if seen.killed != [503, 200] or not seen.kept:
        return CheckResult.failed(f"/readyz said {seen.killed}; counts kept: {seen.kept}")
    return CheckResult.passed(
        "Not ready when its processes were killed, ready when others had come; no count was lost", seen.killed
    )


def _dead_letter(context: CheckContext) -> CheckResult:
    seen = look(context)
    if len(seen.dead) != 1 or seen.replayed != "1 sent again" or seen.pings != PINGS:
        return CheckResult.failed(f"dead letters {seen.dead}; {seen.replayed}; {seen.pings} pings of {PINGS}")
    return CheckResult.passed("What an older worker did not know ran when it was sent again", seen.dead)


def _view(context: CheckContext) -> CheckResult:
    seen = look(context)
    if [retries for _, retries in seen.waiting] != [1] or seen.revoked or seen.old_exit:
        return CheckResult.failed(f"waiting: {seen.waiting}; revoke: {seen.revoked}; stop: {seen.old_exit}")
    return CheckResult.passed("The view shows the retry that waits, and keeps it from starting", seen.waiting)


CHECKS = (
    Check("health", "The health command goes the whole way, and the probes answer", _health),
    Check("metrics", "The metrics say what the tasks did", _metrics),
    Check("killed_worker", "A killed worker is seen, and what it had counted stays", _killed_seen),
    Check("dead_letter", "A dead letter is shown and sent again", _dead_letter),
    Check("terminal_view", "A retry is shown and revoked", _view),
)
