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
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from redis import Redis

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

NEXT_WAIT = 1.0
REST = 0.3
"""Seconds between the two looks that must both find everything at rest."""

LIMIT = 100.0
"""Seconds after which cases are given up although something still runs."""


class Driver:
    """One run of all cases.

    Parameters:
        client: the system.
        redis: where workers note what they do.
        cases: the cases, as in CASES.
    """

    def __init__(self, client: ClientSide, redis: Redis, cases: list[dict[str, Any]]) -> None:
        self._client = client
        self._redis = redis
        self._cases = cases
        self._places = threading.Semaphore(AT_ONCE)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._applied = 0

    def run(self) -> dict[str, Any]:
        """Run all cases; return what OUT is to hold."""
        with ThreadPoolExecutor(len(self._cases) or 1) as threads:
            futures = [threads.submit(self._case, str(n), case) for n, case in enumerate(self._cases)]
            rested = self._wait_for_rest()
            self._over.set()
            endings = [future.result() for future in futures]
        # A client that has its result says nothing about the callbacks behind it.
        rested = rested and self._wait_for_rest()
        return {
            "rested": rested,
            "endings": endings,
            "starts": events.read_events(self._redis),
            "lists": [self._lists(str(n)) for n in range(len(self._cases))],
            "counts": [self._counts(str(n)) for n in range(len(self._cases))],
            "raised": [sorted(self._redis.smembers(f"{RAISED}:{n}")) for n in range(len(self._cases))],
        }

    def _case(self, tag: str, case: dict[str, Any]) -> dict[str, Any]:
        with self._places:
            try:
                handle = self._client.apply(build(self._client.tasks, tag, case["structure"]), case["call"])
            except Exception as error:
                return {**_error(error), "type": None, "ids": []}
            finally:
                with self._lock:
                    self._applied += 1
            ending = self._wait(handle, FIRST_WAIT)
        while ending is None:
            over = self._over.is_set()
            ending = self._wait(handle, NEXT_WAIT) or ({"timeout": True} if over else None)
        return {**ending, "type": type(handle).__name__, "ids": self._client.ids(handle)}

    def _wait(self, handle: Any, timeout: float) -> dict[str, Any] | None:
        if handle is None:
            return {"result": None}
        try:
            return {"result": self._client.result(handle, timeout)}
        except StillWaitingError:
            return None
        except Exception as error:
            return _error(error)

    def _wait_for_rest(self) -> bool:
        """Wait until all cases have started and nothing is left to do; tell whether that came in time."""
        deadline = time.monotonic() + LIMIT
        seen: tuple[int, int] | None = None
        while time.monotonic() < deadline:
            now = events.running(self._redis)
            resting = self._applied == len(self._cases) and now[0] == now[1] and self._client.idle()
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
