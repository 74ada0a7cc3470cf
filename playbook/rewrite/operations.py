"""What operators get at the cutover: alerts, a dashboard and a runbook, beside the application's code."""

from __future__ import annotations

from playbook.rewrite.edit import SCAFFOLD, Edit

FOLDER = "ops"
"""Where the files stand: below the scaffold, and below the application's own folder."""


def add_operations(edit: Edit) -> None:
    """Copy the files of `scaffold/ops` into the application; the commands in them name its package.

    A file that is there already and is not ours stays, and is refused.
    """
    for source in sorted((SCAFFOLD / FOLDER).iterdir()):
        text = source.read_text(encoding="utf-8")
        text = text.replace("PACKAGE.worker", edit.worker).replace("PACKAGE", edit.worker.rpartition(".")[0])
        path = f"{edit.application.root}/{FOLDER}/{source.name}"
        if edit.tree.get(path, text) != text:
            edit.refuse(path, 1, "file", "the application has a file of this name; rename that one")
            continue
        edit.tree = edit.tree.with_file(path, text)
