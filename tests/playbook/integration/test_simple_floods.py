"""The checks of 02_simple_tasks under load, of what is registered and of the way back find planted faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from playbook.checks import registered, rollback
from playbook.checks.driver import Driver
from playbook.checks.flood import Flood, run_flood
from playbook.checks.rollback import rehearse
from playbook.checks.simple_lab import celery_worker
from playbook.checks.simple_scenarios import PROCESS_RECORDING, SYNC_ROOM, WEBHOOK
from playbook.checks.simple_verdicts import doubled_in_flight, goes_back, nothing_lost, rolls_back
from playbook.contracts import CheckResult
from tests.playbook.integration.simple_site import Fault, Site, open_site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("run")) as opened:
        yield opened


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    yield shared
    shared.right_source()


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
    site.celery.kill()
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
