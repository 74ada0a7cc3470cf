"""What operators get at the cutover: alerts, a dashboard, a runbook, and health checks of services."""

from __future__ import annotations

from pathlib import PurePosixPath

from playbook.rewrite.edit import SCAFFOLD, Edit
from playbook.rewrite.rules.compose_probes import ComposeProbes

FOLDER = "ops"
"""Where the files stand: below the scaffold, and below the application's own folder."""


def add_operations(edit: Edit) -> None:
    """Copy the files of `scaffold/ops` into the application, and let its compose file ask the processes.

    The commands in the files name the application's package. A file that is there already and is not ours
    stays, and is refused.
    """
    for source in sorted((SCAFFOLD / FOLDER).iterdir()):
        text = source.read_text(encoding="utf-8")
        text = text.replace("PACKAGE.worker", edit.worker).replace("PACKAGE", edit.worker.rpartition(".")[0])
        path = f"{edit.application.root}/{FOLDER}/{source.name}"
        if edit.tree.get(path, text) != text:
            edit.refuse(path, 1, "file", "the application has a file of this name; rename that one")
            continue
        edit.tree = edit.tree.with_file(path, text)
    scripts = [PurePosixPath(path).name for path in edit.files(".sh")]
    for path in edit.files(".yml", ".yaml"):
        if "compose" in PurePosixPath(path).name:
            for script in scripts:
                edit.apply(path, ComposeProbes(script, f"{edit.worker}.probes"))
