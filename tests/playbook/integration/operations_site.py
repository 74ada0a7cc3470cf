"""What the tests of operations share: workers and schedulers that answer on a port, and what they say."""

import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from playbook.lab import Process
from playbook.lab.surroundings import child_env
from playbook.lab.waiting import free_port
from tests.playbook.integration.scaffold import HERE, READY, TASKS, Site

WORKER = "playbook.scaffold.worker"
LEASE = "2"


class Answering:
    """A process that answers on a port."""

    def __init__(self, process: Process, port: int) -> None:
        self.process, self.port = process, port

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body; status 0: nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metrics(self) -> dict[str, float]:
        """Return the samples, by name with labels as Prometheus writes them, the labels sorted."""
        _, text = self.get("/metrics")
        return {
            sample_name(sample.name, sample.labels): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def sample_name(name: str, labels: dict[str, str]) -> str:
    """Return `name{a="x",b="y"}`."""
    inside = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


def start_worker(site: Site, *options: str, tasks: str = TASKS, **env: str) -> Answering:
    """Start `python -m PACKAGE.worker` on a port of its own; a lease of 2 s unless `env` says otherwise."""
    port = free_port()
    command = [sys.executable, "-m", WORKER, *tasks.split(), *options]
    process = site.start(command, READY, **{"TASKIQ_LEASE": LEASE, "TASKIQ_HTTP_PORT": str(port), **env})
    return Answering(process, port)


def run(site: Site, module: str, *args: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of the worker package to its end."""
    variables = {"CELERY_BROKER_URL": site.server.url, "TASKIQ_LEASE": LEASE, **env}
    command = [sys.executable, "-m", f"{WORKER}.{module}", *args]
    environment = child_env(HERE, variables=variables)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def labelled(name: str, **labels: Any) -> str:
    """Return the name of a sample as `Answering.metrics` has it."""
    return sample_name(name, labels)
