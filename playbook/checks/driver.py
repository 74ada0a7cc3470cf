"""The process of the application through which the lab calls tasks and sets routes (`probes/driver.py`)."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from playbook.lab import Lab, LabError
from playbook.lab.loopback import http_client
from playbook.lab.programs import answers
from playbook.lab.waiting import free_port

HEEDED = 1.0
"""Seconds within which every process heeds a live route (worker/flags.py)."""

TIMEOUT = 30.0
PROGRAM = "playbook.checks.probes.driver"

Calls = Sequence[tuple[str, Sequence[Any], Mapping[str, Any]]]


class Driver:
    """Starts the process in a lab; it ends with the lab.

    Parameters:
        lab: a lab that is started.
        route: the live route to set at the start; None: as it is.
        program: the module that runs in it.
    """

    def __init__(self, lab: Lab, route: str | None = None, program: str = PROGRAM) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", program, str(port)]
        self.process = lab.spawn(command, name="driver", ready=answers(f"{self.url}/ready"))
        if route is not None:
            self.route(route)

    def call(self, calls: Calls) -> list[str]:
        """Call tasks through `dispatch`: name, positional and keyword arguments. Returns their ids."""
        ids: list[str] = self.ask("calls", calls)
        return ids

    def route(self, where: str) -> None:
        """Set the live route for all tasks, and wait until every process heeds it."""
        self.ask("route", where)
        time.sleep(HEEDED)

    def ask(self, path: str, body: Any) -> Any:
        """Let it do something; see `probes/driver.py`.

        Raises:
            LabError: it could not.
        """
        with http_client(self.url, TIMEOUT) as http:
            response = http.post(path, json=body)
        if response.is_error:
            raise LabError(f"the driver could not do {path}; {self.process.last_lines()}")
        return response.json()
