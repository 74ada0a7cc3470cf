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
# # 03 Pipelines
#
# Ten tasks stand in canvases, and two more start them. What follows an uploaded file is a *chain*. What follows a live
# recording is a *chord*: a chain of six tasks beside the title, then the summaries, then the post to Zulip. A canvas makes promises. Nothing is posted
# before the consent cleanup and the summaries. If somebody denied the recording and the cleanup fails, nothing is posted
# at all. These promises are easy to lose: send the steps one after the other, and on a quiet machine nobody notices.
#
# Here the canvases move. The code that builds them stays as it is; it is handed to `dispatch`, which runs the whole
# canvas on the system that the flag names. Proven, on real workers: the same effects, the same order, the same results
# and errors, and a pipeline that ends although a worker is killed in each of its ten tasks.

# %% tags=["parameters"]
run_dir: str = ""  # a run's folder; empty: a temporary one, removed when the kernel ends
config: str = ""  # a playbook.toml; empty: the nearest one from here upward
redis_url: str = ""  # a Redis of yours; empty: the lab starts one
database_url: str = ""  # a database of yours; empty: SQLite
audio: str = ""  # an audio file; empty: the bundled sample

# %%
from playbook.session import open_phase

phase = open_phase(
    "03_pipelines",
    run_dir=run_dir,
    config=config,
    redis_url=redis_url,
    database_url=database_url,
    audio=audio,
)
phase

# %% [markdown]
# ## The canvases
#
# As Celery folds them: what follows the chord becomes a part of its body.

# %%
from playbook.inventory import inventory
from playbook.report import canvas_view, diff_view, table

canvas_view(inventory(phase.application.root_path).canvases)

# %% [markdown]
# ## What changes
#
# One commit in the working copy: a twin beside each task, and `dispatch` where a canvas is sent. No line that builds a
# canvas is touched.

# %%
applied = phase.apply()
diff_view(phase.before.unified_diff(phase.after, "changed"))

# %% [markdown]
# What runs a canvas on TaskIQ has come with the earlier slices. The application owns these modules from now on; only
# `canvases`, which reads Celery's, goes at the cutover.

# %%
from playbook.report import modules_table
from playbook.rewrite.pipelines import WORKFLOW_MODULES

worker = phase.application.broker.partition(".broker:")[0]
paths = [phase.application.module_path(f"{worker}.{module}") for module in WORKFLOW_MODULES]
modules_table({path: phase.after[path] for path in paths})

# %% [markdown]
# What the rules left alone, with the reason:

# %%
table(applied.refusals, ["path", "line", "construct", "reason"])

# %% [markdown]
# ## The lab
#
# The next cell does everything that needs processes. API and workers of both systems run side by side; every scenario is
# run on Celery (A), once more on Celery (A'), and on TaskIQ (B). Browsers listen to each transcript and to each user. In a
# second lab, at the same time, workers are killed. One more worker tries the guide's own patterns.
#
# The recordings: two people who speak (the bundled sample), tones in stereo that take turns, and silence. Three scenarios:
#
# - `file`: an uploaded file of a meeting in which somebody denied the recording: all audio is removed before the post.
#   Whoever receives the webhook is broken twice, so that it is tried three times.
# - `live`: a recording that is followed as it grows, then the chord.
# - `failing`: S3 refuses to remove a recording that was denied, in either pipeline; and a file in which nobody speaks,
#   for which the application cannot write a post. The migration is to keep also how things fail.

# %%
from playbook.checks import pipelines

seen = pipelines.look(phase.context)
{name: len(runs) for name, runs in seen.runs.items()}

# %%
phase.check("celery_unchanged")

# %%
phase.check("twins")

# %% [markdown]
# A canvas runs on one system as a whole: never half here, half there.

# %%
phase.check("routed")

# %% [markdown]
# ## The same effects
#
# Rows, requests, objects, files, WebSocket messages, and the trace of the tasks: B may differ from A only in what A' also
# does.

# %%
phase.check("same_effects_file")

# %%
phase.check("same_effects_live")

# %%
phase.check("same_effects_failing")

# %%
from playbook.report import findings_table

# NBVAL_IGNORE_OUTPUT
findings_table(pipelines.compared(phase.context, "live"))

# %% [markdown]
# ## Order
#
# The canvases say what must have ended before what may start. Each of these orders is looked up in every run, for every
# recording. The graph shows those that all three runs of `live` kept and the canvas promises, without those that follow
# from others.

# %%
from playbook.report import order_graph

