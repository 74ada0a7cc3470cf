"""The services of a compose file are asked whether they live."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playbook.rewrite.rule import Outcome, Refusal

PORT = 9810
REDIS = re.compile(r"^(\s+)TASKIQ_REDIS_URL: ")
SETTINGS = ("TASKIQ_HTTP_HOST: 0.0.0.0", f"TASKIQ_HTTP_PORT: {PORT}")


@dataclass(frozen=True)
class ComposeProbes:
    """Workers and schedulers get the port on which they answer, and a health check that asks there.

    The port stands beside TASKIQ_REDIS_URL, in every `environment` that has it. A service that has a health
    check keeps it.

    Attributes:
        script: name of the start script, to which the services hand `worker` and `scheduler`.
        module: the module that asks.
    """

    script: str
    module: str

    def apply(self, source: str) -> Outcome:
        """Add settings and health checks to a compose file."""
        started = re.compile(rf'^(\s+)command:.*{re.escape(self.script)}["\', ]+(?:worker|scheduler)\b')
        lines = source.splitlines(keepends=True)
        services = [number for number, line in enumerate(lines) if started.match(line)]
        if not services or "TASKIQ_HTTP_PORT" in source:
            return Outcome(source)
        if not any(REDIS.match(line) for line in lines):
            reason = "no environment here names TASKIQ_REDIS_URL; set TASKIQ_HTTP_PORT (and _HOST) by hand"
            return Outcome(source, (Refusal(services[0] + 1, "service", reason),))
        written: list[str] = []
        for number, line in enumerate(lines):
            written.append(line)
            if found := REDIS.match(line):
                written += [f"{found[1]}{setting}\n" for setting in SETTINGS]
            if number in services and not _has_check(lines, number):
                written += self._check(line[: len(line) - len(line.lstrip())])
        return Outcome("".join(written))

    def _check(self, indent: str) -> list[str]:
        asked = f'["CMD", "python", "-m", "{self.module}", "live"]'
        check = [f"test: {asked}", "interval: 30s", "timeout: 15s", "start_period: 60s"]
        return [f"{indent}healthcheck:\n", *(f"{indent}  {line}\n" for line in check)]


def _has_check(lines: list[str], number: int) -> bool:
    """Tell whether the service of a line has a health check: blocks end where the indentation does."""
    depth = len(lines[number]) - len(lines[number].lstrip())

    def of_service(step: int) -> bool:
        i = number
        while 0 <= i < len(lines) and (
            not lines[i].strip() or len(lines[i]) - len(lines[i].lstrip()) >= depth
        ):
            if lines[i].startswith(" " * depth + "healthcheck:"):
                return True
            i += step
        return False

    return of_service(1) or of_service(-1)
