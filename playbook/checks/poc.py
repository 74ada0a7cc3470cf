"""What 01_poc proves: one lab, real workers, and the facts that checks and claims are read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playbook.checks.file_scenario import ProcessFile
from playbook.checks.guide import Facts, Verdict, judge
from playbook.checks.guide_poc import CLAIMS
from playbook.checks.once import once
from playbook.contracts import Check, CheckContext, CheckResult
from playbook.inventory import inventory
from playbook.lab import Lab, wait_until
from playbook.lab.audio import TWO_SPEAKERS
from playbook.lab.children import Children
from playbook.lab.reflector_env import REFLECTOR
from playbook.lab.scenarios import Upload
from playbook.lab.waiting import free_port, together
from playbook.models import Observation, System
from playbook.parity import Comparison, Policy, compare, promised_order
from playbook.workspace import Workspace

PROBES = "playbook.checks.probes"
RUNS: tuple[tuple[str, System], ...] = (("A", "celery"), ("A'", "celery"), ("B", "taskiq"))
TIMEOUT = 30.0


@once
def observe(context: CheckContext) -> Facts:
    """Run everything that the phase looks at, once, and return the facts. Observations go to `work_dir`.

    Raises:
        PlaybookError: something could not be done.
    """
    with Lab(
        context.workspace,
        context.work_dir / "lab",
        redis_url=context.redis_url,
        database_url=context.database_url,
    ) as lab:
        lab.env["TASKIQ_KEY_PREFIX"] = f"{lab.redis.prefix}{{taskiq}}"
        lab.env["PLAYBOOK_STOCK_QUEUE"] = f"{lab.redis.prefix}stock"
        facts = _without_workers(context, lab) | _early_messages(context, lab)
        facts |= lab.probe(f"{PROBES}.live")
        together(lab.api, lab.celery_worker)
        _upload(context, lab)
        _run_the_file(context, lab)
        return facts


def _without_workers(context: CheckContext, lab: Lab) -> dict[str, Any]:
    """What can be found out without a worker."""
    broker_module = context.application.broker.partition(":")[0]
    found = together(
        lambda: _registrations(context, lab),
        lambda: _in_tests(context, lab),
        lambda: lab.probe(f"{PROBES}.snippets", broker_module),
    )
    return {name: fact for facts in found for name, fact in facts.items()}


def _registrations(context: CheckContext, lab: Lab) -> dict[str, Any]:
    """What Celery and TaskIQ have registered, before the slice and after."""
    application = context.application
    before = context.work_dir / "before"
    for path, text in Workspace(context.run_dir, application).before("01_poc").items():
        (before / path).parent.mkdir(parents=True, exist_ok=True)
        (before / path).write_text(text, encoding="utf-8")
    probe = f"{PROBES}.registrations"
    old = Children(REFLECTOR, before, context.work_dir, free_port()).probe(probe, application.celery_app)
    new = lab.probe(probe, application.celery_app, application.broker)
    twin = _twin(context)
    return {
        "celery_tasks": len(old["celery"]),
        "celery_unchanged": old["celery"] == new["celery"],
        "celery_differs": sorted(
            k for k in old["celery"] | new["celery"] if old["celery"].get(k) != new["celery"].get(k)
        ),
        "twin": twin,
        "twin_registered": twin in new["taskiq"] and twin in new["celery"],
        "twin_signature": new["taskiq"].get(twin),
    }


def _in_tests(context: CheckContext, lab: Lab) -> dict[str, Any]:
    """The claims about tests, on a database of their own."""
    database = context.work_dir / "in_tests.sqlite3"
    database.unlink(missing_ok=True)
    facts: dict[str, Any] = lab.probe(
        f"{PROBES}.in_tests", env={"DATABASE_URL": f"sqlite+aiosqlite:///{database}"}
    )
    return facts


def _early_messages(context: CheckContext, lab: Lab) -> dict[str, Any]:
    """Messages that are sent before a worker is there. The migrated application's worker stays up."""
    worker_package = context.application.broker.partition(".broker:")[0]
    modules = [_twin(context).rpartition(".")[0], f"{worker_package}.health", f"{PROBES}.live_tasks"]
    early = _send(lab, "live_tasks")
    _, stock_ran, bare_ran = together(
        lambda: lab.taskiq_worker(modules=modules),
        lambda: _stock_ran(lab),
        lambda: _ran_without_modules(lab, len(early)),
    )
    return {
        "sent_early": len(early),
        "migrated_ran": _ran(lab, "live_tasks", early),
        "stock_ran": stock_ran,
        "ran_without_modules": bare_ran,
    }


