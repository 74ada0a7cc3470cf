"""Crontab expressions with Celery's meaning (celery/schedules.py 5.7).

    crontab(minute=0, hour=5)                             # every day at five
    crontab(minute="*/10", hour="22-2", day_of_week="fri-sun")
    crontab(day_of_month="8-14", day_of_week="mon")       # the second Monday: both days must match

A field is a number, a text or a list of numbers. A text is a list of parts between commas: `*`, a number, a
name (its first three letters count), a range, and a range or `*` with a step. Ranges wrap around.

A crontab is a set of wall-clock minutes. Those of the hour that a clock change skips come once the clock has
gone on, later by the change; those of the hour that is repeated come the first time only.
"""

import calendar
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, NamedTuple

MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}

RANGE = re.compile(r"(\w+?)-(\w+)(/(\w*))?")
STAR = re.compile(r"\*(?:/(\w*)|\n?$)")


class ParseException(Exception):  # noqa: N818 (Celery's name)
    """A text is no crontab expression."""


class Due(NamedTuple):
    """Whether an entry is due, and the seconds until it should be looked at again."""

    is_due: bool
    next: float


class Field(NamedTuple):
    """The values that a field can have: `size` numbers from `first` on."""

    size: int
    first: int

    @property
    def last(self) -> int:
        """The greatest value."""
        return self.first + self.size - 1

    def expand(self, spec: Any) -> frozenset[int]:
        """Return the values that a specification names.

        Raises:
            TypeError: it is neither a number nor a text nor a list.
            ValueError: a value is out of range.
            ParseException: the text is no expression.
        """
        if isinstance(spec, int):
            values = {spec}
        elif isinstance(spec, str):
            values = {value for part in spec.split(",") for value in self._part(part)}
        elif isinstance(spec, Iterable):
            values = set(spec)
        else:
            raise TypeError(
                "Argument cronspec needs to be of any of the following types: int, str, or an iterable "
                f"type. {type(spec)!r} was given."
            )
        for value in values:
            if not isinstance(value, int):
                raise TypeError(f"a list of crontab values must hold whole numbers, not {value!r}")
            if not self.first <= value <= self.last:
                raise ValueError(
                    f"Invalid crontab pattern.  Valid range is {self.first}-{self.last}. '{value}' was found."
                )
        return frozenset(values)

    def _part(self, part: str) -> list[int]:
        """Return the values of one part; what follows a complete range is ignored, as in Celery."""
        if not part:
            raise ParseException("empty part")
        if found := RANGE.match(part):
            low, high, stepped, step = found.groups()
            if stepped and not step:
                raise ParseException("empty filter")
            values = self._range(self._number(low), self._number(high))
            return values[:: int(step)] if stepped else values
        if found := STAR.match(part):
            if found[1] == "":
                raise ParseException("empty filter")
            return list(range(self.first, self.last + 1))[:: int(found[1] or 1)]
        return [self._number(part)]

    def _range(self, low: int, high: int) -> list[int]:
        if low <= high:
            return list(range(low, high + 1))
        return [*range(low, self.last + 1), *range(self.first, high + 1)]

    def _number(self, text: str) -> int:
        if text.startswith("-"):
            raise ParseException("negative numbers not supported")
        try:
            value = int(text)
        except ValueError:
            name = text[:3].lower()
            found = MONTHS.get(name, WEEKDAYS.get(name))
            if found is None:
                raise ValueError(f"Invalid weekday literal {text!r}.") from None
            value = found
        if value > self.last:
            raise ValueError(f"Invalid end range: {value} > {self.last}.")
        if value < self.first:
            raise ValueError(f"Invalid beginning range: {value} < {self.first}.")
        return value


MINUTE, HOUR, DAY_OF_WEEK = Field(60, 0), Field(24, 0), Field(7, 0)
DAY_OF_MONTH, MONTH_OF_YEAR = Field(31, 1), Field(12, 1)


