"""What an entry's `schedule` can be: a crontab, an interval; nothing that follows the sun.

Times that are compared are aware; what follows from a last run is told in UTC.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NoReturn, Protocol

from .crontab import Due, crontab

__all__ = ["Due", "Schedule", "crontab", "maybe_schedule", "schedule", "solar"]

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MINUTE = timedelta(minutes=1)


class Schedule(Protocol):
    """When something is due."""

    def following(self, last_run: datetime, zone: tzinfo) -> datetime:
        """Return the first due time (UTC) after `last_run`."""

    def is_due(self, last_run: datetime, now: datetime, zone: tzinfo, deadline: float | None = None) -> Due:
        """Tell whether it is due, and the seconds until it should be looked at again."""


class schedule:  # noqa: N801 (Celery's name)
    """An interval, as `celery.schedules.schedule`.

    Attributes:
        run_every: the interval.
        relative: whether runs fall on whole days, hours, minutes or seconds of the clock, whichever is the
            greatest that the interval holds.
    """

    def __init__(self, run_every: float | timedelta, relative: bool = False) -> None:
        """Create an interval.

        Args:
            run_every: seconds, or a timedelta.
            relative: see above.

        Raises:
            ValueError: the interval is not positive. (Celery's beat would send without pause.)
        """
        self.run_every = run_every if isinstance(run_every, timedelta) else timedelta(seconds=run_every)
        self.relative = relative
        if self.run_every <= timedelta(0):
            raise ValueError(f"an interval must be longer than {self.run_every.total_seconds():g} s")

    @property
    def seconds(self) -> float:
        """The interval in seconds."""
        return self.run_every.total_seconds()

    def __repr__(self) -> str:
        return f"<every {self.seconds:g} s{', on the clock' if self.relative else ''}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, schedule) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[timedelta, bool]:
        return self.run_every, self.relative

    def next_run(self, last_run: datetime, zone: tzinfo) -> datetime:
        """Return the time (UTC) that follows from the last run, as beat computes it.

        A relative interval below a second may give a time that is not after `last_run`.
        """
        if self.relative:
            return _on_the_clock(last_run.astimezone(zone), self.run_every, zone)
        return last_run.astimezone(UTC) + self.run_every

    def following(self, last_run: datetime, zone: tzinfo) -> datetime:
        """Return the first due time (UTC) after `last_run`; `zone` matters for a relative interval."""
        due = self.next_run(last_run, zone)
        return due if due > last_run else last_run.astimezone(UTC) + self.run_every

    def is_due(self, last_run: datetime, now: datetime, zone: tzinfo, deadline: float | None = None) -> Due:
        """Tell whether it is due, as Celery's `schedule.is_due` does; a deadline is for crontabs only."""
        left = (self.next_run(last_run, zone) - now).total_seconds()
        if left > 0:
            return Due(False, left)
        ahead = (self.next_run(now, zone) - now).total_seconds() if self.relative else 0
        return Due(True, ahead if ahead > 0 else self.seconds)


def _on_the_clock(start: datetime, every: timedelta, zone: tzinfo) -> datetime:
    """Return the end (UTC) of a relative interval: the last round clock time in it that is after its start.

    Days are calendar days, whatever their length; smaller units pass in real time (celery/utils/time.py,
    `remaining`).
    """
    begin = start.astimezone(UTC)
    if every >= DAY:
        wall = start.replace(tzinfo=None) + every
        found = [at for at in _instants(_rounded(wall, every), zone) if at > begin]
        return min(found, default=wall.replace(tzinfo=zone).astimezone(UTC))
    end = begin + every
    wall = end.astimezone(zone).replace(tzinfo=None)
    near = _instants(_rounded(wall, every), zone)
    best = max((at for at in near if at <= end), default=min(near))
    if every < MINUTE or best > begin:
        return best
    # The clock was set back by part of an hour: the round time may lie before the start, and others in reach.
    unit = HOUR if every >= HOUR else MINUTE
    near += _instants(_rounded(wall + unit, every), zone)
    near += _instants(_rounded(start.replace(tzinfo=None) + every, every), zone)
    ahead = [at for at in near if at > begin]
    return max((at for at in ahead if at <= end), default=min(ahead, default=end))


def _rounded(wall: datetime, every: timedelta) -> datetime:
    """Round a wall-clock time down to the greatest unit that an interval holds."""
    if every >= DAY:
        return wall.replace(hour=0, minute=0, second=0, microsecond=0)
    if every >= HOUR:
        return wall.replace(minute=0, second=0, microsecond=0)
    if every >= MINUTE:
        return wall.replace(second=0, microsecond=0)
    return wall.replace(microsecond=0)


def _instants(wall: datetime, zone: tzinfo) -> list[datetime]:
    """Return when (UTC) the clock shows `wall`: twice in a repeated hour; a skipped time is moved on."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    exists = first.astimezone(zone).replace(tzinfo=None) == wall
    return [first, second] if exists else [first]


def solar(*args: Any, **kwargs: Any) -> NoReturn:
    """Refuse a schedule that follows the sun.

    Raises:
        ValueError: always, with the reason.
    """
    raise ValueError(
        "solar schedules are not supported: the runtime computes no ephemeris. Give the entry a crontab, or "
        "let a daily task compute the time and send the work with an eta."
    )


def maybe_schedule(value: Any, relative: bool = False) -> Schedule:
    """Return a schedule from what an entry gives: seconds, a timedelta or a schedule.

    Raises:
        TypeError: it is none of that.
    """
    if isinstance(value, (int, float, timedelta)):
        return schedule(value, relative)
    if isinstance(value, (schedule, crontab)):
        return value
    raise TypeError(
        f"a schedule is a number of seconds, a timedelta, schedule(...) or crontab(...), not {value!r}"
    )


def as_json(value: Schedule) -> dict[str, Any]:
    """Return a schedule as JSON values; `from_json` reads it."""
    if isinstance(value, crontab):
        return {"crontab": value.spec}
    if isinstance(value, schedule):
        return {"every": value.seconds, "relative": value.relative}
    raise TypeError(f"{value!r} cannot be stored")


def from_json(stored: Mapping[str, Any]) -> Schedule:
    """Return the schedule that `as_json` stored."""
    if "crontab" in stored:
        return crontab(**stored["crontab"])
    return schedule(stored["every"], stored["relative"])
