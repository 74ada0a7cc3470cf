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
# # 05 Validation
#
# Is the migrated application as good as the one on Celery? First its own tests say so: the same tests, on either
# system, by a flag.

# %% tags=["parameters"]
run_dir: str = ""  # a run's folder; empty: a temporary one, removed when the kernel ends
config: str = ""  # a playbook.toml; empty: the nearest one from here upward
redis_url: str = ""  # a Redis of yours; empty: the lab starts one
database_url: str = ""  # a database of yours; empty: SQLite
audio: str = ""  # an audio file; empty: the bundled sample
full: bool = False  # everything at full size: an hour or two
tests: str = ""  # test files of the application to run, apart by spaces; empty: those of the size

# %%
from playbook.session import open_phase

phase = open_phase(
    "05_validation",
    run_dir=run_dir,
    config=config,
    redis_url=redis_url,
    database_url=database_url,
    audio=audio,
    full=full,
    tests=tests,
)
phase

# %% [markdown]
# ## What changes
#
# One entry in the conftest, and two modules that the cutover deletes. No test changes.

# %%
from playbook.report import diff_view, modules_table, table

applied = phase.apply()
diff_view(phase.before.unified_diff(phase.after, "changed"))

# %%
modules_table({change.path: phase.after[change.path] for change in applied.changes if change.kind == "added"})

# %% [markdown]
# What the rules left alone, with the reason:

# %%
table(applied.refusals, ["path", "line", "construct", "reason"])

# %% [markdown]
# ## All at once
#
# The tests run, workers and connections break, and mistakes are planted in copies, all at the same time: most of it
# is waiting. The sections below show what came of it. The speed is measured later, while nothing else runs.

# %%
from playbook.checks import validation

validation.look(phase.context)

# %% [markdown]
# ## The same tests
#
# The sources are compared first: test functions, assertions, skips. Then the tests run three times: before the
# migration, and after it with the flag at Celery and at TaskIQ.

# %%
from playbook.checks import suite_checks
from playbook.report.suites import (
    changes_table,
    counts_table,
    coverage_figure,
    coverage_table,
    runs_table,
)

proof = suite_checks.look(phase.context)
counts_table(proof.counts)

# %%
changes_table(proof.findings)

# %%
phase.check("same_tests")

# %%
phase.check("same_assertions")

# %%
phase.check("nothing_skipped")

# %% [markdown]
# ## On either system

# %%
# NBVAL_IGNORE_OUTPUT
runs_table(proof.runs)

# %%
phase.check("green_on_celery")

# %%
phase.check("green_on_taskiq")

# %% [markdown]
# A test that sends to Celery itself would pass without TaskIQ. So it is counted where tasks ran.

# %%
phase.check("runs_where_routed")

# %% [markdown]
# ## Coverage

# %%
# NBVAL_IGNORE_OUTPUT
phase.figure(
    "coverage",
    coverage_figure(proof.by_file, proof.shared),
    "Lines of each file that the tests cover, before the migration and after it on each system.",
)

# %%
# NBVAL_IGNORE_OUTPUT
coverage_table(proof.by_file, proof.statements)

# %%
phase.check("same_coverage")

# %% [markdown]
# ## Speed and cost
#
# Celery's prefork pool, Celery's threads, TaskIQ as the guide sets it up, and the runtime that the application has
# received do the same work on one Redis. They have the same number of worker processes; those that run several
# tasks in one process have the same number of slots. They take turns, round after round, so that whatever else the
# machine does meets all of them. Bars are medians over the rounds, whiskers 95 % confidence intervals (bootstrap).

# %%
# NBVAL_IGNORE_OUTPUT
from playbook.checks import speed, speed_views
from playbook.report.speed import bars_figure, ratios_figure, verdicts_table

samples = speed.look(phase.context)
phase.figure(
    "speed",
    bars_figure(speed_views.panels(samples, 1)),
    "What four systems can do with one worker process, and what it costs.",
)

# %% [markdown]
# The same as ratios, formed within each round. What lies in the shaded part is worse than before.

# %%
# NBVAL_IGNORE_OUTPUT
phase.figure(
    "speed_ratios",
    ratios_figure(speed_views.better(samples, 1)),
    "How many times better the migrated application is, in each respect and than each other system.",
)

# %% [markdown]
# At this size a busy machine can move a ratio a lot, so only those far from their bar are held to one, and the bars
# are wide. At full size (`full=true`) the project's own bars hold, with 1, 2 and 4 worker processes, growing load,
# tasks that are due later, and the file pipeline.

# %%
# NBVAL_IGNORE_OUTPUT
held = [one for name in speed.BARS for one in speed.compared(samples, name, phase.parameters.full)]
verdicts_table(held)

# %%
phase.check("speed_throughput")

# %%
phase.check("speed_latency")

# %%
phase.check("speed_cost")

# %%
phase.check("speed_fan_in")

# %% [markdown]
# ## Faults
#
# Single tasks, delayed and retried ones, chains and chords run on real workers and a real Redis. Meanwhile
# something breaks. Each task notes its start and its end in a file that no fault touches, so what is missing there
# was lost. A task that ran twice needs a reason: its worker was struck while it ran, or its sender's connection
# broke before the answer came.

# %%
# NBVAL_IGNORE_OUTPUT
from playbook.checks import faults
from playbook.checks.faults_random import BIN
from playbook.report.faults import beside_table, faults_table, storm_figure, storms_table

struck = faults.look(phase.context)
faults_table(struck.of("taskiq"))

# %% [markdown]
# The same faults on Celery, with the application's own settings (at full size only: it takes long to wait for what
# never comes).

# %%
# NBVAL_IGNORE_OUTPUT
beside_table(struck.of("taskiq"), struck.of("celery"))

# %%
phase.check("fault_promises")

# %% [markdown]
# Faults drawn at random, one after the other, while work goes on. Redis has its data on disk here
# (`appendfsync always`); without, a restart loses what Redis held, as the table shows at full size.

# %%
# NBVAL_IGNORE_OUTPUT
storms_table(struck.storms)

# %%
# NBVAL_IGNORE_OUTPUT
phase.figure(
    "faults",
    storm_figure(struck.storms[0], BIN),
    "Tasks that have ended while faults strike, and when each fault lasted.",
)

# %%
phase.check("random_faults")

# %% [markdown]
# ## Does the comparison bite?
#
# A comparison that never finds anything proves nothing. So mistakes are planted in copies of the migrated source:
# those that a migration by hand has made, and many more. For each one the part of the checks is run that can find
# it, and the checks that have to fail are named beforehand. The same checks run on a copy without a mistake, too:
# there they must pass.

# %%
from playbook.checks import plants
from playbook.report.plants import plants_table

bites = plants.look(phase.context)
plants_table(bites.tried)

# %% [markdown]
# `playbook plants` lists the whole catalogue; with `full=true` all of it is tried here, and copies without a mistake
# ten times.

# %%
phase.check("plants_caught")

# %%
phase.check("unchanged_copy")

# %% [markdown]
# Effects show only what the application uses. The router promises more, so calls of every kind were made on both
# systems: types of arguments, due times, expiry, queues, routes, results, errors.

# %%
phase.check("calls_arrive")

# %% [markdown]
# And what operators start is what it is called.

# %%
phase.check("start_scripts")

# %% [markdown]
# ## The way back
#
# By flag within a second, by code to the tag before: rehearsed from this phase under full load, in both directions
# ([docs/rollback.md](../docs/rollback.md)).

# %%
phase.sign_off()
