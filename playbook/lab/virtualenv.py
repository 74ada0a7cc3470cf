"""A virtual environment of an application's own: nothing is in it but what the application asks for."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from playbook.lab.errors import LabError
from playbook.lab.surroundings import child_env

LONGEST = 900.0
"""Seconds that an installation may take."""

NETWORK = (
    "; this needs the network and a package index (of your own: UV_DEFAULT_INDEX), or a cache that is filled"
)
LEFT_OUT = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")


@dataclass(frozen=True)
class VirtualEnvironment:
    """An environment that exists.

    Attributes:
        folder: where it is.
    """

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"

    def variables(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the complete environment variables of a child process that lives in here.

        Parameters:
            variables: more of them. The playbook's own modules are not to be found, unless these say so.
        """
        kept = child_env()
        path = os.pathsep.join([str(self.folder / "bin"), kept.get("PATH", os.defpath)])
        own = {
            "PATH": path,
            "VIRTUAL_ENV": str(self.folder),
            "PYTHONPATH": "",
            # Compiled once and in here: what has just been installed is not, which takes seconds each time.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self.folder / "pycache"),
        }
        return kept | own | dict(variables or {})

    def packages(self) -> dict[str, str]:
        """Return the version of each installed package, by its name in lower case."""
        listed = json.loads(_uv("pip", "list", "--format", "json", "--python", str(self.python)))
        return {str(package["name"]).lower(): str(package["version"]) for package in listed}

    def importable(self, modules: Sequence[str]) -> list[str]:
        """Return which of these top-level modules an import would find."""
        script = "import importlib.util, json, sys; print(json.dumps("
        script += "[name for name in sys.argv[1:] if importlib.util.find_spec(name)]))"
        done = subprocess.run(
            [str(self.python), "-I", "-c", script, *modules], capture_output=True, text=True, check=True
        )
        return [str(name) for name in json.loads(done.stdout)]


def make_environment(
    folder: Path, package: Path, extras: Sequence[str] = (), constraints: Path | None = None
) -> VirtualEnvironment:
    """Make an environment and install an application into it, as its users do.

    It has this process's version of Python. One that was made from the same requirements is used again: only
    the application is installed anew.

    Parameters:
        folder: where to make it.
        package: the folder with the application's `pyproject.toml`. It is not written to.
        extras: optional dependencies to install.
        constraints: versions to keep to.

    Raises:
        LabError: it could not be made; in one line.
    """
    made, project = VirtualEnvironment(folder.absolute()), package / "pyproject.toml"
    if not project.is_file():
        raise LabError(f"{package.name} has no pyproject.toml; what it needs cannot be installed")
    asked = [project.read_text(encoding="utf-8"), sys.version, *extras]
    asked += [constraints.read_text(encoding="utf-8")] if constraints else []
    key, kept = hashlib.sha256("\0".join(asked).encode()).hexdigest(), folder / "made-from"
    if not kept.exists() or kept.read_text() != key:
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        options = [f"--extra={extra}" for extra in extras]
        options += ["--constraints", str(constraints)] if constraints else []
        _install(made, "--requirements", str(project), *options)
        kept.write_text(key)
    with tempfile.TemporaryDirectory() as copy:
        source = Path(copy, package.name)
        shutil.copytree(package, source, ignore=LEFT_OUT)
        _install(made, "--no-deps", "--reinstall", str(source))
    return made


def _install(environment: VirtualEnvironment, *arguments: str) -> None:
    _uv("pip", "install", "--quiet", "--python", str(environment.python), *arguments)


def _uv(*arguments: str) -> str:
    """Run uv; return what it says."""
    from uv import find_uv_bin

    try:
        done = subprocess.run(
            [find_uv_bin(), "--no-config", *arguments],
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"uv could not run: {error}") from None
    if done.returncode:
        said = " ".join(re.sub(r"\w+://\S+", "the index", done.stderr).split())
        what = (
            "the fresh environment could not be made"
            if arguments[0] == "venv"
            else "packages could not be installed"
        )
        raise LabError(f"{what}: {said[-400:]}{NETWORK if arguments[0] == 'pip' else ''}")
    return done.stdout
