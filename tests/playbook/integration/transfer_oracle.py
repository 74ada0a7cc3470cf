"""Canvases that are started on one system, transferred, and end on the other: the oracle's driver, with that.

    python transfer_oracle.py to-taskiq|to-celery CASES OUT GO

Clients are those of the system where canvases start; they hear of results by `transfer results`. Once the
file GO exists, transfers run one after the other. How much was moved, and what the last one left, stands in
the file OUT.state.
"""

import json
import sys
import threading
from pathlib import Path

from playbook.oracle.celery_side import CeleryClient, redis
from playbook.oracle.driver import Driver
from playbook.oracle.system import REDIS_VARIABLE
from playbook.oracle.taskiq_side import TaskiqClient, broker
from playbook.scaffold.settings import settings
from playbook.scaffold.worker.connections import client
from playbook.scaffold.worker.streams import StreamBroker
from playbook.scaffold.worker.transfer import Transfer
from playbook.scaffold.worker.transfer_celery import CeleryRedis

PAUSE = 0.1
assert REDIS_VARIABLE == "CELERY_BROKER_URL", "both sides read the same variable"


class Resting:
    """A client that is at rest when nothing is left on either side."""

    def __init__(self) -> None:
        super().__init__()
        self._others = CeleryClient(), TaskiqClient()

    def idle(self) -> bool:
        return all(other.idle() for other in self._others)


class FromCelery(Resting, CeleryClient):
    """Celery's client."""


class FromTaskiq(Resting, TaskiqClient):
    """TaskIQ's client."""


def transfers(command: str, go: Path, state: Path, over: threading.Event) -> None:
    """Transfer what there is, again and again."""
    assert isinstance(broker, StreamBroker)
    url = settings.CELERY_BROKER_URL
    transfer = Transfer(broker, CeleryRedis(client(url), client(url)), client(url))
    move = transfer.to_taskiq if command == "to-taskiq" else transfer.to_celery
    moved = 0
    while not over.wait(PAUSE):
        if go.exists():
            report = move()
            moved += report.moved
            state.write_text(json.dumps({"moved": moved, "left": report.left}))
            transfer.tell()


def main() -> None:
    """Run what the arguments ask for."""
    command = sys.argv[1]
    cases, out, go = map(Path, sys.argv[2:])
    over = threading.Event()
    state = out.with_name(f"{out.name}.state")
    beside = threading.Thread(target=transfers, args=(command, go, state, over))
    beside.start()
    client = FromCelery() if command == "to-taskiq" else FromTaskiq()
    written = Driver(client, redis, json.loads(cases.read_text())).run()
    over.set()
    beside.join()
    out.write_text(json.dumps(written))


if __name__ == "__main__":
    main()
