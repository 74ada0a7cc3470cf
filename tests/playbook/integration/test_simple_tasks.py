"""The checks of 02_simple_tasks hold for what is migrated, and fail for each fault planted in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from playbook.checks import registered, rollback
from playbook.checks.driver import Driver
from playbook.checks.flood import Flood, run_flood
from playbook.checks.rollback import rehearse
from playbook.checks.simple_lab import celery_worker, comparison, open_lab, task_modules, taskiq_worker
from playbook.checks.simple_scenarios import (
    CLEANUP,
    PROCESS_RECORDING,
    SYNC_ROOM,
    WEBHOOK,
    Housekeeping,
    Webhooks,
)
from playbook.checks.simple_tasks import together
from playbook.checks.simple_verdicts import (
    all_signed,
    doubled_in_flight,
    goes_back,
    nothing_lost,
    ran_where_routed,
    requests_agree,
    retries_agree,
    rolls_back,
)
from playbook.config import load_application
from playbook.contracts import CheckContext, CheckResult
from playbook.lab import Lab, Process
from playbook.models import Observation
from playbook.phases import apply_phase, find_phase
from playbook.workspace import Workspace

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

Runs = tuple[Observation, Observation, Observation]
Scenario = type[Webhooks] | type[Housekeeping]


@dataclass(frozen=True)
class Fault:
    """A mistake in the migrated source: this text instead of that. `called`: callers make it, too."""

    path: str
    right: str
    wrong: str
    called: bool = False


@dataclass
class Site:
    """A lab with all but a TaskIQ worker on the migrated source, and what scenarios do on Celery, twice."""

    context: CheckContext
    lab: Lab
    driver: Driver
    celery: Process
    controls: dict[Scenario, tuple[Observation, Observation]]

    @property
    def modules(self) -> list[str]:
        return task_modules(self.context)

    def plant(self, folder: Path, *faults: Fault) -> None:
        """Let the processes that the lab starts from now on run a copy of the source with faults."""
        copy = folder / "broken"
        shutil.copytree(self.context.workspace, copy)
        for fault in faults:
            path = copy / "reflector" / fault.path
            text = path.read_text(encoding="utf-8")
            assert text.count(fault.right) == 1, f"the fault does not fit {fault.path} any more"
            path.write_text(text.replace(fault.right, fault.wrong), encoding="utf-8")
        self.lab.workspace = copy

    def runs(self, scenario: Scenario, called: bool = False) -> Runs:
        """A, A' and B of a scenario; `called`: with a caller of the lab's present source."""
        driver = Driver(self.lab) if called else self.driver
        with taskiq_worker(self.lab, self.modules):
            driver.route("taskiq")
            b = self.lab.observe(scenario(driver), "B", "taskiq")
        if called:
            driver.process.stop()
        a, a_again = self.controls[scenario]
        return a, a_again, b


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    run_dir = tmp_path_factory.mktemp("run")
    application = load_application()
    phase = find_phase("02_simple_tasks")
    workspace = Workspace(run_dir, application)
    apply_phase(phase, workspace)
    work_dir = run_dir / "work"
    work_dir.mkdir()
    context = CheckContext(application, workspace.path, run_dir, work_dir, parameters=phase.parameters())
    with open_lab(context) as lab:
        _, driver, celery = together(lab.api, lambda: Driver(lab), lambda: celery_worker(lab))
        driver.route("celery")
        controls: dict[Scenario, tuple[Observation, Observation]] = {}
        for scenario in (Webhooks, Housekeeping):
            first, second = (lab.observe(scenario(driver), label, "celery") for label in ("A", "A'"))
            controls[scenario] = first, second
        yield Site(context, lab, driver, celery, controls)


@pytest.fixture(autouse=True)
def right_source(site: Site) -> Iterator[None]:
    """Give the lab the migrated source back after each test."""
    yield
    site.lab.workspace = site.context.workspace


def webhook_retries(runs: Runs) -> CheckResult:
    return retries_agree(runs, WEBHOOK)


def cleanup_retries(runs: Runs) -> CheckResult:
    return retries_agree(runs, CLEANUP)


def routed_webhook(runs: Runs) -> CheckResult:
    return ran_where_routed({"webhooks": runs}, [WEBHOOK])


def test_what_is_migrated_passes(site: Site) -> None:
    webhooks = site.runs(Webhooks)
    for check in (requests_agree, all_signed, webhook_retries, routed_webhook):
        assert check(webhooks).ok, check(webhooks).detail
    housekeeping = site.runs(Housekeeping)
    assert cleanup_retries(housekeeping).ok, cleanup_retries(housekeeping).detail
    for runs in (webhooks, housekeeping):
        assert comparison(site.context, *runs).findings == []


POLICY = "return RetryPolicy.of(self.celery_task)"
ROUTED = "if twin is None or flags.system(task.name, self.id) == "
Verdict = Callable[[Runs], CheckResult]
FAULTS: dict[str, tuple[Scenario, dict[Verdict, Fault]]] = {
    "the retry header is always 0, the signature is wrong, the delay is another": (
        Webhooks,
        {
            requests_agree: Fault("worker/webhook.py", "str(self.request.retries)", '"0"'),
            all_signed: Fault(
                "worker/webhook.py", "hmac.new(secret.encode(), signed,", "hmac.new(b'', signed,"
            ),
            webhook_retries: Fault(
                "worker/twins.py", POLICY, "return RetryPolicy(max_retries=30, default_retry_delay=61)"
            ),
        },
    ),
    "retries are lost": (
        Webhooks,
        {webhook_retries: Fault("worker/twins.py", POLICY, "return RetryPolicy(max_retries=0)")},
    ),
    "nothing is retried by itself": (
        Housekeeping,
        {cleanup_retries: Fault("worker/twins.py", POLICY, "return RetryPolicy()")},
    ),
    "positional arguments are dropped": (
        Webhooks,
        {requests_agree: Fault("worker/routing.py", "Message(twin, args,", "Message(twin, (),", called=True)},
    ),
    "calls are not routed": (
        Webhooks,
        {
            routed_webhook: Fault(
                "worker/routing.py", ROUTED, ROUTED.replace("twin is None", "True"), called=True
            )
        },
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_makes_its_check_fail(site: Site, name: str, tmp_path: Path) -> None:
    scenario, faults = FAULTS[name]
    site.plant(tmp_path, *faults.values())
    runs = site.runs(scenario, any(fault.called for fault in faults.values()))
    for check, fault in faults.items():
        assert not check(runs).ok, f"{fault.wrong} was not found"


def test_a_lost_transaction_makes_the_comparison_fail(site: Site, tmp_path: Path) -> None:
    fault = Fault("db/__init__.py", "        await session.commit()\n", "")
    site.plant(tmp_path, fault)
    assert not comparison(site.context, *site.runs(Housekeeping)).ok


def test_a_spoilt_registration_is_found(site: Site, tmp_path: Path) -> None:
    """Celery's options change, a twin is missing, the session is expected from the message."""
    twin = '"reflector.worker.ics_sync.sync_room_ics")'
    session = "wire_signature(func, first=1)\n"
    site.plant(
        tmp_path,
        Fault("worker/webhook.py", "max_retries=30", "max_retries=29"),
        Fault("worker/ics_sync.py", f"twin(sync_room_ics, {twin}", "None"),
        Fault("worker/session_decorator.py", session, session.replace(", first=1", "")),
    )
    found = registered.look(site.context, site.lab)
    assert found.differs == [WEBHOOK]
    assert found.missing == [SYNC_ROOM]
    assert PROCESS_RECORDING in found.injected


