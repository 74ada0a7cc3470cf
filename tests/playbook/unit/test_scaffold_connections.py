"""Which errors are an outage that passes, in the words of each Redis."""

import pytest
from redis import exceptions

from playbook.scaffold.worker.connections import is_outage

IN_A_SCRIPT = "Error running script (call to f_0fe7): @user_script:21: @user_script: 21: -"


@pytest.mark.parametrize("code", ["NOREPLICAS", "MISCONF", "OOM", "READONLY", "BUSY"])
@pytest.mark.parametrize("before", ["", IN_A_SCRIPT], ids=["command", "script on Redis 6.2"])
def test_a_redis_that_takes_no_writes_is_an_outage(before: str, code: str) -> None:
    assert is_outage(exceptions.ResponseError(f"{before}{code} not now."))


@pytest.mark.parametrize(
    "answer",
    [
        "BUSYGROUP Consumer Group name already exists",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        f"{IN_A_SCRIPT}WRONGTYPE Operation against a key holding the wrong kind of value",
        "Error running script (call to f_0fe7): @user_script:3: a text about OOM",
        "NOGROUP No such key",
    ],
)
def test_a_mistake_is_none(answer: str) -> None:
    assert not is_outage(exceptions.ResponseError(answer))


def test_a_broken_connection_is_one() -> None:
    assert is_outage(exceptions.ConnectionError("gone"))
    assert is_outage(ConnectionResetError())
