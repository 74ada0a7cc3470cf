"""How late the scheduler sends, beside Celery's beat, on the same Redis at the same time.

Late is the time from a slot to its message in Redis. A plain beat has no fixed slots: its interval counts
from its own last send, to the hand-over to Celery's producer; what is more than the interval is late.
"""

import base64
import json
import statistics
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import pytest

from playbook.lab import RedisServer, wait_until
from tests.playbook.integration.scaffold import QUEUE
from tests.playbook.integration.schedule_site import ROUTES, ScheduleSite

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]

ENTRIES = {f"every{number}": 0.5 + number * 0.025 for number in range(9)}
SECONDS = 60.0


def beats_lateness(site: ScheduleSite) -> list[float]:
    """Seconds by which each send of a plain beat came after its interval."""
    sent: dict[str, list[float]] = defaultdict(list)
    for text in reversed(site.redis.lrange("celery", 0, -1)):
        message = json.loads(text)
        name = json.loads(base64.b64decode(message["body"]))[0][0]
        sent[name].append(message["headers"]["sent_at"])
    return [
        later - earlier - ENTRIES[name]
        for name, times in sent.items()
        for earlier, later in zip(sorted(times), sorted(times)[1:], strict=False)
    ]


def own_lateness(site: ScheduleSite) -> list[float]:
    """Seconds from each slot to its message."""
    found = []
    for entry, fields in site.redis.xrange(QUEUE):
        labels = json.loads(fields["data"])["labels"]
        if labels["schedule_id"] in ENTRIES:
            slot = datetime.fromisoformat(labels["scheduled_for"]).timestamp()
            found.append(int(entry.partition("-")[0]) / 1000 - slot)
    return found


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
            late = {
                "ours": [f.late for f in site.fired() if f.system == "taskiq"],
                "beat": beats_lateness(site),
            }
        finally:
            site.stop()
    print(f"\n{len(ENTRIES)} entries, {SECONDS:.0f} s; late, ms")
    print(f"{'':8}{'sent':>6}{'p50':>8}{'p99':>8}{'most':>8}")
    figures = {}
    for name, values in late.items():
        figures[name] = statistics.quantiles(values, n=100)[98]
        print(
            f"{name:8}{len(values):6}{statistics.median(values) * 1e3:8.1f}{figures[name] * 1e3:8.1f}"
            f"{max(values) * 1e3:8.1f}"
        )
    assert figures["ours"] <= figures["beat"]
