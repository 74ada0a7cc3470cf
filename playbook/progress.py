"""Progress of a run on stderr: a bar per phase on a terminal, plain lines elsewhere."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class RunProgress:
    """Tells how far a run is. A context manager; `phase_started` ... `phase_ended` for each phase in it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.fields[phase]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        self._bars = Progress(*columns, console=console) if console.is_terminal else None
        self._task: TaskID | None = None
        self._phase, self._cells, self._done = "", 0, 0

    def __enter__(self) -> RunProgress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._bars.stop()

    def say(self, text: str) -> None:
        """One line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def phase_started(self, phase: str, cells: int) -> None:
        """A notebook of so many code cells begins."""
        self._phase, self._cells, self._done = phase, cells, 0
        if self._bars:
            self._task = self._bars.add_task("starting", total=cells, phase=phase)
        else:
            self.say(f"{phase}: started, {cells} cells")

    def cell_started(self, heading: str) -> None:
        """A code cell begins; `heading` is the one that it stands under."""
        if self._bars and self._task is not None:
            self._bars.update(self._task, description=heading)
        else:
            self.say(f"{self._phase}: cell {self._done + 1} of {self._cells}: {heading}")

    def cell_ended(self) -> None:
        """The code cell is done."""
        self._done += 1
        if self._bars and self._task is not None:
            self._bars.advance(self._task)

    def phase_ended(self, outcome: str) -> None:
        """The phase is over; `outcome` says how, in a few words."""
        if self._bars and self._task is not None:
            self._bars.update(self._task, description=outcome)
        else:
            self.say(f"{self._phase}: {outcome}")
