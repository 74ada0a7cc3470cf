"""The kernel of a run: this interpreter, private to the run, and gone when the run is gone.

`python -m playbook.kernel -f CONNECTION_FILE` is what the runner starts. It is an ordinary ipykernel that
ends with the process that started it, that waits until the kernel of an earlier, killed run has ended, and
that keeps its own messages in a log.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ipykernel.kernelapp import launch_new_instance
from ipykernel.kernelspec import get_kernel_dict, make_ipkernel_cmd
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from traitlets import default

from playbook.files import exclusive
from playbook.lifeline import end_with

LOCK_VARIABLE = "PLAYBOOK_KERNEL_LOCK"
"""Environment variable that names the lock file of the run's kernel."""

_PATIENCE = 30.0


class _OwnSpecs(KernelSpecManager):
    """Knows one kernel under every name, whatever is registered on the machine."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The kernel of this module in this interpreter."""
        return KernelSpec(**{**get_kernel_dict(), "argv": make_ipkernel_cmd("playbook.kernel")})


class OwnKernelManager(AsyncKernelManager):
    """Starts the kernel of this module."""

    @default("kernel_spec_manager")
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return _OwnSpecs(parent=self)

    @default("transport_encryption")
    def _transport_encryption_default(self) -> str:
        return "auto"


def main() -> None:
    """Be the kernel."""
    end_with(int(os.environ["JPY_PARENT_PID"]))  # set by jupyter_client/launcher.py
    lock = Path(os.environ[LOCK_VARIABLE])
    with exclusive(lock, _PATIENCE), lock.with_suffix(".log").open("w") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
        launch_new_instance()


if __name__ == "__main__":
    main()
