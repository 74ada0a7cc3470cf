"""Real schedulers on a real Redis: no slot is missed or sent twice, whatever starts, stops or dies."""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from playbook.lab import RedisServer, wait_until
from tests.playbook.integration.scaffold import LOG, QUEUE
from tests.playbook.integration.schedule_site import (
    ENTRIES,
    LAST,
    ROUTES,
    WITHIN,
    ScheduleSite,
    faults,
)

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration

INTERVALS = {"half": 0.5, "second": 1.0, "other": 1.0}
Make = Callable[[dict[str, Any]], ScheduleSite]
NONE: dict[str, list[datetime]] = {"missed": [], "doubled": []}


@pytest.fixture
def make(server: RedisServer, tmp_path: Path) -> Iterator[Make]:
    """Make a site with a schedule; it is cleaned up in the end. All is TaskIQ's until a test says else."""
    sites: list[ScheduleSite] = []

    def make_site(schedule: dict[str, Any]) -> ScheduleSite:
        site = ScheduleSite(server, tmp_path, schedule)
        site.redis.hset(ROUTES, "*", "taskiq")
        sites.append(site)
        return site

    yield make_site
    for site in sites:
        site.stop()


def test_replicas_share_every_slot_and_one_may_be_killed(make: Make) -> None:
    site = make(INTERVALS)
    replicas = [site.scheduler("own"), site.scheduler("taskiq")]
    site.wait_fired(10, *INTERVALS)
    for number, kind in enumerate(("own", "taskiq")):
        replicas[number].kill()
        site.wait_fired(6, *INTERVALS)
        replicas[number] = site.scheduler(kind)
    site.redis.client_kill_filter(_type="normal", skipme=True)  # connections break, too
    fired = site.wait_fired(8, *INTERVALS)
    assert faults(fired, INTERVALS) == NONE
    assert {f.system for f in fired} == {"taskiq"}
    assert all("expires" in fields for _, fields in site.redis.xrange(QUEUE) if "#" not in fields["data"])
    assert all(f.late >= -0.001 for f in fired)


def test_a_new_entry_waits_and_a_restart_neither_repeats_nor_forgets(make: Make) -> None:
    site = make({"slow": 3.0, "minutely": {}, "daily": {"hour": 3, "minute": 0}})
    started = datetime.now(UTC)
    for _ in range(2):  # within a minute, and within the first interval
        replica = site.scheduler()
        assert wait_until(lambda: site.redis.hlen(LAST) >= 3, WITHIN)
        replica.stop()
    site.scheduler()
    first, second, *_ = site.wait_fired(2, "slow")
    assert first.slot - started >= timedelta(seconds=3)
    assert second.slot - first.slot == timedelta(seconds=3)
    minutes = [f.slot for f in site.fired("minutely")]
    assert all(slot > started and slot.second == 0 for slot in minutes)
    assert len(minutes) == len(set(minutes)) <= 1
    assert site.fired("daily") == []


def test_what_was_missed_is_made_up_once_by_whoever_comes_first(make: Make) -> None:
    site = make({"interval": 60.0, "minutely": {}, "one": {"minute": "*/2"}})
    for entry in ("interval", "minutely", "one"):
        site.last(entry, ago=300)
    site.redis.hset(LAST, "forgotten", 1)  # of an entry that is gone
    before = datetime.now(UTC)
    first, second = site.scheduler(), site.scheduler("taskiq")
    fired = site.wait_fired(0, "interval")
    assert wait_until(lambda: {f.entry for f in site.fired()} >= {"interval", "minutely", "one"}, WITHIN)
    first.stop()
    second.stop()
    made_up = [
        f for f in site.fired("interval", "minutely", "one") if f.slot < before - timedelta(seconds=120)
    ]
    assert sorted(f.entry for f in made_up) == ["interval", "minutely", "one"], fired
    assert len(site.fired("interval")) == 1
    # The phase begins anew, as beat's.
    assert site.last("interval") >= before - timedelta(seconds=1)
    assert not site.redis.hexists(LAST, "forgotten")


def test_a_slot_that_is_later_than_the_deadline_is_let_go(make: Make) -> None:
    passed = (datetime.now(UTC) - timedelta(minutes=10)).minute
    site = make({"hourly": {"minute": passed}, "interval": 60.0})
    for entry in ("hourly", "interval"):
        site.last(entry, ago=3000)
    scheduler = site.scheduler(DEADLINE="60")
    assert wait_until(lambda: "let go" in scheduler.log_path.read_text(), WITHIN)
    assert wait_until(lambda: site.fired("interval"), WITHIN)
    assert site.fired("hourly") == []
    assert site.last("hourly").minute == passed


