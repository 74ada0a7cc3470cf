"""What a phase's result depends on, as one digest: equal inputs, equal result, no need to run again."""

from __future__ import annotations

import hashlib
import json
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from playbook.config import Application
from playbook.parameters import Parameters
from playbook.tree import source_digest

PACKAGE = Path(__file__).parent


def inputs_digest(application: Application, notebook: Path, parameters: Parameters) -> str:
    """SHA-256 over the notebook, its parameters, the application, the playbook and the installed packages."""
    parts = {
        "notebook": hashlib.sha256(notebook.read_bytes()).hexdigest(),
        "parameters": parameters.model_dump(exclude={"run_dir", "config"}),
        "application": application.model_dump(mode="json"),
        "source": source_digest(application.base, application.folders),
        "surroundings": surroundings(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def surroundings() -> list[str]:
    """What is the same for all: Python's version, the playbook's source, the installed packages."""
    packages = sorted({f"{package.name}=={package.version}" for package in metadata.distributions()})
    return [platform.python_version(), source_digest(PACKAGE), *packages]
