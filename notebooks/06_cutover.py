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
# # 06 Cutover
#
# Celery goes. What ran on both systems runs on TaskIQ alone: tasks, calls, schedule, settings, deployment, tests.
#
# Proven here: nothing imports Celery any more; the application, installed where there is no Celery, passes its own
# tests, none fewer and none weaker; its processes start from its own start script; an upload does what it did on
# Celery.

# %% tags=["parameters"]
run_dir: str = ""  # a run's folder; empty: a temporary one, removed when the kernel ends
config: str = ""  # a playbook.toml; empty: the nearest one from here upward
redis_url: str = ""  # a Redis of yours; empty: the lab starts one
database_url: str = ""  # a database of yours; empty: SQLite
audio: str = ""  # an audio file; empty: the bundled sample
full: bool = False  # everything at full size
tests: str = ""  # test files of the application to run, apart by spaces; empty: those of the size

# %%
from playbook.session import open_phase

phase = open_phase(
    "06_cutover",
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
# One commit in the working copy, shown by kind of file. First the modules that define tasks: decorators of Celery's
# and the loop bridge go, twins go, calls become calls of the task itself. The names of tasks stay, so that messages
# that are on their way are understood.

# %%
from playbook.checks import cutover_kinds
from playbook.report import diff_view, modules_table, table

applied = phase.apply()
diffs = cutover_kinds.diffs(phase.application, phase.before, phase.after)
diff_view(diffs[cutover_kinds.TASKS])

# %% [markdown]
# Code that calls tasks, or asks for their results, and what configured Celery:

# %%
diff_view(diffs[cutover_kinds.CALLS])

# %% [markdown]
# Settings and dependencies. The old names of settings keep working where operators set them, with a warning.

# %%
diff_view(diffs[cutover_kinds.SETTINGS])

# %% [markdown]
# Deployment: the start script and the compose file. The processes' old names keep working, with a note.

# %%
diff_view(diffs[cutover_kinds.DEPLOYMENT])

# %% [markdown]
# Texts that give commands:

# %%
diff_view(diffs[cutover_kinds.TEXTS])

# %% [markdown]
# Modules that go: they were for the time in which both systems ran.

# %%
modules_table(
    {change.path: phase.before[change.path] for change in applied.changes if change.kind == "removed"}
)

# %% [markdown]
# Modules that the application gets besides:

# %%
modules_table({change.path: phase.after[change.path] for change in applied.changes if change.kind == "added"})

# %% [markdown]
# ## What the rules left alone
#
# With the reason. Where it says "by hand", somebody has to look.

# %%
table(applied.refusals, ["path", "line", "construct", "reason"])

# %% [markdown]
# ## What is left of Celery's name

# %%
phase.check("nothing_imported")

# %% [markdown]
# A line may still name Celery: where a deprecated setting still counts, where the runtime says whose behaviour it
# keeps, in a note to those who use an old name, in a text that people must rewrite. Each of these is counted; the
# modules of the runtime are not listed line by line.

# %%
from collections import Counter

from playbook.checks import cutover
from playbook.checks.cutover_mentions import RUNTIME

left = cutover.left(phase.context)
table({"why": why, "lines": count} for why, count in Counter(one.why for one in left).most_common())

# %%
table([one for one in left if one.why != RUNTIME], ["path", "line", "text", "why"])

# %%
phase.check("mentions_explained")

# %% [markdown]
# ## The tests
#
# The fixtures of Celery's plugin for pytest become those of a plugin of the application's own: a broker, and a
# worker beside the tests. Calls become calls on TaskIQ.

# %%
diff_view(diffs[cutover_kinds.TESTS])

# %% [markdown]
# No test may be lost on the way, and no assertion weakened. The rules are not asked: each assertion of before is
# looked for in the tests of now. It must be there as it was, or in words that mean the same. These are the words:

# %%
from playbook.checks.cutover_suite import METHODS, WORDS
from playbook.report.suites import counts_table

table({"now": now, "before": before} for now, before in {**METHODS, **WORDS}.items())

# %%
sources = cutover.sources(phase.context)
counts_table(sources.counts)

# %% [markdown]
# Assertions in other words:

# %%
table({"before": before, "now": now} for before, now in sources.reworded)

# %%
phase.check("same_assertions")

# %% [markdown]
# ## All at once
#
# The application is installed and tested where there is no Celery, what was queued is carried over and back, and an
# operator's day is played, all at the same time: most of it is waiting. The sections below show what came of it.

# %%
cutover.look(phase.context)

# %% [markdown]
# ## Where there is no Celery
#
# The cut-over copy is installed as its users install it, into a virtual environment of its own. The environment
# stays in the run's folder and is used again while the requirements are the same. Its making needs a package index.
#
# The tests run there. Then server, worker and scheduler start from the start script, in a folder in which nothing of
# the application lies, and a recording is uploaded. The same upload runs twice on Celery, in the application of
# before: what those two runs differ in is noise.

# %%
from playbook.checks import cutover_fresh

fresh = cutover_fresh.look(phase.context)
phase.check("no_celery")

# %%
phase.check("same_tests")

# %%
phase.check("tests_pass")

# %% [markdown]
# ## The processes, and an upload

# %%
phase.check("processes")

# %%
# NBVAL_IGNORE_OUTPUT
from IPython.display import display

from playbook.report import findings_table

for comparison in fresh.comparisons:
    display(findings_table(comparison))

# %%
phase.check("same_effects")

# %% [markdown]
# ## What is still queued
#
# A cutover finds work in Celery's queues: tasks that wait for their time or for their next attempt, chains and chords
# half done. `python -m reflector.worker.transfer` moves it to TaskIQ, and at a rollback back to Celery; task ids, due
# times, attempts, remaining steps and results so far stay what they are.
#
# Here the code of before the cutover sends webhooks in every form, and its Celery worker is stopped in the middle of
# them. The command moves the rest, and the code of after the cutover runs it. Then the same the other way round. The
# receiver counts: each webhook must arrive, and each attempt only once.

# %%
from playbook.checks import cutover_drain

drained = cutover_drain.look(phase.context)

# %% [markdown]
# What lay in Celery's part of Redis when the worker had stopped, and after the move; and the same for TaskIQ's part at
# the rollback:

# %%
# NBVAL_IGNORE_OUTPUT
table(
    {
        "left": system,
        "what": name,
        "at the stop": cutover_drain.waiting(moved.before)[name],
        "after the move": cutover_drain.waiting(moved.after).get(name, 0),
    }
    for system, moved in (("Celery", drained.cutover), ("TaskIQ", drained.rollback))
    for name in cutover_drain.waiting(moved.before)
)

# %%
phase.check("drain")

# %%
phase.check("roll_back")

# %% [markdown]
# ## Operations
#
# Flower goes with Celery. What operators have instead: a command that goes the whole way (`health`), probes and metrics
# of workers and scheduler, a view in the terminal, alerts, a dashboard and a runbook (`ops/`).
#
# The next cell runs the application as an operator does. A worker of an older release gets a task that it does not know,
# and stops. A newer worker with two processes and a scheduler start, the dead letter is sent again, tasks succeed, fail and
# are tried again, and the worker's processes are killed.

# %%
from playbook.checks import operations

operated = operations.look(phase.context)

# %% [markdown]
# The view, at the end:

# %%
# NBVAL_IGNORE_OUTPUT
print(operated.view)

# %% [markdown]
# What the tasks did, by the lab's trace, and what the metrics of both processes say together:

# %%
table(
    {
        "task": task,
        "outcome": outcome,
        "done": operated.traced.get(task, {}).get(outcome, 0),
        "measured": operated.measured.get(task, {}).get(outcome, 0),
    }
    for task in sorted(operated.traced.keys() | operated.measured.keys())
    for outcome in sorted({*operated.traced.get(task, {}), *operated.measured.get(task, {})})
)

# %%
phase.check("health")

# %%
phase.check("metrics")

# %%
phase.check("killed_worker")

# %%
phase.check("dead_letter")

# %%
phase.check("terminal_view")

# %% [markdown]
# ## The guide's claims
#
# What was seen decides. Where a claim does not hold, the table says what the playbook does instead.

# %%
from playbook.report import claims_table

claims_table(
    [phase.claim(v.text, v.holds, v.found, v.instead, v.source) for v in cutover.verdicts(phase.context)]
)

# %%
phase.check("claims")

# %% [markdown]
# ## The guide's criteria of success
#
# Each with the checks that show it, of this phase and of the earlier ones of this run. A notebook that runs by itself
# has no earlier ones.

# %%
from playbook.criteria import judge_run
from playbook.report import criteria_table

criteria_table(judge_run(phase.run_dir))

# %%
phase.sign_off()
