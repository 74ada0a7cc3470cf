"""The situations of 04_scheduler again and again: no slot is missed or doubled in any of them."""

from pathlib import Path

import pytest

from playbook.checks import schedules
from playbook.checks.schedule_lab import Ledger, ScheduleLab
from playbook.session import open_phase

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[3]
TIMES = 10


def test_ten_times_each_situation(tmp_path: Path) -> None:
    given = {"redis_url": "", "database_url": "", "audio": "", "days": 1, "slots": 1}
    config = str(ROOT / "playbook.toml")
    phase = open_phase("04_scheduler", run_dir=str(tmp_path / "run"), config=config, **given)
    phase.apply()
    found: list[Ledger] = []
    with ScheduleLab(phase.context) as lab:
        lab.tasks = {line["task"]: line["entry"] for line in lab.listing()}
        for _ in range(TIMES):
            lab.forget()
            found += [situation(lab) for situation in schedules.SITUATIONS]
    for name in dict.fromkeys(one.situation for one in found):
        same = [one for one in found if one.situation == name]
        sums = [sum(counts) for counts in zip(*(_counts(one) for one in same), strict=True)]
        print(f"{name}: {len(same)} times, due, fired, missed, doubled: {sums}")
    print(schedules.lateness([fired for one in found[:: len(schedules.SITUATIONS)] for fired in one.fired]))
    assert [one.situation for one in found if not one.ok] == []


def _counts(one: Ledger) -> tuple[int, int, int, int]:
    return one.due, len(one.fired), len(one.missed), len(one.doubled)
