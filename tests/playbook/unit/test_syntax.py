"""Source is parsed by one thread at a time."""

import ast
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from playbook import syntax

TEXT = Path(syntax.__file__).read_text(encoding="utf-8") * 4
FIXED = sys.version_info >= (3, 12, 2) or (3, 11, 8) <= sys.version_info < (3, 12)


class Cyclic:
    """Garbage whose finalizer runs Python code, and so lets another thread run."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        sum(range(50))


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Threads take turns, and garbage is collected, as often as can be."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(10)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)


def errors(parse: Callable[[str], object]) -> list[str]:
    """Parse in several threads; return what went wrong."""
    found: list[str] = []

    def work() -> None:
        for _ in range(40):
            for _ in range(20):
                Cyclic()
            try:
                parse(TEXT)
            except SystemError as error:
                found.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_threads_that_parse_do_not_meet() -> None:
    assert errors(syntax.parse) == []


@pytest.mark.skipif(FIXED, reason="this Python counts for each thread")
def test_without_the_lock_they_do() -> None:
    assert any(errors(ast.parse) for _ in range(20))


@pytest.mark.parametrize("text", ["1", " [1, {'a': None}]", "-1.5"])
def test_a_literal_is_read_as_by_python(text: str) -> None:
    assert syntax.literal(text) == ast.literal_eval(text)


@pytest.mark.parametrize("text", ["f()", "1 +", "a"])
def test_what_is_none_is_refused_as_by_python(text: str) -> None:
    with pytest.raises((ValueError, SyntaxError)):
        syntax.literal(text)
