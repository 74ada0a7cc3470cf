# %% tags=["parameters"]
run_dir: str = ""
config: str = ""
redis_url: str = ""
database_url: str = ""
audio: str = ""

# %% [markdown]
# # Opening

# %%
import os  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402

sys.path.insert(0, os.environ["TINY_HOME"])
import tiny  # noqa: E402

from playbook.session import open_phase  # noqa: E402

tiny.install()
phase = open_phase(
    "01_poc",
    run_dir=run_dir,
    config=config,
    redis_url=redis_url,
    database_url=database_url,
    audio=audio,
)

# %% [markdown]
# ## Applying

# %%
print(phase.apply().changed)

# %%
if os.environ.get("TINY_FAULT") == "raise":
    raise RuntimeError("first line\nsecond\nthird\n\nfourth\nlast line")
if os.environ.get("TINY_FAULT") == "die":
    os._exit(9)

# %%
if os.environ.get("TINY_FAULT") == "check":
    (phase.workspace / "shop" / "broker.py").write_text("broker = 'amqp'\n")
phase.verify()

# %%
phase.claim("it is easy", holds=False, found="it is not", instead="we do it")
phase.figure("dot", b"\x89PNG", "a dot")
phase.measure("clock", time.monotonic())

# %%
if os.environ.get("TINY_FAULT") != "silent":
    print(phase.sign_off())
