"""Workers and senders die in the middle of workflows: every workflow ends, and no successor starts twice."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict

import psutil
import pytest

from playbook.lab import Process, wait_until
from playbook.lab.surroundings import child_env
from tests.playbook.integration.scaffold import HERE, QUEUE, Site
from tests.playbook.integration.test_scaffold_kills import children

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration

STANDING = {"dead", "delayed", "payloads", "queue", "suspects", "watch", "workers", "revoked"}
"""Kinds of keys that a broker keeps for ever; all are empty or small when nothing is to do."""

SEND = """
import asyncio, sys
import workflow_tasks as tasks
async def main():
    for name in sys.argv[2:]:
        canvas = tasks.chord_of(name, int(sys.argv[1])) if name.startswith("chord") else tasks.pipeline(name)
        await canvas.delay()
        print(name, flush=True)
asyncio.run(main())
"""


def sender(site: Site, size: int, names: list[str]) -> subprocess.Popen[str]:
    """Start a process that sends these workflows and prints the name of each that it has sent."""
    variables = {"CELERY_BROKER_URL": site.server.url, "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", SEND, str(size), *names]
    env = child_env(HERE, variables=variables)
    return subprocess.Popen(command, cwd=HERE, env=env, text=True, stdout=subprocess.PIPE)


def send(site: Site, size: int, names: list[str]) -> None:
    """Send these workflows."""
    process = sender(site, size, names)
    assert process.communicate(timeout=60)[0].split() == names


def events(site: Site) -> list[list[str]]:
    """What the steps have noted: kind, workflow, step, process, whether it was delivered again."""
    return [line.split(":") for line in site.log()]


def last_steps(site: Site) -> set[str]:
    """The workflows whose last step has ended."""
    found = events(site)
    return {flow for kind, flow, name, *_ in found if kind == "end" and name in ("body", "post")}


def kill_at_random(site: Site, worker: Process, kills: int, names: set[str]) -> set[str]:
    """Kill processes of a worker at random instants until all workflows have ended; return the pids."""
    killed: set[str] = set()
    deadline = time.monotonic() + 120 + 4 * kills
    while not names <= last_steps(site):
        assert time.monotonic() < deadline, f"{names - last_steps(site)} did not end; {worker.tail()}"
        # A process that has just died is a zombie until its parent looks.
        with contextlib.suppress(psutil.NoSuchProcess):
            if len(killed) < kills and (running := children(worker)):
                victim = random.choice(running)
                victim.send_signal(signal.SIGKILL)
                killed.add(str(victim.pid))
        time.sleep(random.uniform(0.05, 0.8))
    return killed


def check(site: Site, sizes: dict[str, int], killed: set[str]) -> str:
    """Each step was started by a message of its own once; what ran again was running at a kill."""
    starts: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for kind, flow, name, pid, again in events(site):
        if kind == "start":
            starts[flow, name].append((pid, again))
    assert Counter(flow for flow, _ in starts) == sizes
    repeated = 0
    for step, runs in starts.items():
        assert sum(again == "0" for _, again in runs) <= 1, f"{step} was sent twice: {runs}"
        assert {pid for pid, _ in runs[:-1]} <= killed, f"{step} ran twice without a kill: {runs}"
        repeated += len(runs) - 1
    return f"{len(sizes)} workflows, {len(starts)} steps, {len(killed)} kills, {repeated} runs again, 0 lost"


def left(site: Site) -> list[str]:
    """Names of the keys that should not be there when all has expired."""
    return [k for k in site.redis.scan_iter("{taskiq}:*") if k.split(":")[1] not in STANDING]


def run(site: Site, chords: int, pipelines: int, kills: int) -> None:
    worker = site.worker(
        *("--workers", "2", "--max-async-tasks", "20"),
        tasks="workflow_tasks",
        **{"TASKIQ_LEASE": "1", "TASKIQ_RESULT_TTL": "3", "TASKIQ_MAX_DELIVERIES": "50"},
    )
    sizes = {f"chord{n}": 201 for n in range(chords)} | {f"pipeline{n}": 10 for n in range(pipelines)}
    send(site, 200, list(sizes))
    killed = kill_at_random(site, worker, kills, set(sizes))
    print(f"\n{check(site, sizes, killed)}")
    assert killed
    assert wait_until(lambda: not left(site), 20), left(site)
    assert site.redis.xlen("{taskiq}:dead") == 0
    assert site.redis.xlen("{taskiq}:queue:default") == 0


def test_kills_at_random_instants(site: Site) -> None:
    run(site, chords=2, pipelines=10, kills=5)


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_two_hundred_kills_at_random_instants(site: Site) -> None:
    run(site, chords=60, pipelines=300, kills=200)


def test_a_sender_that_dies_has_started_a_workflow_or_not(site: Site) -> None:
    site.worker("--max-async-tasks", "50", tasks="workflow_tasks", WORKFLOW_PAUSE="0.001")
    names = [f"chord{n}" for n in range(40)]
    process = sender(site, 200, names)
    assert process.stdout is not None
    sent = [process.stdout.readline().strip() for _ in range(random.randint(1, 10))]
    process.kill()
    process.wait()
    assert wait_until(lambda: not site.redis.xlen("{taskiq}:queue:default"), 60)
    starts = Counter(flow for kind, flow, *_ in events(site) if kind == "start")
    assert set(sent) <= last_steps(site) == set(starts)
    assert set(starts.values()) == {201}


def test_a_step_that_is_delivered_twice_is_followed_once(site: Site) -> None:
    send(site, 2, ["pipeline0", "chord0"])
    # What a sender does whose connection breaks before the answer comes: the same entries again.
    for _, fields in site.redis.xrange(QUEUE):
        site.redis.xadd(QUEUE, fields)
    site.worker(tasks="workflow_tasks")
    assert wait_until(lambda: {"pipeline0", "chord0"} <= last_steps(site), 20)
    assert wait_until(lambda: not site.redis.xlen(QUEUE), 20)
    starts = Counter((flow, name) for kind, flow, name, *_ in events(site) if kind == "start")
    assert {step for step, times in starts.items() if times > 1} == {
        ("pipeline0", "begin"),
        ("chord0", "0"),
        ("chord0", "1"),
    }
    assert len(starts) == 10 + 3
