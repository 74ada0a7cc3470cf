"""The comparison of two suites catches each test that is gone, weakened or skipped, and blames no other."""

from pathlib import Path

import pytest

from playbook.checks.suite_assertions import Finding, counts, read_suite, unexplained
from playbook.checks.suite_checks import compare_trees
from playbook.config import Application
from playbook.errors import PlaybookError
from playbook.rewrite import suite
from playbook.tree import Tree, read_tree
from tests.playbook.integration import suite_shop

FAKES, SHOP, CONFTEST = (f"tests/shop/{name}.py" for name in ("test_fakes", "test_shop", "conftest"))


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    return suite_shop.make(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def before(application: Application) -> Tree:
    return read_tree(application.base, application.folders)


@pytest.fixture(scope="module")
def after(application: Application, before: Tree) -> Tree:
    return suite_shop.migrate(application, before)


def test_the_migration_leaves_every_test_as_it_was(
    application: Application, before: Tree, after: Tree
) -> None:
    findings, counted = compare_trees(application, before, after)
    assert counted["before"] == counted["after"]
    assert counted["after"]["assertions"] > 30
    (only,) = findings
    assert (only.path, only.kind, only.explained) == (CONFTEST, "changed", "a rule does it")
    assert only.before == "pytest_plugins = ('celery.contrib.pytest',)"
    assert only.after == "pytest_plugins = ('celery.contrib.pytest', 'shop.worker.testing')"
    assert {path: after[path] for path in (FAKES, SHOP)} == {path: before[path] for path in (FAKES, SHOP)}


PLANTED = {
    "a deleted test": (
        SHOP,
        "def test_a_chord(self, posted):\n        order_two(7)\n        assert posted == [7, 7]",
        "pass",
        "removed",
    ),
    "a test by another name": (FAKES, "def test_all_tasks", "def all_tasks", "removed"),
    "a deleted assertion": (SHOP, "        assert posted == [7, 8]\n", "", "weakened"),
    "a weaker comparison": (
        SHOP,
        "assert receipt.delay(7).get(timeout=20) == 7\n        assert",
        "assert receipt.delay(7).get(timeout=20)\n        assert",
        "weakened",
    ),
    "another value": (SHOP, "assert posted == [7] * 4", "assert posted == [7]", "weakened"),
    "an assertion of a mock": (
        FAKES,
        "    apply_async.assert_called_once_with(args=[7], countdown=5)",
        "    apply_async.assert_called()",
        "weakened",
    ),
    "a wider error": (
        SHOP,
        "pytest.raises(ConnectionError, match=",
        "pytest.raises(Exception, match=",
        "weakened",
    ),
    "an error without its text": (FAKES, ', match="no broker"', "", "weakened"),
    "a mark that skips": (
        SHOP,
        "def test_apply(posted)",
        "@pytest.mark.skip(reason='later')\ndef test_apply(posted)",
        "skipped",
    ),
    "a condition that skips": (
        SHOP,
        "def test_apply(posted)",
        "@pytest.mark.skipif(True, reason='')\ndef test_apply(posted)",
        "skipped",
    ),
    "an expected failure": (
        SHOP,
        "def test_apply(posted)",
        "@pytest.mark.xfail\ndef test_apply(posted)",
        "skipped",
    ),
    "a skipped file": (SHOP, "import time\n", "import time\npytestmark = pytest.mark.skip\n", "skipped"),
    "a skip inside": (SHOP, "    time.sleep(0.05)\n", "    pytest.skip('slow')\n", "skipped"),
    "an import that skips": (
        SHOP,
        "import time\n",
        "import time\npytest.importorskip('nothing')\n",
        "skipped",
    ),
    "an ignored file": (CONFTEST, "import os\n", "import os\ncollect_ignore = ['test_shop.py']\n", "skipped"),
    "a hook that deselects": (
        CONFTEST,
        '@pytest.fixture(scope="session")\ndef celery_config',
        "def pytest_collection_modifyitems(items):\n    items.clear()\n\n\n"
        '@pytest.fixture(scope="session")\ndef celery_config',
        "skipped",
    ),
    "a class that is no test": (
        SHOP,
        "class TestWorker:\n",
        "class TestWorker:\n    __test__ = False\n\n",
        "skipped",
    ),
    "a return before the end": (
        SHOP,
        "        order_two(7)\n        assert posted",
        "        return\n        assert posted",
        "changed",
    ),
    "a swallowed assertion": (
        FAKES,
        "        await order(7)\n    task.delay.assert",
        "        await order(7)\n    return\n    task.delay.assert",
        "changed",
    ),
    "fewer parameters": (CONFTEST, 'return ["shop.tasks"]', "return []", "changed"),
    "a fixture that does less": (SHOP, "    before_task_publish.connect(record)\n", "", "changed"),
    "a fixture that hides another": (
        SHOP,
        "@pytest.fixture\ndef eager",
        "@pytest.fixture\ndef posted():\n    return [7]\n\n\n@pytest.fixture\ndef eager",
        "changed",
    ),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_caught(application: Application, before: Tree, after: Tree, fault: str) -> None:
    path, right, wrong, kind = PLANTED[fault]
    assert after[path].count(right) == 1
    planted = after.with_file(path, after[path].replace(right, wrong))
    found = unexplained(compare_trees(application, before, planted)[0])
    assert kind in {one.kind for one in found}, found
    assert {one.path for one in found} == {path}


def test_a_deleted_file_is_caught(application: Application, before: Tree, after: Tree) -> None:
    found = unexplained(compare_trees(application, before, after.without(FAKES))[0])
    assert {one.kind for one in found} == {"removed"}
    assert "test_delay" in {one.name for one in found}


def test_a_new_test_is_welcome(application: Application, before: Tree, after: Tree) -> None:
    more = after.with_file(SHOP, after[SHOP] + "\n\ndef test_more():\n    assert order\n")
    found = compare_trees(application, before, more)[0]
    assert unexplained(found) == []
    assert Finding(SHOP, "test_more", "added", "", "def test_more():") in found


def test_a_change_by_a_rule_is_named(application: Application, before: Tree, after: Tree) -> None:
    """A result that is looked for by its id becomes a handle: an assertion has another text then."""
    test = "tests/shop/test_result.py"
    text = "from celery.result import AsyncResult\n\n\ndef test_id():\n    assert AsyncResult('a').id\n"
    new = suite.slice_(application, after.with_file(test, text)).tree
    findings = compare_trees(application, before.with_file(test, text), new)[0]
    (one,) = [one for one in findings if one.kind == "weakened"]
    assert (one.after, one.explained) == ("assert Handle('a').id", "a rule does it")
    assert unexplained(findings) == []


def test_comments_and_layout_do_not_count() -> None:
    one, other = (
        read_suite({"test_a.py": text})
        for text in (
            "def test_a():\n    assert 1 == 1\n",
            "def test_a():  # why\n    assert (1\n        == 1)\n",
        )
    )
    assert one == other
    assert counts(one) == {"files": 1, "test functions": 1, "assertions": 1, "skips": 0}


def test_a_file_that_is_no_python_ends_in_one_line(application: Application, before: Tree) -> None:
    broken = before.with_file(SHOP, "def test_(:\n")
    with pytest.raises(PlaybookError, match=r"test_shop.py:1 is not valid Python"):
        compare_trees(application, broken, before)


def test_the_bundled_suite_is_left_alone() -> None:
    folder = Path(__file__).parents[2] / "reflector"
    found = counts(read_suite({path.name: path.read_text() for path in folder.glob("*.py")}))
    assert found["test functions"] > 200
    assert found["assertions"] > 500
