"""How evenly the scheduler sends, beside Celery's beat, on the same Redis at the same time.

Jitter is by how much the time between two messages of an entry is longer than its interval. Redis' MONITOR
tells both by the same clock, in microseconds: when `LPUSH` (beat) and `XADD` (ours) put a message in. Plain
beat counts from its own last send, and drifts; ours has slots on a fixed grid.
"""

import base64
import json
import statistics
import time
from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest
from redis import Redis

from playbook.lab import RedisServer
from tests.playbook.integration.schedule_site import ROUTES, ScheduleSite

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

ENTRIES = {f"every{number}": 0.5 + number * 0.025 for number in range(9)}
SECONDS = 60.0


class Sent:
    """When each entry was sent by Redis' clock (s), by system, and how late ours were for their slots."""

    def __init__(self) -> None:
        self.times: dict[str, dict[str, list[float]]] = {
            "ours": defaultdict(list),
            "beat": defaultdict(list),
        }
        self.late: list[float] = []

    def see(self, at: float, command: str) -> None:
        """Note what a line of MONITOR says."""
        verb, _, rest = command.partition(" ")
        if verb.upper() == "XADD" and '"schedule_id"' in rest:
            message = json.JSONDecoder().raw_decode(rest[rest.index('{"') :])[0]
            labels = message["labels"]
            if labels["schedule_id"] in ENTRIES:
                self.times["ours"][labels["schedule_id"]].append(at)
                self.late.append(at - datetime.fromisoformat(labels["scheduled_for"]).timestamp())
        elif verb.upper() == "LPUSH" and '"body"' in rest:
            message = json.JSONDecoder().raw_decode(rest[rest.index('{"') :])[0]
            self.times["beat"][json.loads(base64.b64decode(message["body"]))[0][0]].append(at)

    def jitter(self, system: str) -> list[float]:
        """Seconds by which each gap was longer than its interval."""
        return [
            later - earlier - ENTRIES[name]
            for name, times in self.times[system].items()
            for earlier, later in pairwise(times)
        ]

    def drift(self, system: str) -> float:
        """Seconds by which an entry was behind its interval in the end; the most of all."""
        return max(
            times[-1] - times[0] - (len(times) - 1) * ENTRIES[name]
            for name, times in self.times[system].items()
        )


def watch(server: RedisServer, seconds: float) -> Sent:
    """See what is sent for some time."""
    sent = Sent()
    with Redis.from_url(server.url) as client, client.monitor() as monitor:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            line = monitor.next_command()
            sent.see(line["time"], line["command"])
    return sent


def test_jitter(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        site = ScheduleSite(server, tmp_path, ENTRIES)
        try:
            site.redis.hset(ROUTES, "*", "taskiq")
            site.scheduler("own")
            site.scheduler("own")
            site.scheduler("beat", PLAIN_BEAT="1")
            sent = watch(server, SECONDS)
        finally:
            site.stop()
    print(f"\n{len(ENTRIES)} entries, {SECONDS:.0f} s, two replicas; ms")
    print(f"{'':24}{'messages':>9}{'p50':>8}{'p99':>8}{'most':>8}")
    for name, values in (
        ("ours, late", sent.late),
        ("ours, jitter", sent.jitter("ours")),
        ("beat, jitter", sent.jitter("beat")),
    ):
        p99 = statistics.quantiles(values, n=100)[98]
        figures = (statistics.median(values), p99, max(values))
        print(f"{name:24}{len(values):9}" + "".join(f"{figure * 1e3:8.2f}" for figure in figures))
    print("drift in that time, ms: " + ", ".join(f"{s} {sent.drift(s) * 1e3:.1f}" for s in sent.times))
