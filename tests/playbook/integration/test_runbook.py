"""Every command of the runbook is run, in a situation in which somebody would."""

import asyncio
import os
import re
import shlex
import sys
from collections import Counter
from pathlib import Path

import pytest

from playbook.lab import wait_until
from playbook.lab.waiting import free_port
from tests.playbook.integration.command_line import CommandLine, Done
from tests.playbook.integration.operations_site import LEASE, WORKER, Answering
from tests.playbook.integration.scaffold import READY, TASKS, Site, kick, our_broker, send
from tests.playbook.integration.schedule_site import READY as SCHEDULER_READY
from tests.playbook.operations_files import OPS

pytest_plugins = ("tests.playbook.integration.scaffold_fixtures",)
pytestmark = pytest.mark.integration

COMMANDS = re.findall(r"^ {4,}((?:python|kill) .+)$", (OPS / "runbook.md").read_text(), re.MULTILINE)
MODULES = f"{TASKS} {WORKER}.health"


class Operator:
    """Types the runbook's commands, with the right values in place of those in capitals."""

    def __init__(self, site: Site, commands: CommandLine) -> None:
        self.site, self.commands = site, commands
        self.typed: list[str] = []

    def types(self, command: str, **values: str) -> Done:
        """Run one to its end; it ends well."""
        _, _, module, *args = shlex.split(self._filled(command, values))
        done = self.commands.run(module.removeprefix(WORKER).lstrip("."), *args)
        assert done.status == 0, (command, done.stderr)
        return done

    def starts(self, command: str, ready: str, **env: str) -> Answering:
        """Run one that goes on."""
        port = free_port()
        argv = [sys.executable, *shlex.split(self._filled(command, {}))[1:]]
        process = self.site.start(
            argv, ready, **{"TASKIQ_LEASE": LEASE, "TASKIQ_HTTP_PORT": str(port), **env}
        )
        return Answering(process, port)

    def _filled(self, command: str, values: dict[str, str]) -> str:
        self.typed.append(command)
        for name, value in {"PACKAGE.worker": WORKER, "MODULE ...": MODULES, **values}.items():
            command = command.replace(name, value)
        return command


@pytest.mark.timeout(120)
def test_every_command_does_what_it_says(site: Site, tmp_path: Path) -> None:
    with CommandLine(site.server.url, TASKIQ_LEASE=LEASE) as commands:
        operator = Operator(site, commands)
        old = operator.starts("python -m PACKAGE.worker MODULE ... --workers 2", READY)
        operator.starts("python -m PACKAGE.worker.scheduler MODULE ...", SCHEDULER_READY["own"])
        looks(operator)
        mends(operator)
        new = upgrades(operator, old)
        with CommandLine(site.server.url, TASKIQ_HTTP_PORT=str(new.port)) as local:
            operator.commands = local
            operator.types("python -m PACKAGE.worker.probes live")
    assert set(operator.typed) == set(COMMANDS)


def looks(operator: Operator) -> None:
    operator.types("python -m PACKAGE.worker.top --once")
    assert "healthy" in operator.types("python -m PACKAGE.worker.health").stdout
    operator.types("python -m PACKAGE.worker.scheduler --list MODULE ...")


def mends(operator: Operator) -> None:
    """Dead letters and a task that is not wanted any more."""
    site = operator.site
    send(site, *(("tests.none", number) for number in range(4)))
    assert wait_until(lambda: site.redis.xlen("{taskiq}:dead") == 4, 10)
    listed = operator.types("python -m PACKAGE.worker.deadletters list").stdout.splitlines()
    entries = [line.split()[0] for line in listed]
    assert len(entries) == 4
    operator.types("python -m PACKAGE.worker.deadletters delete ENTRY", ENTRY=entries[0])
    operator.types("python -m PACKAGE.worker.top replay ENTRY", ENTRY=entries[1])
    assert "3 sent again" in operator.types("python -m PACKAGE.worker.top replay --all").stdout

    async def later() -> str:
        broker = our_broker(site.server.url)
        task = await kick(broker, "tests.note", "unwanted", countdown=3600.0)
        await broker.shutdown()
        return task.task_id

    id = asyncio.run(later())
    assert '"delayed"' in operator.types("python -m PACKAGE.worker.top inspect ID", ID=id).stdout
    operator.types("python -m PACKAGE.worker.top revoke ID", ID=id)


def upgrades(operator: Operator, old: Answering) -> Answering:
    """One worker takes another's place while tasks come; each of them runs once."""
    site = operator.site
    send(site, *(("tests.work", number, 0.3) for number in range(150)))
    new = operator.starts(
        "python -m PACKAGE.worker MODULE ... --workers 4 --max-async-tasks 20", "Listening started."
    )
    with CommandLine(site.server.url, TASKIQ_HTTP_PORT=str(new.port)) as local:
        ready = "python -m PACKAGE.worker.probes ready"
        assert wait_until(lambda: local.run("probes", "ready").status == 0, 20)
        operator.typed.append(ready)
    command = "kill -TERM PID"
    operator.typed.append(command)
    os.kill(old.process.pid, 15)
    send(site, *(("tests.work", number, 0.3) for number in range(150, 200)))
    assert old.process.wait(20) == 0
    assert wait_until(lambda: site.redis.xlen("{taskiq}:queue:default") == 0, 30)
    ended = Counter(line.split(":")[1] for line in site.log() if line.startswith("end:"))
    assert ended == {str(number): 1 for number in range(200)}
    return new
