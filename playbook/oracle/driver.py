"""Runs the cases of a file on one system, all at the same time, and writes down what happened.

    python -m playbook.oracle.driver celery|taskiq CASES OUT

It is a process of its own, because a system is configured by the environment when it is imported. CASES is a
list of {"structure", "call"}; OUT gets one object: how each case ended, and what all tasks left in Redis.

A case hangs if its result has not come although nothing is queued, delayed or running any more. So no case
needs a time-out of its own, and those which hang cost one wait in all.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from redis import Redis

from playbook.lab.waiting import wait_until
from playbook.oracle import events
from playbook.oracle.bodies import COUNTS, LISTS, RAISED
from playbook.oracle.structures import build
from playbook.oracle.system import ClientSide, StillWaitingError

CLIENTS = {
    "celery": ("playbook.oracle.celery_side", "CeleryClient"),
    "taskiq": ("playbook.oracle.taskiq_side", "TaskiqClient"),
}

AT_ONCE = 8
"""How many cases may start work at the same time; more would queue up, and timing is part of some cases."""

FIRST_WAIT = 3.0
"""Seconds after which a case that has no result gives its place to another, and waits on."""

WAIT = 1.0
"""Seconds of one wait for a result."""

REST = 0.3
"""Seconds between the two looks that must both find everything at rest."""

LIMIT = 100.0
"""Seconds after which cases are given up although something still runs."""


class Driver:
    """One run of all cases. Each is applied and waited for in a thread of its own.

    Parameters:
        client: the system.
        redis: where workers note what they do.
        cases: the cases, as in CASES.
    """

    def __init__(self, client: ClientSide, redis: Redis, cases: list[dict[str, Any]]) -> None:
        self._client = client
        self._redis = redis
        self._cases = cases
        self._started: dict[int, float] = {}
        self._handles: dict[int, Any] = {}
        self._endings: dict[int, dict[str, Any]] = {}
        self._over = threading.Event()

    def run(self) -> dict[str, Any]:
        """Run all cases; return what OUT is to hold."""
        for number in range(len(self._cases)):
            wait_until(lambda: self._busy() < AT_ONCE, LIMIT, interval=0.01)
            self._started[number] = time.monotonic()
            threading.Thread(target=self._case, args=(number,), daemon=True).start()
        # A client that has its result says nothing about the callbacks behind it.
        rested = self._wait_for_rest()
        self._over.set()
        # Celery may wait on, whatever the time-out says, for a group in a group (celery/result.py, `join`).
        wait_until(lambda: len(self._endings) == len(self._cases), 3 * WAIT)
        numbers = range(len(self._cases))
        return {
            "rested": rested,
            "endings": [self._ending(number) for number in numbers],
            "starts": events.read_events(self._redis),
            "lists": [self._lists(str(number)) for number in numbers],
            "counts": [self._counts(str(number)) for number in numbers],
            "raised": [sorted(self._redis.smembers(f"{RAISED}:{number}")) for number in numbers],
        }

    def _busy(self) -> int:
        """Return the number of cases that hold a place."""
        late = time.monotonic() - FIRST_WAIT
        return sum(at > late for number, at in list(self._started.items()) if number not in self._endings)

    def _case(self, number: int) -> None:
        case = self._cases[number]
        try:
            canvas = build(self._client.tasks, str(number), case["structure"])
            handle = self._handles[number] = self._client.apply(canvas, case["call"])
        except Exception as error:
            self._handles[number] = None
            self._endings[number] = _error(error)
            return
        last = False
        while number not in self._endings and not last:
            last = self._over.is_set()
            self._wait(number, handle)

    def _wait(self, number: int, handle: Any) -> None:
        try:
            result = None if handle is None else self._client.result(handle, WAIT)
        except StillWaitingError:
            return
        except Exception as error:
            self._endings[number] = _error(error)
        else:
            self._endings[number] = {"result": result}

    def _ending(self, number: int) -> dict[str, Any]:
        handle = self._handles.get(number)
        known = {"type": type(handle).__name__, "ids": [] if handle is None else self._client.ids(handle)}
        return self._endings.get(number, {"timeout": True}) | known

    def _wait_for_rest(self) -> bool:
        """Wait until all cases have started and nothing is left to do; tell whether that came in time."""
        deadline = time.monotonic() + LIMIT
        seen: tuple[int, int] | None = None
        while time.monotonic() < deadline:
            now = events.running(self._redis)
            applied = len(self._handles) == len(self._cases)
            resting = applied and now[0] == now[1] and self._client.idle()
            if resting and now == seen:
                return True
            seen = now if resting else None
            time.sleep(REST)
        return False

    def _lists(self, tag: str) -> dict[str, list[Any]]:
        prefix = f"{LISTS}:{tag}:"
        keys = sorted(self._redis.scan_iter(match=f"{prefix}*"))
        values = {key.removeprefix(prefix): self._redis.lrange(key, 0, -1) for key in keys}
        return {key: [json.loads(value) for value in entries] for key, entries in values.items()}

    def _counts(self, tag: str) -> dict[str, int]:
        return {str(key): int(count) for key, count in self._redis.hgetall(f"{COUNTS}:{tag}").items()}


def _error(error: Exception) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": json.loads(json.dumps(list(error.args), default=str))}


def main() -> None:
    """Run what the arguments ask for."""
    system, cases, out = sys.argv[1:]
    module, client = CLIENTS[system]
    side = import_module(module)
    driver = Driver(getattr(side, client)(), side.redis, json.loads(Path(cases).read_text()))
    Path(out).write_text(json.dumps(driver.run()))


if __name__ == "__main__":
    main()
