"""The checks of 02_simple_tasks hold for what is migrated, and fail for each fault planted in it.

Effects and retries are here; load and the way back are in test_simple_floods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from playbook.checks.driver import Driver
from playbook.checks.simple_lab import comparison, taskiq_worker
from playbook.checks.simple_scenarios import CLEANUP, WEBHOOK, Housekeeping, Webhooks
from playbook.checks.simple_verdicts import (
    all_signed,
    ran_where_routed,
    requests_agree,
    retries_agree,
)
from playbook.contracts import CheckResult
from playbook.lab.waiting import together
from playbook.models import Observation
from tests.playbook.integration.simple_site import Fault, Site, open_site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

Runs = tuple[Observation, Observation, Observation]
Scenario = type[Webhooks] | type[Housekeeping]
Run = Callable[..., Runs]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("run")) as opened:
        yield opened


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    yield shared
    shared.right_source()


@pytest.fixture(scope="module")
def controls(shared: Site) -> dict[Scenario, tuple[Observation, Observation]]:
    """What the scenarios do on Celery, twice."""
    lab, driver = shared.lab, shared.driver
    found: dict[Scenario, tuple[Observation, Observation]] = {}
    for scenario in (Webhooks, Housekeeping):
        first, second = (lab.observe(scenario(driver), label, "celery") for label in ("A", "A'"))
        found[scenario] = first, second
    return found


@pytest.fixture
def run(site: Site, controls: dict[Scenario, tuple[Observation, Observation]]) -> Run:
    """Gives A, A' and B of a scenario; `called`: with a caller of the lab's present source."""

    def runs(scenario: Scenario, called: bool = False) -> Runs:
        def caller() -> Driver:
            driver = Driver(site.lab) if called else site.driver
            driver.route("taskiq")
            return driver

        driver, worker = together(caller, lambda: taskiq_worker(site.lab, site.modules))
        b = site.lab.observe(scenario(driver), "B", "taskiq")
        worker.stop()
        if called:
            driver.process.stop()
        return *controls[scenario], b

    return runs


def webhook_retries(runs: Runs) -> CheckResult:
    return retries_agree(runs, WEBHOOK)


def cleanup_retries(runs: Runs) -> CheckResult:
    return retries_agree(runs, CLEANUP)


def routed_webhook(runs: Runs) -> CheckResult:
    return ran_where_routed({"webhooks": runs}, [WEBHOOK])


def test_what_is_migrated_passes(site: Site, run: Run) -> None:
    webhooks = run(Webhooks)
    for check in (requests_agree, all_signed, webhook_retries, routed_webhook):
        assert check(webhooks).ok, check(webhooks).detail
    housekeeping = run(Housekeeping)
    assert cleanup_retries(housekeeping).ok, cleanup_retries(housekeeping).detail
    for runs in (webhooks, housekeeping):
        assert comparison(site.context, *runs).findings == []


POLICY = "return RetryPolicy.of(self.celery_task)"
SENT = "broker.find_task(task.name), args, kwargs,"
ROUTED = "if broker.find_task(task.name) is None or flags.system("
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
        {requests_agree: Fault("worker/routing.py", SENT, SENT.replace(" args,", " (),"), called=True)},
    ),
    "calls are not routed": (
        Webhooks,
        {
            routed_webhook: Fault(
                "worker/routing.py", ROUTED, ROUTED.replace("if ", "if True or ", 1), called=True
            )
        },
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_makes_its_check_fail(site: Site, run: Run, name: str, tmp_path: Path) -> None:
    scenario, faults = FAULTS[name]
    site.plant(tmp_path, *faults.values())
    runs = run(scenario, any(fault.called for fault in faults.values()))
    for check, fault in faults.items():
        assert not check(runs).ok, f"{fault.wrong} was not found"


def test_a_lost_transaction_makes_the_comparison_fail(site: Site, run: Run, tmp_path: Path) -> None:
    fault = Fault("db/__init__.py", "        await session.commit()\n", "")
    site.plant(tmp_path, fault)
    assert not comparison(site.context, *run(Housekeeping)).ok
