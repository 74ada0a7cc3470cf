"""What the lab's servers have in common."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from playbook.lab.process import Process


class Server:
    """A server that a lab uses. A context manager: entering starts it, leaving stops it.

    Attributes:
        process: our own server while it runs.
    """

    process: Process | None = None

    def start(self) -> Self:
        """Start it, and return when it can be used."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it; what it held is gone."""
        if self.process is not None:
            self.process.stop()
            self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
