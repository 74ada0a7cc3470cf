"""A suite of many styles runs on either system by the flag, without a change of its tests."""

from pathlib import Path

import pytest

from playbook.checks.suite_runs import SuiteRun, run_suite
from playbook.config import Application
from playbook.tree import Tree, read_tree
from tests.playbook.integration import suite_shop

pytestmark = pytest.mark.integration

UNROUTED = "tests/shop/test_shop.py::TestWorker::test_a_call_that_no_rule_could_route"


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    return suite_shop.make(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def migrated(application: Application) -> Tree:
    return suite_shop.migrate(application, read_tree(application.base, application.folders))


@pytest.fixture
def root(migrated: Tree, tmp_path: Path) -> Path:
    for path, text in migrated.items():
        target = tmp_path / "migrated" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path / "migrated"


def run(application: Application, root: Path, route: str, *tests: str) -> SuiteRun:
    return run_suite(application, root, root.parent / route, route, tests)


def test_the_tests_pass_on_celery_and_run_there(application: Application, root: Path) -> None:
    found = run(application, root, "celery")
    assert len(found.collected) == 22
    assert found.failed == [], found.said
    assert found.attempts("taskiq") == 0
    assert found.attempts("celery") > 10


def test_the_tests_pass_on_taskiq_and_run_there(application: Application, root: Path) -> None:
    found = run(application, root, "taskiq")
    assert len(found.collected) == 22
    assert found.failed == [], found.said
    assert found.attempts("taskiq") > 10
    # The application's own call that no rule could route goes to Celery, in the tests as in production.
    assert found.ran["celery"] == {"celery.ping": 1, "shop.tasks.receipt": 1}
    assert found.outcomes[UNROUTED] == "passed"
    assert found.lines["shop/tasks.py"].percent == 100


def test_a_fault_of_the_application_fails_on_taskiq(application: Application, root: Path) -> None:
    """The tests go through the migrated calls: one that is not awaited is found."""
    orders = root / "shop" / "orders.py"
    right = "(await dispatch(receipt, number, copies=2)).id"
    assert orders.read_text().count(right) == 1
    orders.write_text(orders.read_text().replace(right, 'dispatch(receipt, number, copies=2) and ""'))
    found = run(application, root, "taskiq", "tests/shop/test_shop.py")
    assert any("test_nobody_runs_what_nobody_reads" in test for test in found.failed)
