"""Planned failures of the outside world, per service."""

from __future__ import annotations

from collections import deque
from typing import Annotated

from pydantic import Field, model_validator

from playbook.models import Model


class Fault(Model):
    """What to do to the next `times` requests of a service.

    `delay` seconds pass first. Then the connection is dropped, or `status` is answered, or (neither given)
    the usual answer follows.
    """

    service: str
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    delay: Annotated[float, Field(ge=0)] | None = None
    drop: bool = False
    times: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _does_something(self) -> Fault:
        if self.status is None and self.delay is None and not self.drop:
            raise ValueError("a fault needs a status, a delay or drop")
        return self


class Faults:
    """The faults that are still to come, in the order in which they were planned."""

    def __init__(self) -> None:
        self._planned: dict[str, deque[Fault]] = {}

    def plan(self, fault: Fault) -> None:
        """Add a fault behind those planned before for the same service."""
        self._planned.setdefault(fault.service, deque()).extend([fault] * fault.times)

    def take(self, service: str) -> Fault | None:
        """Return the fault for the service's next request, which uses it up."""
        waiting = self._planned.get(service)
        return waiting.popleft() if waiting else None

    def clear(self) -> None:
        """Forget all faults."""
        self._planned.clear()
