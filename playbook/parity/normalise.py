"""An observation -> records with identifiers, times, hosts and folders masked, and where they stood."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from playbook.models import Message, Observation, QueueMessage, Request, StoredObject
from playbook.parity.executions import Execution, executions
from playbook.parity.models import Policy
from playbook.parity.tokens import (
    Token,
    decode,
    grammar,
    identifiers,
    integer_token,
    is_id_key,
    is_time_value,
    seconds,
    token_of,
)

_MARGIN = 60.0  # seconds around the recorded events that still count as "during the run"
_STEP = 300.0  # seconds; times outside the run are told apart by this step
_ORDER_COLUMNS = ("created_at", "created", "timestamp", "at", "time")


@dataclass(frozen=True)
class Record:
    """One comparable thing: a row, request, message, object, queue message or execution of a task.

    `content` is masked JSON. `entities` tells which identifier stands at which path of it. `identity` is what
    must agree before two records may be called noisy versions of one another. `position` is the order
    within the section, None where the section has none. `stream` separates sequences that only look alike
    once masked.
    """

    section: str
    identity: str
    content: Any
    entities: tuple[tuple[str, Token], ...]
    at: float | None = None
    position: float | None = None
    stream: str = ""
    execution: Execution | None = None


@dataclass
class Masker:
    """Masks the JSON values of one observation and collects the identifiers that it met."""

    constants: frozenset[Token]
    counters: frozenset[str]
    pattern: re.Pattern[str]
    window: tuple[float, float] | None
    folders: tuple[str, ...]
    entities: list[tuple[str, Token]] = field(default_factory=list)

    def take(self) -> tuple[tuple[str, Token], ...]:
        """Return the identifiers met since the last call."""
        met, self.entities = tuple(self.entities), []
        return met

    def mask(self, value: Any, path: str = "", key: str = "", owner: str = "") -> Any:
        """Return a JSON value with every generated token replaced by its kind."""
        value = decode(value)
        if isinstance(value, dict):
            return {
                self._text(str(name), f"{path}.{name}~"): self.mask(
                    item, f"{path}.{name}", name, key or owner
                )
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self.mask(item, f"{path}[{index}]", key, owner) for index, item in enumerate(value)]
        if is_time_value(key, value):
            return self._time(str(value), value)
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, int) and not isinstance(value, bool) and is_id_key(key):
            return self._integer(integer_token(key, owner, value), value, path)
        return value

    def _text(self, text: str, path: str) -> str:
        for folder in self.folders:
            text = text.replace(folder, "<dir>")

        def replace(match: re.Match[str]) -> str:
            token = token_of(match)
            kind = token[0]
            if kind in ("hmac", "boundary"):
                return f"<{kind}>"
            if kind == "time":
                return str(self._time(match.group(), match.group()))
            if token in self.constants and kind != "host":
                return match.group()
            self.entities.append((f"{path}@{match.start()}" if match.group() != text else path, token))
            return f"<{kind}>"

        return self.pattern.sub(replace, text)

    def _integer(self, token: Token, value: int, path: str) -> Any:
        if token in self.constants and token[0] not in self.counters:
            return value
        self.entities.append((path, token))
        return "<id>"

    def _time(self, text: str, value: Any) -> Any:
        moment = seconds(text)
        if moment is None:
            return value
        # First: two control runs in one second share times that are no constants.
        if self.window is not None and self.window[0] <= moment <= self.window[1]:
            return "<time>"
        if ("time", text) in self.constants:
            return value
        if self.window is None:
            return "<time>"
        minutes = int((moment - self.window[0]) // _STEP * _STEP / 60)
        return f"<time {minutes:+d} min>"


def counters(observations: Iterable[Observation]) -> frozenset[str]:
    """Return the kinds of integer token that number the rows of a table in the order of insertion."""
    return frozenset(
        integer_token("id", table, row["id"])[0]
        for observation in observations
        for table, rows in observation.effects.rows.items()
        for row in rows
        if isinstance(row.get("id"), int)
    )


def records(
    observation: Observation, constants: frozenset[Token], counted: frozenset[str], policy: Policy
) -> list[Record]:
    """Return every comparable record of an observation.

    `constants` are the tokens that all control runs share, `counted` the integer kinds that count rows.
    """
    masker = Masker(
        constants,
        counted,
        grammar(identifiers(observation)),
        _window(observation),
        tuple(sorted(policy.folders, key=len, reverse=True)),
    )
    effects = observation.effects
    return [
        *(_row(masker, table, row, policy) for table, rows in effects.rows.items() for row in rows),
        *(_table(table, rows, policy) for table, rows in effects.rows.items()),
        *(_request(masker, request, place, policy) for place, request in enumerate(effects.requests)),
        *(_message(masker, message, place) for place, message in enumerate(effects.messages)),
        *(_stored(masker, "objects", stored) for stored in effects.objects),
        *(_stored(masker, "files", stored) for stored in effects.files),
        *(_queued(masker, queued) for queued in effects.queue_messages),
        *(_execution(masker, execution) for execution in executions(observation.trace)),
    ]


def _row(masker: Masker, table: str, row: dict[str, Any], policy: Policy) -> Record:
    at = _row_time(row)
    ordinal = next(
        (row[name] for name in (*sorted(policy.ordinals), "id") if isinstance(row.get(name), int)), at
    )
    bare = {name: "<n>" if name in policy.ordinals else value for name, value in row.items()}
    content = masker.mask(bare, owner=table)
    return Record(
        f"rows.{table}", "", content, masker.take(), at, None if ordinal is None else float(ordinal)
    )


def _table(table: str, rows: list[dict[str, Any]], policy: Policy) -> Record:
    """Return a record of the table itself: that it is there, and how its rows are numbered."""
    numbers = {
        name: sorted(str(row[name]) for row in rows if name in row) for name in sorted(policy.ordinals)
    }
    return Record("tables", table, {"table": table, "numbers": numbers}, ())


def _row_time(row: dict[str, Any]) -> float | None:
    for column in _ORDER_COLUMNS:
        if isinstance(row.get(column), str | int | float):
            return seconds(str(row[column]))
    return None


def _request(masker: Masker, request: Request, place: int, policy: Policy) -> Record:
    path = "/".join(_segments(masker, request.path))
    headers = {name.lower(): value for name, value in request.headers.items()}
    content = {
        "method": request.method,
        "path": path,
        "query": masker.mask(request.query, ".query", owner=request.service),
        "headers": {
            name: masker.mask(value, f".headers.{name}", name, request.service)
            for name, value in headers.items()
            if name not in policy.ignored_headers
        },
        "body": masker.mask(request.body, ".body", owner=request.service),
        "status": request.status,
    }
    identity = f"{request.method} {path}"
    section = f"requests.{request.service}"
    return Record(section, identity, content, masker.take(), request.at, float(place))


def _segments(masker: Masker, path: str) -> list[str]:
    """Mask a path by segments, so that `/messages/17` is linked to the `message_id` 17."""
    segments = path.split("/")
    masked = []
    for place, segment in enumerate(segments):
        key, where = f"{segments[place - 1] if place else ''}_id", f".path[{place}]"
        value = int(segment) if segment.isdecimal() else segment
        masked.append(str(masker.mask(value, where, key if isinstance(value, int) else "")))
    return masked


def _message(masker: Masker, message: Message, place: int) -> Record:
    content = masker.mask({"channel": message.channel, "data": message.data}, owner="message")
    event = message.data.get("event", "") if isinstance(message.data, dict) else ""
    section, at = f"messages.{content['channel']}", message.at
    return Record(section, str(event), content, masker.take(), at, float(place), message.channel)


def _stored(masker: Masker, kind: str, stored: StoredObject) -> Record:
    content = masker.mask(stored.model_dump(), owner=kind)
    return Record(f"{kind}.{content['container']}", content["key"], content, masker.take())


def _queued(masker: Masker, queued: QueueMessage) -> Record:
    content = masker.mask(queued.model_dump(), owner="queue")
    return Record(f"queue.{content['queue']}", "", content, masker.take())


def _execution(masker: Masker, execution: Execution) -> Record:
    content = masker.mask(execution.content(), owner="task")
    masker.mask({"id": execution.id}, owner="task")
    section = f"trace.{execution.task}"
    return Record(section, execution.task, content, masker.take(), execution.start, execution=execution)


def _window(observation: Observation) -> tuple[float, float] | None:
    """Return the time of the run, with a margin: from the first to the last thing recorded."""
    effects = observation.effects
    moments = [event.at for event in observation.trace]
    moments += [request.at for request in effects.requests] + [message.at for message in effects.messages]
    return (min(moments) - _MARGIN, max(moments) + _MARGIN) if moments else None
