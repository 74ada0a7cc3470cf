"""What is queued at a cutover goes to TaskIQ, and at a rollback back to Celery: nothing lost, none doubled.

The application's code of before the cutover and that of after it share a Redis. One sends webhooks in every
form and stops in the middle of them; the application's own command moves the rest; the other goes on. The
receiver counts.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from playbook.checks.once import once
from playbook.checks.simple_lab import HURRY_MODULE, open_lab
from playbook.checks.simple_scenarios import WEBHOOK
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.inventory import inventory
from playbook.lab import Lab, LabError, Process, wait_until
from playbook.lab.children import Children
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.scenarios import api_client, ask
from playbook.lab.waiting import free_port, together
from playbook.models import Model, System
from playbook.tree import Tree
from playbook.workspace import Workspace

PHASE = "06_cutover"
PROBE = "playbook.checks.probes.transfer_send"

ROUNDS = 8
LATER = 4.0
HURRY = 1 / 20
"""The part of a retry's delay (60 s) that is waited: long enough to be waiting at the stop."""
ANSWER = 0.03
"""Seconds that the receiver takes, so that the stop comes in the middle."""
STARTED = 0.25
"""The part of the webhooks that has arrived at the stop."""
TIMEOUT = 60.0


class Moved(Model):
    """What came of it, one way.

    `sent` counts tasks, `before` and `after` what the command `count` told on the side that was left: before
    the move and after it; `there` what it told on the other side in the end. `left` names what was not moved.
    `lost`: events that never arrived. `doubled`: attempts that arrived more than once.
    """

    sent: int
    moved: int
    before: dict[str, Any]
    after: dict[str, Any]
    there: dict[str, Any]
    left: list[dict[str, str]]
    lost: list[str]
    doubled: list[str]


class Seen(Model):
    """The cutover, then the rollback."""

    cutover: Moved
    rollback: Moved


@once
def look(context: CheckContext) -> Seen:
    """Cut over, then roll back.

    Raises:
        PlaybookError: something could not be done.
    """
    before = Workspace(context.run_dir, context.application).before(PHASE)
    return rehearse(context, before)


def rehearse(context: CheckContext, before: Tree) -> Seen:
    """Do it in a lab.

    Parameters:
        context: of the phase; its workspace has the code of after the cutover.
        before: the code of before it.
    """
    folder = context.work_dir / "before"
    _write(before, folder)
    root = folder / context.application.root
    modules = sorted({task.module for task in inventory(root).tasks})
    with open_lab(context, "drain") as lab:
        lab.env["PLAYBOOK_HURRY"] = str(HURRY)
        old = Children(REFLECTOR, folder, context.work_dir / "drain-before", free_port())
        old.env = dict(lab.env)
        move = _Move(lab, modules)
        _, celery, taskiq = together(lab.api, lambda: _celery(old), lambda: _taskiq(lab, modules))
        cutover = move.run("celery", old, celery, lambda: taskiq)
        rollback = move.run("taskiq", lab, taskiq, lambda: _celery(old))
    return Seen(cutover=cutover, rollback=rollback)


