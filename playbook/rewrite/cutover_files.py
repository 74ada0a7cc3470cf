"""What stands around the code at the cutover: settings, requirements, start script, compose file, texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from playbook.rewrite.edit import ENV_EXAMPLES, Edit
from playbook.rewrite.rules.native_compose import NativeCompose
from playbook.rewrite.rules.native_start_script import NativeStartScript
from playbook.rewrite.rules.old_names import OldNames
from playbook.rewrite.rules.old_settings import DEPRECATED, OldSettings
from playbook.rewrite.rules.without_requirements import WithoutRequirements
from playbook.rewrite.rules.wording import Wording

NEW_URL, OLD_URLS = "TASKIQ_REDIS_URL", ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND")
ROUTES = ("TASKIQ_ROUTE", "TASKIQ_ROUTES")
TOP, PROBES = "top", "probes"
"""The modules that show what Flower showed, and that ask a process for its health."""

DELIBERATE = (*OLD_URLS, r"flower\)", "Flower went with Celery", "as before also .*")
"""What may go on speaking of Celery."""

TEXTS = (
    *(".md", ".rst", ".txt", ".sh", ".yml", ".yaml", ".toml", ".cfg", ".ini", ".conf", ".service"),
    *("Dockerfile", "Makefile", "Procfile", *ENV_EXAMPLES),
)


def settle_settings(edit: Edit) -> None:
    """Give the settings their new names; the old ones go on counting."""
    edit.apply(f"{edit.application.root}/settings.py", OldSettings(NEW_URL, OLD_URLS, ROUTES))
    broker = edit.application.module_path(f"{edit.worker}.broker")
    if broker in edit.tree:
        text = edit.tree[broker].replace(
            f"settings.{NEW_URL} or settings.{OLD_URLS[0]}", f"settings.{NEW_URL}"
        )
        edit.tree = edit.tree.with_file(broker, text)
    for path in edit.files():
        if PurePosixPath(path).name in ENV_EXAMPLES:
            edit.apply(path, OldNames(NEW_URL, OLD_URLS, ROUTES, DEPRECATED.format(new=NEW_URL)))


def settle_deployment(edit: Edit) -> None:
    """Change requirements, start script and compose file."""
    scripts = [PurePosixPath(path).name for path in edit.files(".sh") if "celery" in edit.tree[path]]
    for path in list(edit.files()):
        name = PurePosixPath(path).name
        if name == "pyproject.toml":
            edit.apply(path, WithoutRequirements(toml=True))
        elif re.fullmatch(r"(.*-)?requirements.*\.(txt|in)", name):
            edit.apply(path, WithoutRequirements(toml=False))
        elif path.endswith(".sh"):
            edit.apply(path, NativeStartScript(f"{edit.worker}.{TOP}"))
        elif path.endswith((".yml", ".yaml")) and "compose" in name:
            edit.apply(path, OldNames(NEW_URL, OLD_URLS, ROUTES))
            for script in scripts:
                edit.apply(path, NativeCompose(script, NEW_URL, f"{edit.worker}.{PROBES}"))


def settle_texts(edit: Edit) -> None:
    """Change the commands in texts and comments; refuse what else mentions Celery."""
    scripts = tuple(PurePosixPath(path).name for path in edit.files(".sh"))
    known = len(edit.refusals)
    for path, python in _texts(edit):
        edit.apply(path, Wording(edit.worker, f"{edit.worker}.{TOP}", python, DELIBERATE, scripts))
    _without_repeats(edit, known)


def _without_repeats(edit: Edit, known: int) -> None:
    """Keep one refusal of each line."""
    places = {(refusal.path, refusal.line) for refusal in edit.refusals[:known]}
    edit.refusals[known:] = [r for r in edit.refusals[known:] if (r.path, r.line) not in places]


def _texts(edit: Edit) -> Iterator[tuple[str, bool]]:
    for path in list(edit.files()):
        if path.endswith(".py"):
            yield path, True
        elif path.endswith(TEXTS):
            yield path, False