# NBVAL_IGNORE_OUTPUT
live = seen.observations["live"]
phase.figure(
    "order",
    order_graph(
        pipelines.steps_of_canvases(seen, "live"), "The order that A, A' and B keep", promised=seen.promised
    ),
    "What waited for what in the live pipeline, on Celery twice and on TaskIQ.",
)

# %%
from playbook.report import timeline

# NBVAL_IGNORE_OUTPUT
phase.figure(
    "live",
    timeline([live[0], live[2]], ["A: Celery", "B: TaskIQ"]),
    "The live pipeline on both systems, on one scale.",
)

# %%
# NBVAL_IGNORE_OUTPUT
file = seen.observations["file"]
phase.figure(
    "file",
    timeline([file[0], file[2]], ["A: Celery", "B: TaskIQ"]),
    "The file pipeline on both systems. The webhook is tried three times; waiting is cut short in the lab.",
)

# %%
phase.check("order")

# %% [markdown]
# What must be over before the summaries and the post, and by how much it was over on TaskIQ:

# %%
from playbook.checks.pipelines_scenarios import SUMMARIES, ZULIP
from playbook.checks.pipelines_verdicts import gaps

# NBVAL_IGNORE_OUTPUT
table(gaps(live[2], [pair for pair in seen.promised if pair[1] in (SUMMARIES, ZULIP)]))

# %% [markdown]
# ## A failed cleanup stops the post
#
# In a chain nothing runs after a failed step. In a chord the body does not run if a member of the header failed, although
# the other members go on. So neither Zulip nor the webhook may have heard of these transcripts.

# %%
a, _, b = seen.runs["failing"]
table(
    {"task": task.rpartition(".")[2], "on Celery": on_celery.error or "", "on TaskIQ": on_taskiq.error or ""}
    for (task, on_celery), (_, on_taskiq) in zip(a.results, b.results, strict=True)
    if on_celery.error or on_taskiq.error
)

# %%
phase.check("failure_stops")

# %% [markdown]
# ## What browsers see
#
# Every event is a row first, with a number, and then a message. A client that was connected from the start must get each
# of them once, in the order of the numbers.

# %%
phase.check("told_in_order")

# %%
# NBVAL_IGNORE_OUTPUT
" → ".join(message.data["event"] for message in live[2].effects.messages if "transcript" in message.channel)

# %% [markdown]
# ## Results
#
# Tools may wait for a task, or for a whole canvas. Every task that ran is asked for its result by its id. And the canvas of
# the live pipeline is sent once more, by a caller who waits: for a transcript for which it works, and for one for which
# it fails.

# %%
phase.check("results_live")

# %%
phase.check("results_failing")

# %%
phase.check("caller_result")

# %%
phase.check("caller_error")

# %% [markdown]
# ## A worker dies in each of the ten tasks
#
# One live pipeline on TaskIQ. Each of its tasks in turn is held: one that asks a service just before it asks, any other one
# when its files are written and its transaction is about to be committed. Then its worker gets SIGKILL. Another worker
# takes over when the lease of the dead one has ended.
#
# (As this application is configured, Celery acknowledges a task before it runs it: there the first of these kills would
# end the pipeline for good.)

# %%
from playbook.checks.pipelines_verdicts import attempts

# NBVAL_IGNORE_OUTPUT
rows = [vars(row) for row in attempts(seen.kills)]
phase.measure("kills", rows)
table(rows)

# %%
from playbook.report import attempts_figure

# NBVAL_IGNORE_OUTPUT
phase.figure(
    "kills",
    attempts_figure(pipelines.attempts_of_killed(phase.context)),
    "One live pipeline, with a worker killed in each of its ten tasks.",
)

# %%
phase.check("survives_kills")

# %%
phase.check("callbacks_once")

# %% [markdown]
# Compared with A and A' of the scenario `live`, in which nobody died; only the starts that a kill ended are left out.

# %%
phase.check("same_effects_killed")

# %% [markdown]
# ## The guide's claims
#
# The guide replaces chains by `Pipeline` and chords by `gather` with a callback. Both were tried on the guide's own
# broker, with a real worker and tasks of the application's shape.

# %%
from playbook.report import claims_table

claims_table(
    [phase.claim(v.text, v.holds, v.found, v.instead, v.source) for v in pipelines.verdicts(phase.context)]
)

# %%
phase.check("claims")

# %% [markdown]
# ## The way back
#
# By flag within a second, by code to the tag before: rehearsed from this phase under full load, in both directions
# ([docs/rollback.md](../docs/rollback.md)).

# %% [markdown]
# ## What this phase does not do yet
#
# - Canvases are still built from Celery's classes. The cutover changes their imports.
# - Beat sends to Celery. The schedule follows in the next phase.

# %%
phase.sign_off()
