"""The rollback, rehearsed on a scratch copy: older code, and messages that newer code has sent."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import Any

from playbook.checks.driver import Driver
from playbook.checks.simple_lab import celery_worker, taskiq_worker
from playbook.checks.simple_scenarios import WEBHOOK
from playbook.contracts import CheckContext
from playbook.lab import Lab, LabError, wait_until
from playbook.lab.children import Children
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.scenarios import api_client, ask
from playbook.lab.waiting import free_port, together
from playbook.models import Model
from playbook.workspace import Workspace

PHASE = "02_simple_tasks"
RECEIVER = "rollback"
TIMEOUT = 30.0


class Rollback(Model):
    """What came of it.

    `undone`: the slices that were taken back. `same_source`: the source is that of before. `celery_ran`,
    `taskiq_ran`: what the migrated code had sent to either system was run by the code of before. `refused`:
    why the code of before did not run what only the migrated code knows on TaskIQ. `replayed`: that ran when
    the migrated code was back.
    """

    undone: list[str]
    same_source: bool
    celery_ran: bool
    taskiq_ran: bool
    refused: list[str]
    replayed: bool


def rehearse(context: CheckContext, lab: Lab, driver: Driver, modules: list[str]) -> Rollback:
    """Send messages, roll a copy back, let its workers run them; then let the migrated code run the rest.

    Parameters:
        context: of the phase.
        lab: with an API that runs and no workers.
        driver: the migrated code.
        modules: what TaskIQ workers are told.
    """
    lab.reset()
    send = _sender(lab, driver)
    scratch, undone, same_source = _rolled_back(context)
    before = Children(REFLECTOR, scratch, context.work_dir / "rollback", free_port())
    before.env = dict(lab.env)
    health, celery, taskiq = together(
        lambda: _send_to_both(driver, send),
        lambda: celery_worker(before),
        lambda: taskiq_worker(before, modules),
    )
    celery_ran = wait_until(lambda: "celery" in _received(lab), TIMEOUT)
    taskiq_ran = wait_until(lambda: _ended(lab, health), TIMEOUT)
    wait_until(lambda: lab.redis.client().xlen(f"{lab.env['TASKIQ_KEY_PREFIX']}:dead"), TIMEOUT)
    letters = _dead_letters(lab)
    _, _, newer = together(celery.kill, taskiq.stop, lambda: taskiq_worker(lab, modules))
    with newer:
        for entry in letters:
            _dead_letter_command(lab, "replay", entry)
        replayed = wait_until(lambda: "taskiq" in _received(lab), TIMEOUT)
    return Rollback(
        undone=undone,
        same_source=same_source,
        celery_ran=celery_ran,
        taskiq_ran=taskiq_ran,
        refused=list(letters.values()),
        replayed=replayed,
    )


def _sender(lab: Lab, driver: Driver) -> Callable[[str], Any]:
    """Return what sends a webhook with an event's name."""
    with api_client(lab) as api:
        url = f"{lab.world.url}/webhooks/{RECEIVER}"
        room = ask(api, "POST", "/rooms", json={"name": RECEIVER, "webhook_url": url})
        transcript = ask(api, "POST", "/transcripts", json={"name": RECEIVER, "room_id": room["id"]})
    arguments = [transcript["id"]], {"room_id": room["id"]}
    return lambda event: driver.call([(WEBHOOK, arguments[0], {**arguments[1], "event_id": event})])


def _send_to_both(driver: Driver, send: Callable[[str], Any]) -> str:
    """Send a webhook to each system, and a task that only TaskIQ has; return the id of that."""
    for system in ("celery", "taskiq"):
        driver.route(system)
        send(system)
    return str(driver.ask("health", None))


def _rolled_back(context: CheckContext) -> tuple[Any, list[str], bool]:
    """Roll a copy of the workspace back: its folder, what was undone, whether the source is as before."""
    run_dir = context.work_dir / "rollback"
    shutil.rmtree(run_dir, ignore_errors=True)
    run_dir.mkdir(parents=True)
    shutil.copytree(context.workspace, run_dir / "workspace")
    original = Workspace(context.run_dir, context.application)
    scratch = Workspace(run_dir, context.application)
    undone = scratch.rollback(PHASE)
    return scratch.path, undone, scratch.tree() == original.before(PHASE) and not scratch.edited()


def _received(lab: Lab) -> set[str]:
    return {request.body["event_id"] for request in lab.world.requests("webhooks")}


def _ended(lab: Lab, task_id: str) -> bool:
    return any(event.id == task_id and event.outcome == "success" for event in lab.trace())


def _dead_letters(lab: Lab) -> dict[str, str]:
    """Reasons of the dead letters by entry, as the application's own command lists them."""
    lines = _dead_letter_command(lab, "list").splitlines()
    return {parts[0]: parts[4] for parts in (line.split(" ", 4) for line in lines)}


def _dead_letter_command(lab: Lab, *words: str) -> str:
    package = lab.target.broker.partition(".broker:")[0]
    done = lab.run([sys.executable, "-m", f"{package}.deadletters", *words])
    if done.returncode:
        raise LabError(f"deadletters {' '.join(words)} failed: {done.stderr.strip()}")
    return done.stdout
