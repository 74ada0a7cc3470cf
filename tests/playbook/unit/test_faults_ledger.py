"""What the ledger of the fault tests says: what was lost, ran twice for a reason, came early or late."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from playbook.checks.faults import Faults, nothing_lost, promises_kept
from playbook.checks.faults_ledger import Note, Strike, Tally, read_ledger, tally
from playbook.checks.faults_load import MEMBERS, MIXED, STEPS, Unit, draw_units
from playbook.checks.faults_random import BIN, storm
from playbook.checks.faults_run import Outcome
from playbook.report.faults import beside_table, faults_table, storm_figure, storms_table

PLAIN = Unit(number=0, kind="plain", seconds=0.1)
DELAYED = Unit(number=0, kind="delayed", seconds=0.1, countdown=2.0)


def note(what: Any, at: float, key: str = "0", pid: int = 1, **more: Any) -> Note:
    return Note(what=what, key=key, pid=pid, at=at, wall=at + 1_000, **more)


SENT = note("sent", 10.0, pid=9, since=9.9)


def count(*notes: Note, unit: Unit = PLAIN, strikes: Sequence[Strike] = ()) -> Tally:
    return tally([SENT, *notes], [unit], strikes)


def strike(since: float, until: float, **more: Any) -> Strike:
    return Strike(fault="fault", since=since, until=until, **more)


@given(st.integers(1, 400), st.integers(0, 99))
def test_units_have_as_many_tasks_as_asked_for_and_no_two_of_a_name(tasks: int, seed: int) -> None:
    units = draw_units(tasks, seed)
    keys = [key for unit in units for key in unit.keys]
    assert len(keys) == len(set(keys)) == tasks
    assert units == draw_units(tasks, seed)


def test_all_kinds_are_drawn() -> None:
    units = draw_units(5_000, 0)
    assert {unit.kind for unit in units} == set(MIXED)
    assert {len(unit.keys) for unit in units if unit.kind == "chain"} == {STEPS}
    assert {len(unit.keys) for unit in units if unit.kind == "chord"} == {MEMBERS + 1}


def test_a_task_that_ended_is_not_lost() -> None:
    found = count(note("start", 10.1), note("end", 10.2))
    assert (found.tasks, found.ended, found.lost, found.doubled) == (1, 1, [], [])


def test_what_was_accepted_and_did_not_end_is_lost() -> None:
    assert count(note("start", 10.1)).lost == ["0"]
    assert count(note("start", 10.1)).lost_later == ["0"]
    assert count(note("start", 10.1), strikes=[strike(11, 12)]).lost_later == []


def test_what_was_refused_is_not_lost() -> None:
    found = tally([note("refused", 10.0)], [PLAIN], [])
    assert (found.tasks, found.unsent, found.lost, found.refused) == (0, 1, [], 1)


def test_a_second_run_needs_a_reason() -> None:
    runs = (note("start", 10.1), note("start", 13.0, pid=2), note("end", 13.1, pid=2))
    assert count(*runs).unexplained == ["0"]
    assert count(*runs, strikes=[strike(11, 11, pids=(1,))]).unexplained == []
    assert count(*runs, strikes=[strike(11, 11, pids=(3,))]).unexplained == ["0"]
    assert count(*runs, strikes=[strike(9.8, 9.9, senders=True)]).unexplained == []


def test_a_fault_before_a_run_or_after_it_is_no_reason() -> None:
    runs = (note("start", 10.1), note("end", 10.2), note("start", 13.0, pid=2), note("end", 13.1, pid=2))
    for time in (5.0, 20.0):
        assert count(*runs, strikes=[strike(time, time, pids=(1, 2))]).unexplained == ["0"]


def test_a_worker_may_die_before_an_outage_lets_it_write_what_it_has_done() -> None:
    runs = (note("start", 10.1), note("end", 10.2), note("start", 16.0, pid=2), note("end", 16.1, pid=2))
    killed, outage = strike(14.0, 14.0, pids=(1,)), strike(10.3, 13.0, outage=True)
    assert count(*runs, strikes=[killed]).unexplained == ["0"]
    assert count(*runs, strikes=[outage]).unexplained == ["0"]
    assert count(*runs, strikes=[outage, killed]).unexplained == []


def test_a_stopped_worker_that_begins_late_is_a_reason() -> None:
    """Others have run the task already; the last run is that of the worker that was struck."""
    runs = (note("start", 12.0, pid=2), note("end", 12.1, pid=2), note("start", 14.0), note("end", 14.1))
    assert count(*runs, strikes=[strike(10, 13.9, pids=(1,))]).unexplained == []


def test_a_planned_failure_is_no_second_run() -> None:
    attempts = (note("start", 10.1), note("fail", 10.2), note("start", 10.5, attempt=1))
    found = count(*attempts, note("end", 10.6, attempt=1))
    assert (found.doubled, found.failed, found.lost) == ([], 1, [])


def test_early_and_late() -> None:
    for start, early, late in ((11.5, 1, 0), (12.0, 0, 0), (13.5, 0, 1)):
        found = count(note("start", start), note("end", start + 0.1), unit=DELAYED)
        assert (found.early, found.late) == (early, late), start


def test_a_clock_that_jumped_shows() -> None:
    ahead = Note(what="end", key="0", pid=1, at=10.2, wall=10.2 + 1_000 + 3_600)
    assert count(note("start", 10.1)).skew == 0
    assert count(note("start", 10.1), ahead).skew == 3_600


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    assert read_ledger(ledger) == []
    ledger.write_text(SENT.model_dump_json() + '\n{"what": "sta')
    assert read_ledger(ledger) == [SENT]


def outcome(system: Any, *problems: str) -> Outcome:
    counts = {"tasks": 5, "lost": len(problems), "doubled": 0, "late": 0, "dead": 0}
    return Outcome(
        fault="a fault", promise="a promise", system=system, observed="", problems=list(problems), **counts
    )


def test_a_broken_promise_fails_the_check_and_shows() -> None:
    lost = [SENT, note("start", 10.1)]
    struck = [strike(10, 11)]
    good = Faults(
        outcomes=[outcome("taskiq"), outcome("celery", "1 lost")],
        storms=[
            storm(7, [*lost, note("end", 10.9)], struck, tally([*lost, note("end", 10.9)], [PLAIN], struck))
        ],
    )
    bad = Faults(
        outcomes=[outcome("taskiq", "1 lost")], storms=[storm(7, lost, struck, tally(lost, [PLAIN], struck))]
    )
    assert promises_kept(good).ok
    assert nothing_lost(good).ok
    assert "a fault: 1 lost" in promises_kept(bad).detail
    assert "seed 7: 1 lost" in nothing_lost(bad).detail
    assert not nothing_lost(Faults(outcomes=[], storms=[])).ok
    assert "1 lost" in faults_table(bad.of("taskiq")).markdown
    assert "a fault" in beside_table(good.of("taskiq"), good.of("celery")).markdown
    assert "| 7 |" in storms_table(good.storms).markdown
    assert good.storms[0].ended == [0, 1]
    assert len(storm_figure(good.storms[0], BIN).axes) == 2
