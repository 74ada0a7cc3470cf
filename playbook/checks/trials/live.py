"""Trials in one lab: API and a Celery worker on the source as it is, TaskIQ workers on copies.

Invariant: what one copy leaves behind in Redis is gone before the next one is looked at.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from playbook.checks import calls
from playbook.checks.driver import Driver
from playbook.checks.flood import run_flood
from playbook.checks.pipelines import comparison, no_difference, promised
from playbook.checks.pipelines_lab import DRIVER, Run, run
from playbook.checks.pipelines_scenarios import scenarios
from playbook.checks.pipelines_verdicts import (
    caller_gets,
    failure_stops,
    order_is_kept,
    results_agree,
    told_in_order,
)
from playbook.checks.simple_lab import HURRY_MODULE, open_lab, task_modules
from playbook.checks.simple_scenarios import (
    CLEANUP,
    HEALTHCHECK,
    PROCESS_MESSAGES,
    PROCESS_RECORDING,
    SYNC_ROOM,
    WEBHOOK,
    Housekeeping,
    Recording,
    Webhooks,
)
from playbook.checks.simple_verdicts import (
    all_signed,
    doubled_in_flight,
    goes_back,
    nothing_lost,
    ran_where_routed,
    requests_agree,
    retries_agree,
)
from playbook.checks.trials.copies import Copy, Results, Trial
from playbook.contracts import CheckContext, CheckResult
from playbook.lab import Lab, LabError, Process, Scenario
from playbook.lab.audio import generated
from playbook.lab.waiting import together
from playbook.models import Observation, System

CALLS, KILLS = 50, 1
"""How much the trial `flood` sends, and how many workers it kills."""

TRIES = 3
"""How often Celery is observed until it has done the same twice."""

T = TypeVar("T")
Runs = tuple[Observation, Observation, Observation]


@dataclass
class Site:
    """The lab with what runs on the source as it is."""

    lab: Lab
    driver: Driver
    api: Process
    celery: Process


class LiveTrials:
    """The trials that need workers. A context manager; the lab is started when it is first needed."""

    def __init__(self, context: CheckContext) -> None:
        self._context = context
        self._audio = context.audio or _talk(context)
        self._stack = contextlib.ExitStack()
        self._route: System = "celery"
        self._controls: dict[str, Any] = {}
        self.trials: dict[str, Trial] = {
            "calls": self.calls,
            "webhooks": self.webhooks,
            "housekeeping": self.housekeeping,
            "recording": self.recording,
            "live": partial(self.pipeline, name="live"),
            "file": partial(self.pipeline, name="file"),
            "failing": partial(self.pipeline, name="failing"),
            "flood": self.flood,
        }

    def close(self) -> None:
        """Stop the lab."""
        self._stack.close()

    # The trials

    def calls(self, copy: Copy) -> Results:
        """Calls of every kind."""

        def look(system: System) -> calls.Arrived:
            return calls.observe(self._site.lab, system, self._record, self._prefix)

        celery = self._control("calls", lambda: look("celery"))
        with self._running(copy):
            return {"calls_arrive": calls.calls_arrive(celery, look("taskiq"))}

    def webhooks(self, copy: Copy) -> Results:
        """Receivers of webhooks that answer in different ways."""
        runs = self._observed(copy, Webhooks)
        return {
            "webhook_requests": requests_agree(runs),
            "webhook_signatures": all_signed(runs),
            "webhook_retries": retries_agree(runs, WEBHOOK),
            "same_effects_errands": self._same_effects(runs),
            "routed": ran_where_routed({"webhooks": runs}, [WEBHOOK]),
        }

    def housekeeping(self, copy: Copy) -> Results:
        """The clean-up with its retries, a calendar, the sign of life."""
        runs = self._observed(copy, Housekeeping)
        return {
            "cleanup_retries": retries_agree(runs, CLEANUP),
            "same_effects_errands": self._same_effects(runs),
            "routed": ran_where_routed({"housekeeping": runs}, [CLEANUP, HEALTHCHECK, SYNC_ROOM]),
        }

    def recording(self, copy: Copy) -> Results:
        """A recording that is announced in the queue."""
        runs = self._observed(copy, lambda driver: Recording(driver, self._audio))
        return {
            "same_effects_recording": self._same_effects(runs),
            "routed": ran_where_routed({"recording": runs}, [PROCESS_MESSAGES, PROCESS_RECORDING, WEBHOOK]),
        }

    def pipeline(self, copy: Copy, name: str) -> Results:
        """A scenario of the pipelines."""

        def look(label: str, system: System, driver: Driver) -> Run:
            (scenario,) = (one for one in scenarios(driver, self._audio) if one.name == name)
            return run(self._site.lab, driver, scenario, label, system)

        def control(label: str) -> Run:
            return look(label, "celery", self._site.driver)

        a, a_again = self._control(name, lambda: _alike(control, lambda run: run.observation))
        with self._running(copy) as driver:
            runs = a, a_again, look("B", "taskiq", driver)
        seen: Runs = runs[0].observation, runs[1].observation, runs[2].observation
        found = {f"same_effects_{name}": self._same_effects(seen), "told_in_order": told_in_order(seen)}
        if name == "failing":
            found["failure_stops"] = failure_stops(seen, self._promised)
        else:
            tasks = {event.task for event in seen[0].trace}
            found["order"] = order_is_kept(seen, [pair for pair in self._promised if set(pair) <= tasks])
        if name in ("live", "failing"):
            found[f"results_{name}"] = results_agree(runs)
        if name == "live":
            found["caller_result"] = caller_gets(runs, "SUCCESS")
        if name == "failing":
            found["caller_error"] = caller_gets(runs, "FAILURE")
        return found

    def flood(self, copy: Copy) -> Results:
        """Calls while the route flips and a worker is killed."""
        self._set_route("celery")
        try:
            self._site.lab.workspace = copy.path
            flood = run_flood(self._site.lab, self._modules, CALLS, KILLS)
        finally:
            self._site.lab.workspace = self._context.workspace
            self._clear()
        return {
            "nothing_lost": nothing_lost(flood),
            "doubled_in_flight": doubled_in_flight(flood, KILLS),
            "goes_back": goes_back(flood),
        }

    # What they are made of

    @cached_property
    def _site(self) -> Site:
        lab = open_lab(self._context, "trials")
        self._prefix = lab.env["TASKIQ_KEY_PREFIX"]
        self._record = lab.run_dir / "calls.jsonl"
        lab.env[calls.FILE_VARIABLE] = str(self._record)
        self._modules = [*task_modules(self._context), HURRY_MODULE, calls.TASKS]
        self._stack.enter_context(lab)
        api, driver, celery = together(
            lab.api,
            lambda: Driver(lab, route="celery", program=DRIVER),
            lambda: lab.celery_worker(modules=[HURRY_MODULE, calls.TASKS]),
        )
        return Site(lab, driver, api, celery)

    @cached_property
    def _promised(self) -> frozenset[tuple[str, str]]:
        return promised(self._context)

    def _same_effects(self, runs: Runs) -> CheckResult:
        return no_difference(comparison(self._context, runs, self._promised))

    def _observed(self, copy: Copy, scenario: Callable[[Driver], Scenario]) -> Runs:
        """A, A' and B of a scenario that has no results to look for."""
        site = self._site
        name = scenario(site.driver).name

        def control(label: str) -> Observation:
            return site.lab.observe(scenario(site.driver), label, "celery")

        a, a_again = self._control(name, lambda: _alike(control, lambda observation: observation))
        with self._running(copy) as driver:
            return a, a_again, site.lab.observe(scenario(driver), "B", "taskiq")

    def _control(self, name: str, look: Callable[[], T]) -> T:
        """What Celery does, looked at once."""
        site = self._site
        if name not in self._controls:
            self._set_route("celery")
            site.lab.workspace = self._context.workspace
            self._controls[name] = look()
        found: T = self._controls[name]
        return found

    @contextlib.contextmanager
    def _running(self, copy: Copy) -> Any:
        """Let a TaskIQ worker run a copy, and its callers if they are to; yield the driver."""
        site = self._site
        site.lab.workspace = copy.path
        started: list[Process] = []
        try:
            starting: list[Callable[[], Any]] = [partial(site.lab.taskiq_worker, modules=self._modules)]
            if copy.callers:
                site.api.kill()
                starting += [site.lab.api, partial(Driver, site.lab, program=DRIVER)]
            starting.append(partial(self._set_route, "taskiq"))
            worker, *callers = together(*starting)[: len(starting) - 1]
            started = [worker, *(callers[:1]), *(driver.process for driver in callers[1:])]
            yield callers[1] if copy.callers else site.driver
        finally:
            together(*(process.kill for process in started))
            site.lab.workspace = self._context.workspace
            if copy.callers:
                site.api = site.lab.api()
            self._clear()

    def _set_route(self, system: System) -> None:
        if self._route != system:
            self._site.driver.route(system)
            self._route = system

    def _clear(self) -> None:
        """Remove what nobody is going to run any more, by name; the route stays."""
        redis = self._site.lab.redis.client()
        for key in list(redis.scan_iter(f"{self._prefix}:*", count=1000)):
            if key != f"{self._prefix}:routes":
                redis.delete(key)


def _alike(control: Callable[[str], T], observation: Callable[[T], Observation]) -> tuple[T, T]:
    """A and A'. On a busy machine a scenario may look quiet before it is over: then both are made again.

    Raises:
        LabError: Celery did not do the same twice.
    """
    for _ in range(TRIES):
        a, a_again = control("A"), control("A'")
        first, second = (_attempts(observation(one)) for one in (a, a_again))
        if first == second and first["start"] == first["end"]:
            return a, a_again
    raise LabError("Celery did not do the same twice; the machine may be too busy to compare anything")


def _attempts(observation: Observation) -> dict[str, Counter[tuple[str, int]]]:
    """How often each attempt of each task started, and how often it ended."""
    found: dict[str, Counter[tuple[str, int]]] = {"start": Counter(), "end": Counter()}
    for event in observation.trace:
        found[event.kind][event.task, event.attempt] += 1
    return found


def _talk(context: CheckContext) -> Path:
    """A recording of two voices: as long as it must be, because every plant has to listen to it."""
    path = context.work_dir / "talk.wav"
    path.write_bytes(generated.turns(2.0, 3.0))
    return path