SEND = "        await send(task, self.args, self.kwargs, **self.options)\n"
FLOODS: dict[str, tuple[Fault, Callable[[Flood], CheckResult]]] = {
    "some calls are not sent": (
        Fault("worker/routing.py", SEND, f'        if self.options["task_id"][0] > "1":\n    {SEND}'),
        nothing_lost,
    ),
    "some calls are sent twice": (
        Fault("worker/routing.py", SEND, f'{SEND}        if self.options["task_id"][0] < "2":\n    {SEND}'),
        lambda flood: doubled_in_flight(flood, 1),
    ),
    "the route is read only once": (
        Fault("worker/flags.py", "time.monotonic() - self._read_at >= REFRESH", "self._read_at < 0"),
        goes_back,
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_planted_fault_shows_under_load(site: Site, name: str, tmp_path: Path) -> None:
    fault, check = FLOODS[name]
    site.plant(tmp_path, fault)
    flood = run_flood(site.lab, site.modules, calls=50, kills=1)
    result = check(flood)
    assert not result.ok, result.detail


@pytest.fixture
def no_worker(site: Site) -> Iterator[None]:
    """No worker of Celery for the time of a test, and little patience with what never comes."""
    site.celery.stop()
    yield
    site.celery = celery_worker(site.lab)


def test_the_way_back_is_open(site: Site, no_worker: None) -> None:
    result = rolls_back(rehearse(site.context, site.lab, site.driver, site.modules))
    assert result.ok, result.detail


@pytest.mark.parametrize(
    "fault",
    [
        Fault(
            "worker/routing.py",
            "sent = self.task.apply_async(",
            'sent = self.task.app.send_task("new." + self.task.name, ',
        ),
        Fault("worker/deadletters.py", "if await act(entry):", "if entry:"),
    ],
    ids=["a task was renamed", "a dead letter cannot be replayed"],
)
def test_a_way_back_that_is_not_open_is_found(
    site: Site, no_worker: None, fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollback, "TIMEOUT", 10.0)
    site.plant(tmp_path, fault)
    assert not rolls_back(rehearse(site.context, site.lab, Driver(site.lab), site.modules)).ok
