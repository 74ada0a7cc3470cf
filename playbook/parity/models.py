"""What a comparison is asked (the policy) and what it answers (findings and noise)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from playbook.models import Model

FindingKind = Literal["changed", "missing", "extra", "order", "link", "delay", "empty"]
NoiseKind = Literal["value", "count", "order", "delay"]


class Backoff(Model):
    """The retry delays that a task's exponential back-off may draw.

    `factor` and `maximum` are seconds. With `jitter` (Celery's full jitter) every delay from zero to the
    computed one is legal; without it only the computed one. Source: Celery's
    `celery.utils.time.get_exponential_backoff_interval`.
    """

    factor: float = 1.0
    maximum: float = 600.0
    jitter: bool = True

    def bounds(self, attempt: int) -> tuple[float, float]:
        """Return the smallest and largest legal delay in seconds after the given attempt (counted from 0)."""
        ceiling = min(self.maximum, self.factor * 2.0**attempt)
        return (0.0 if self.jitter else ceiling), ceiling


class Policy(Model):
    """What a comparison must be told because two runs of the old system cannot show it.

    - `folders`: folders of the runs (any of them); each becomes `<dir>` wherever it stands in a text.
    - `ignored_headers`: lower-case request headers that follow from something that is compared anyway.
    - `slack`: seconds by which the records of two processes may disagree about what came first. Celery
      reports the end of a chain's step just after it has sent the next one.
    - `simultaneous`: two requests closer than this (seconds) in a control run have no order.
    - `arrival`: seconds that a message or a row may show up after the end of the task that caused it.
    - `delay_tolerance`: relative tolerance of a planned retry delay.
    - `lateness`: seconds that a retry may start later than planned, beyond what the controls showed.
    - `backoff`: per task name, its exponential back-off. Without an entry the controls teach the delays.
    - `ordinals`: columns that only number rows in order. Their values are compared as a set per table, and
      the rows by that order, so that two branches that race may number their rows either way.
    - `promised`: the pairs (first, second) of task names whose order the application's canvases promise, see
      `promised_order`. Without it every order counts that all control runs agree on. That is right for chains
      alone: between branches of a group, or between a task and one that it sends, they may agree by chance.
    """

    folders: tuple[str, ...] = ()
    ignored_headers: frozenset[str] = frozenset({"content-length"})
    slack: float = 0.02
    simultaneous: float = 0.02
    arrival: float = 0.25
    delay_tolerance: float = 0.05
    lateness: float = 2.0
    backoff: dict[str, Backoff] = Field(default_factory=dict)
    ordinals: frozenset[str] = frozenset({"sequence"})
    promised: frozenset[tuple[str, str]] | None = None


class Finding(Model):
    """One difference of the new system that the old system does not show when compared with itself."""

    kind: FindingKind
    where: str
    expected: Any = None
    got: Any = None
    explanation: str


class Noise(Model):
    """One place where the control runs differ among themselves, with what each of them had there."""

    kind: NoiseKind
    where: str
    values: list[Any]


class Comparison(Model):
    """The answer: `findings` (none when the systems agree), the `noise` learnt, and what was `compared`.

    `compared` counts the records of the first control run per section, for example `{"rows.transcript":
    1}`, so that a reader sees what a verdict without findings rests on.
    """

    scenario: str
    labels: list[str]
    findings: list[Finding]
    noise: list[Noise]
    compared: dict[str, int]

    @property
    def ok(self) -> bool:
        """True when nothing was found."""
        return not self.findings
