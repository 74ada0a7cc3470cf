"""Faults in the schedule."""

from playbook.plants.plant import Edit, Plant

PHASE = "04_scheduler"
WORKER = "reflector/worker/"
TABLE = f"{WORKER}beat_schedule.py"


def _due(name: str, what: str, *edits: Edit, by_hand: bool = False, caught_by: str = "year") -> Plant:
    return Plant(name, PHASE, what, edits, "due", (caught_by,), by_hand=by_hand)


SCHEDULES = (
    _due(
        "all-schedules-gone",
        "no entry of the schedule is left",
        Edit(TABLE, 'timezone = "UTC"\n', 'beat_schedule.clear()\ntimezone = "UTC"\n'),
        by_hand=True,
    ),
    _due(
        "one-schedule-gone",
        "one entry of the schedule is gone",
        Edit(
            TABLE, 'timezone = "UTC"\n', 'del beat_schedule["create_upcoming_meetings"]\ntimezone = "UTC"\n'
        ),
        by_hand=True,
    ),
    _due(
        "interval-doubled",
        "an interval is twice as long",
        Edit(TABLE, '"schedule": 30.0,', '"schedule": 60.0,'),
    ),
    _due(
        "crontab-day-changed",
        "what is due every day is due on Mondays",
        Edit(
            TABLE,
            '"schedule": crontab(hour=5, minute=0),',
            '"schedule": crontab(hour=5, minute=0, day_of_week=1),',
        ),
    ),
    _due(
        "crontab-every-minute",
        "the minute of a crontab is lost: it is due every minute of its hour",
        Edit(TABLE, '"schedule": crontab(hour=3, minute=0),', '"schedule": crontab(hour=3),'),
    ),
    _due(
        "wrong-time-zone",
        "the schedule is read in another time zone",
        Edit(TABLE, 'timezone = "UTC"\n', 'timezone = "Europe/Berlin"\n'),
    ),
    _due(
        "condition-lost",
        "an entry that depends on a setting is never there",
        Edit(TABLE, "if settings.PUBLIC_MODE:\n", "if not settings.PUBLIC_MODE:\n"),
    ),
    _due(
        "clock-change-ignored",
        "on the days on which clocks are set, what is due by the clock is an hour off",
        Edit(
            f"{WORKER}crontab.py",
            "due = wall.replace(tzinfo=zone).astimezone(UTC)\n            if due",
            "due = (wall - last_run.astimezone(zone).utcoffset()).replace(tzinfo=UTC)\n            if due",
        ),
        caught_by="clock_changes",
    ),
    _due(
        "celery-keeps-its-own-beat",
        "beat is not told to share its slots: both systems send",
        Edit(f"{WORKER}app.py", 'app.conf.beat_scheduler = "reflector.worker.beat:SharedScheduler"\n', ""),
        caught_by="celery_stays",
    ),
    Plant(
        "both-systems-send",
        PHASE,
        "the claim of a slot does not heed the route and forgets who has it: both systems send it",
        (
            Edit(
                f"{WORKER}schedule_store.py", "if named ~= system then return answer('other', last) end", ""
            ),
            Edit(f"{WORKER}schedule_store.py", "if last ~= known then return answer('moved', last) end", ""),
        ),
        "hand_over",
        ("hand_over",),
    ),
    Plant(
        "route-of-slots-ignored",
        PHASE,
        "the scheduler does not heed the route: beat never gets a slot back",
        (
            Edit(
                f"{WORKER}schedule_store.py",
                "if named ~= system then return answer('other', last) end",
                "if system == 'celery' then return answer('other', last) end",
            ),
        ),
        "hand_over",
        ("hand_over",),
    ),
    Plant(
        "replicas-send-twice",
        PHASE,
        "two replicas of the scheduler send the same slot",
        (Edit(f"{WORKER}schedule_store.py", "if last ~= known then return answer('moved', last) end", ""),),
        "replica_killed",
        ("replica_killed",),
    ),
    Plant(
        "missed-slots-forgotten",
        PHASE,
        "what was due while nothing ran is not made up",
        (Edit(TABLE, "starting_deadline = None", "starting_deadline = 1"),),
        "downtime",
        ("downtime",),
    ),
)
