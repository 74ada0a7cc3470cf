"""Messages and results as JSON, with the same meaning as Celery's JSON.

Invariant: what a task gets is what was sent. JSON knows no datetime, date, time, UUID, Decimal or bytes;
kombu wraps them as `{"__type__": ..., "__value__": ...}` (kombu/utils/json.py), and so does this module.
What neither can express raises an error at the sender.
"""

import base64
import json
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from taskiq import BrokerMessage, TaskiqMessage
from taskiq.abc.formatter import TaskiqFormatter
from taskiq.abc.serializer import TaskiqSerializer

M = TypeVar("M", bound=TaskiqMessage)

# A datetime is a date as well, so it comes first.
_ENCODERS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (datetime, "datetime", datetime.isoformat),
    (date, "date", date.isoformat),
    (time, "time", time.isoformat),
    (Decimal, "decimal", str),
    (UUID, "uuid", lambda value: {"hex": value.hex}),
)

_DECODERS: dict[str, Callable[[Any], Any]] = {
    "datetime": datetime.fromisoformat,
    "date": lambda text: datetime.fromisoformat(text).date(),
    "time": time.fromisoformat,
    "decimal": Decimal,
    "uuid": lambda value: UUID(**value),
    "bytes": str.encode,
    "base64": base64.b64decode,
}


def _encode(value: Any) -> Any:
    if hasattr(value, "__json__"):
        return value.__json__()
    for kind, name, encoder in _ENCODERS:
        if isinstance(value, kind):
            return {"__type__": name, "__value__": encoder(value)}
    if isinstance(value, bytes):
        try:
            return {"__type__": "bytes", "__value__": value.decode()}
        except UnicodeDecodeError:
            return {"__type__": "base64", "__value__": base64.b64encode(value).decode()}
    raise TypeError(f"a {type(value).__name__} cannot be sent as JSON: {value!r:.100}")


def _decode(value: dict[str, Any]) -> Any:
    if value.keys() != {"__type__", "__value__"}:
        return value
    decoder = _DECODERS.get(value["__type__"])
    if decoder is None:
        raise ValueError(f"unknown type in a message: {value['__type__']!r}")
    return decoder(value["__value__"])


# Made once: `json.dumps` and `json.loads` would make new ones for each value.
_encoder = json.JSONEncoder(default=_encode)
_decoder = json.JSONDecoder(object_hook=_decode)


class Serializer(TaskiqSerializer):
    """Kombu's JSON."""

    def dumpb(self, value: Any) -> bytes:
        """Return the JSON of a value; raise `TypeError` for what it cannot express."""
        return _encoder.encode(value).encode()

    def loadb(self, value: bytes) -> Any:
        """Return the value of JSON text; raise `ValueError` if it is malformed or has an unknown type."""
        return _decoder.decode(value.decode())


class MessageFormatter(TaskiqFormatter):
    """TaskIQ's message, written as the object of its fields.

    TaskIQ's own formatter (taskiq/formatters/proxy_formatter.py) lets pydantic turn arguments into JSON
    first, and their types are lost.
    """

    def __init__(self) -> None:
        self._serializer = Serializer()

    def dumps(self, message: TaskiqMessage) -> BrokerMessage:
        """Return the message as it travels; raise `TypeError` for arguments that JSON cannot express."""
        return BrokerMessage(
            task_id=message.task_id,
            task_name=message.task_name,
            message=self._serializer.dumpb(message.model_dump()),
            labels=message.labels,
        )

    def loads(self, message: bytes) -> TaskiqMessage:
        """Return the message; raise `ValueError` if it is not one."""
        return self.loads_as(TaskiqMessage, message)

    def loads_as(self, kind: type[M], message: bytes) -> M:
        """Return the message as an object of a class of its own."""
        return kind.model_validate(self._serializer.loadb(message))
