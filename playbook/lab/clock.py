"""Let the wall clock of a worker jump: load this module into it, and send it SIGUSR2.

The environment variable PLAYBOOK_CLOCK_JUMP is how many seconds forward it jumps; negative: back. It goes on
from there. The monotonic clock does not jump, as none does when an administrator or NTP sets the time
(clock_gettime(2)).
"""

from __future__ import annotations

import os
import signal
import time

JUMP_VARIABLE = "PLAYBOOK_CLOCK_JUMP"
JUMP_SIGNAL = signal.SIGUSR2


def jump(*_: object) -> None:
    """Jump."""
    import time_machine  # Only a worker that jumps needs it.

    time_machine.travel(time.time() + float(os.environ[JUMP_VARIABLE]), tick=True).start()


if JUMP_VARIABLE in os.environ:
    signal.signal(JUMP_SIGNAL, jump)
