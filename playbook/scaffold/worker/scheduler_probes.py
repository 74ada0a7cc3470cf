"""What a scheduler answers on TASKIQ_HTTP_PORT: live, ready, and how late it sends (`probes`)."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric

from .metrics import AT_RUN_TIME, LATENESS, StateMetrics, gauge
from .probes import Verdict
from .schedule_store import Answer, Slot
from .scheduler_loop import SchedulerLoop
from .state import Observer, State
from .streams import StreamBroker

STILL = 30.0
"""Seconds without a turn of the loop after which a scheduler is beyond help: each takes a few at most."""

SILENT = 10.0
"""Seconds since the last answer of Redis after which a scheduler is not ready."""


class SchedulerProbes(StateMetrics):
    """The answers of one replica."""

    def __init__(self, broker: StreamBroker, loop: SchedulerLoop) -> None:
        super().__init__(Observer(broker))
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._loop = loop
        self._late = Histogram(
            "taskiq_schedule_lateness_seconds",
            "From the due time of a slot to its sending.",
            ["entry"],
            buckets=LATENESS,
            registry=self.registry,
        )
        self._sent = Counter(
            "taskiq_schedule_sent", "Slots that this replica has sent.", ["entry"], registry=self.registry
        )
        loop.on_sent = self._note

    def live(self) -> Verdict:
        """The loop turns, be it only to try Redis again."""
        still = time.monotonic() - self._loop.turned
        return Verdict(still < STILL, "ok" if still < STILL else f"the loop stands still for {still:.0f} s")

    def ready(self) -> Verdict:
        """Redis has answered lately."""
        silent = time.monotonic() - self._loop.answered
        return Verdict(silent < SILENT, "ok" if silent < SILENT else "Redis does not answer")

    def of_process(self, state: State) -> Iterator[Metric]:
        """Yield how long the slot that is due the longest has waited."""
        overdue = self._loop.overdue()
        yield gauge("taskiq_schedule_overdue_seconds", "How long a due slot has not been sent.", overdue)

    def _note(self, slot: Slot, answer: Answer) -> None:
        entry = AT_RUN_TIME if slot.stored else slot.entry
        self._late.labels(entry).observe((answer.now - slot.due) / 1e6)
        self._sent.labels(entry).inc()