class crontab:  # noqa: N801 (Celery's name)
    """A set of wall-clock minutes, as `celery.schedules.crontab`.

    Attributes:
        minute, hour, day_of_week, day_of_month, month_of_year: the values of each field; Sunday is 0.
        spec: the fields as they were given.
    """

    def __init__(
        self,
        minute: Any = "*",
        hour: Any = "*",
        day_of_week: Any = "*",
        day_of_month: Any = "*",
        month_of_year: Any = "*",
    ) -> None:
        """Create a crontab. A minute matches if all five fields do.

        Raises:
            TypeError, ValueError, ParseException: Celery refuses it, too (`Field.expand`); or no month has
                one of the days.
        """
        given = {"minute": minute, "hour": hour, "day_of_week": day_of_week}
        given |= {"day_of_month": day_of_month, "month_of_year": month_of_year}
        self.spec = {name: list(v) if _is_list(v) else v for name, v in given.items()}
        self.hour = HOUR.expand(self.spec["hour"])
        self.minute = MINUTE.expand(self.spec["minute"])
        self.day_of_week = DAY_OF_WEEK.expand(self.spec["day_of_week"])
        self.day_of_month = DAY_OF_MONTH.expand(self.spec["day_of_month"])
        self.month_of_year = MONTH_OF_YEAR.expand(self.spec["month_of_year"])
        # In a leap year: the 29th of February does occur.
        longest = max((calendar.monthrange(2024, month)[1] for month in self.month_of_year), default=0)
        if not any(day <= longest for day in self.day_of_month):
            raise ValueError(
                f"Invalid crontab: day_of_month {day_of_month!r} never occurs in "
                f"month_of_year {month_of_year!r}."
            )
        if not (self.minute and self.hour and self.day_of_week):
            raise ValueError(f"{self!r} never occurs: one of its lists is empty")

    @classmethod
    def from_string(cls, text: str) -> "crontab":
        """Return the crontab of a line: minute, hour, day of month, month, day of week.

        Raises:
            ValueError: it does not have five fields; further see `crontab`.
        """
        fields = text.split(" ")
        if len(fields) != 5:
            raise ValueError(f"{text!r} has {len(fields)} fields, a crontab has 5")
        minute, hour, day_of_month, month_of_year, day_of_week = fields
        return cls(minute, hour, day_of_week, day_of_month, month_of_year)

    def __repr__(self) -> str:
        order = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
        return f"<crontab: {' '.join(str(self.spec[name]) for name in order)} (m/h/dM/MY/d)>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, crontab) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[frozenset[int], ...]:
        return (self.minute, self.hour, self.day_of_week, self.day_of_month, self.month_of_year)

    def next_run(self, last_run: datetime, zone: tzinfo) -> datetime:
        """Return the time (UTC) that follows from the last run, as beat computes it.

        Within a repeated hour this may be before `last_run`: beat, when it is started there, sends without
        pause. See `following`.

        Args:
            last_run: an aware time.
            zone: the time zone of the application.
        """
        return (
            self._next_wall(last_run.astimezone(zone).replace(tzinfo=None))
            .replace(tzinfo=zone)
            .astimezone(UTC)
        )

    def following(self, last_run: datetime, zone: tzinfo) -> datetime:
        """Return the first due time (UTC) after `last_run`; args as for `next_run`."""
        wall = last_run.astimezone(zone).replace(tzinfo=None)
        while True:
            wall = self._next_wall(wall)
            due = wall.replace(tzinfo=zone).astimezone(UTC)
            if due > last_run:
                return due

    def is_due(self, last_run: datetime, now: datetime, zone: tzinfo, deadline: float | None = None) -> Due:
        """Tell whether it is due, as Celery's `crontab.is_due` does.

        Args:
            last_run: an aware time.
            now: an aware time.
            zone: the time zone of the application.
            deadline: seconds after which a missed run is given up (`beat_cron_starting_deadline`).
        """
        late = (now - self.next_run(last_run, zone)).total_seconds()
        if late < 0:
            return Due(False, -late)
        due = True
        if deadline is not None and late > 0:
            # The bound belongs to the deadline, so look from just before it.
            bound = now.astimezone(UTC) - timedelta(seconds=deadline, microseconds=1)
            due = self.next_run(bound, zone) <= now
        return Due(due, max(0.0, (self.next_run(now, zone) - now).total_seconds()))

    def _next_wall(self, wall: datetime) -> datetime:
        """Return the first matching minute after the minute of `wall`, both naive."""
        day = wall.date()
        if self._matches(day):
            for hour in sorted(hour for hour in self.hour if hour >= wall.hour):
                minutes = (m for m in self.minute if hour > wall.hour or m > wall.minute)
                if (minute := min(minutes, default=None)) is not None:
                    return datetime.combine(day, time(hour, minute))
        while True:
            day = self._next_day(day)
            if self._matches(day):
                return datetime.combine(day, time(min(self.hour), min(self.minute)))

    def _next_day(self, day: date) -> date:
        """Return the next day; months that do not match are left out."""
        if day.month in self.month_of_year:
            return day + timedelta(days=1)
        return date(day.year + day.month // 12, day.month % 12 + 1, 1)

    def _matches(self, day: date) -> bool:
        return (
            day.month in self.month_of_year
            and day.day in self.day_of_month
            and day.isoweekday() % 7 in self.day_of_week
        )


def _is_list(spec: Any) -> bool:
    return isinstance(spec, Iterable) and not isinstance(spec, str)