def test_hand_over_from_beat_and_back_while_both_run(make: Make) -> None:
    site = make(INTERVALS)
    site.redis.hset(ROUTES, "*", "celery")
    beat = site.scheduler("beat")
    site.scheduler("own")
    site.scheduler("taskiq")
    assert {f.system for f in site.wait_fired(6, *INTERVALS)} == {"celery"}
    site.redis.hset(ROUTES, "schedule_app.run", "taskiq")
    changed = time.time()
    site.wait_fired(8, *INTERVALS)
    assert {f.system for f in site.fired(*INTERVALS) if f.slot.timestamp() > changed} == {"taskiq"}
    for number in range(24):  # faster than any slot
        site.redis.hset(ROUTES, "schedule_app.run", ("celery", "taskiq", "50%")[number % 3])
        time.sleep(0.09)
    site.redis.hset(ROUTES, "schedule_app.run", "50")
    both = site.wait_fired(16, *INTERVALS)
    assert {f.system for f in both[-16:]} == {"celery", "taskiq"}
    beat.kill()  # what is Celery's waits for a beat
    count = len(both)
    beat = site.scheduler("beat")
    site.redis.hset(ROUTES, "schedule_app.run", "celery")
    changed = time.time()
    fired = site.wait_fired(8, *INTERVALS)
    assert {f.system for f in fired if f.slot.timestamp() > changed} == {"celery"}
    found = faults(fired[:count], INTERVALS)
    assert found == NONE
    assert faults(fired, INTERVALS)["doubled"] == []
    rows = {row[0]: row for row in site.listing()[1:]}
    assert rows["half"][2:5:2] == ["every 0.5 s", "celery"]
    assert rows["half"][3] < rows["half"][5]
    for process in reversed(site.processes):
        process.stop()
    sent = len(site.fired())
    site.worker(tasks="schedule_app", **site.env)
    command = ["celery", "-A", "schedule_app", "worker", "--pool", "solo", "--loglevel", "INFO"]
    command += ["--without-mingle", "--without-gossip"]
    site.start([sys.executable, "-m", *command], " ready.", **site.env)
    assert wait_until(lambda: site.redis.llen(LOG) >= sent, WITHIN)
    assert site.redis.llen(LOG) == sent


def test_beat_takes_a_claim_back_when_it_cannot_send(make: Make) -> None:
    site = make({"half": 0.5})
    site.redis.hset(ROUTES, "*", "celery")
    beat = site.scheduler("beat", BAD_OPTIONS="1")
    assert wait_until(lambda: beat.log_path.read_text().count("the claim is taken back") > 2, WITHIN)
    assert site.fired("half") == []
    waiting = site.last("half") + timedelta(seconds=0.5)
    site.redis.hset(ROUTES, "*", "taskiq")
    site.scheduler()
    assert site.wait_fired(1, "half")[0].slot == waiting


def test_beats_file_and_redis_have_the_same_last_runs(make: Make) -> None:
    site = make({"slow": 2.0})
    site.redis.hset(ROUTES, "*", "celery")
    plain = site.scheduler("beat", PLAIN_BEAT="1")
    assert wait_until(lambda: plain.log_path.read_text().count("Sending due task slow") == 1, WITHIN)
    sent = datetime.now(UTC)
    plain.stop()
    site.redis.delete("celery")
    shared = site.scheduler("beat")  # goes on with the file
    first, *_ = site.wait_fired(1, "slow")
    assert abs(first.slot - sent - timedelta(seconds=2)) < timedelta(seconds=1.5)
    shared.stop()
    last = site.last("slow")
    site.redis.delete("celery", LAST)
    site.scheduler("beat")  # the file has what was claimed in Redis
    second, *_ = site.wait_fired(1, "slow")
    assert second.slot - last == timedelta(seconds=2)


def test_entries_come_and_go_at_run_time(make: Make) -> None:
    site = make({})
    replica = site.scheduler()
    site.scheduler("taskiq")
    site.code(
        "from datetime import datetime, timedelta, UTC\n"
        "async def main():\n"
        "    run = {'task': 'schedule_app.run', 'schedule': 0.4, 'args': ['kept']}\n"
        "    await source.add('kept', run | {'options': {'queue': 'default', 'expires': 30}})\n"
        "    await source.add('removed', run)\n"
        "    times = {'soon': datetime.now(UTC) + timedelta(seconds=1), 'past': datetime(2020, 1, 1)}\n"
        "    for name, when in times.items():\n"
        "        kicker = schedule_app.labelled.kicker().with_schedule_id(name)\n"
        "        await kicker.schedule_by_time(source, when, 'x')\n"
        "    made = await schedule_app.labelled.schedule_by_cron(source, '0 0 1 1 *', 'x')\n"
        "    await made.unschedule()\n"
        "asyncio.run(main())\n"
    )
    assert wait_until(lambda: {"soon", "past", "kept", "removed"} <= {f.entry for f in site.fired()}, WITHIN)
    assert set(site.redis.hkeys(ENTRIES)) == {"kept", "removed"}
    assert site.code("print(asyncio.run(source.remove('removed')))").strip() == "True"
    assert site.code("print(asyncio.run(source.remove('removed')))").strip() == "False"
    replica.kill()
    site.scheduler()
    site.wait_fired(4, "kept")
    count = len(site.fired("removed"))
    fired = site.wait_fired(4)
    assert len(site.fired("removed")) == count
    assert faults([f for f in fired if f.entry == "kept"], {"kept": 0.4}) == NONE
    assert [f.entry for f in fired if f.entry in ("soon", "past")].count("soon") == 1
    assert [f.entry for f in fired if f.entry in ("soon", "past")].count("past") == 1
    assert faults([f for f in fired if "#" in f.entry], {"schedule_app.labelled#0": 1.0}) == NONE
    assert {row[0] for row in site.listing()[1:]} == {"kept", "schedule_app.labelled#0"}


def test_a_difference_between_celery_and_the_module_stops_beat(make: Make) -> None:
    site = make({"half": 0.5})
    beat = site.scheduler("beat", OTHER_SCHEDULE="1")
    beat.wait(WITHIN)
    assert "make both the same" in beat.log_path.read_text()
