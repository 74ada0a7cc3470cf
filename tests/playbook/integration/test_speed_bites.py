"""The checks of speed, on real systems: they pass, and they find five milliseconds planted in each task."""

import shutil
from pathlib import Path

import pytest

import playbook.scaffold
from playbook.checks.speed import verdict
from playbook.checks.speed_runs import QUICK, measure

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
NAMES = ("throughput", "latency", "cost", "fan_in")
ACCEPT = "    async def _accept(self, entry: Entry) -> Delivery | None:\n"
SLOW = "        time.sleep(0.005)\n"


def migrated(folder: Path, slow: bool) -> Path:
    """The runtime as an application has it, without the rest of the application."""
    package = folder / "reflector"
    shutil.copytree(Path(str(playbook.scaffold.__file__)).parent, package)
    shutil.copy(ROOT / "reflector" / "asynctask.py", package)
    if slow:
        streams = package / "worker" / "streams.py"
        source = streams.read_text()
        assert source.count(ACCEPT) == 1
        streams.write_text(source.replace(ACCEPT, ACCEPT + SLOW))
    return folder


def test_the_checks_pass_and_find_what_is_planted(tmp_path: Path) -> None:
    as_it_is = measure(QUICK, migrated(tmp_path / "ours", False), tmp_path / "logs")
    for name in NAMES:
        assert verdict(as_it_is, name, False).ok, verdict(as_it_is, name, False).detail
    slow = measure(QUICK, migrated(tmp_path / "slow", True), tmp_path / "slow-logs")
    assert not verdict(slow, "throughput", False).ok
    assert not verdict(slow, "fan_in", False).ok or not verdict(slow, "latency", False).ok
