"""How evenly the scheduler sends, beside Celery's beat, on the same Redis at the same time.

Jitter is by how much the time between two messages of an entry is longer than its interval. TaskIQ's
messages have their time in the stream, in whole milliseconds, which alone makes a millisecond of jitter;
Celery's have it from the hand-over to its producer. Ours also has slots on a fixed grid, so it can be late
for them; plain beat counts from its own last send and drifts instead.
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

from playbook.lab import RedisServer, wait_until
from tests.playbook.integration.scaffold import QUEUE
from tests.playbook.integration.schedule_site import ROUTES, ScheduleSite

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

ENTRIES = {f"every{number}": 0.5 + number * 0.025 for number in range(9)}
SECONDS = 60.0


def own(site: ScheduleSite) -> tuple[dict[str, list[float]], list[float]]:
    """When each entry was sent (s), and how late for its slots."""
    sent: dict[str, list[float]] = defaultdict(list)
    late = []
    for entry, fields in site.redis.xrange(QUEUE):
        labels = json.loads(fields["data"])["labels"]
        if labels["schedule_id"] in ENTRIES:
            at = int(entry.partition("-")[0]) / 1000
            sent[labels["schedule_id"]].append(at)
            late.append(at - datetime.fromisoformat(labels["scheduled_for"]).timestamp())
    return sent, late


def beats(site: ScheduleSite) -> dict[str, list[float]]:
    """When beat sent each entry (s)."""
    sent: dict[str, list[float]] = defaultdict(list)
    for text in site.redis.lrange("celery", 0, -1):
        message = json.loads(text)
        name = json.loads(base64.b64decode(message["body"]))[0][0]
        sent[name].append(message["headers"]["sent_at"])
    return sent


def jitter(sent: dict[str, list[float]]) -> list[float]:
    """Seconds by which each gap was longer than its interval."""
    return [
        later - earlier - ENTRIES[name]
        for name, times in sent.items()
        for earlier, later in pairwise(sorted(times))
    ]


def test_jitter(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as server:
        site = ScheduleSite(server, tmp_path, ENTRIES)
        try:
            site.redis.hset(ROUTES, "*", "taskiq")
            site.scheduler("own")
            site.scheduler("own")
            site.scheduler("beat", PLAIN_BEAT="1")
            ends = time.monotonic() + SECONDS
            wait_until(lambda: time.monotonic() > ends, SECONDS + 10)
            sent, late = own(site)
            beat = beats(site)
        finally:
            site.stop()
    print(f"\n{len(ENTRIES)} entries, {SECONDS:.0f} s, two replicas; ms")
    print(f"{'':24}{'messages':>9}{'p50':>8}{'p99':>8}{'most':>8}")
    for name, values in (
        ("ours, late", late),
        ("ours, jitter", jitter(sent)),
        ("beat, jitter", jitter(beat)),
    ):
        p99 = statistics.quantiles(values, n=100)[98]
        figures = (statistics.median(values), p99, max(values))
        print(f"{name:24}{len(values):9}" + "".join(f"{figure * 1e3:8.1f}" for figure in figures))
    drift = [max(times) - min(times) - (len(times) - 1) * ENTRIES[name] for name, times in beat.items()]
    print(f"beat's drift in that time, ms: {max(drift) * 1e3:.0f}")
