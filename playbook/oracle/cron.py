"""Recorded due times of Celery beat, replayed on the application's own schedules.

A file holds crontabs with a time zone and a window, what beat sends in it if it is started where the window
begins, and samples of `is_due`; and arguments that Celery refuses. Each of them is one case.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from playbook.errors import PlaybookError
from playbook.scaffold.worker.crontab import crontab
from playbook.scaffold.worker.schedules import Schedule

FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
COMPARED = ("expanded", "due", "is_due_samples", "deadline_sample")


def replay_cron(path: Path) -> dict[str, Any]:
    """Replay a file of recorded due times.

    Args:
        path: a JSON file with `cases` and `invalid_or_odd`.

    Returns:
        `{"cases": n, "passed": m, "failed": [{"id", "expected", "got"}]}`.

    Raises:
        PlaybookError: the file cannot be read or is not such a file.
    """
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
        results = [*_accepted(recorded["cases"]), *_refused(recorded["invalid_or_odd"])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlaybookError(f"{path} is no file of recorded due times: {error!r}") from error
    failed = [
        {"id": name, "expected": expected, "got": got} for name, expected, got in results if expected != got
    ]
    return {"cases": len(results), "passed": len(results) - len(failed), "failed": failed}


def due_times(entry: Schedule, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the times (UTC) in [start, end) at which an entry is sent by a scheduler that starts at `start`.

    As under beat, an entry without a stored last run counts from the start (celery/beat.py, `ScheduleEntry`).
    """
    due = entry.following(start, zone)
    while due < end:
        yield due
        due = entry.following(due, zone)


def _accepted(cases: list[dict[str, Any]]) -> Iterator[tuple[str, Any, Any]]:
    for case in cases:
        expected = {name: case[name] for name in COMPARED if name in case}
        try:
            got = _observed(case)
        except Exception as error:  # whatever goes wrong is this case's result, not the end of the others'
            yield case["id"], expected, _told(error)
        else:
            differing = [name for name in expected if expected[name] != got[name]]
            yield case["id"], *({name: side[name] for name in differing} for side in (expected, got))


def _observed(case: dict[str, Any]) -> dict[str, Any]:
    """Return what this runtime makes of a case, in the form of the file."""
    entry, zone = crontab(**case["kwargs"]), ZoneInfo(case["tz"])
    start, end = map(_time, case["window"])

    def sample(recorded: dict[str, Any]) -> dict[str, Any]:
        last_run, now = _time(recorded["last_run_at"]), _time(recorded["now"])
        found = entry.is_due(last_run, now, zone, recorded.get("deadline"))
        return recorded | {"is_due_next": list(found)}

    return {
        "expanded": {name: sorted(getattr(entry, name)) for name in FIELDS},
        "due": [f"{due:%Y-%m-%dT%H:%MZ}" for due in due_times(entry, zone, start, end)],
        "is_due_samples": [sample(recorded) for recorded in case.get("is_due_samples", [])],
        "deadline_sample": sample(case["deadline_sample"]) if case.get("deadline_sample") else None,
    }


def _refused(cases: list[dict[str, Any]]) -> Iterator[tuple[str, Any, Any]]:
    for number, case in enumerate(cases, start=1):
        expected = {name: case[name] for name in ("error", "message")}
        try:
            got: dict[str, str] = {"accepted": repr(crontab(**case["kwargs"]))}
        except Exception as error:
            got = _told(error)
        yield f"invalid-{number}", expected, got


def _told(error: Exception) -> dict[str, str]:
    return {"error": type(error).__name__, "message": str(error)}


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
