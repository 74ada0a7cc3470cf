"""The parsed modules of an application, and what a dotted name leads to across imports and re-exports."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from playbook.inventory.collector import parse
from playbook.inventory.files import File, decode
from playbook.inventory.models import Refusal
from playbook.inventory.modules import ModuleNames, is_init
from playbook.inventory.source import Source


class Project:
    """The application's modules. Only those that `load` was asked for are parsed; the others stay opaque."""

    def __init__(self, files: list[File], names: ModuleNames) -> None:
        self.files = {file.path: file for file in files if file.is_python}
        self.names = names
        self.sources: dict[str, Source] = {}
        self.failures: list[Refusal] = []
        self.tried: set[str] = set()

    def load(self, paths: set[str]) -> None:
        """Parse these files; what cannot be parsed is added to `failures` with the parser's message."""
        self.tried |= paths
        for path in sorted(paths):
            module = self.names.by_path[path]
            try:
                self.sources[path] = parse(path, module, is_init(path), decode(self.files[path]))
            except UnicodeDecodeError as error:
                line = self.files[path].data.count(b"\n", 0, error.start) + 1
                self._fail(path, line, f"the bytes are not {error.encoding}: {error.reason}")
            except SyntaxError as error:
                self._fail(path, error.lineno or 1, error.msg)
            except (ValueError, RecursionError) as error:
                self._fail(path, 1, str(error))

    def _fail(self, path: str, line: int, message: str) -> None:
        python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        reason = f"{python} cannot parse the file: {message}; correct it, or run this with its Python"
        self.failures.append(
            Refusal(path=path, line=max(line, 1), construct="unparsable file", reason=reason)
        )

    def source_of(self, module: str) -> Source | None:
        """The parsed source of a module, None if there is none of that name or it was not parsed."""
        return self.sources.get(self.names.by_name.get(module, ""))

    def is_module(self, name: str) -> bool:
        """Whether the name is a module of the application, or a package above one."""
        return name in self.names.prefixes

    def split(self, dotted: str) -> tuple[str, list[str]]:
        """Split a dotted name into the longest module of the application and the attributes that follow."""
        parts = dotted.split(".")
        for count in range(len(parts), 0, -1):
            if self.is_module(".".join(parts[:count])):
                return ".".join(parts[:count]), parts[count:]
        return "", parts

    def __iter__(self) -> Iterator[Source]:
        return iter([self.sources[path] for path in sorted(self.sources)])
