"""Random schedules, and Celery's own beat under a simulated clock."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from celery import Celery, beat
from celery.schedules import crontab as CeleryCrontab  # noqa: N812 (a class of this name is ours)
from hypothesis import strategies as st

ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Pacific/Auckland",
)
FIELDS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "minute": (0, 59, ()),
    "hour": (0, 23, ()),
    "day_of_week": (0, 6, ("sun", "Monday", "tue", "thu", "FRI", "saturday")),
    "day_of_month": (1, 31, ()),
    "month_of_year": (1, 12, ("jan", "February", "mar", "jun", "OCT", "dec")),
}
CHANGES = [
    datetime(2024, 10, 5, tzinfo=UTC),
    datetime(2025, 4, 5, tzinfo=UTC),
    datetime(2026, 3, 7, tzinfo=UTC),
    datetime(2026, 3, 28, tzinfo=UTC),
    datetime(2026, 10, 24, tzinfo=UTC),
    datetime(2026, 10, 31, tzinfo=UTC),
    datetime(2028, 2, 28, tzinfo=UTC),
]
"""Days before clock changes in one or the other zone, and before a leap day."""

zones = st.sampled_from(ZONES)
moments = st.builds(
    lambda day, seconds: day + timedelta(seconds=seconds),
    st.one_of(
        st.sampled_from(CHANGES),
        st.integers(0, 4000).map(lambda days: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=days)),
    ),
    st.integers(0, 2 * 86_400),
)


def specs(low: int, high: int, names: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Return specifications of a field, as Celery takes them."""
    number = st.integers(low, high)
    word = st.one_of(number.map(str), st.sampled_from(names)) if names else number.map(str)
    step = st.integers(1, high)
    part = st.one_of(
        word,
        st.builds("{}-{}".format, word, word),
        st.builds("{}-{}/{}".format, word, word, step),
        st.builds("*/{}".format, step),
    )
    return st.one_of(
        st.just("*"),
        number,
        st.lists(number, min_size=1, max_size=4),
        st.lists(part, min_size=1).map(",".join),
    )


crontabs = st.fixed_dictionaries(
    {}, optional={name: specs(low, high, names) for name, (low, high, names) in FIELDS.items()}
)


def celery_in(zone: str) -> Celery:
    """Return a Celery app of a time zone."""
    app = Celery(set_as_current=False)
    app.conf.timezone = zone
    return app


class SimulatedBeat(beat.Scheduler):
    """Celery's beat with one entry, for which time passes only when beat sleeps."""

    STEP = timedelta(milliseconds=50)

    def __init__(self, fields: dict[str, Any], zone: str, start: datetime) -> None:
        self.clock = start
        self.sent: list[datetime] = []
        self._zone = ZoneInfo(zone)
        app = celery_in(zone)
        entry = {"task": "t", "schedule": CeleryCrontab(**fields, app=app, nowfun=self.now)}
        app.conf.beat_schedule = {"entry": entry}
        app.conf.result_expires = None
        super().__init__(app)

    def now(self) -> datetime:
        return self.clock.astimezone(self._zone)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        self.sent.append(self.clock)

    @property
    def producer(self) -> None:
        """Nothing is published."""

    def run(self, end: datetime) -> list[datetime]:
        """Run until `end`; return the minutes in which the entry was sent."""
        while self.clock < end:
            sent = len(self.sent)
            pause = self.tick()
            if len(self.sent) == sent:
                self.clock += max(timedelta(seconds=pause), self.STEP)
        return [at.replace(second=0, microsecond=0) for at in self.sent if at < end]
