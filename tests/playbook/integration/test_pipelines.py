"""The checks of 03_pipelines hold for what is migrated, and fail for each fault planted in it; a canary."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from playbook.checks.driver import Driver
from playbook.checks.pipelines import comparison, no_difference, promised
from playbook.checks.pipelines_lab import DRIVER, Run, run
from playbook.checks.pipelines_scenarios import (
    CONSENT,
    IF_NEEDED,
    LIVE_TASKS,
    WEBHOOK,
    ZULIP,
    Recording,
    Upload,
)
from playbook.checks.pipelines_verdicts import Pair, order_is_kept, results_agree, told_in_order
from playbook.checks.simple_lab import celery_worker, open_lab, task_modules, taskiq_worker
from playbook.config import load_application
from playbook.contracts import CheckContext, CheckResult
from playbook.lab import Lab
from playbook.lab.audio import generated
from playbook.lab.waiting import together
from playbook.phases import apply_phase, find_phase
from playbook.workspace import Workspace

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Fault:
    """A mistake in the migrated source: this text instead of that."""

    path: str
    right: str
    wrong: str


@dataclass
class Site:
    """A lab with all but a TaskIQ worker on the migrated source; what the live pipeline does on Celery."""

    context: CheckContext
    lab: Lab
    driver: Driver
    scenario: Upload
    modules: list[str]
    promised: frozenset[Pair]
    controls: tuple[Run, Run]

    def plant(self, folder: Path, faults: Sequence[Fault]) -> None:
        """Let the processes that the lab starts from now on run a copy of the source with faults."""
        copy = folder / "broken"
        shutil.copytree(self.context.workspace, copy)
        for fault in faults:
            path = copy / "reflector" / fault.path
            text = path.read_text(encoding="utf-8")
            assert text.count(fault.right) == 1, f"the fault does not fit {fault.path} any more"
            path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        self.lab.workspace = copy

    def runs(self) -> tuple[Run, Run, Run]:
        """A, A' and B, with a TaskIQ worker of the lab's present source."""
        with taskiq_worker(self.lab, self.modules):
            return *self.controls, run(self.lab, self.driver, self.scenario, "B", "taskiq")

    def same_effects(self, runs: Sequence[Run]) -> CheckResult:
        return no_difference(comparison(self.context, [each.observation for each in runs], self.promised))

    def order(self, runs: Sequence[Run]) -> CheckResult:
        return order_is_kept([each.observation for each in runs], self.promised)

    def told(self, runs: Sequence[Run]) -> CheckResult:
        return told_in_order([each.observation for each in runs])

    def results(self, runs: Sequence[Run]) -> CheckResult:
        return results_agree(runs)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    run_dir = tmp_path_factory.mktemp("run")
    application = load_application()
    phase = find_phase("03_pipelines")
    workspace = Workspace(run_dir, application)
    apply_phase(phase, workspace)
    work_dir = run_dir / "work"
    work_dir.mkdir()
    context = CheckContext(application, workspace.path, run_dir, work_dir, parameters=phase.parameters())
    with open_lab(context) as lab:
        _, driver, _ = together(lab.api, lambda: Driver(lab, program=DRIVER), lambda: celery_worker(lab))
        talk = Recording("planning", "live", generated.turns(2.0, 3.0))
        scenario = Upload("live", driver, (talk,), {ZULIP: 1})
        driver.route("celery")
        a, a_again = (run(lab, driver, scenario, label, "celery") for label in ("A", "A'"))
        driver.route("taskiq")
        pairs = frozenset(pair for pair in promised(context) if set(pair) <= set(LIVE_TASKS))
        yield Site(context, lab, driver, scenario, task_modules(context), pairs, (a, a_again))


@pytest.fixture(autouse=True)
def right_source(site: Site) -> Iterator[None]:
    """Give the lab the migrated source back after each test."""
    yield
    site.lab.workspace = site.context.workspace


CHECKS: tuple[Callable[[Site, Sequence[Run]], CheckResult], ...] = (
    Site.same_effects,
    Site.order,
    Site.told,
    Site.results,
)


def test_what_is_migrated_passes(site: Site) -> None:
    runs = site.runs()
    for check in CHECKS:
        assert check(site, runs).ok, check(site, runs).detail


def test_a_canary_splits_recordings_but_no_canvas(site: Site) -> None:
    """At 50 percent some canvases go to either system. (That one system gets all 12: once in 2,000 runs.)"""
    tone = generated.turns(0.6)
    recordings = tuple(Recording(f"talk-{number}", "file", tone) for number in range(12))
    scenario = Upload("canary", site.driver, recordings, {WEBHOOK: len(recordings)})
    site.driver.route("50")
    try:
        with taskiq_worker(site.lab, site.modules):
            trace = site.lab.observe(scenario, "canary", "taskiq").trace
    finally:
        site.driver.route("taskiq")
    canvases = defaultdict(set)
    for event in trace:
        if event.task in (CONSENT, ZULIP, IF_NEEDED) and event.kind == "start":
            canvases[event.kwargs["transcript_id"]].add(event.system)
    assert len(canvases) == len(recordings)
    assert sorted({tuple(systems) for systems in canvases.values()}) == [("celery",), ("taskiq",)]


BODY = 'ends = self._add(body, then, Call(id=call.id, receives="result", main=call.main, labels=call.labels))'
EDGES = "        edges = then\n        for step in reversed(steps):\n"
JOINED = "self._add_join(_members(canvas.tasks), ends,"
STORED = "if how ~= 'replaced' and result ~= '' then store(task, result) end"
FAULTS: dict[str, tuple[tuple[Fault, ...], tuple[Callable[[Site, Sequence[Run]], CheckResult], ...]]] = {
    "dropped barrier": (
        (
            Fault(
                "worker/lua_workflows.py",
                "redis.call('HSET', flow.key, 'l' .. k, join[SIZE])",
                "redis.call('HSET', flow.key, 'l' .. k, 1)",
            ),
            Fault(
                "worker/lua_workflows.py",
                "            if string.sub(slot, 1, 1) == 'e' then\n",
                "            if not slot then\n            elseif string.sub(slot, 1, 1) == 'e' then\n",
            ),
        ),
        (Site.same_effects, Site.order),
    ),
    "swapped order": (
        (Fault("worker/plans.py", EDGES, f"        steps[-2:] = reversed(steps[-2:])\n{EDGES}"),),
        (Site.same_effects, Site.order),
    ),
    "body before header": (
        (Fault("worker/plans.py", f"return {JOINED}", f"return ends + {JOINED}"),),
        (Site.same_effects, Site.order),
    ),
    "missing result": (
        (Fault("worker/lua_steps.py", STORED, STORED.replace("how ~= 'replaced'", "not node")),),
        (Site.results,),
    ),
    "doubled callback": (
        (
            Fault(
                "worker/plans.py",
                BODY,
                f'{BODY}\n        ends += self._add(body.clone(), [], Call(receives="result", main=False))',
            ),
        ),
        (Site.same_effects,),
    ),
    "lost WebSocket message": (
        (
            Fault(
                "db/transcripts.py",
                "    manager = get_ws_manager()\n",
                '    if event.data == {"value": "ended"}:\n        return\n    manager = get_ws_manager()\n',
            ),
        ),
        (Site.same_effects, Site.told),
    ),
    "lost commit": (
        (Fault("db/__init__.py", "        await session.commit()\n", ""),),
        (Site.same_effects,),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(site: Site, name: str, tmp_path: Path) -> None:
    faults, checks = FAULTS[name]
    site.plant(tmp_path, faults)
    runs = site.runs()
    for check in checks:
        result = check(site, runs)
        assert not result.ok, f"{check.__name__} did not see it: {result.detail}"
