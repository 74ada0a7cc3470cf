"""The cut-over application where there is no Celery: its packages, its tests, its processes, an upload.

It is installed as its users install it, into a virtual environment of its own in the run's folder.
"""

from __future__ import annotations

import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from playbook.checks.once import once
from playbook.checks.suite_checks import chosen_tests, written
from playbook.checks.suite_runs import SuiteRun, collect, run_suite
from playbook.contracts import CheckContext, CheckResult
from playbook.lab import Lab, programs, wait_until
from playbook.lab.audio import TWO_SPEAKERS
from playbook.lab.loopback import http_client
from playbook.lab.process import Process
from playbook.lab.reflector_env import RECORDING_QUEUE, REFLECTOR
from playbook.lab.scenarios import Upload, live, upload
from playbook.lab.virtualenv import VirtualEnvironment, make_environment
from playbook.lab.waiting import together
from playbook.models import Model, Observation
from playbook.parity import Comparison, Policy, compare
from playbook.phases import CutoverParameters
from playbook.workspace import BASELINE, Workspace

GONE = ("celery", "kombu", "billiard", "flower")
EXTRAS = ("dev", "test", "tests")
"""Names of optional dependencies that hold what tests need."""

SCRIPT = "runserver.sh"
OLD_NAMES = {"beat": "scheduler", "taskiq-worker": "worker", "taskiq-scheduler": "scheduler"}
NEW_URL, OLD_URL = "TASKIQ_REDIS_URL", "CELERY_BROKER_URL"
"""The setting that names Redis, and the old name that still counts: the worker is told by that one."""

TIMEOUT = 60.0


class Fresh(Model):
    """What was found.

    `packages`: name and version of each. `importable`: modules of Celery's that an import finds. `before`:
    the tests as collected with Celery. `collected`: as collected here. `run`: those that ran here, at quick
    size a part. `comparisons`: what an upload left behind, against two runs on Celery. `healthy`: what
    `/health` answers. `scheduled`: whether a task that the scheduler starts has run. `old_names`: process
    names of before that do not start what they should, or say nothing.
    """

    packages: dict[str, str]
    importable: list[str]
    before: list[str]
    collected: list[str]
    run: SuiteRun
    comparisons: list[Comparison]
    healthy: int
    scheduled: bool
    old_names: list[str]


@once
def look(context: CheckContext) -> Fresh:
    """Make the environment, run the tests there, start the application there, and upload; once.

    Raises:
        PlaybookError: something could not be done. It is not tried again.
    """
    work_dir = context.work_dir / "fresh"
    workspace = Workspace(context.run_dir, context.application)
    root = written(workspace.tree(BASELINE), context.application, work_dir / "before")
    environment, old = together(
        lambda: environment_of(context), lambda: _on_celery(context, root, work_dir / "lab-before")
    )
    tests, lived = together(
        lambda: _tests(context, environment, root, work_dir),
        lambda: _lived(context, environment, work_dir / "lab-after"),
    )
    before, collected, run = tests
    new, healthy, scheduled = lived
    policy = Policy(folders=(str(context.run_dir),))
    return Fresh(
        packages=environment.packages(),
        importable=environment.importable(GONE),
        before=before,
        collected=collected,
        run=run,
        comparisons=[compare(a, a2, b, policy) for (a, a2), b in zip(old, new, strict=True)],
        healthy=healthy,
        scheduled=scheduled,
        old_names=_old_names(context, environment, work_dir),
    )


def environment_of(context: CheckContext) -> VirtualEnvironment:
    """Make the environment with the cut-over application, or use the one of this run again.

    Versions are those of a `constraints.txt` beside `playbook.toml`, if there is one.

    Raises:
        LabError: it could not be made.
    """
    application = context.application
    package = context.workspace / application.root
    constraints = application.base / "constraints.txt"
    return make_environment(
        context.run_dir / "environment",
        package,
        _extras(package / "pyproject.toml"),
        constraints if constraints.is_file() else None,
    )


def _extras(project: Path) -> list[str]:
    if not project.is_file():
        return []
    known = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
    return [extra for extra in EXTRAS if extra in known.get("optional-dependencies", {})]


# The tests


def _tests(
    context: CheckContext, environment: VirtualEnvironment, root: Path, work_dir: Path
) -> tuple[list[str], list[str], SuiteRun]:
    application, workspace = context.application, context.workspace
    before = collect(application, root, work_dir / "collect-before")
    collected = collect(application, workspace, work_dir / "collect-after", environment)
    run = run_suite(
        application,
        workspace,
        work_dir / "run",
        None,
        chosen_tests(context),
        environment=environment,
        cover=False,
    )
    return before, collected, run


# The processes


def _scenarios(context: CheckContext) -> list[Upload]:
    assert isinstance(context.parameters, CutoverParameters)
    audio, full = context.audio or TWO_SPEAKERS, context.parameters.full
    return [upload(audio), live(audio)] if full else [upload(audio)]


def _on_celery(context: CheckContext, root: Path, folder: Path) -> list[tuple[Observation, Observation]]:
    """Observe each scenario twice with the application of before, on Celery."""
    with Lab(root, folder, redis_url=context.redis_url, database_url=context.database_url) as lab:
        together(lab.api, lab.celery_worker)
        return [
            (_observed(lab, scenario, "A"), _observed(lab, scenario, "A'"))
            for scenario in _scenarios(context)
        ]


