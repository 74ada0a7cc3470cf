"""Find the parts of an observation that a run generates: identifiers, times, hosts.

A token that all control runs share is a constant and stays as it is, so that a change of it is seen. Only
what each run makes anew is masked, and loopback ports always. Where a masked identifier stands is compared by
`links`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from playbook.models import Observation

Token = tuple[str, str]  # kind ("id", "time", "host", "int:<namespace>") and canonical text

_ISO = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
_BASIC = r"(?<!\d)\d{8}T\d{6}Z?"
_HTTP_DATE = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
_UUID = r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}(?![0-9A-Za-z])"
_HOST = r"(?:127\.0\.0\.1|localhost|\[::1\]|0\.0\.0\.0):\d{2,5}"
_GRAMMAR = (
    rf"(?P<time>{_ISO}|{_BASIC}|{_HTTP_DATE}|(?<=\bt=)\d{{10}})"
    rf"|(?P<hmac>(?<=\bv1=)[0-9a-f]{{40,}})|(?P<boundary>(?<=\bboundary=)[\w'-]+)|(?P<host>{_HOST})|(?P<id>{_UUID})"
)
_ID_KEY = re.compile(r"(?:^|_)ids?$")
_TIME_KEY = re.compile(r"(?:^|_)(?:at|ts|time|timestamp|date|expires|eta)$")
_ID_LIKE = re.compile(r"[A-Za-z0-9_-]{6,64}")
_DIGITS = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?")


def snake(name: str) -> str:
    """Return a key in snake case: `meetingId` and `Meeting-Id` are `meeting_id`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).replace("-", "_").lower()


def is_id_key(key: str) -> bool:
    """True for `id`, `..._id` and `..._ids` in any spelling."""
    return bool(_ID_KEY.search(snake(key)))


def is_time_value(key: str, value: Any) -> bool:
    """True for a Unix time in seconds or milliseconds under a key that names a time."""
    if isinstance(value, bool) or not _TIME_KEY.search(snake(key)):
        return False
    if isinstance(value, str):
        return bool(_DIGITS.fullmatch(value))
    return isinstance(value, int | float) and (1e9 <= value < 5e9 or 1e12 <= value < 5e12)


def namespace(key: str, owner: str) -> str:
    """Return what an integer identifier counts: the last word before `id`, or of the owner of a bare `id`."""
    words = [word for word in snake(key).split("_") if word not in ("id", "ids")]
    words = words or re.findall(r"[a-z0-9]+", snake(owner)) or [""]
    return words[-1].removesuffix("s")


def integer_token(key: str, owner: str, value: int) -> Token:
    """Return the token of an integer that stands under an identifier's key."""
    return f"int:{namespace(key, owner)}", str(value)


def seconds(text: str) -> float | None:
    """Return a time token as Unix seconds; a time without zone is UTC. None if it is not a real date."""
    try:
        if re.fullmatch(_HTTP_DATE, text):
            return parsedate_to_datetime(text).timestamp()
        if _DIGITS.fullmatch(text):
            number = float(text)
            return number / 1000 if number >= 1e12 else number
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def canonical(kind: str, text: str) -> Token:
    """Return the token for a match; the spellings of one UUID are one token."""
    if kind == "id" and re.fullmatch(_UUID, text):
        text = text.replace("-", "").lower()
    return kind, text


def grammar(identifiers: set[str]) -> re.Pattern[str]:
    """Return the pattern that finds all tokens in a text, the given identifiers of the run among them."""
    if not identifiers:
        return re.compile(_GRAMMAR)
    known = "|".join(re.escape(text) for text in sorted(identifiers, key=lambda text: (-len(text), text)))
    return re.compile(rf"(?P<known>(?<![0-9A-Za-z])(?:{known})(?![0-9A-Za-z]))|{_GRAMMAR}")


def decode(value: Any) -> Any:
    """Return the object or list that a JSON text holds; anything else as it is."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def leaves(value: Any, key: str = "", owner: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield (key, owner, leaf) for every leaf below a JSON value; dictionary keys are leaves too."""
    value = decode(value)
    if isinstance(value, dict):
        for name, item in value.items():
            yield "", owner, name
            yield from leaves(item, name, key or owner)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, key, owner)
    else:
        yield key, owner, value


def parts(observation: Observation) -> Iterator[tuple[str, Any]]:
    """Yield (owner, JSON value) for everything in an observation that may hold tokens."""
    effects = observation.effects
    for table, rows in effects.rows.items():
        yield from ((table, row) for row in rows)
    for request in effects.requests:
        yield request.service, request.model_dump(exclude={"at", "service"})
    for message in effects.messages:
        yield "message", {"channel": message.channel, "data": message.data}
    for stored in (*effects.objects, *effects.files):
        yield "object", {"container": stored.container, "key": stored.key}
    for queued in effects.queue_messages:
        yield "queue", {"queue": queued.queue, "body": queued.body}
    for event in observation.trace:
        yield "task", event.model_dump(include={"id", "root_id", "parent_id", "args", "kwargs", "error"})


def identifiers(observation: Observation) -> set[str]:
    """Return the texts that stand under an identifier's key and look like one."""
    return {
        leaf
        for owner, value in parts(observation)
        for key, _, leaf in leaves(value, owner=owner)
        if isinstance(leaf, str) and is_id_key(key) and _ID_LIKE.fullmatch(leaf)
    }


def tokens(observation: Observation) -> set[Token]:
    """Return every token of an observation."""
    pattern = grammar(identifiers(observation))
    found: set[Token] = set()
    for owner, value in parts(observation):
        for key, holder, leaf in leaves(value, owner=owner):
            if is_time_value(key, leaf):
                found.add(("time", str(leaf)))
            elif isinstance(leaf, str):
                found.update(token_of(match) for match in pattern.finditer(leaf))
            elif isinstance(leaf, int) and not isinstance(leaf, bool) and is_id_key(key):
                found.add(integer_token(key, holder, leaf))
    return found


def token_of(match: re.Match[str]) -> Token:
    """Return the token that a match of the grammar stands for."""
    kind = match.lastgroup or ""
    return canonical("id" if kind == "known" else kind, match.group())
