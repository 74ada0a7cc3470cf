"""What of Celery's messages and results is read and written, without a Redis."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbook.scaffold.worker.transfer_celery import ForeignMessageError, Source, parsed, written
from playbook.scaffold.worker.transfer_plans import after, last_of, membership_of, weight
from playbook.scaffold.worker.transfer_results import as_celery, failed

WHERE = Source("celery", b"")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.uuids() | st.datetimes() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


def message(**changes: Any) -> bytes:
    """A message as kombu writes it, with some fields changed."""
    fields = json.loads(written("celery", {"task": "a.b", "id": "1"}, [1], {}, {}))
    return json.dumps(fields | changes).encode()


@given(st.lists(VALUES, max_size=3), st.dictionaries(st.text(), VALUES, max_size=3))
def test_what_is_written_is_read_again(args: list[Any], kwargs: dict[str, Any]) -> None:
    headers = {"task": "a.b", "id": "1", "retries": 2}
    found = parsed(WHERE, written("high", headers, args, kwargs, {"chain": []}), "high")
    assert (found.task, found.id, found.queue, found.headers["retries"]) == ("a.b", "1", "high", 2)
    assert (list(found.args), dict(found.kwargs)) == (args, kwargs)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff", "it is no message of kombu's"),
        (b"[1, 2]", "it is no message of kombu's"),
        (b'{"a": 1}', "it is no message of kombu's"),
        (message(headers={}), "it is no task of Celery's protocol 2"),
        (message(headers=[1]), "it is no task of Celery's protocol 2"),
        (message(**{"content-type": "application/x-python-serialize"}), "not plain JSON"),
        (
            message(headers={"task": "a.b", "id": "1", "compression": "application/x-gzip"}),
            "application/x-gzip",
        ),
        (message(body="not base64 of JSON"), "its body cannot be read"),
        (message(body=base64.b64encode(b'{"args": []}').decode()), "its body cannot be read"),
        (message(body=None), "its body cannot be read"),
    ],
)
def test_what_is_no_message_of_a_task_is_named_with_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(ForeignMessageError, match=reason):
        parsed(WHERE, payload, "celery")


def task(name: str, **options: Any) -> dict[str, Any]:
    return {"task": name, "args": [], "kwargs": {}, "options": {"task_id": name, **options}}


def test_the_end_of_a_signature_is_where_its_result_comes_from() -> None:
    group = task("g") | {"subtask_type": "group", "kwargs": {"tasks": [task("x"), task("y")]}}
    chord = task("c") | {"subtask_type": "chord", "kwargs": {"header": group, "body": task("body")}}
    chain = task("ch") | {"subtask_type": "chain", "kwargs": {"tasks": [task("a"), chord]}}
    assert last_of(chain)["task"] == "body"
    assert last_of(task("a", chain=[task("z"), task("b")]))["task"] == "z"
    assert [step["task"] for step in after(task("a", chain=[task("z"), task("b")]))] == ["b", "z"]
    assert (weight(chain), weight(group), weight(task("a", chain=[group]))) == (1, 2, 2)


def test_a_group_at_the_end_belongs_where_its_members_do() -> None:
    """Celery writes the header before it into the group's own options."""
    body = task("body")
    member = task("x", group_id="outer", group_index=1, chord=body)
    group = task("g", group_id="inner", chord=body) | {"subtask_type": "group", "kwargs": {"tasks": [member]}}
    found = membership_of(group)
    assert found is not None
    assert (found.group, found.body) == ("outer", body)
    assert membership_of(task("alone", group_id="only a group")) is None


def test_errors_keep_their_name_message_and_module_both_ways() -> None:
    error = {"exc_type": "HTTPError", "exc_message": ["no", 3], "exc_module": "httpx"}
    assert as_celery(json.loads(failed(error))) == ("FAILURE", error)
    told = as_celery(json.loads(failed(error)) | {"dependency": "id-1"})
    assert told[1]["exc_module"] == "celery.exceptions"
    assert told[1]["exc_message"] == ["Dependency id-1 raised HTTPError('no', 3)"]