def _lived(
    context: CheckContext, environment: VirtualEnvironment, folder: Path
) -> tuple[list[Observation], int, bool]:
    """Start all from the start script, observe each scenario; then let the scheduler start a task."""
    neutral = folder / "elsewhere"
    neutral.mkdir(parents=True, exist_ok=True)
    # Nothing of the application lies where the processes start: they run what is installed.
    target = replace(REFLECTOR, setup=("-c", ""))
    with Lab(
        neutral, folder, target=target, redis_url=context.redis_url, database_url=context.database_url
    ) as lab:
        _settle(lab, environment)
        script = context.workspace / context.application.root / SCRIPT
        healthy = programs.answers(f"{lab.api_url}{target.health_path}")
        together(
            lambda: _spawn(lab, script, "server", NEW_URL, healthy),
            lambda: _spawn(lab, script, "worker", OLD_URL, programs.taskiq_says(programs.TASKIQ_READY)),
        )
        observed = [_observed(lab, scenario, "B") for scenario in _scenarios(context)]
        with http_client(lab.api_url) as http:
            status = http.get(target.health_path).status_code
        lab.aws.send(RECORDING_QUEUE, {"Records": []})
        _spawn(lab, script, "scheduler", NEW_URL)
        scheduled = wait_until(lambda: not lab.aws.queue_messages(), TIMEOUT, 0.5)
        return observed, status, scheduled


def _settle(lab: Lab, environment: VirtualEnvironment) -> None:
    """Let the lab's processes live in the environment, with settings under their new names."""
    url = urlsplit(lab.api_url)
    for name in [name for name in lab.env if name.startswith(("CELERY_", "PLAYBOOK_"))]:
        del lab.env[name]
    lab.env |= environment.variables() | {
        "TASKIQ_KEY_PREFIX": f"{lab.redis.prefix}{{taskiq}}",
        "SQS_POLLING_TIMEOUT_SECONDS": "1",
        "HOST": str(url.hostname),
        "PORT": str(url.port),
    }


def _spawn(
    lab: Lab, script: Path, process: str, setting: str, ready: programs.Probe | None = None
) -> Process:
    """Start a process of the start script; `setting` tells it where Redis is."""
    command = ["sh", str(script.absolute()), process]
    return lab.spawn(command, name=process, env={setting: lab.redis_url}, ready=ready)


def _observed(lab: Lab, scenario: Upload, label: str) -> Observation:
    """Observe a scenario; without the trace, which needs the playbook's modules in the worker."""
    observed = lab.observe(scenario, label, "taskiq" if label == "B" else "celery")
    return observed.model_copy(update={"trace": []})


def _old_names(context: CheckContext, environment: VirtualEnvironment, work_dir: Path) -> list[str]:
    """Ask the start script what it would start under its old names; a Python that only tells stands in."""
    stub = work_dir / "stub"
    stub.mkdir(parents=True, exist_ok=True)
    told = stub / "python"
    told.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    told.chmod(0o755)
    script = context.workspace / context.application.root / SCRIPT
    env = environment.variables()
    env["PATH"] = f"{stub}:{env['PATH']}"

    def ask(name: str) -> tuple[str, str]:
        done = subprocess.run(["sh", str(script), name], env=env, capture_output=True, text=True, check=False)
        return done.stdout, done.stderr

    return [old for old, new in OLD_NAMES.items() if ask(old)[0] != ask(new)[0] or not ask(old)[1]]


# The verdicts


def no_celery(fresh: Fresh) -> CheckResult:
    """Nothing of Celery is installed."""
    found = sorted({name for name in GONE if name in fresh.packages} | set(fresh.importable))
    if found:
        return CheckResult.failed(f"installed besides the application: {', '.join(found)}", found)
    return CheckResult.passed(
        f"{', '.join(GONE)}: none is installed, and none can be imported", sorted(fresh.packages)
    )


def same_tests(fresh: Fresh) -> CheckResult:
    """The tests that were collected with Celery are collected without it."""
    if missing := sorted(set(fresh.before) - set(fresh.collected)):
        return CheckResult.failed(f"{len(missing)} tests are gone, the first: {missing[0]}", missing)
    return CheckResult.passed(
        f"the same {len(fresh.before)} tests are collected with Celery and without it", len(fresh.before)
    )


def tests_pass(fresh: Fresh) -> CheckResult:
    """All tests that ran in the environment pass."""
    if failed := fresh.run.failed:
        return CheckResult.failed(f"{len(failed)} tests fail without Celery, the first: {failed[0]}", failed)
    if not fresh.run.collected:
        return CheckResult.failed("no test ran")
    ran, every = len(fresh.run.collected), len(fresh.collected)
    return CheckResult.passed(f"{ran} of {every} tests ran in the fresh environment, and pass", ran)


def same_effects(fresh: Fresh) -> CheckResult:
    """An upload to the processes of the start script does what it did on Celery."""
    bad = [
        f"{one.scenario}, {finding.where}: {finding.explanation}"
        for one in fresh.comparisons
        for finding in one.findings
    ]
    if bad:
        return CheckResult.failed(f"{len(bad)} differences from Celery, the first: {bad[0]}", bad)
    compared = {one.scenario: one.compared for one in fresh.comparisons}
    return CheckResult.passed("an upload leaves behind what it left behind on Celery", compared)


def processes(fresh: Fresh) -> CheckResult:
    """All processes of the start script do their work; old names still start them."""
    wrong = []
    if fresh.healthy != 200:
        wrong.append(f"/health answers {fresh.healthy}")
    if not fresh.scheduled:
        wrong.append("no task that the scheduler starts has run")
    wrong += [f"the old name {name} starts something else, or says nothing" for name in fresh.old_names]
    if wrong:
        return CheckResult.failed("; ".join(wrong), wrong)
    return CheckResult.passed(
        "server, worker and scheduler start from the start script and work; "
        f"so they do under their old names ({', '.join(OLD_NAMES)}), with a note; "
        f"the worker heeds {OLD_URL}, the old name of {NEW_URL}"
    )
