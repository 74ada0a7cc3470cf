"""The parameters of the notebooks, checked before anything starts.

The same model serves the command line (text, before a kernel starts) and the notebook (typed values, at
its top, for those who call papermill themselves). Every refusal is one line.
"""

from __future__ import annotations

import ast
import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from playbook.errors import ParameterError
from playbook.lab.masking import mask_url
from playbook.syntax import parse

if TYPE_CHECKING:
    from sqlalchemy import URL

PATIENCE = 2.0
"""Seconds that a server has to answer."""

URL_VARIABLES = {"redis_url": "PLAYBOOK_REDIS_URL", "database_url": "PLAYBOOK_DATABASE_URL"}
"""Environment variables that give a URL without leaving its password in a notebook."""


OWN_POSTGRES = "postgres"
"""The `database_url` that stands for a PostgreSQL server of the lab."""


class Parameters(BaseModel):
    """What every notebook takes. A phase that takes more derives from this. Empty means: the playbook's own.

    `run_dir` is the run's folder, `config` a `playbook.toml`, `audio` an audio file. `database_url` names
    an async SQLAlchemy driver, as the application does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_dir: str = ""
    config: str = ""
    redis_url: str = ""
    database_url: str = ""
    audio: str = ""


P = TypeVar("P", bound=Parameters)


def parse_parameters(model: type[P], given: Mapping[str, str]) -> P:
    """Parameters from text (`-p name value`), for a kernel in any folder: paths are made absolute.

    A URL that is not given is taken from the environment (`URL_VARIABLES`).
    Raises: ParameterError; looks at no file and no server.
    """
    parsed = _validated(model, lambda: model.model_validate_strings({**given, **_missing_urls(given)}))
    return parsed.model_copy(update={"audio": str(Path(parsed.audio).absolute()) if parsed.audio else ""})


def typed_parameters(model: type[P], given: Mapping[str, Any]) -> P:
    """Parameters from a notebook's variables.

    A URL that is empty is taken from the environment (`URL_VARIABLES`). One with a password is refused:
    papermill writes parameters into the notebook, where everyone reads them.
    Raises: ParameterError; does not look whether things are there.
    """
    for name, variable in URL_VARIABLES.items():
        url = given.get(name)
        if isinstance(url, str) and _holds_password(url):
            raise ParameterError(
                f"{name} holds a password, and papermill writes parameters into the notebook: delete that "
                f"notebook, and give the URL in the environment variable {variable} instead"
            )
    return _validated(model, lambda: model.model_validate({**given, **_missing_urls(given)}, strict=True))


def check_reality(parameters: Parameters) -> None:
    """Check that paths exist and servers answer, within a little more than `PATIENCE` seconds in all.

    Raises: ParameterError that names the parameter, what is wrong with it and what to do.
    """
    for name in ("config", "audio"):
        path = getattr(parameters, name)
        if path and not Path(path).is_file():
            raise ParameterError(f"{name}: there is no file {path}; give the path of an existing file")
    if parameters.run_dir and Path(parameters.run_dir).exists() and not Path(parameters.run_dir).is_dir():
        raise ParameterError(
            f"run_dir: {parameters.run_dir} is not a folder; give a folder, or one to be made"
        )
    probes = {
        "redis_url": (parameters.redis_url, _reach_redis),
        "database_url": (parameters.database_url, _reach_database),
    }
    attempts = [_Attempt(name, url, probe) for name, (url, probe) in probes.items() if url]
    for attempt in attempts:
        attempt.start()
    for attempt in attempts:
        attempt.finish()


def check_injected(model: type[Parameters], cells: Iterable[str]) -> None:
    """Look for parameters that papermill injected although no one knows them.

    Papermill writes what it is given into a cell of assignments that starts with the comment `# Parameters`
    (papermill/translators.py), known or not.

    Parameters:
        model: the parameters that are known.
        cells: sources of the cells that ran so far (IPython's `In`).
    Raises: ParameterError for the first unknown name.
    """
    for source in cells:
        if source.startswith("# Parameters\n"):
            targets = (node for node in ast.walk(parse(source)) if isinstance(node, ast.Name))
            for target in targets:
                if isinstance(target.ctx, ast.Store) and target.id not in model.model_fields:
                    raise _unknown(model, target.id)


def _validated(model: type[P], build: Callable[[], P]) -> P:
    try:
        return build()
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        raise _unknown(model, name)
    kind = getattr(model.model_fields[name].annotation, "__name__", "value")
    shown = mask_url(repr(problem["input"]))
    raise ParameterError(
        f"parameter {name} must be of type {kind}, not {shown} ({problem['msg']}); correct it"
    )


def _missing_urls(given: Mapping[str, Any]) -> dict[str, str]:
    empty = [name for name in URL_VARIABLES if given.get(name, "") == ""]
    return {name: os.environ.get(URL_VARIABLES[name], "") for name in empty}


def _holds_password(url: str) -> bool:
    parts = urlsplit(url)
    return parts.password is not None or "password=" in parts.query


def _unknown(model: type[Parameters], name: str) -> ParameterError:
    return ParameterError(f"unknown parameter {name}; known are {', '.join(model.model_fields)}")


class _Attempt:
    """A try to reach a server, in a thread that nobody has to wait for: name lookups cannot be cut short."""

    def __init__(self, name: str, url: str, probe: Callable[[str], None]) -> None:
        self.name, self.url, self.probe = name, url, probe
        self.problem: str | None = f"no answer within {PATIENCE:g} s"
        self.thread = threading.Thread(target=self._try, daemon=True)

    def start(self) -> None:
        self.thread.start()

    def finish(self) -> None:
        self.thread.join(PATIENCE + 0.5)
        if self.problem is not None:
            url = mask_url(self.url)
            remedy = "correct it, start the server, or leave it empty"
            raise ParameterError(f"{self.name}: cannot use {url}: {mask_url(self.problem)}; {remedy}")

    def _try(self) -> None:
        try:
            self.probe(self.url)
        except Exception as error:
            first_line = next(iter(str(error).splitlines()), "")
            self.problem = first_line or type(error).__name__
        else:
            self.problem = None


# The clients are imported by those who need them: a notebook without external servers starts the sooner.


def _reach_redis(url: str) -> None:
    import redis

    client = redis.Redis.from_url(url, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE, retry=None)
    with client:
        client.ping()


def _reach_database(url: str) -> None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    if url == OWN_POSTGRES:
        return
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "postgresql":
        raise ValueError(f"neither {OWN_POSTGRES!r} nor a URL such as postgresql://host/name")
    asyncio.run(asyncio.wait_for(_connect(parsed.set(drivername="postgresql+asyncpg")), PATIENCE))


async def _connect(url: URL) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url)
    try:
        async with engine.connect():
            pass
    finally:
        await engine.dispose()
