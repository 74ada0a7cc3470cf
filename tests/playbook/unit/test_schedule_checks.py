"""The verdicts on the scheduler can fail: each kind of fault is seen."""

from pathlib import Path

import pytest

from playbook.checks.schedule_lab import Fired, ledger
from playbook.checks.schedules import CHECKS, Due, Seen, lateness
from playbook.config import load_application
from playbook.contracts import CheckContext, CheckResult
from playbook.phases import SchedulerParameters

ROOT = Path(__file__).parents[3]
SITUATIONS = ("hand_over", "replica_killed", "restarts", "downtime")


def fired(*slots: float, entry: str = "poll", system: str = "taskiq") -> list[Fired]:
    """Messages for these slots, each 10 ms late."""
    given = [{"entry": entry, "slot": slot, "at": slot + 0.01, "system": system} for slot in slots]
    return [Fired.model_validate(one) for one in given]


@pytest.mark.parametrize(
    ("slots", "missed", "doubled"),
    [
        ((0.5, 1.5, 2.5), [], []),
        ((0.5, 2.5), [("poll", 1.5)], []),
        ((0.5, 0.5, 1.5), [], [("poll", 0.5)]),
        ((0.5, 1.5, 1.7, 2.5), [], [("poll", 1.7)]),
    ],
)
def test_slots_of_an_interval(slots: tuple[float, ...], missed: list[object], doubled: list[object]) -> None:
    found = ledger("live", fired(*slots))
    assert (found.missed, found.doubled) == (missed, doubled)
    assert found.ok == (not missed and not doubled)
    assert found.row()["fired"] == len(slots)


def test_what_was_due_once() -> None:
    due = {"daily": [5.0], "minutely": [60.0]}
    both = [*fired(5.0, entry="daily"), *fired(60.0, entry="minutely")]
    assert ledger("downtime", both, due).ok
    assert ledger("downtime", both[:1], due).missed == [("minutely", 60.0)]
    assert ledger("downtime", [*both, *fired(120.0, entry="minutely")], due).doubled == [("minutely", 120.0)]
    assert not ledger("downtime", [], {}).ok


def test_lateness_by_system() -> None:
    late = lateness([*fired(1.0, 2.0), *fired(3.0, system="celery")])
    assert late["taskiq"] == {"messages": 2, "median, ms": 10.0, "p99, ms": 10.0}
    assert late["celery"]["messages"] == 1


def good() -> Seen:
    """What the lab shows if all is well."""
    entries = {
        **dict.fromkeys(("process_messages", "process_meetings"), "interval"),
        **dict.fromkeys(
            ("sync_all_ics_calendars", "create_upcoming_meetings", "healthcheck_ping"), "interval"
        ),
        **dict.fromkeys(("reprocess_failed_recordings", "cleanup_old_public_data"), "crontab"),
    }
    year = [Due(window="year", entry=n, kind=k, celery=[1.0], taskiq=[1.0]) for n, k in entries.items()]
    changes = [Due(window="autumn", entry="x", kind="crontab", celery=[1.0, 2.0], taskiq=[1.0, 2.0])]
    both = [*fired(1.0, system="celery"), *fired(2.0)]
    situations = [ledger(name, both) for name in SITUATIONS]
    return Seen(year=year, changes=changes, situations=situations, listing=[])


def judged(seen: Seen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, CheckResult]:
    """The verdicts on what was seen."""
    monkeypatch.setattr("playbook.checks.schedules.look", lambda context: seen)
    application = load_application(ROOT / "playbook.toml")
    folders = {"workspace": tmp_path, "run_dir": tmp_path, "work_dir": tmp_path}
    context = CheckContext(application=application, **folders, parameters=SchedulerParameters())
    return {check.name: check(context) for check in CHECKS if check.name != "celery_stays"}


def test_all_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert all(result.ok for result in judged(good(), monkeypatch, tmp_path).values())


def test_every_fault_is_seen_by_its_check_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    faults: dict[str, Seen] = {}
    seen = good()
    other = seen.year[0].model_copy(update={"taskiq": [1.0, 2.0]})
    faults["year"] = seen.model_copy(update={"year": [other, *seen.year[1:]]})
    lost = seen.changes[0].model_copy(update={"taskiq": [1.0]})
    faults["clock_changes"] = seen.model_copy(update={"changes": [lost]})
    for number, name in enumerate(SITUATIONS):
        worse = list(seen.situations)
        worse[number] = ledger(name, fired(1.0, 1.0, 2.0))
        faults[name] = seen.model_copy(update={"situations": worse})
    for name, fault in faults.items():
        results = judged(fault, monkeypatch, tmp_path)
        assert [check for check, result in results.items() if not result.ok] == [name]


def test_an_entry_without_due_times_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = good()
    fewer = seen.model_copy(update={"year": seen.year[1:]})
    assert "process_messages" in judged(fewer, monkeypatch, tmp_path)["year"].detail


def test_a_hand_over_that_did_not_happen_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = good()
    alone = [ledger("hand_over", fired(1.0, 2.0)), *seen.situations[1:]]
    result = judged(seen.model_copy(update={"situations": alone}), monkeypatch, tmp_path)["hand_over"]
    assert "nothing was handed over" in result.detail
