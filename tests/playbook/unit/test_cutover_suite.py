"""The tests of the application after the cutover: what counts as the same, and each way to lose some."""

import ast

import pytest

from playbook.checks.cutover_suite import Sources, in_old_words, same_assertions, sources
from playbook.checks.suite_assertions import Suite, functions

BEFORE = """
import pytest


@pytest.fixture
def celery_config():
    return {}


async def test_rename():
    assert rename.delay("1").get(timeout=10) == "new"
    with pytest.raises(ValueError):
        rename.delay("").get()


def test_tasks():
    assert "rename" in app.tasks
    assert app.conf.accept_content == ["json"]
"""
NOW = """
import pytest


@pytest.fixture
def taskiq_config():
    return {}


async def test_rename():
    assert await (await rename.delay("1")).aget(timeout=10) == "new"
    with pytest.raises(ValueError):
        await (await rename.delay("")).aget()


def test_tasks():
    assert "rename" in broker.get_all_tasks()
    assert suite.accept_content == ["json"]
"""


def suite(text: str) -> Suite:
    return {"test_app.py": functions(ast.parse(text))}


def found(now: str, by_rule: str | None = None) -> Sources:
    return sources(suite(BEFORE), suite(by_rule or now), suite(now))


def test_other_words_are_the_same_assertions() -> None:
    result = found(NOW)
    assert same_assertions(result).ok
    assert (result.same, len(result.reworded)) == (1, 3)
    assert result.reworded[0] == (
        "assert rename.delay('1').get(timeout=10) == 'new'",
        "assert await (await rename.delay('1')).aget(timeout=10) == 'new'",
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (' == "new"', ' != "old"'),
        ('"1"', '"2"'),
        ("timeout=10", "timeout=99"),
        ('    assert "rename" in broker.get_all_tasks()\n', ""),
        ('["json"]', "suite.accept_content"),
        ("pytest.raises(ValueError)", "pytest.raises(Exception)"),
        ("def test_tasks", "def check_tasks"),
        ("def test_tasks", "@pytest.mark.skip\ndef test_tasks"),
        ("async def test_rename", "@pytest.mark.xfail\nasync def test_rename"),
        ('await (await rename.delay("1")).aget(timeout=10)', '(await rename.delay("1"))'),
    ],
)
def test_a_rule_that_weakens_a_test_is_caught(old: str, new: str) -> None:
    """Whatever the rules have done: they are not asked."""
    assert NOW.count(old) == 1
    assert not same_assertions(found(NOW.replace(old, new))).ok


def test_an_edit_by_hand_is_told() -> None:
    edited = NOW.replace("import pytest\n", "import pytest\n\nrename = fake\n", 1)
    result = found(edited, by_rule=NOW)
    assert not result.lost
    assert not same_assertions(result).ok


def test_the_application_may_have_another_name() -> None:
    assert in_old_words("assert celery.conf.accept_content", "celery") == in_old_words(
        "assert suite.accept_content", "celery"
    )
