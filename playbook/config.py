"""`playbook.toml`: what the playbook has to be told about an application.

[application]
name = "reflector"                         # shown in reports
root = "reflector"                         # the package; its last part is the package's name
tests = "tests/reflector"                  # the application's own suite; may be left out
celery_app = "reflector.worker.app:app"
asgi_app = "reflector.app:app"             # may be left out
broker = "reflector.worker.broker:broker"  # where the TaskIQ broker is to live
notebooks = "notebooks"                    # the playbook's notebooks, relative to this file
loop_bridges = ["reflector.asynctask.asynctask"]  # decorators that run a coroutine function to its end

[phases.01_poc]
twin = "reflector.pipelines.main_file_pipeline.task_pipeline_file_process"  # the first task to get a twin
"""

from __future__ import annotations

import tomllib
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from playbook.errors import ConfigError

CONFIG_NAME = "playbook.toml"

_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
DottedName = Annotated[str, StringConstraints(pattern=rf"^{_DOTTED}$")]
ObjectPath = Annotated[str, StringConstraints(pattern=rf"^{_DOTTED}:{_DOTTED}$")]
RelativePath = Annotated[str, StringConstraints(pattern=r"^[\w-][\w. -]*(/[\w-][\w. -]*)*$")]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, validate_by_name=True, validate_by_alias=True
    )


class PocOptions(_Section):
    """`[phases.01_poc]`: the registered name of the task that gets the first twin."""

    twin: DottedName


class ValidationOptions(_Section):
    """`[phases.05_validation]`: the test files that are enough for a quick look, relative to the base."""

    quick_tests: Annotated[tuple[RelativePath, ...], Field(strict=False)]


class PhaseOptions(_Section):
    """`[phases]`: what a phase cannot know by itself. None: the application does not say."""

    poc: PocOptions | None = Field(default=None, alias="01_poc")
    validation: ValidationOptions | None = Field(default=None, alias="05_validation")


class Application(_Section):
    """An application under migration.

    `base` is the folder of `playbook.toml` as given; all other paths are relative to it. An object path reads
    `package.module:name`.
    """

    base: Path = Field(exclude=True)
    name: Annotated[str, StringConstraints(min_length=1)]
    root: RelativePath
    tests: RelativePath | None = None
    celery_app: ObjectPath
    asgi_app: ObjectPath | None = None
    broker: ObjectPath
    notebooks: RelativePath = "notebooks"
    loop_bridges: Annotated[tuple[DottedName, ...], Field(strict=False)] = ()
    phases: PhaseOptions = PhaseOptions()

    @property
    def poc_task(self) -> str | None:
        """Registered name of the task that gets the first twin."""
        return self.phases.poc.twin if self.phases.poc else None

    @property
    def quick_tests(self) -> tuple[str, ...]:
        """Test files that are enough for a quick look; none: all of them."""
        return self.phases.validation.quick_tests if self.phases.validation else ()

    @property
    def package(self) -> str:
        """Name of the root package, as it is imported."""
        return PurePosixPath(self.root).name

    @property
    def root_path(self) -> Path:
        """Folder of the package."""
        return self.base / self.root

    @property
    def tests_path(self) -> Path | None:
        """Folder of the application's own tests."""
        return self.base / self.tests if self.tests else None

    @property
    def notebooks_path(self) -> Path:
        """Folder of the notebooks."""
        return self.base / self.notebooks

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders, relative to `base`, that make up a working copy."""
        return (self.root, self.tests) if self.tests else (self.root,)

    def module_path(self, module: str) -> str:
        """Path of a module's file relative to `base`: `pkg.a.b` -> `pkg/a/b.py`.

        Raises ValueError if the module is outside the package.
        """
        if module.partition(".")[0] != self.package:
            raise ValueError(f"{module} is not a module of the package {self.package}")
        return PurePosixPath(self.root).parent.joinpath(*module.split(".")).with_suffix(".py").as_posix()


def load_application(config: Path | None = None, start: Path | None = None) -> Application:
    """Read the description of the application.

    Parameters:
        config: path of a `playbook.toml`; None: the nearest one from `start` upward.
        start: folder to start looking from; None: the current one.
    Raises: ConfigError with one line that names file, key and remedy.
    """
    path = config if config is not None else find_config(start or Path.cwd())
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; give the path of a {CONFIG_NAME}") from None
    except ValueError as error:  # TOML syntax and UTF-8 alike
        raise ConfigError(f"{path} is not valid TOML: {_one_line(error)}; correct that line") from None
    return _application(path, data)


def find_config(start: Path) -> Path:
    """The nearest `playbook.toml` from `start` upward. Raises ConfigError if there is none."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / CONFIG_NAME).is_file():
            return candidate / CONFIG_NAME
    raise ConfigError(f"no {CONFIG_NAME} in {start} or above it; change there, or give one with --config")


def _application(path: Path, data: dict[str, object]) -> Application:
    unknown = sorted(set(data) - {"application", "phases"})
    if unknown:
        raise ConfigError(f"{path}: unknown section [{unknown[0]}]; known: [application], [phases]")
    section = data.get("application")
    if not isinstance(section, dict):
        raise ConfigError(
            f"{path}: section [application] is missing; add it with name, root, celery_app and broker"
        )
    if "base" in section:
        raise ConfigError(
            f"{path}: application.base is not a key; remove it (paths are relative to this file)"
        )
    fields = {**section, "base": path.resolve().parent}
    if "phases" in data:
        fields["phases"] = data["phases"]
    try:
        application = Application.model_validate(fields)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_problem(error)}") from None
    _check_paths(path, application)
    return application


def _first_problem(error: ValidationError) -> str:
    """One line for the first thing that is wrong: key, problem, remedy."""
    problem = error.errors(include_url=False)[0]
    place = [str(part) for part in problem["loc"]]
    key = ".".join(place if place[0] == "phases" else ["application", *place])
    match problem["type"]:
        case "missing":
            return f"{key} is missing; add it"
        case "extra_forbidden":
            return f"{key} is not a known key; remove it or correct its name"
        case "string_pattern_mismatch":
            return f"{key} = {problem['input']!r} does not have the right form; {_form(place[-1])}"
        case _:
            return f"{key} = {problem['input']!r}: {problem['msg']}; correct it"


def _form(key: str) -> str:
    if key in ("celery_app", "asgi_app", "broker"):
        return "write package.module:name"
    if key == "twin":
        return "write the task's dotted name"
    return f"write a path relative to {CONFIG_NAME}, without '..'"


def _check_paths(path: Path, application: Application) -> None:
    """Everything named must be there, but for the broker, which the migration creates."""
    for key in ("root", "tests"):
        folder = getattr(application, key)
        if folder and not (application.base / folder).is_dir():
            raise ConfigError(
                f"{path}: application.{key} = {folder!r} is not a folder in {application.base}; correct it"
            )
    for file in application.quick_tests:
        if not (application.base / file).is_file():
            where = "phases.05_validation.quick_tests"
            raise ConfigError(f"{path}: {where}: there is no {file} in {application.base}; correct it")
    for key in ("celery_app", "asgi_app", "broker"):
        value = getattr(application, key)
        if value is None:
            continue
        module = value.partition(":")[0]
        try:
            file = application.module_path(module)
        except ValueError as error:
            raise ConfigError(
                f"{path}: application.{key}: {error}; it must live in application.root"
            ) from None
        package = application.base / file.removesuffix(".py") / "__init__.py"
        if key != "broker" and not ((application.base / file).is_file() or package.is_file()):
            raise ConfigError(
                f"{path}: application.{key} = {value!r}: there is no {file}; correct the module's name"
            )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
