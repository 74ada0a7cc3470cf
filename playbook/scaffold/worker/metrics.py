"""Metrics for Prometheus: what the tasks of this process did, and what Redis knows.

Invariant: a task costs no command more. What a worker process counts goes to a file in memory that outlives
it (prometheus_client's multiprocess mode); the manager of the processes adds the files up when it is asked,
and looks into Redis then. A process that takes another's place goes on with its file: nothing that was
counted is lost when a worker is killed, and the number of files does not grow.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from functools import cache
from multiprocessing import current_process
from typing import Any

from prometheus_client import Counter, Histogram, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from taskiq import TaskiqMessage, TaskiqMiddleware, TaskiqResult

from .connections import ERRORS
from .messages import DeliveredMessage, Delivery
from .state import Observer, Queue, State
from .streams import StreamBroker

OUTCOMES = {
    "ok": "success",
    "error": "failure",
    "replaced": "replaced",
    "revoked": "revoked",
    "silent": "ignored",
}
"""Names of how a task ended, by `Outcome.kind`. Others: `retry`, `rejected`. Revoked: it had expired, too."""

DURATIONS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600)
"""Bounds of the histograms of tasks (s)."""

LATENESS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 5, 30, 300)
"""Bounds of the histogram of schedule entries (s)."""

AT_RUN_TIME = "(added at run time)"
"""Stands for all entries that were added at run time: their names may be without number."""

_started: ContextVar[float] = ContextVar("started")


class TaskMetrics(TaskiqMiddleware):
    """Counts and times what a worker process runs. Must be the broker's last middleware."""

    def __init__(self) -> None:
        super().__init__()
        ended = Counter("taskiq_tasks", "Attempts that ended, by outcome.", ["task", "outcome"])
        duration = Histogram(
            "taskiq_task_duration_seconds", "How long attempts ran.", ["task"], buckets=DURATIONS
        )
        wait = Histogram(
            "taskiq_task_wait_seconds",
            "How long messages that could be run waited for a worker.",
            ["queue"],
            buckets=DURATIONS,
        )
        self._ended, self._duration, self._wait = (
            cache(ended.labels),
            cache(duration.labels),
            cache(wait.labels),
        )

    def startup(self) -> None:
        """Begin all series at zero, so that a first failure is seen as a rise."""
        for task in self.broker.get_all_tasks():
            self._duration(task)
            for outcome in ("success", "failure", "retry"):
                self._ended(task, outcome)
        for queue in self.broker.queues:  # type: ignore[attr-defined]
            self._wait(queue)

    def pre_execute(self, message: TaskiqMessage) -> TaskiqMessage:
        """Note when an attempt starts, and since when its message could be run."""
        _started.set(time.perf_counter())
        if isinstance(message, DeliveredMessage):
            since = int(message.delivery.entry.partition("-")[0])
            waited = self.broker.now_ms() - since  # type: ignore[attr-defined]
            self._wait(message.delivery.queue).observe(max(0.0, waited / 1000))
        return message

    def post_execute(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:
        """Note how long it ran; the time in TaskIQ's result is rounded to hundredths."""
        self._duration(message.task_name).observe(time.perf_counter() - _started.get())

    def count(self, delivery: Delivery) -> None:
        """Count how a delivery ended."""
        for outcome in outcomes(delivery):
            self._ended(delivery.message.task_name, outcome).inc()


def outcomes(delivery: Delivery) -> Iterator[str]:
    """Yield how a delivery ended: with `retry(throw=False)` a task may both return and be tried again."""
    outcome = delivery.outcome
    if outcome.sends:
        yield "retry"
    if outcome.rejected is not None:
        yield "rejected"
    elif outcome.kind:
        yield OUTCOMES[outcome.kind]
    elif not outcome.sends:
        yield "failure" if outcome.failed else "ignored"


def measure(broker: StreamBroker) -> None:
    """Measure what the broker of this worker process runs.

    PROMETHEUS_MULTIPROC_DIR must have been set before this process started.
    """
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        lambda: current_process().name
    )
    metrics = TaskMetrics()
    broker.add_middlewares(metrics)
    broker.on_end = metrics.count


class StateMetrics(Collector):
    """What Redis knows, at the moment in which Prometheus asks."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def describe(self) -> Iterable[Metric]:
        """Return nothing: Redis is not asked before Prometheus does."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; only `taskiq_redis_up` if Redis cannot be reached."""
        try:
            state = self._observer.look()
        except ERRORS:
            state = None
        yield gauge("taskiq_redis_up", "Whether Redis answers.", float(state is not None))
        if state is not None:
            yield gauge("taskiq_dead_letters", "Messages that could not be run.", state.dead)
            for name, (text, value) in BY_QUEUE.items():
                family = GaugeMetricFamily(name, text, labels=["queue"])
                for queue in state.queues.values():
                    family.add_metric([queue.name], float(value(queue)))
                yield family
            yield from self.of_process(state)

    def of_process(self, state: State) -> Iterator[Metric]:
        """Yield what this process adds."""
        yield from ()


BY_QUEUE: dict[str, tuple[str, Callable[[Queue], float]]] = {
    "taskiq_queue_waiting": ("Tasks that a worker could start now.", lambda q: q.waiting),
    "taskiq_queue_oldest_seconds": ("How long the first of them has waited.", lambda q: q.oldest),
    "taskiq_queue_running": ("Tasks that workers hold.", lambda q: q.running),
    "taskiq_queue_delayed": ("Tasks whose time has not come.", lambda q: q.delayed),
    "taskiq_queue_suspects": ("Tasks that have seen workers die.", lambda q: q.suspects),
    "taskiq_queue_workers": ("Worker processes that hold their lease.", lambda q: q.alive),
}


def gauge(name: str, text: str, value: float) -> Metric:
    """Return a metric that is one number."""
    return GaugeMetricFamily(name, text, value=value)
