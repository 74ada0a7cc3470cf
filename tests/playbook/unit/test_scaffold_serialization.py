"""What a task gets is what was sent, as under Celery (trap T15)."""

import datetime as dt
import json
import zoneinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.json import dumps, loads
from taskiq import TaskiqMessage
from taskiq.brokers.inmemory_broker import InMemoryBroker
from taskiq.formatters.proxy_formatter import ProxyFormatter

from playbook.scaffold.worker.serialization import MessageFormatter, Serializer


def exists_once(moment: dt.datetime) -> bool:
    """Whether a zone's clocks show this time exactly once. Python calls other times unequal to any in another
    zone (PEP 495), so that they cannot be compared; `test_a_time_in_a_changed_hour_is_the_same_moment`."""
    return moment.tzinfo is None or moment == moment.astimezone(dt.UTC)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(dt.UTC) | st.timezones()).filter(exists_once)
    | st.dates()
    | st.times()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(values)
def test_the_wire_is_kombus(value: Any) -> None:
    ours = Serializer().dumpb(value)
    assert json.loads(ours) == json.loads(dumps(value))
    assert Serializer().loadb(ours) == loads(dumps(value))


@given(values, st.dictionaries(st.text(), values, max_size=3))
def test_arguments_arrive_as_they_were_sent(value: Any, kwargs: dict[str, Any]) -> None:
    message = TaskiqMessage(task_id="i", task_name="t", labels={}, args=[value], kwargs=kwargs)
    formatter = MessageFormatter()
    assert formatter.loads(formatter.dumps(message).message) == message


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("naive", [dt.datetime(2024, 3, 31, 3, 30), dt.datetime(2024, 10, 27, 3, 30)])
def test_a_time_in_a_changed_hour_is_the_same_moment(naive: dt.datetime, fold: int) -> None:
    sent = naive.replace(tzinfo=zoneinfo.ZoneInfo("Europe/Sofia"), fold=fold)
    arrived = Serializer().loadb(Serializer().dumpb(sent))
    assert (arrived.timestamp(), arrived.utcoffset()) == (sent.timestamp(), sent.utcoffset())


def test_stock_taskiq_turns_them_into_text() -> None:
    formatter = ProxyFormatter(InMemoryBroker())
    message = TaskiqMessage(task_id="i", task_name="t", labels={}, args=[dt.date(2026, 1, 2)], kwargs={})
    assert formatter.loads(formatter.dumps(message).message).args == ["2026-01-02"]


@pytest.mark.parametrize("value", [{1}, object(), lambda: None], ids=["set", "object", "function"])
def test_what_json_cannot_express_is_refused_at_the_sender(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be sent as JSON"):
        Serializer().dumpb(value)
    with pytest.raises(TypeError):
        dumps(value)


def test_an_unknown_type_is_refused_at_the_receiver() -> None:
    text = b'{"__type__": "money", "__value__": 3}'
    with pytest.raises(ValueError, match="money"):
        Serializer().loadb(text)
    with pytest.raises(ValueError, match="Unsupported type"):
        loads(text)


def test_an_object_may_say_how_it_is_written() -> None:
    class Money:
        def __json__(self) -> dict[str, int]:
            return {"cents": 3}

    assert Serializer().dumpb(Money()) == dumps(Money()).encode() == b'{"cents": 3}'
