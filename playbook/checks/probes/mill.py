"""Work of every kind at a steady rate, as a module of an application on Celery.

For the rehearsal of a rollback it is put into the application's package, and the slices migrate it with the
rest. `main` sends until the process gets SIGTERM.

Ledger, in the Redis that MILL_LEDGER names: `mill:sent` has the name of each attempt that must end, with the
Unix time of the sending; `mill:starts` and `mill:ends` the attempts as "NAME ATTEMPT SYSTEM"; `mill:ticks`
the times at which the schedule's task ran.
"""

import itertools
import os
import signal
import time
from typing import Any

from celery import chain, chord
from redis import Redis

from reflector.worker.app import app

SENT, STARTS, ENDS, TICKS = "mill:sent", "mill:starts", "mill:ends", "mill:ticks"
RETRIES = 2
LATER = 2.0
"""Seconds until what is sent for later is due, and until a next attempt."""

PAUSE = 0.005
ledger: Any = Redis.from_url(os.environ.get("MILL_LEDGER", "redis://127.0.0.1"), decode_responses=True)


def attempt(name: str, number: int = 0) -> None:
    """Note the start of an attempt, do something, note its end."""
    noted = f"{name} {number} {os.environ.get('MILL_SYSTEM', '')}"
    ledger.rpush(STARTS, noted)
    time.sleep(PAUSE)
    ledger.rpush(ENDS, noted)


@app.task
def step(name: str) -> int:
    """Do one thing."""
    attempt(name)
    return 1


@app.task(bind=True, max_retries=RETRIES)
def again(self: Any, name: str) -> None:
    """Ask for another attempt until there is none left."""
    attempt(name, self.request.retries)
    if self.request.retries < RETRIES:
        raise self.retry(countdown=LATER)


@app.task
def total(numbers: list[int], name: str) -> int:
    """Be the body of a chord."""
    attempt(name)
    return sum(numbers)


@app.task
def tick() -> None:
    """Be sent by the schedule."""
    ledger.rpush(TICKS, time.time())


def expect(*attempts: str) -> None:
    """Note what must end."""
    ledger.hset(SENT, mapping=dict.fromkeys(attempts, time.time()))


def alone(name: str) -> None:
    """Send one task."""
    expect(f"{name} 0")
    step.delay(name)


def later(name: str) -> None:
    """Send one task that is due later."""
    expect(f"{name} 0")
    step.apply_async((name,), countdown=LATER)


def retried(name: str) -> None:
    """Send one task that is tried again."""
    expect(f"{name} {RETRIES}")
    again.delay(name)


def chained(name: str) -> None:
    """Send a chain."""
    expect(*(f"{name}.{number} 0" for number in range(3)))
    chain(step.si(f"{name}.0"), step.si(f"{name}.1"), step.si(f"{name}.2")).apply_async()


def fanned_in(name: str) -> None:
    """Send a chord."""
    expect(*(f"{name}.{number} 0" for number in range(4)))
    chord([step.si(f"{name}.{number}") for number in range(3)], total.s(f"{name}.3")).apply_async()


KINDS = ((alone, 1), (alone, 1), (alone, 1), (later, 1), (retried, 3), (chained, 3), (fanned_in, 4))
"""What is sent, in turn, and how many attempts each comes to."""


def main(rate: float) -> None:
    """Send until the process is told to stop; `rate` is in attempts per second."""
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))
    print("sending", flush=True)
    due = time.monotonic()
    for number, (send, attempts) in zip(itertools.count(), itertools.cycle(KINDS), strict=False):
        if stop:
            break
        send(f"{os.getpid()}-{number}")
        due = max(due + attempts / rate, time.monotonic() - 1)  # what was not possible is not made up
        time.sleep(max(0.0, due - time.monotonic()))
