"""A replay of recorded due times passes for what Celery did, and only for that."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery.schedules import crontab as CeleryCrontab  # noqa: N812

from playbook.errors import PlaybookError
from playbook.oracle.cron import replay_cron
from tests.playbook.unit.schedule_samples import FIELDS, SimulatedBeat, celery_in


def recorded(name: str, fields: dict[str, Any], zone: str, start: datetime, days: int) -> dict[str, Any]:
    """Record one case from Celery."""
    end = start + timedelta(days=days)
    theirs = CeleryCrontab(**fields, app=celery_in(zone), nowfun=lambda: end)
    return {
        "id": name,
        "kwargs": fields,
        "tz": zone,
        "window": [start.isoformat(), end.isoformat()],
        "expanded": {field: sorted(getattr(theirs, field)) for field in FIELDS},
        "due": [f"{at:%Y-%m-%dT%H:%MZ}" for at in SimulatedBeat(fields, zone, start).run(end)],
        "is_due_samples": [
            {
                "last_run_at": start.isoformat(),
                "now": end.isoformat(),
                "is_due_next": list(theirs.is_due(start)),
            }
        ],
    }


@pytest.fixture(scope="module")
def recording() -> dict[str, Any]:
    autumn, leap = datetime(2026, 10, 24, tzinfo=UTC), datetime(2028, 2, 25, tzinfo=UTC)
    refused = {"minute": "1,,2"}
    with pytest.raises(Exception, match="empty part") as error:
        CeleryCrontab(**refused)
    return {
        "cases": [
            recorded("autumn", {"minute": "*/30", "hour": "1-3"}, "Europe/Berlin", autumn, 3),
            recorded("leap", {"minute": 0, "hour": 5, "day_of_month": "29-1"}, "UTC", leap, 9),
        ],
        "invalid_or_odd": [
            {"kwargs": refused, "error": error.type.__name__, "message": str(error.value)},
        ],
    }


def replayed(recording: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = folder / "cases.json"
    path.write_text(json.dumps(recording))
    return replay_cron(path)


def test_what_celery_did_passes(recording: dict[str, Any], tmp_path: Path) -> None:
    assert replayed(recording, tmp_path) == {"cases": 3, "passed": 3, "failed": []}


@pytest.mark.parametrize("part", ["due", "expanded", "is_due_samples", "refusal", "unknown field"])
def test_any_difference_fails(recording: dict[str, Any], tmp_path: Path, part: str) -> None:
    other = copy.deepcopy(recording)
    case = other["cases"][0]
    match part:
        case "due":
            case["due"].pop()
        case "expanded":
            case["expanded"]["hour"] = [1]
        case "is_due_samples":
            case["is_due_samples"][0]["is_due_next"][1] += 1
        case "refusal":
            other["invalid_or_odd"][0]["kwargs"] = {"minute": "1,2"}
        case "unknown field":
            case["kwargs"] = {"second": 1}
    result = replayed(other, tmp_path)
    assert (result["cases"], result["passed"], len(result["failed"])) == (3, 2, 1)
    assert result["failed"][0]["id"] == ("invalid-1" if part == "refusal" else "autumn")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cases": [{}], "invalid_or_odd": []}'])
def test_what_is_no_such_file_is_unusable_input(tmp_path: Path, text: str) -> None:
    (tmp_path / "cases.json").write_text(text)
    with pytest.raises(PlaybookError, match=r"cases\.json is no file"):
        replay_cron(tmp_path / "cases.json")
