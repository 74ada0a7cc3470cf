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
# # 02 Simple tasks
#
# The first tasks move for good: those that stand in no chain, group or chord. Each gets a *twin* on TaskIQ. Each
# call of one becomes a call of `dispatch`, which sends it to the system that a flag names. Flags can be changed
# while everything runs, and set back.
#
# Proven here, on real workers: the same effects, the same retries, nothing lost while the flags flip and workers
# are killed, and a way back.

# %% tags=["parameters"]
run_dir: str = ""  # a run's folder; empty: a temporary one, removed when the kernel ends
config: str = ""  # a playbook.toml; empty: the nearest one from here upward
redis_url: str = ""  # a Redis of yours; empty: the lab starts one
database_url: str = ""  # a database of yours; empty: SQLite
audio: str = ""  # an audio file; empty: the bundled sample
calls: int = 300  # calls that are made while the route flips
kills: int = 2  # workers that are killed meanwhile, one every two seconds

# %%
from playbook.session import open_phase

phase = open_phase(
    "02_simple_tasks",
    run_dir=run_dir,
    config=config,
    redis_url=redis_url,
    database_url=database_url,
    audio=audio,
    calls=calls,
    kills=kills,
)
phase

# %% [markdown]
# ## What changes
#
# One commit in the working copy. The functions of the tasks are not touched. Tasks that beat starts get their twins
# here, too, so that they can be tried; beat itself goes on sending them to Celery.

# %%
from playbook.report import diff_view, modules_table, table

applied = phase.apply()
diff_view(phase.before.unified_diff(phase.after, "changed"))

# %% [markdown]
# The modules that route calls. They are for the time in which both systems run; the cutover deletes them.

# %%
modules_table({change.path: phase.after[change.path] for change in applied.changes if change.kind == "added"})

# %% [markdown]
# What the rules left alone, with the reason:

# %%
table(applied.refusals, ["path", "line", "construct", "reason"])

# %% [markdown]
# ## The lab
#
# The next cell does everything that needs processes. API and workers of both systems run side by side; a live flag
# in Redis says where calls go. Every scenario is run on Celery (A), once more on Celery (A'), and on TaskIQ (B).
#
# The application's retries wait minutes. Nothing in the application is changed for this run: it asks for the delays
# that it always asks for, and those are compared. What is cut is the waiting, by a module of the lab that the
# workers of both systems load; the same module makes their HTTP clients give up sooner.

# %%
from playbook.checks import simple_tasks

seen = simple_tasks.look(phase.context)
list(seen.observations)

# %%
phase.check("celery_unchanged")

# %%
phase.check("twins")

# %%
table({"task": task, "a message carries": signature} for task, signature in seen.registered.twins.items())

# %%
phase.check("routed")

# %% [markdown]
# ## Webhooks
#
# Six receivers: one accepts, one refuses for good, one is broken twice, one hangs up, one is too slow, one stays
# broken. Each request tells the receiver how often it was tried before, and is signed.

# %%
from playbook.checks.webhook_requests import received

a, a_again, b = seen.observations["errands"]
table(
    {
        "receiver": on_celery.receiver,
        "requests A": len(on_celery.answers),
        "requests B": len(on_taskiq.answers),
        "answers B": sorted({str(answer or "none") for answer in on_taskiq.answers}),
        "last retry header A": on_celery.retries[-1],
        "last retry header B": on_taskiq.retries[-1],
    }
    for on_celery, on_taskiq in zip(received(a), received(b), strict=True)
)

# %%
phase.check("webhook_requests")

# %%
phase.check("webhook_signatures")

# %% [markdown]
# ## Retries
#
# The webhook asks for exponential back-off, and does not get it: under Celery these options do nothing without
# `autoretry_for`. Its delays are constant, and stay so. The clean-up is retried by itself.

# %%
from playbook.checks.webhook_requests import planned_delays
from playbook.report.schedules import retry_figure

schedules = planned_delays(seen.observations["errands"])
phase.figure(
    "retries", retry_figure(schedules), "When each attempt was planned, on Celery twice and on TaskIQ."
)

# %%
table(
    {
        "task": task,
        **{
            f"{run}: retries x seconds": ", ".join(
                f"{delays.count(delay)} x {delay:g}" for delay in sorted(set(delays))
            )
            for run, delays in runs.items()
        },
    }
    for task, runs in schedules.items()
)

# %%
phase.check("webhook_retries")

# %%
phase.check("cleanup_retries")

# %% [markdown]
# ## The same effects
#
# Rows, requests, messages, objects, files, and the trace of the tasks. First errands:
# the webhooks, and with them the clean-up, which removes old transcripts with their audio, and is tried again because
# one of them cannot be removed; a calendar is read; the sign of life is given. Then a meeting's recording is announced in the queue, and everything follows down
# to the webhook. Last a live recording, whose first task is routed.

# %%
phase.check("same_effects_errands")

# %%
phase.check("same_effects_recording")

# %%
phase.check("same_effects_live")

# %%
from playbook.report import findings_table

# NBVAL_IGNORE_OUTPUT
findings_table(simple_tasks.compared(phase.context, "errands"))

# %%
from playbook.report import timeline

# NBVAL_IGNORE_OUTPUT
a, a_again, b = seen.observations["recording"]
phase.figure(
    "recording",
    timeline([a, b], ["A: Celery", "B: the simple tasks on TaskIQ"]),
    "A recording from the queue to the webhook: all on Celery, and with the simple tasks on TaskIQ.",
)

# %% [markdown]
# ## Flags flip, workers die
#
# Webhooks are called at a steady rate. The flag for all tasks flips five times a second, and every two seconds a
# TaskIQ worker gets SIGKILL in the middle of its work. (Celery's workers are left alone: as this application is
# configured, Celery loses what a killed worker was running.) Then the flag stands at TaskIQ, and then it goes back
# to Celery while the calls go on.

# %%
from playbook.report.schedules import route_figure

# NBVAL_IGNORE_OUTPUT
flood = seen.flood
phase.figure(
    "flood",
    route_figure(
        {system: flood.starts_of(system) for system in ("celery", "taskiq")},
        {"a worker is killed": [kill.at for kill in flood.kills], "the route goes back": [flood.back_at]},
    ),
    "Tasks that each system started while the route flipped, workers were killed, and the route went back.",
)

# %%
# NBVAL_IGNORE_OUTPUT
figures = flood.figures()
phase.measure("flood", figures)
table([{"what": what, "count": value} for what, value in figures.items()])

# %%
phase.check("nothing_lost")

# %%
phase.check("doubled_in_flight")

# %%
phase.check("goes_back")

# %% [markdown]
# ## The way back
#
# Setting the flag back needs no deployment. Should the code have to go as well: on a scratch copy the slice is rolled
# back, and workers of the older code meet messages that the newer code has sent. Somebody forgot to let TaskIQ run dry
# first: one message names a task that the older code does not have on TaskIQ. It is kept, with the reason, and
# runs when it is replayed.

# %%
table([{"what": what, "found": value} for what, value in seen.rollback.model_dump().items()])

# %%
phase.check("rolls_back")

# %% [markdown]
# ## What this phase does not do yet
#
# - Canvases go to Celery, whatever the flag says. They follow in the next phase.
# - Beat sends to Celery.

# %%
phase.sign_off()
