"""The check of the way back finds planted faults. (Those of all other checks are in test_plants.)"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from playbook.checks import rollback
from playbook.checks.driver import Driver
from playbook.checks.rollback import rehearse
from playbook.checks.simple_lab import celery_worker
from playbook.checks.simple_verdicts import rolls_back
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


@pytest.fixture
def no_worker(site: Site) -> Iterator[None]:
    """No worker of Celery for the time of a test, and little patience with what never comes."""
    site.celery.kill()
    yield
    site.celery = celery_worker(site.lab)


@pytest.mark.long  # notebook 02 goes this way, too
def test_the_way_back_is_open(site: Site, no_worker: None) -> None:
    result = rolls_back(rehearse(site.context, site.lab, site.driver, site.modules))
    assert result.ok, result.detail


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            Fault(
                "worker/routing.py",
                "sent = self.task.apply_async(",
                'sent = self.task.app.send_task("new." + self.task.name, ',
            ),
            marks=pytest.mark.long,
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
