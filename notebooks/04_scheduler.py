# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: jupytext,kernelspec,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 Scheduler
#
# Celery's beat starts tasks by the clock. Its schedule moves here: the application gets a scheduler of its own, with
# Celery's meaning of crontabs and intervals. Beat and the scheduler run side by side, share their slots, and a
# flag names who sends.
#
# Proven here: every entry is due at the same times on both systems, over a year and when clocks are set; and each
# slot is sent exactly once while the flag moves, replicas die, schedulers restart, and after a downtime.

# %% tags=["parameters"]
run_dir: str = ""  # a run's folder; empty: a temporary one, removed when the kernel ends
config: str = ""  # a playbook.toml; empty: the nearest one from here upward
redis_url: str = ""  # a Redis of yours; empty: the lab starts one
database_url: str = ""  # a database of yours; empty: SQLite
audio: str = ""  # an audio file; empty: the bundled sample
days: int = 365  # length of the simulated year
slots: int = 2000  # slots of an interval that are compared in it

# %%
from playbook.session import open_phase

phase = open_phase(
    "04_scheduler",
    run_dir=run_dir,
    config=config,
    redis_url=redis_url,
    database_url=database_url,
    audio=audio,
    days=days,
    slots=slots,
)
phase

# %% [markdown]
# ## What changes
#
# One commit in the working copy. Celery's schedule is not touched. Beside it stands the same schedule as a module of
# the application's own, made from it by a rule. One new line tells beat to share its slots.

# %%
from playbook.report import diff_view, modules_table, table

applied = phase.apply()
package = phase.application.broker.partition(".broker:")[0]
module = phase.application.module_path(f"{package}.beat_schedule")
print(phase.after[module])

# %%
diff_view(phase.before.unified_diff(phase.after, "changed"))

# %% [markdown]
# The modules of the scheduler. `beat` and `schedule_routes` are for the time in which both systems run; the cutover
# deletes them.

# %%
modules_table({change.path: phase.after[change.path] for change in applied.changes if change.kind == "added"})

# %% [markdown]
# What the rules left alone, with the reason:

# %%
table(applied.refusals, ["path", "line", "construct", "reason"])

# %%
phase.check("celery_stays")

# %% [markdown]
# ## The lab
#
# The next cell computes the due times, and runs everything that needs processes: beat, and replicas of the
# scheduler, on a real Redis. No worker runs, so every message that a scheduler sends stays where it can be counted.

# %%
from playbook.checks import schedules

seen = schedules.look(phase.context)
len(seen.year), len(seen.changes), len(seen.situations)

# %% [markdown]
# ## A simulated year
#
# Beat's own code runs through the year under a simulated clock, for each entry. The new scheduler computes the same
# year. Every slot is compared. Intervals are compared over their first slots; they go on in the same way.

# %%
table(
    {
        "entry": due.entry,
        "kind": due.kind,
        "slots, Celery": len(due.celery),
        "slots, TaskIQ": len(due.taskiq),
        "different": len(set(due.celery) ^ set(due.taskiq)),
    }
    for due in seen.year
)

# %%
from playbook.report.calendars import calendar_figure

daily = [due for due in seen.year if due.kind == "crontab"]
phase.figure(
    "year",
    calendar_figure(
        {
            "Celery": {due.entry: due.celery for due in daily},
            "TaskIQ": {due.entry: due.taskiq for due in daily},
        },
        2026,
    ),
    "When the crontabs of the application are due in a year, on Celery and on TaskIQ.",
)

# %%
phase.check("year")

# %% [markdown]
# ## When clocks are set
#
# The days on which clocks change, in two zones, with crontabs for which these days are hard. Beat sends the slots of the
# hour that is skipped once the clock has gone on, and those of the hour that is repeated the first time only. So does
# the new scheduler.

# %%
from datetime import UTC, datetime


def hours(times: list[float]) -> str:
    """Show times of day in UTC."""
    return ", ".join(f"{datetime.fromtimestamp(at, UTC):%H:%M}" for at in times)


table(
    {
        "day": due.window,
        "entry": due.entry,
        "Celery, UTC": hours(due.celery),
        "TaskIQ, UTC": hours(due.taskiq),
    }
    for due in seen.changes
    if due.kind == "crontab" and len(due.celery) < 10
)

# %%
phase.check("clock_changes")

# %% [markdown]
# ## Live
#
# The application takes one of its intervals from the settings, and the lab sets it to a second. Each message names its
# slot, so that what was sent can be held against what was due.
#
# - **Hand-over.** Beat and two replicas run. The flag moves to TaskIQ, flips faster than the slots, and goes back.
# - **Replicas.** One of two gets SIGKILL. None leads, so nothing has to be taken over.
# - **Restarts** within the minute of a slot, before it and after it.
# - **Downtime.** Nothing ran for five minutes, or over a daily slot. (Last runs are set back in Redis; nobody
#   waits.) Two replicas start at once, and each entry is made up once.

# %%
# NBVAL_IGNORE_OUTPUT
table(situation.row() for situation in seen.situations)

# %%
phase.check("hand_over")

# %%
phase.check("replica_killed")

# %%
phase.check("restarts")

# %%
phase.check("downtime")

# %% [markdown]
# How late the messages were, from slot to sending, while both systems ran in turns (the hand-over):

# %%
# NBVAL_IGNORE_OUTPUT
late = schedules.lateness(seen.situations[0].fired)
phase.measure("lateness", late)
table({"system": system, **figures} for system, figures in late.items())

# %% [markdown]
# What the scheduler says of itself, at the end:

# %%
# NBVAL_IGNORE_OUTPUT
table(seen.listing)

# %% [markdown]
# ## The way back
#
# By flag within a second, by code to the tag before: rehearsed from this phase under full load, in both directions
# ([docs/rollback.md](../docs/rollback.md)).

# %% [markdown]
# ## What this phase does not do yet
#
# The flag stays at Celery: after this notebook beat sends as before. The cutover moves it, and removes beat.

# %%
phase.sign_off()
