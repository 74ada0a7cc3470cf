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
# # 00 Inventory
#
# What does the application use Celery for, and where? Every later phase moves a part of this list, and at the end
# nothing may be left over. So the list has to be complete. It is read from the source alone and then compared with
# what Celery itself has registered when the application runs.
#
# This phase changes nothing.

# %% tags=["parameters"]
run_dir: str = ""  # a run's folder; empty: a temporary one, removed when the kernel ends
config: str = ""  # a playbook.toml; empty: the nearest one from here upward
redis_url: str = ""  # a Redis of yours; empty: the lab starts one
database_url: str = ""  # a database of yours; empty: SQLite
audio: str = ""  # an audio file; empty: the bundled sample

# %%
from playbook.session import open_phase

phase = open_phase(
    "00_inventory",
    run_dir=run_dir,
    config=config,
    redis_url=redis_url,
    database_url=database_url,
    audio=audio,
)
phase.apply()
phase

# %% [markdown]
# ## What is there
#
# Six lists: tasks, calls of tasks, canvases (chains, groups, chords), schedules, other places that touch Celery, and
# what the migration refuses to convert by itself.

# %%
from playbook.checks.inventory import read
from playbook.report import count_table, table

found = read(phase.context)
count_table(found)

# %% [markdown]
# A file that cannot be parsed could hide anything. So there must be none.

# %%
phase.check("readable")

# %% [markdown]
# The tasks, as Celery will register them. `bind` means that the task uses the Celery task object (`self`).

# %%
table(found.tasks, ["name", "decorators", "is_async", "bind", "options", "path", "line"])

# %% [markdown]
# The canvases, folded as Celery folds them: a chord followed by a task takes that task into its body.

# %%
from playbook.report import canvas_view

canvas_view(found.canvases)

# %%
table(found.schedules, ["entry", "task", "schedule", "condition", "line"])

# %% [markdown]
# ## Is the list complete?
#
# The application is imported in a process of its own, and Celery is asked what it has registered.

# %%
phase.check("tasks")

# %%
phase.check("schedules")

# %% [markdown]
# ## What the guide says
#
# The guide names the patterns in use and the files to migrate. The inventory decides whether that is so. A claim that
# does not hold stops nothing: it tells what the migration has to do differently.

# %%
from playbook.checks.guide import judge
from playbook.checks.guide_inventory import CLAIMS, facts, file_uses
from playbook.report import claims_table

claims_table(
    [phase.claim(v.text, v.holds, v.found, v.instead, v.source) for v in judge(CLAIMS, facts(found))]
)

# %% [markdown]
# The files, by the number of tasks in them. `named` tells whether the guide calls the file critical.

# %%
table(file_uses(found))

# %% [markdown]
# ## In which order
#
# Each place belongs to one phase, or it is refused with a reason. Within a phase the least risky task comes first:
# retries, canvases, schedules, injected arguments and many call sites make a task riskier.

# %%
from playbook.inventory.plan import plan

plan_ = plan(found, phase.application.poc_task)
table(plan_.order, ["task", "score", "phase", "reasons"])

# %%
from playbook.report import inventory_figure

phase.figure("inventory", inventory_figure(found, plan_), "What each phase moves.")

# %% [markdown]
# ## What will be refused
#
# What stands here has to be done by hand, and is not forgotten.

# %%
table(plan_.refused, ["path", "line", "label", "reason"])

# %%
phase.check("adds_up")

# %% [markdown]
# ## The test suite
#
# The application's own tests use Celery too. They migrate along with it in a later phase.

# %%
from playbook.inventory import inventory

tests = inventory(phase.workspace / phase.application.tests)
count_table(tests)

# %%
phase.record("inventory", found.to_json())
phase.record("plan", plan_.to_json())
phase.sign_off()
