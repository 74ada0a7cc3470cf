"""A shop with two phases, small enough to see through: what the spine's tests migrate.

`install` puts its phases in place of the real ones. That happens in child processes and kernels only. Run as
a program, this module is the playbook's command line with those phases.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playbook import phases
from playbook.config import Application
from playbook.contracts import Check, CheckContext, CheckResult, Refusal, Slice
from playbook.phases import Phase
from playbook.tree import Tree

os.environ["TINY_HOME"] = str(Path(__file__).parent)
DATA = Path(__file__).parent / "data"

CONFIG = """\
[application]
name = "shop"
root = "shop"
tests = "tests/shop"
celery_app = "shop.app:app"
broker = "shop.broker:broker"
"""


def slice_(application: Application, tree: Tree) -> Slice:
    """Adds a broker, and counts in `settings.py` how many lines the application has."""
    module = application.module_path("shop.broker")
    after = tree.with_file(module, "broker = 'redis'\n").with_file(
        "shop/settings.py", f"LINES = {len(tree)}\n"
    )
    return Slice(after, (Refusal("shop/app.py", 1, "solar(...)", "TaskIQ knows no sun"),))


def broker_is_there(context: CheckContext) -> CheckResult:
    text = (context.workspace / "shop" / "broker.py").read_text()
    found = CheckResult.passed if "redis" in text else CheckResult.failed
    return found(
        "the broker names redis" if "redis" in text else "the broker does not name redis", {"text": text}
    )


PHASES = (
    Phase("00_inventory", "Inventory", "Looks."),
    Phase(
        "01_poc",
        "Proof",
        "Adds a broker.",
        needs=("00_inventory",),
        slice=slice_,
        load_checks=lambda: (Check("broker", "the broker is there", broker_is_there),),
    ),
)


def install() -> None:
    phases.PHASES = PHASES


def make_shop(base: Path) -> Path:
    """Write the shop, its playbook.toml and its notebooks below `base`; return `base`."""
    for path, text in {
        "playbook.toml": CONFIG,
        "shop/__init__.py": "",
        "shop/app.py": "app = 'celery'\n",
        "shop/run.sh": "#!/bin/sh\necho shop\n",
        "tests/shop/test_shop.py": "def test_shop():\n    pass\n",
    }.items():
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text(text)
    (base / "shop" / "logo.png").write_bytes(b"\x89PNG\xff")
    (base / "shop" / "run.sh").chmod(0o755)
    for source in DATA.glob("*.py"):
        write_notebook(base / "notebooks" / f"{source.stem}.ipynb", source.read_text())
    return base


def write_notebook(path: Path, percent_text: str) -> None:
    """Write a notebook from its text version (jupytext, percent format)."""
    from playbook.notebook_format import nbformat  # isort: skip - before jupytext imports it in its own way
    import jupytext

    path.parent.mkdir(exist_ok=True)
    notebook = jupytext.reads(percent_text, fmt="py:percent")
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    install()
    from playbook.cli import main

    sys.exit(main())