class _Move:
    """Both ways in one lab."""

    def __init__(self, lab: Lab, modules: list[str]) -> None:
        self._lab = lab
        self._modules = modules

    def _plan(self, source: System) -> dict[str, Any]:
        """Make a transcript and two rooms; the receiver of the second fails at first."""
        steady, flaky = _receivers(source)
        url, world = self._lab.world.url, self._lab.world
        world.fail(steady, status=200, delay=ANSWER, times=100 * ROUNDS)
        world.fail(flaky, status=503, times=ROUNDS)
        world.fail(flaky, status=200, times=100 * ROUNDS)
        with api_client(self._lab) as api:
            rooms = [
                ask(api, "POST", "/rooms", json={"name": name, "webhook_url": f"{url}/{name}/hook"})
                for name in (steady, flaky)
            ]
            transcript = ask(api, "POST", "/transcripts", json={"name": steady, "room_id": rooms[0]["id"]})
        kinds = {"kwargs": {"room_id": rooms[0]["id"]}, "flaky": {"room_id": rooms[1]["id"]}}
        plan = {"task": WEBHOOK, "args": [transcript["id"]], "system": source}
        return plan | kinds | {"rounds": ROUNDS, "later": LATER}

    def run(self, source: System, sender: Children, first: Process, then: Callable[[], Process]) -> Moved:
        """Send on one system, stop its worker, move, let the other's worker run the rest."""
        events: list[str] = sender.probe(PROBE, json.dumps(self._plan(source)))["events"]
        wait_until(lambda: len(self._arrived(source)) >= STARTED * len(events), TIMEOUT)
        first.stop(TIMEOUT)
        if first.returncode == 137:
            raise LabError(
                f"{first.name} did not stop in {TIMEOUT:g} s and was killed: what it ran is lost there"
            )
        with ThreadPoolExecutor() as threads:
            # The other system's worker may run meanwhile.
            starting = threads.submit(then)
            target = "to-taskiq" if source == "celery" else "to-celery"
            before = self._transfer("count")[source]
            report = self._transfer(target, *(self._modules if source == "celery" else ()))
            after = self._transfer("count")[source]
            starting.result()
        # Each event once, and one more attempt for each answer that was a failure.
        expected = len(events) + ROUNDS
        wait_until(lambda: self._arrived(source).total() >= expected, TIMEOUT)
        self._lab.wait_quiet(lambda: True)
        there = self._transfer("count")["taskiq" if source == "celery" else "celery"]
        arrived = self._arrived(source)
        lost = sorted(set(events) - {event for event, _ in arrived})
        return Moved(
            sent=len(events),
            moved=report["moved"],
            before=before,
            after=after,
            there=there,
            left=report["left"],
            lost=lost or ["a further attempt"] * (expected - len(arrived)),
            doubled=sorted(f"{event}, attempt {n}" for (event, n), times in arrived.items() if times > 1),
        )

    def _arrived(self, source: System) -> Counter[tuple[str, str]]:
        """Count the requests that the receivers got, by event and attempt."""
        requests = [one for name in _receivers(source) for one in self._lab.world.requests(name)]
        return Counter((str(one.body["event_id"]), one.headers["x-webhook-retry"]) for one in requests)

    def _transfer(self, *words: str) -> dict[str, Any]:
        package = self._lab.target.broker.partition(".broker:")[0]
        prefix = ["--celery-prefix", self._lab.redis.prefix] if self._lab.redis.prefix else []
        command = [sys.executable, "-m", f"{package}.transfer", *words, "--json", *prefix]
        done = self._lab.run(command)
        if not done.stdout:
            raise LabError(f"transfer {words[0]} failed: {done.stderr.strip()}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _receivers(source: System) -> tuple[str, str]:
    """Return the receivers of what a system sends: one that works, and one that fails at first."""
    return f"drain-{source}", f"flaky-{source}"


def _celery(before: Children) -> Process:
    return before.celery_worker(modules=[HURRY_MODULE])


def _taskiq(lab: Lab, modules: list[str]) -> Process:
    return lab.taskiq_worker(modules=[*modules, HURRY_MODULE])


def _write(tree: Tree, folder: Path) -> None:
    for path in tree:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(tree[path], encoding="utf-8")


def drain(context: CheckContext) -> CheckResult:
    """All that was left in Celery's queues is run by TaskIQ, once."""
    return judge(look(context).cutover, "Celery", "TaskIQ")


def roll_back(context: CheckContext) -> CheckResult:
    """All that was left in TaskIQ's queues is run by Celery, once."""
    return judge(look(context).rollback, "TaskIQ", "Celery")


def judge(moved: Moved, source: str, target: str) -> CheckResult:
    """Say whether a move was what it has to be."""
    if moved.left or moved.lost or moved.doubled:
        wrong: dict[str, list[Any]] = {"left": moved.left, "lost": moved.lost, "doubled": moved.doubled}
        counted = ", ".join(f"{len(found)} {name}" for name, found in wrong.items())
        return CheckResult.failed(f"Of {moved.sent} tasks {counted}", wrong)
    for system, counts in ((source, moved.after), (target, moved.there)):
        if any(waiting(counts).values()):
            return CheckResult.failed(f"Something is left on {system}", counts)
    if not moved.moved:
        return CheckResult.failed(
            f"{source} had run all tasks before the move, which shows nothing", moved.sent
        )
    detail = f"{moved.sent} tasks in every form, stopped in the middle of them on {source}: the rest ran on "
    return CheckResult.passed(
        f"{detail}{target}, none was lost, none ran twice, and nothing is left on {source}", moved.sent
    )


def waiting(counts: dict[str, Any]) -> dict[str, int]:
    """Return how many messages wait where, of what the command `count` told about one side."""
    names = ("held", "running", "for later", "retries", "chords", "workflows")
    queues = {f"queue {name}": number for name, number in counts["queued"].items()}
    return {**queues, **{name: counts[name] for name in names if name in counts}}


CHECKS = (
    Check("drain", "What Celery had queued is run by TaskIQ, once", drain),
    Check("roll_back", "What TaskIQ had queued is run by Celery after a rollback, once", roll_back),
)
