"""Live, ready, and what Prometheus reads: a small HTTP server in the manager of workers and in the scheduler.

    GET /livez      200, or 503: a restart would help
    GET /readyz     200, or 503: it does not work at the moment
    GET /metrics    for Prometheus
    python -m PACKAGE.worker.probes live|ready      # asks the process on TASKIQ_HTTP_PORT; exit status 0 or 1

It runs if TASKIQ_HTTP_PORT is set. Invariant: what a restart cannot heal, such as a Redis that is away, makes
a process not ready, never not live.
"""

import argparse
import os
import socket
import socketserver
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from ..settings import settings
from .connections import ERRORS
from .metrics import StateMetrics, gauge
from .state import Observer, State

if TYPE_CHECKING:
    from .streams import StreamBroker

STUCK = 60.0
"""Seconds without a lease, beside the lease itself, after which a worker process is beyond help."""

CLIENT_TIMEOUT = 5.0
"""Seconds that whoever asks has to say what."""

_answering = threading.Lock()
# A process that is forked while an answer is made would inherit locks that nobody releases.
os.register_at_fork(
    before=_answering.acquire, after_in_parent=_answering.release, after_in_child=_answering.release
)


@dataclass(frozen=True)
class Verdict:
    """Whether all is well; what is wrong."""

    ok: bool
    text: str = "ok"


class Probes(Protocol):
    """What a process answers."""

    registry: CollectorRegistry

    def live(self) -> Verdict:
        """Tell whether it works, or will without a restart."""

    def ready(self) -> Verdict:
        """Tell whether it works now."""


class WorkerProbes(StateMetrics):
    """The answers of the manager of worker processes."""

    def __init__(
        self,
        broker: "StreamBroker",
        pids: Callable[[], Sequence[int]],
        slots: int,
        ending: Callable[[], bool],
    ) -> None:
        """Create them.

        Args:
            broker: the broker of the workers.
            pids: gives the ids of the worker processes that live.
            slots: how many tasks each may run at once; 0 or less: as many as there are.
            ending: tells whether the manager was told to stop.
        """
        super().__init__(Observer(broker))
        self.registry = CollectorRegistry()
        self.registry.register(self)
        MultiProcessCollector(self.registry)  # type: ignore[no-untyped-call]
        self._patience = broker.lease + STUCK
        self._pids, self._ending = pids, ending
        self._slots = slots if slots > 0 else float("inf")
        self._held: dict[int, float] = {}

    def live(self) -> Verdict:
        """A process that has no lease for long, although Redis answers, hangs: others have its tasks."""
        now, pids = time.monotonic(), self._pids()
        try:
            holding = self._holding(self._observer.look())
        except ERRORS as error:
            self._held.clear()
            return Verdict(True, f"Redis cannot be reached, a restart would not help: {error}")
        self._held = {pid: now if pid in holding else self._held.get(pid, now) for pid in pids}
        stuck = [pid for pid, held in self._held.items() if now - held > self._patience]
        return Verdict(not stuck, f"process {stuck[0]} hangs: it has no lease" if stuck else "ok")

    def ready(self) -> Verdict:
        """Every worker process has its lease on every queue."""
        if self._ending():
            return Verdict(False, "it was told to stop")
        try:
            without = set(self._pids()) - self._holding(self._observer.look())
        except ERRORS as error:
            return Verdict(False, f"Redis cannot be reached: {error}")
        return Verdict(not without, f"no lease yet: process {sorted(without)}" if without else "ok")

    def of_process(self, state: State) -> Iterator[Metric]:
        """Yield how busy the processes of this manager are."""
        pids = self._pids()
        running = sum(
            worker.running
            for queue in state.queues.values()
            for worker in queue.workers
            if process_of(worker.name) in pids
        )
        yield gauge("taskiq_worker_processes", "Worker processes of this manager that live.", len(pids))
        yield gauge("taskiq_worker_slots", "Tasks that they may run at once.", len(pids) * self._slots)
        yield gauge("taskiq_worker_running", "Tasks that they hold.", running)

    def _holding(self, state: State) -> set[int]:
        """The processes of this host that have a lease on every queue."""
        held = [
            {process_of(worker.name) for worker in queue.workers if worker.lease > 0}
            for queue in state.queues.values()
        ]
        return {pid for pid in set.intersection(*held) if pid is not None}


def process_of(worker: str) -> int | None:
    """Return the process id in a worker's name, if it runs on this host."""
    host, pid, _ = worker.rsplit("-", 2)
    return int(pid) if host == socket.gethostname() else None


class Server(socketserver.ThreadingTCPServer):
    """An HTTP server; `http.server` has one that asks the name service for a name first."""

    allow_reuse_address = True
    daemon_threads = True


def serve(probes: Probes) -> None:
    """Answer on TASKIQ_HTTP_HOST and TASKIQ_HTTP_PORT, in a thread, from now to the end of the process.

    Raises:
        SystemExit: the port cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = CLIENT_TIMEOUT

        def do_GET(self) -> None:
            with _answering:
                status, kind, body = _answer(probes, self.path, self.headers)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing: who asks knows the answer."""

    address = (settings.TASKIQ_HTTP_HOST, settings.TASKIQ_HTTP_PORT or 0)
    try:
        server = Server(address, Handler)
    except OSError as error:
        sys.exit(f"TASKIQ_HTTP_PORT: cannot listen on {address[0]}:{address[1]}: {error.strerror}")
    # The port is this process' own: a worker process that outlives its manager must not hold it.
    os.register_at_fork(after_in_child=server.socket.close)
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()


def _answer(probes: Probes, path: str, headers: Message) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    if path == "/metrics":
        encode, kind = choose_encoder(headers.get("Accept", ""))
        return 200, kind, encode(probes.registry)
    judges = {"/livez": probes.live, "/readyz": probes.ready}
    if path not in judges:
        return 404, "text/plain", b"use /livez, /readyz or /metrics\n"
    verdict = judges[path]()
    return 200 if verdict.ok else 503, "text/plain; charset=utf-8", f"{verdict.text}\n".encode()


def ask(what: str) -> Verdict:
    """Ask the process on this host's TASKIQ_HTTP_PORT whether it is `live` or `ready`."""
    host = settings.TASKIQ_HTTP_HOST.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    url = f"http://{host}:{settings.TASKIQ_HTTP_PORT}/{what}z"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=CLIENT_TIMEOUT) as answer:
            return Verdict(True, answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        return Verdict(False, error.read().decode().strip())
    except OSError as error:
        return Verdict(False, f"nobody answers on {url}: {error}")


def main() -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(description="Ask the worker or scheduler on this host how it is.")
    parser.add_argument("what", choices=["live", "ready"])
    options = parser.parse_args()
    if not settings.TASKIQ_HTTP_PORT:
        parser.error("TASKIQ_HTTP_PORT is not set, so nobody answers")
    verdict = ask(options.what)
    print(verdict.text, file=sys.stdout if verdict.ok else sys.stderr)
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
