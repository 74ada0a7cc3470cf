"""Mentions of Celery that are no code: comments and strings, dependencies, scripts, deployment, docs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from playbook.inventory.files import File
from playbook.inventory.models import Refusal, Touchpoint
from playbook.inventory.refusals import POOL

LONGEST = 160
"""Characters of a line that a detail shows."""

CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"]*@")
CELERY = re.compile(r"celery", re.IGNORECASE)
RELATED = re.compile(r"\b(?:celery\w*|flower|kombu|redbeat|django[-_]celery[-_]\w+)\b|celery", re.IGNORECASE)
FIXTURE = re.compile(
    r"\b(?:celery_(?:session_)?(?:app|worker)|celery_(?:config|parameters|includes|enable_logging)"
    r"|celery_worker_(?:parameters|pool)|use_celery_app_trap|depends_on_current_app)\b"
    r"|task_(?:always_eager|eager_propagates)|CELERY_\w*EAGER\w*|celery\.contrib",
    re.IGNORECASE,
)
SETTING = re.compile(r"\bCELERY_?[A-Z_]+\b|\bcelery_(?:broker|result|backend)\w*\b")

FOLDERS = {
    "dependency": ("requirements",),
    "ci": (".github", ".circleci", ".gitlab", ".ci", ".buildkite"),
    "deployment": (
        "k8s",
        "kubernetes",
        "helm",
        "charts",
        "deploy",
        "deployment",
        "supervisor",
        "systemd",
        "docker",
    ),
}
NAMES = {
    "dependency": (
        *(
            "*requirements*.txt",
            "*requirements*.in",
            "constraints*.txt",
            "pyproject.toml",
            "setup.cfg",
            "setup.py",
        ),
        *("Pipfile", "Pipfile.lock", "environment*.yml", "environment*.yaml", "*.lock"),
    ),
    "ci": (
        *(
            ".gitlab-ci.y*ml",
            ".travis.y*ml",
            "azure-pipelines*.y*ml",
            "bitbucket-pipelines.y*ml",
            "Jenkinsfile*",
        ),
        *("tox.ini", "noxfile.py"),
    ),
    "setting": (".env*", "env.*", "*.env", "*.env.*", "env"),
    "docs": ("*.md", "*.rst", "*.txt", "*.adoc", "*.ipynb", "README*", "CHANGELOG*", "CHANGES*", "NEWS*"),
    "command": (
        *("*.sh", "*.bash", "*.zsh", "*.fish", "*.ps1", "*.bat", "*.cmd", "*entrypoint*"),
        *("Makefile", "makefile", "GNUmakefile", "*.mk", "justfile", "Taskfile*"),
    ),
    "deployment": (
        *("*Dockerfile*", "*compose*.y*ml", "Procfile*", "supervisor*", "*.service", "*.timer", "*.socket"),
        *("*.conf", "*.ini", "*.cfg", "*.toml", "*.yml", "*.yaml", "*.tf", "*.hcl"),
    ),
}


def kind_of_file(path: str) -> str:
    """The kind of touchpoint that a file which is no module gives: "mention" if nothing better is known."""
    pure = PurePosixPath(path)
    for kind, folders in FOLDERS.items():
        if any(part in folders for part in pure.parts[:-1]) and pure.suffix not in (".md", ".rst"):
            return kind
    for kind, patterns in NAMES.items():
        if any(fnmatchcase(pure.name, pattern) for pattern in patterns):
            return kind
    return "mention"


def in_text(file: File) -> Iterator[Touchpoint | Refusal]:
    """Every line of a text file that mentions Celery; in dependencies and commands also its companions."""
    kind = kind_of_file(file.path)
    named = CELERY.search(file.data.decode("utf-8", "replace")) is not None
    if not named and kind in ("docs", "mention"):
        return
    pattern = CELERY if kind == "mention" else RELATED
    if kind == "mention" and file.lines[0].startswith("#!"):
        kind = "command"
    for number, line in enumerate(file.lines, start=1):
        if pattern.search(line):
            yield Touchpoint(path=file.path, line=number, kind=kind, detail=shorten(line))
            yield from pool_refusal(file.path, number, line)


def in_python(path: str, number: int, line: str) -> Iterator[Touchpoint | Refusal]:
    """A line of Python that mentions Celery and is no code that was understood: comment, string, setting."""
    if not (CELERY.search(line) or FIXTURE.search(line)):
        return
    yield Touchpoint(path=path, line=number, kind=_kind_of_line(path, line), detail=shorten(line))
    yield from pool_refusal(path, number, line)


def _kind_of_line(path: str, line: str) -> str:
    if line.lstrip().startswith("#"):
        return "mention"
    if FIXTURE.search(line) and (is_test(path) or "eager" in line.lower() or "contrib" in line):
        return "test"
    return "setting" if SETTING.search(line) else "mention"


def is_test(path: str) -> bool:
    """Whether a Python file belongs to a test suite."""
    pure = PurePosixPath(path)
    return (
        pure.name.startswith(("test_", "conftest"))
        or pure.stem.endswith("_test")
        or bool({"test", "tests"} & {*pure.parts})
    )


def pool_refusal(path: str, number: int, line: str) -> Iterator[Refusal]:
    """A green-thread pool asked for on this line."""
    if match := POOL.search(line):
        reason = f"TaskIQ has no {match[1].lower()} pool; it runs coroutines in one loop per worker process"
        yield Refusal(path=path, line=number, construct="worker pool", reason=reason)


def shorten(text: str) -> str:
    """One line of text for a detail: trimmed, credentials in URLs masked."""
    line = CREDENTIALS.sub("***@", " ".join(text.split()))
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