def _stock_ran(lab: Lab) -> int:
    """How many messages the guide's broker runs that were sent before its first worker."""
    early = _send(lab, "stock")
    with lab.taskiq_worker(f"{PROBES}.stock:broker", name="taskiq-stock"):
        # When what was sent later has run, what was sent earlier has had its chance.
        late = _send(lab, "stock")
        assert _ran(lab, "stock", late) == len(late), "the guide's broker must run what is sent to its worker"
        return _ran(lab, "stock", early, seconds=0)


def _ran_without_modules(lab: Lab, expected: int) -> int:
    """How many messages a worker runs that is started as the guide says, naming no module."""
    redis, queue = lab.redis.client(), f"{lab.env['PLAYBOOK_STOCK_QUEUE']}:bare"
    env = {"PLAYBOOK_STOCK_QUEUE": queue}
    with lab.taskiq_worker(f"{PROBES}.stock_broker:broker", name="taskiq-bare", env=env):
        sent = _send(lab, "stock", env)
        assert len(sent) == expected
        wait_until(lambda: _all_acknowledged(redis, queue), TIMEOUT)
        return _ran(lab, "stock", sent, env, seconds=0)


def _all_acknowledged(redis: Any, queue: str) -> bool:
    (group,) = redis.xinfo_groups(queue)
    delivered = group["last-delivered-id"] == redis.xinfo_stream(queue)["last-generated-id"]
    return bool(delivered and group["pending"] == 0)


def _send(lab: Lab, module: str, env: dict[str, str] | None = None) -> list[str]:
    ids: list[str] = lab.probe(f"{PROBES}.send", f"{PROBES}.{module}", env=env)
    return ids


def _ran(
    lab: Lab, module: str, ids: list[str], env: dict[str, str] | None = None, seconds: float = TIMEOUT
) -> int:
    count: int = lab.probe(f"{PROBES}.collect", f"{PROBES}.{module}", str(seconds), *ids, env=env)
    return count


def _upload(context: CheckContext, lab: Lab) -> None:
    """The product's whole way, as a browser goes it, on Celery."""
    _keep(context, lab.observe(Upload(audio=context.audio or TWO_SPEAKERS), "upload", "celery"))


def _run_the_file(context: CheckContext, lab: Lab) -> None:
    """A, A', B: the same file on Celery, on Celery again, on the twin."""
    for label, system in RUNS:
        _keep(context, lab.observe(ProcessFile(system, context.audio or TWO_SPEAKERS), label, system))


def _keep(context: CheckContext, observation: Observation) -> None:
    path = _observation_path(context, observation.label)
    path.write_text(observation.model_dump_json(indent=1), encoding="utf-8")


def _kept(context: CheckContext, label: str) -> Observation:
    observe(context)
    return Observation.model_validate_json(_observation_path(context, label).read_text(encoding="utf-8"))


def _observation_path(context: CheckContext, label: str) -> Path:
    return context.work_dir / f"observation-{label.replace(chr(39), '2')}.json"


def uploaded(context: CheckContext) -> Observation:
    """What an upload through the API left behind."""
    return _kept(context, "upload")


def observations(context: CheckContext) -> list[Observation]:
    """A, A' and B of the file scenario."""
    return [_kept(context, label) for label, _ in RUNS]


def comparison(context: CheckContext) -> Comparison:
    """What B did differently from A and A'."""
    a, a_again, b = observations(context)
    canvases = inventory(context.workspace / context.application.root).canvases
    promised = promised_order(canvas.structure for canvas in canvases)
    policy = Policy(folders=(str(context.run_dir),), promised=promised)
    return compare(a, a_again, b, policy)


def verdicts(context: CheckContext) -> list[Verdict]:
    """The guide's claims, decided."""
    return judge(CLAIMS, observe(context))


def _twin(context: CheckContext) -> str:
    task = context.application.poc_task
    assert task is not None, "the slice has checked this"
    return task


