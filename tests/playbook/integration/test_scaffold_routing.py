"""Calls go to the system that the flags name, and behave the same on both: real workers, one Redis."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from playbook.lab import Process, RedisServer, wait_until
from playbook.lab.surroundings import child_env
from tests.playbook.integration.scaffold import HERE, LOG, Site, site_on

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration

PROBE = HERE / "routing_probe.py"
Probe = Callable[..., Any]
KILL_EVERY = 2.0


@pytest.fixture(scope="module")
def workers(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker of each system, for all tests of this file."""
    with site_on(server, tmp_path_factory.mktemp("workers")) as site:
        celery_worker(site)
        site.worker(tasks="routed_tasks")
        yield site


@pytest.fixture(autouse=True)
def clean(workers: Site) -> None:
    """Forget what tests before this one have noted and set."""
    workers.redis.delete(LOG, "{taskiq}:routes")


def start(site: Site, *args: str, **env: str) -> "subprocess.Popen[str]":
    """Start a scenario in a process of its own."""
    variables = {"CELERY_BROKER_URL": site.server.url, **env}
    return subprocess.Popen(
        [sys.executable, PROBE, *args],
        env=child_env(HERE, variables=variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def found_by(process: "subprocess.Popen[str]") -> Any:
    """Wait for a scenario; return what it found."""
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    return json.loads(stdout.splitlines()[-1])


@pytest.fixture
def probe(workers: Site) -> Probe:
    """Run a scenario; return what it found."""
    return lambda *args, **env: found_by(start(workers, *args, **env))


def celery_worker(site: Site, **env: str) -> Process:
    command = [sys.executable, "-m", "celery", "-A", "routed_tasks", "worker", "--loglevel", "INFO"]
    command += ["--concurrency", "2", "--without-mingle", "--without-gossip"]
    return site.start(command, " ready.", **env)


def test_calls_and_handles_are_the_same_on_both_systems(workers: Site, probe: Probe) -> None:
    found = probe("both")
    for system in ("celery", "taskiq"):
        assert found[system] == {
            "value": ["a", system, 1],
            "ready": [True, True],
            "state": ["SUCCESS", True, ["a", system, 1]],
            "delayed": [f"my-{system}", ["b", system, 2]],
            "error": "ValueError('no')",
            "failed": ["FAILURE", True],
            "raises": "ValueError('no')",
            "later": ["b", system, 2],
            "later_sync": [["b", system, 2], "FAILURE"],
            "pending": [False, "PENDING"],
            "bound": ["routed_tasks.bound", True],
            "signature": [7, "d"],
            "untwinned": "e",
            "timeout": [True, False],
            "mistake": "TypeError",
        }
    log = workers.log()
    assert [line for line in log if line.endswith(("c:0", "c:1"))] == [
        f"{system}:c:{retries}" for system in ("celery", "taskiq") for retries in (0, 1)
    ]
    assert log.count("celery:e") == 2, "a task without a twin is Celery's"


def test_canvases_go_as_a_whole_and_what_taskiq_cannot_keep_goes_to_celery(
    workers: Site, probe: Probe
) -> None:
    found = probe("options", TASKIQ_ROUTE="taskiq")
    assert found == {
        "canvas": [["first", "taskiq", 0], "taskiq", 0],
        "group": [[["one", "taskiq", 0], ["two", "taskiq", 0]], "SUCCESS", True],
        "chord": ["taskiq", 5],
        "linked": ["linked", "taskiq", 0],
        "urgent": ["urgent", "celery", 0],
        "queued": ["queued", "taskiq", 0],
        "elsewhere": 1,
        "other": "PENDING",
    }


def test_synchronous_callers_neither_block_each_other_nor_break(workers: Site, probe: Probe) -> None:
    assert probe("threads", TASKIQ_ROUTE="taskiq") == {
        "no loop": ["taskiq"] * 3,
        "below a loop": ["taskiq"] * 5,
        "loop went on": True,
        "directly": "taskiq",
        "threads left": 0,
        "new loops": "taskiq",
        "forked child": 0,
    }


def test_tasks_send_tasks_across_the_systems(workers: Site, probe: Probe) -> None:
    found = probe("nested")
    assert found["celery"] == [["taskiq", True, True]] * 3
    assert found["taskiq"] == [["celery", True, True]] * 3
    assert found["waits in a thread"] == ["inner", "celery", 0]
    assert found["waits in Celery"].startswith("RuntimeError(")


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_nothing_is_lost_while_the_flag_flips_and_workers_die(workers: Site, count: int) -> None:
    """The flag flips every 0.2 s, and every 2 s a TaskIQ worker gets SIGKILL. The full size is 10,000."""
    victims = [workers.worker(tasks="routed_tasks") for _ in range(2)]
    sending = start(workers, "flip", str(count), str(max(8, count / 250)))
    kills = []
    while sending.poll() is None:
        due = time.monotonic() + KILL_EVERY
        kills.append(time.time())
        victims.pop(0).kill()
        victims.append(workers.worker(tasks="routed_tasks"))
        wait_until(lambda due=due: time.monotonic() >= due, KILL_EVERY)
    sent = found_by(sending)
    numbers = {str(number) for number in range(count)}
    assert sent == count
    assert wait_until(lambda: _ran(workers) >= numbers, 60), f"lost: {sorted(numbers - _ran(workers))[:10]}"

    systems = Counter(line.partition(":")[0] for line in workers.log())
    doubled = [line for line, times in Counter(workers.log()).items() if times > 1]
    print(f"{count} sent, {dict(systems)}, {len(kills)} kills, {len(doubled)} ran twice")
    assert systems["celery"] > count / 10
    assert systems["taskiq"] > count / 10
    assert len(kills) >= 3
    assert Counter(line.partition(":")[2] for line in set(workers.log())) == Counter(numbers), (
        "one system each"
    )
    for line in doubled:
        first = min(workers.times(line))
        assert any(kill - 1 < first < kill + 1 for kill in kills), f"{line} ran twice, and nobody was killed"


def _ran(site: Site) -> set[str]:
    return {line.partition(":")[2] for line in site.log()}
