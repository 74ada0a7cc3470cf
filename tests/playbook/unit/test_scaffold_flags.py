"""Which system a call gets: parsing, precedence, percentage, and what happens without Redis."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbook.lab import RedisServer, wait_until
from playbook.lab.surroundings import child_env
from playbook.scaffold.worker.connections import TIMEOUT
from playbook.scaffold.worker.flags import ALL, Flags, RouteError, Routes, choose, share

KEY = "{tests}:routes"
TASK = "app.tasks.rename"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as started:
        yield started


@pytest.fixture
def url(server: RedisServer) -> Iterator[str]:
    yield server.url
    server.client().flushall()


def answers(flags: Flags, task: str = TASK) -> str:
    """The route of one call, as a caller without a loop asks for it."""
    if flags.stale:
        asyncio.run(flags.refresh())
    return flags.system(task, "id")


@pytest.mark.parametrize(
    ("route", "expected"),
    [("celery", 0), ("TaskIQ", 100), (" taskiq ", 100), ("0", 0), ("25", 25), ("25%", 25), ("100", 100)],
)
def test_a_route_is_a_percentage(route: str, expected: int) -> None:
    assert share(route) == expected


@pytest.mark.parametrize("route", ["", "taskq", "101", "-1", "2.5", "½", "²", "taskiq%%"])
def test_what_is_no_route_is_refused(route: str) -> None:
    with pytest.raises(RouteError, match="use celery, taskiq or a percentage"):
        share(route)


def test_the_refusal_names_the_task() -> None:
    with pytest.raises(RouteError, match=r"route of app\.tasks\.rename: 'taskq' is no route"):
        Routes.of({TASK: "taskq"})


@settings(deadline=None)
@given(task_id=st.uuids().map(str))
def test_a_call_that_went_to_taskiq_does_so_at_every_higher_percentage(task_id: str) -> None:
    """A canary that grows keeps its calls; none goes at 0, all at 100."""
    systems = [choose(percentage, task_id) for percentage in range(101)]
    assert systems == sorted(systems)
    assert systems[0] == "celery"
    assert systems[100] == "taskiq"


def test_a_percentage_of_calls_goes_to_taskiq() -> None:
    calls = [choose(25, f"{number:032x}") for number in range(10_000)]
    assert 2_200 < calls.count("taskiq") < 2_800


@pytest.mark.parametrize(
    ("environment", "live", "expected"),
    [
        ({}, {}, "celery"),
        ({ALL: "taskiq"}, {}, "taskiq"),
        ({ALL: "taskiq", TASK: "celery"}, {}, "celery"),
        ({ALL: "celery", TASK: "taskiq"}, {ALL: "celery"}, "celery"),
        ({ALL: "celery"}, {ALL: "celery", TASK: "taskiq"}, "taskiq"),
        ({ALL: "taskiq"}, {"app.tasks.other": "celery"}, "taskiq"),
    ],
)
def test_redis_counts_more_than_the_environment_and_a_task_more_than_all(
    url: str, environment: dict[str, str], live: dict[str, str], expected: str
) -> None:
    flags = Flags(Routes.of(environment), KEY, url)
    for task, route in live.items():
        flags.set(route, task)
    assert answers(flags) == expected


def test_a_change_is_heeded_within_a_second_in_both_directions(url: str) -> None:
    flags, other = Flags(Routes(), KEY, url), Flags(Routes(), KEY, url)
    assert answers(flags) == "celery"
    for change, expected in ((lambda: other.set("taskiq"), "taskiq"), (other.clear, "celery")):
        change()
        assert wait_until(lambda expected=expected: answers(flags) == expected, 1.0)


def test_without_redis_the_last_routes_count_then_the_environment(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        knows, knows_not = (Flags(Routes.of({ALL: "celery"}), KEY, redis.url) for _ in range(2))
        knows.set("taskiq")
        assert answers(knows) == "taskiq"
    assert wait_until(lambda: knows.stale, 2)
    started = time.monotonic()
    assert answers(knows) == "taskiq"
    assert answers(knows_not) == "celery"
    assert time.monotonic() - started < 5, "a call must not wait long for a Redis that is away"


def test_a_redis_that_does_not_answer_holds_up_no_call() -> None:
    """It accepts connections and says nothing; a call waits a moment, not for the client's time-out."""

    async def ask(flags: Flags) -> float:
        started = time.monotonic()
        await flags.refresh()
        return time.monotonic() - started

    with socket.create_server(("127.0.0.1", 0)) as silent:
        flags = Flags(Routes.of({ALL: "taskiq"}), KEY, f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(ask(flags)) < TIMEOUT / 2
        assert not flags.stale
        assert flags.system(TASK, "id") == "taskiq"
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_a_broken_live_route_changes_nothing(url: str, server: RedisServer) -> None:
    flags = Flags(Routes(), KEY, url)
    flags.set("taskiq")
    assert answers(flags) == "taskiq"
    server.client().hset(KEY, ALL, "nonsense")
    assert wait_until(lambda: flags.stale, 2)
    assert answers(flags) == "taskiq"


def test_without_live_routes_the_environment_counts() -> None:
    flags = Flags(Routes.of({ALL: "taskiq"}), KEY, None)
    assert not flags.stale
    assert answers(flags) == "taskiq"


def cli(url: str, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "playbook.scaffold.worker.flags", *args],
        env=child_env(variables={"CELERY_BROKER_URL": url, **env}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_sets_shows_and_clears(url: str) -> None:
    assert cli(url, "set", "25").stdout == "* 25\n"
    assert cli(url, "set", "taskiq", "--task", TASK).stdout == f"* 25\n{TASK} taskiq\n"
    assert cli(url, "clear", "--task", "*").stdout == f"{TASK} taskiq\n"
    assert cli(url, "clear").stdout == ""
    refused = cli(url, "set", "all")
    assert refused.returncode == 1
    assert refused.stderr == "flags: 'all' is no route: use celery, taskiq or a percentage from 0 to 100\n"


def test_a_wrong_route_in_the_environment_is_said_at_the_start(url: str) -> None:
    started = cli(url, "show", TASKIQ_ROUTE="nobody")
    assert started.returncode != 0
    assert "route of all tasks: 'nobody' is no route" in started.stderr
