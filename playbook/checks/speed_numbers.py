"""From samples to figures: medians and ratios, with 95 % confidence intervals by bootstrap.

Rounds are drawn anew with replacement; the interval holds the middle 95 % of the medians that this gives
(percentile bootstrap; Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13). A ratio is formed
within each round, where both systems met the same machine, and then treated alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from playbook.checks.speed_runs import Sample
from playbook.models import Model

DRAWS = 2_000


class Estimate(Model):
    """A median with the ends of its 95 % confidence interval, and from how many rounds."""

    value: float
    low: float
    high: float
    rounds: int


def estimate(values: Sequence[float]) -> Estimate:
    """Return the median of values, one for each round. The same values give the same interval."""
    drawn = np.random.default_rng(0).choice(np.asarray(values), size=(DRAWS, len(values)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return Estimate(value=float(np.median(values)), low=float(low), high=float(high), rounds=len(values))


def values_of(
    samples: Iterable[Sample], system: str, kind: str, metric: str, workers: int, at: int | None = None
) -> dict[int, float]:
    """Return what was measured in each round."""
    wanted = (system, kind, metric, workers, at)
    return {s.round: s.value for s in samples if (s.system, s.kind, s.metric, s.workers, s.at) == wanted}


def median(
    samples: Iterable[Sample], system: str, kind: str, metric: str, workers: int, at: int | None = None
) -> Estimate | None:
    """Return the median over the rounds; None: it was not measured."""
    values = values_of(samples, system, kind, metric, workers, at)
    return estimate(list(values.values())) if values else None


def ratio(
    samples: Sequence[Sample],
    ours: str,
    other: str,
    kind: str,
    metric: str,
    workers: int,
    at: int | None = None,
) -> Estimate | None:
    """Return the median of `ours / other`, formed in each round; None: it was not measured."""
    mine = values_of(samples, ours, kind, metric, workers, at)
    theirs = values_of(samples, other, kind, metric, workers, at)
    both = sorted(mine.keys() & theirs.keys())
    return estimate([mine[number] / theirs[number] for number in both]) if both else None


def combinations(samples: Iterable[Sample]) -> list[tuple[str, str, int, int | None]]:
    """Return what was measured, in order: kind, metric, number of workers, load or size."""
    return list(dict.fromkeys((s.kind, s.metric, s.workers, s.at) for s in samples))
