"""A process that ends with its parent, however the parent ends: also by kill -9, which runs no handler."""

from __future__ import annotations

import os
import threading
import time

INTERVAL = 0.5
"""Seconds between two looks at the parent."""


def end_with(parent: int) -> None:
    """End this process, at once and with status 1, as soon as its parent is not (or no longer) `parent`.

    A child of a dead process is adopted by another one; that is what a thread looks for. ipykernel's own
    poller looks for adoption by process 1 only when it starts late, and misses other adopters (a user's
    systemd).
    """
    threading.Thread(target=_watch, args=(parent,), name="lifeline", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(INTERVAL)
    os._exit(1)