def _upload_ends(context: CheckContext) -> CheckResult:
    effects = uploaded(context).effects
    statuses = [m.data["data"]["value"] for m in effects.messages if m.data["event"] == "STATUS"]
    reached = {request.service for request in effects.requests}
    missing = {"transcription", "diarization", "llm", "zulip", "webhooks"} - reached
    if missing or statuses[-1:] != ["ended"] or not effects.objects:
        detail = f"status {statuses[-1:]}, {len(effects.objects)} objects, not reached: {sorted(missing)}"
        return CheckResult.failed(f"The upload did not go through: {detail}")
    told = f"The browser was told {', '.join(statuses)}"
    return CheckResult.passed(
        f"{told}; Zulip and the webhook were reached; {len(effects.objects)} object in S3"
    )


def _celery_unchanged(context: CheckContext) -> CheckResult:
    facts = observe(context)
    if not facts["celery_unchanged"]:
        return CheckResult.failed(f"Celery's registration changed for {', '.join(facts['celery_differs'])}")
    return CheckResult.passed(
        f"All {facts['celery_tasks']} Celery tasks are registered with the same options"
    )


def _twin_fits(context: CheckContext) -> CheckResult:
    facts = observe(context)
    detail = f"TaskIQ knows {facts['twin']} with the signature {facts['twin_signature']}"
    ok = facts["twin_registered"] and "session" not in str(facts["twin_signature"])
    return CheckResult(ok, detail)


def _arguments_arrive(context: CheckContext) -> CheckResult:
    arrived = observe(context)["positional_migrated"]
    return CheckResult(arrived == [1, "007"], f'1 and "007" arrived as {json.dumps(arrived)}')


def _round_trip(context: CheckContext) -> CheckResult:
    facts = observe(context)
    sent = {"text": "ü", "numbers": [1, 2.5, None]}
    ok = facts["health"] == "healthy" and facts["echo"] == sent
    echo = json.dumps(facts["echo"], ensure_ascii=False)
    return CheckResult(ok, f"The worker said {facts['health']} and returned {echo}")


def _nothing_lost_early(context: CheckContext) -> CheckResult:
    facts = observe(context)
    ok = facts["migrated_ran"] == facts["sent_early"]
    ours, all_, stock = facts["migrated_ran"], facts["sent_early"], facts["stock_ran"]
    detail = f"Of {all_} messages sent before the first worker {ours} ran; on the guide's broker {stock}"
    return CheckResult(ok, detail)


def _results_are_json(context: CheckContext) -> CheckResult:
    facts = observe(context)
    ok = facts["result_is_json"] and facts["result_expires"]
    return CheckResult(ok, f"JSON: {facts['result_is_json']}; expires: {facts['result_expires']}")


def _claims(context: CheckContext) -> CheckResult:
    surprises = [v.text for v in verdicts(context) if v.holds != v.expected]
    if surprises:
        return CheckResult.failed(
            f"The verdict on these claims is not the recorded one: {'; '.join(surprises)}"
        )
    return CheckResult.passed(f"All {len(verdicts(context))} claims came out as on record")


def _same_effects(context: CheckContext) -> CheckResult:
    compared = comparison(context)
    evidence = [finding.model_dump(mode="json") for finding in compared.findings]
    if not compared.ok:
        return CheckResult.failed(
            f"{len(evidence)} differences: {compared.findings[0].explanation}", evidence
        )
    a, _, b = observations(context)
    if not a.effects.requests or not any(event.system == "taskiq" for event in b.trace):
        return CheckResult.failed(
            "The scenario did not do what it is to show: no request, or nothing on TaskIQ"
        )
    return CheckResult.passed("The twin did what the Celery task did, twice compared")


CHECKS = (
    Check("upload", "An upload goes through API, Celery, database and WebSocket to its end", _upload_ends),
    Check("celery_unchanged", "Celery's side is as it was", _celery_unchanged),
    Check("twin", "The twin has the task's name and the message's signature", _twin_fits),
    Check(
        "arguments",
        "Positional arguments arrive as they were sent, beside an injected session",
        _arguments_arrive,
    ),
    Check("round_trip", "A message goes to a worker and its result comes back", _round_trip),
    Check("nothing_lost_early", "What is sent before the first worker is run", _nothing_lost_early),
    Check("results_are_json", "Results are JSON and expire", _results_are_json),
    Check("claims", "The guide's claims come out as on record", _claims),
    Check("same_effects", "The twin has the same effects as the Celery task", _same_effects),
)
