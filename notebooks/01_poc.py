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
# # 01 Proof of concept
#
# Can this application run a task on TaskIQ at all, beside Celery and without changing Celery's side? This phase adds
# the broker with its settings and requirements, a health task, and the *twin* of one task: the same function,
# registered on TaskIQ under the same name.
#
# The guide calls several results of its own proof of concept verified. Here each of them is tried.

# %% tags=["parameters"]
run_dir: str = ""  # a run's folder; empty: a temporary one, removed when the kernel ends
config: str = ""  # a playbook.toml; empty: the nearest one from here upward
redis_url: str = ""  # a Redis of yours; empty: the lab starts one
database_url: str = ""  # a database of yours; empty: SQLite
audio: str = ""  # an audio file; empty: the bundled sample

# %%
from playbook.session import open_phase

phase = open_phase(
    "01_poc", run_dir=run_dir, config=config, redis_url=redis_url, database_url=database_url, audio=audio
)
phase

# %% [markdown]
# ## What changes
#
# One commit in the working copy. The Celery task stays byte for byte as it was. The twin looks at it only when TaskIQ
# first needs it, so that importing a module still does not make Celery configure itself early. The session
# decorators state which arguments a *message* carries; without that TaskIQ takes the first one for the session.

# %%
from playbook.report import diff_view, modules_table, table

applied = phase.apply()
diff_view(phase.before.unified_diff(phase.after, "changed"))

# %% [markdown]
# The modules that the application receives and owns from now on. They know neither the playbook nor Celery.

# %%
modules_table({change.path: phase.after[change.path] for change in applied.changes if change.kind == "added"})

# %% [markdown]
# What the rules left alone, with the reason:

# %%
table(phase.refusals, ["path", "line", "construct", "reason"])

# %% [markdown]
# ## The lab
#
# The next cell starts a Redis, an S3 and SQS server, a database, the outside world (one HTTP server that plays the
# recognisers, the language model, Zulip and the receivers of webhooks, and records what it is asked), Celery and
# TaskIQ workers and the API, tries everything once, and stops them again. The cells after it look at what was found.

# %%
from playbook.checks import poc

facts = poc.observe(phase.context)
f"{len(facts)} facts"

# %% [markdown]
# ## Celery's side is untouched

# %%
phase.check("celery_unchanged")

# %%
phase.check("twin")

# %%
phase.check("arguments")

# %% [markdown]
# And the product still works as before, the whole way: a browser uploads the recording in chunks and listens on its
# WebSocket; a Celery worker processes the file; Zulip and the webhook are told.

# %%
phase.check("upload")

# %%
", ".join(message.data["event"] for message in poc.uploaded(phase.context).effects.messages)

# %% [markdown]
# ## A message goes all the way
#
# From a client through Redis to a worker and back; results are JSON and expire. And what was sent before the first
# worker came up is run: the guide's broker starts reading at the *end* of the stream.

# %%
phase.check("round_trip")

# %%
phase.check("results_are_json")

# %%
phase.check("nothing_lost_early")

# %% [markdown]
# ## The guide's claims
#
# What was seen decides. Where a claim does not hold, the last column says what the playbook does instead.

# %%
from playbook.report import claims_table

claims_table(
    [phase.claim(v.text, v.holds, v.found, v.instead, v.source) for v in poc.verdicts(phase.context)]
)

# %%
phase.check("claims")

# %% [markdown]
# ## The same file on both systems
#
# A recording of two speakers goes through the file pipeline: on Celery (A), on Celery once more (A'), and on the twin
# (B). What differs between A and A' is noise of the scenario. B may differ from A only in what A' also does.
#
# The three tasks after the file task (consent cleanup, Zulip, webhook) still run on Celery in all three runs. Both
# systems work on one transcript here. How long a task takes is not compared yet: the TaskIQ worker has just started and
# sees its first file.

# %%
from playbook.report import timeline

a, a_again, b = poc.observations(phase.context)

phase.figure(
    "timeline",
    timeline([a, b], ["A: Celery", "B: the first task on TaskIQ"]),
    "The same file, first on Celery alone, then with the first task on TaskIQ.",
)

# %%
from playbook.report import findings_table

findings_table(poc.comparison(phase.context))

# %%
phase.check("same_effects")

# %% [markdown]
# ## What this phase does not do yet
#
# - Nothing is routed: the API still starts the Celery task. Call sites follow in the next phase.
# - The twin does not know its task id and its retries yet: the application asks Celery for them.

# %%
phase.sign_off()
