"""The loop bridge."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from reflector.asynctask import asynctask

variable: ContextVar[str] = ContextVar("variable", default="unset")


@asynctask
async def double(number: int, *, plus: int = 0) -> int:
    """Twice the number."""
    await asyncio.sleep(0)
    return number * 2 + plus


@asynctask
async def fail() -> None:
    raise ValueError("on purpose")


@asynctask
async def where() -> tuple[int, str]:
    return threading.get_ident(), variable.get()


def test_runs_to_completion_in_the_calling_thread() -> None:
    assert double(3, plus=1) == 7
    assert where() == (threading.get_ident(), "unset")


async def test_runs_under_a_running_loop_with_the_callers_context() -> None:
    variable.set("set")
    assert double(3) == 6
    thread, value = where()
    assert thread != threading.get_ident()
    assert value == "set"


def test_raises_what_the_function_raises() -> None:
    with pytest.raises(ValueError, match="on purpose"):
        fail()


async def test_raises_under_a_running_loop_too() -> None:
    with pytest.raises(ValueError, match="on purpose"):
        fail()


def test_keeps_the_functions_identity() -> None:
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice the number."
    assert double.__module__ == __name__
    assert asyncio.iscoroutinefunction(double.__wrapped__)
