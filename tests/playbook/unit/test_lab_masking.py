"""Credentials never show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbook.lab.errors import LabError
from playbook.lab.masking import mask_url

MASKED = [
    ("redis://:secret@host:6379/0", "redis://***@host:6379/0"),
    ("redis://user:secret@host", "redis://***@host"),
    ("https://token@host/path", "https://***@host/path"),
    ("rediss://u:p%40ss@host", "rediss://***@host"),
    ("redis://:p@ss@host/0", "redis://***@host/0"),
    ("1redis://:a@host", "1redis://***@host"),
    ("redis://:123/b@host/0", "redis://***@host/0"),
    ("https://user:a/b@host/0", "https://***@host/0"),
    ("redis://:a/b@host/0", "redis://***@host/0"),
    ("postgresql+asyncpg://u:p@h/db", "postgresql+asyncpg://***@h/db"),
    ("redis://host?password=secret&db=1", "redis://host?password=***&db=1"),
    ("https://s3/x?X-Amz-Signature=abc&a=b", "https://s3/x?X-Amz-Signature=***&a=b"),
    ("http://h?api_key=abc", "http://h?api_key=***"),
    ("first redis://:a@h1 then redis://:b@h2.", "first redis://***@h1 then redis://***@h2."),
    ("redis://:a@h1,redis://:b@h2", "redis://***@h1,redis://***@h2"),
    ('{"url": "amqp://u:p@h//"}', '{"url": "amqp://***@h//"}'),
]
LEFT_ALONE = [
    "redis://localhost:6379/0",
    "http://127.0.0.1:8000/users/@me",
    "http://127.0.0.1:8000/?at=a@b",
    "mail someone@example.org about http://host/",
    "git@example.org:repo.git",
    "no address here: a:b@c",
    "",
]


@pytest.mark.parametrize(("text", "expected"), MASKED)
def test_credentials_are_masked(text: str, expected: str):
    assert mask_url(text) == expected


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_the_rest_is_left_alone(text: str):
    assert mask_url(text) == text


PASSWORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\"<>"), min_size=6
)


@given(password=PASSWORDS, text=st.text())
def test_no_password_survives_whatever_stands_around_it(password: str, text: str):
    masked = mask_url(f"{text} redis://user:{password}@host-of-redis/0")
    assert f":{password}@" not in masked
    assert "@host-of-redis/0" in masked


@given(st.text())
def test_masking_twice_changes_nothing_more(text: str):
    assert mask_url(mask_url(text)) == mask_url(text)


def test_errors_of_the_lab_are_masked():
    assert str(LabError("cannot reach redis://:secret@host")) == "cannot reach redis://***@host"


@pytest.mark.parametrize("unit", ["a", "http://", "x:", "://", ":", "?", "&token", "redis://:a"])
def test_long_texts_do_not_make_the_patterns_backtrack(unit: str):
    """With unbounded repetitions, texts of this length take minutes."""
    assert mask_url(unit * 50_000)
