# %% [markdown]
# # Looking

# %% tags=["parameters"]
run_dir: str = ""
config: str = ""
redis_url: str = ""
database_url: str = ""
audio: str = ""

# %%
import os  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

sys.path.insert(0, os.environ["TINY_HOME"])
import tiny  # noqa: E402

from playbook.session import open_phase  # noqa: E402

tiny.install()
phase = open_phase(
    "00_inventory",
    run_dir=run_dir,
    config=config,
    redis_url=redis_url,
    database_url=database_url,
    audio=audio,
)

# %% [markdown]
# ## Counting

# %%
phase.record("files", len(phase.before))
phase.record("redis", phase.parameters.redis_url)
deadline = time.monotonic() + float(os.environ.get("TINY_SECONDS", "0"))
while time.monotonic() < deadline:
    time.sleep(0.05)

# %%
phase.sign_off()
