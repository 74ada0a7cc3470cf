"""What the rule makes of a schedule is what Celery makes of it: both are run and compared."""

# ruff: noqa: E501 - sources in one line each

import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from playbook.inventory import inventory
from playbook.rewrite.rule import Outcome
from playbook.rewrite.rules.beat_schedule import BeatSchedule
from playbook.rewrite.schedules import names_of_tasks
from playbook.scaffold.worker.beat import of_celery
from playbook.scaffold.worker.schedule_entries import read_entries

WORKER = "playbook.scaffold.worker"
HEAD = "from celery import Celery\nfrom celery.schedules import crontab, schedule, solar\napp = Celery(set_as_current=False)\n"
ENTRY = '{"task": "work.job", "schedule": 60.0}'
JOB = '@app.task(name="work.job")\ndef job(*args, **kwargs): ...\n'


def rewritten(source: str, folder: Path) -> tuple[BeatSchedule, Outcome]:
    """Apply the rule as the slice does: with the names of tasks from the inventory."""
    (folder / "config.py").write_text(source)
    tasks = names_of_tasks(inventory(folder), "config.py")
    rule = BeatSchedule(WORKER, tasks, module="config")
    return rule, rule.apply(source)


def of_module(code: str) -> dict[str, Any]:
    """Run a module and return its entries, as the scheduler reads them."""
    scope: dict[str, Any] = {"__name__": "beat_schedule"}
    exec(compile(code, "beat_schedule.py", "exec"), scope)
    entries = read_entries(scope["beat_schedule"])
    return {n: (e.task, e.schedule, e.args, dict(e.kwargs), dict(e.labels)) for n, e in entries.items()} | {
        "": (scope["timezone"], scope["starting_deadline"])
    }


def of_celery_itself(source: str) -> dict[str, Any]:
    """Run a Celery configuration and return its entries in the same form."""
    scope: dict[str, Any] = {"__name__": "config"}
    exec(compile(source, "config.py", "exec"), scope)
    app: Celery = scope["app"]
    app.finalize()
    entries = {}
    for name, fields in app.conf.beat_schedule.items():
        when = fields["schedule"]
        given = when if isinstance(when, (int, float, timedelta)) else of_celery(when)
        kept = {k: v for k, v in (fields.get("options") or {}).items() if k in ("queue", "expires")}
        read = read_entries({name: {"task": fields["task"], "schedule": given, "options": kept}})[name]
        arguments = (tuple(fields.get("args") or ()), dict(fields.get("kwargs") or {}))
        entries[name] = (read.task, read.schedule, *arguments, dict(read.labels))
    return entries | {"": (app.conf.timezone or "UTC", app.conf.beat_cron_starting_deadline)}


@pytest.mark.parametrize(
    "body",
    [
        f'app.conf.beat_schedule = {{\n    "one": {ENTRY},\n}}',
        f'app.conf.beat_schedule["one"] = {ENTRY}',
        f'app.conf.beat_schedule.update({{"one": {ENTRY}}})',
        f"app.conf.beat_schedule.update(one={ENTRY})",
        f'app.conf.beat_schedule |= {{"one": {ENTRY}}}',
        f'app.conf["beat_schedule"] = {{"one": {ENTRY}}}',
        f'app.conf.update(\n    timezone="Europe/Berlin",\n    beat_schedule={{"one": {ENTRY}}},\n)',
        f'app.conf.update({{"beat_schedule": {{"one": {ENTRY}}}, "beat_cron_starting_deadline": 60}})',
        f'settings = {{"beat_schedule": {{"one": {ENTRY}}}}}\napp.conf.update(settings)',
        f'plan = {{"one": {ENTRY}}}\napp.conf.beat_schedule = plan',
        f'base = {{"one": {ENTRY}}}\napp.conf.beat_schedule = {{**base, "two": {ENTRY}}}',
        f'plan = {{}}\nplan["one"] = {ENTRY}\napp.conf.beat_schedule = plan',
        f'def plan():\n    rows = {{}}\n    rows["one"] = {ENTRY}\n    return rows\napp.conf.beat_schedule = plan()',
        f"app.conf.beat_schedule = dict(\n    one={ENTRY},\n)",
        'app.conf.beat_schedule = {"one": dict(task="work.job", schedule=60.0)}',
        f'class Config:\n    beat_schedule = {{"one": {ENTRY}}}\n    timezone = "Asia/Kolkata"\napp.config_from_object(Config)',
        JOB + 'app.conf.beat_schedule = {"one": {"task": job.name, "schedule": 60.0, "args": (1,)}}',
        JOB
        + "@app.on_after_configure.connect\ndef setup(sender, **kw):\n"
        + '    sender.add_periodic_task(60.0, job.s(1, k="x"), name="one", expires=30)\n'
        + "    sender.add_periodic_task(crontab(hour=7), job.s(2))\n"
        + '    sender.add_periodic_task(5, job, args=(3,), kwargs={"a": None}, name="two")\n'
        + '    sender.add_periodic_task(9, job.signature(args=("x",), queue="fast").set(expires=5), name="three")',
        'app.add_periodic_task(60.0, app.signature("work.job", args=(1,)), name="one")',
        'DAILY = crontab(hour=3)\nHOURS = [1, 2]\nfor hour in HOURS:\n    app.conf.beat_schedule[f"at-{hour}"] = '
        '{"task": "work.job", "schedule": crontab(hour=hour, minute=f"*/{hour}")}\n'
        'app.conf.beat_schedule["daily"] = {"task": "work.job", "schedule": DAILY}',
        f'A, B = False, 1\nif A:\n    app.conf.beat_schedule["one"] = {ENTRY}\n'
        f'elif B == 1:\n    x = 5\n    app.conf.beat_schedule["two"] = {ENTRY}\n'
        f'else:\n    app.conf.beat_schedule["three"] = {ENTRY}',
        f'A = True\nif not A:\n    app.conf.beat_schedule["one"] = {ENTRY}\nelse: app.conf.beat_schedule["two"] = {ENTRY}',
        "from datetime import timedelta as td\nimport os\nEVERY = float(os.environ.get('NONE_SUCH', '2.5'))\n"
        'TZ = "America/" + "New_York"\napp.conf.timezone = TZ\n'
        'app.conf.beat_schedule = {\n    # every so often\n    "one": {"task": "work.job", "schedule": EVERY},\n'
        '    "two": {"task": "work.job", "schedule": td(minutes=5), "options": {"queue": "q", "expires": 9}},\n'
        '    "three": {"task": "work.job", "schedule": schedule(run_every=7, relative=True)},\n}',
        'from celery import schedules as s\napp.conf.beat_schedule = {"one": {"task": "work.job", "schedule": s.crontab(day_of_week="fri-sun")}}',
    ],
)
def test_the_module_has_celerys_entries(body: str, tmp_path: Path) -> None:
    source = HEAD + textwrap.dedent(body) + "\n"
    rule, outcome = rewritten(source, tmp_path)
    assert outcome.refusals == ()
    assert of_module(outcome.source) == of_celery_itself(source)
    assert "from celery" not in outcome.source
    assert rule.apply(outcome.source).source == outcome.source


@pytest.mark.parametrize(
    "source",
    [
        f'beat_schedule = {{"one": {ENTRY}}}\ntimezone = "Europe/Berlin"\n',
        f'CELERY_TIMEZONE = "Europe/Berlin"\nCELERYBEAT_SCHEDULE = {{"one": {ENTRY}}}\n',
        f'CELERY_BEAT_SCHEDULE: dict = {{"one": {ENTRY}}}\nCELERY_TIMEZONE = "Europe/Berlin"\n',
        f'flask.config.from_mapping(CELERY=dict(beat_schedule={{"one": {ENTRY}}}, timezone="Europe/Berlin"))\n',
    ],
)
def test_configuration_without_an_app(source: str, tmp_path: Path) -> None:
    rule, outcome = rewritten(source, tmp_path)
    found = of_module(outcome.source)
    assert set(found) == {"one", ""}
    assert found[""] == ("Europe/Berlin", None)
    assert rule.apply(outcome.source).source == outcome.source


@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        (
            'app.conf.beat_schedule = {\n    "sun": {"task": "a.b", "schedule": solar("dusk", 1, 1)},\n}',
            2,
            "it uses celery.schedules.solar",
        ),
        ('app.conf.beat_schedule["x"] = {"task": "a.b", "schedule": Own(5)}', 1, "Own is a schedule class"),
        (
            'app.conf.beat_schedule["x"] = {"task": "a.b", "schedule": 1, "options": {"priority": 1}}',
            1,
            "its option priority",
        ),
        ('app.conf.beat_schedule["x"] = {"task": name(), "schedule": 1}', 1, "its task is computed"),
        ("app.add_periodic_task(5, group(job.s()))", 1, "it does not start a task but a canvas"),
        ('app.add_periodic_task(5, job.s(), priority=3, name="x")', 1, "its option priority"),
        (
            f'def later():\n    app.conf.beat_schedule["x"] = {ENTRY}',
            2,
            "it is added when a function is called",
        ),
        (f'with open(__file__):\n    app.conf.beat_schedule["x"] = {ENTRY}', 1, "it stands in a block"),
        (
            'app.conf.beat_schedule["x"] = {"task": "a", "schedule": app.conf.every}',
            None,
            "the entries use Celery",
        ),
        ('app.conf.beat_schedule["x"] = {"task": "a", "schedule": NOWHERE}', None, "the entries use NOWHERE"),
    ],
)
def test_what_cannot_move_is_refused(body: str, line: int | None, reason: str, tmp_path: Path) -> None:
    source = HEAD + JOB + body + "\n"
    _, outcome = rewritten(source, tmp_path)
    (refusal,) = outcome.refusals
    assert refusal.reason.startswith(reason)
    if line is not None:
        assert refusal.line == (HEAD + JOB).count("\n") + line
    kept = f'app.conf.beat_schedule["kept"] = {ENTRY}\n'
    _, beside = rewritten(source + kept, tmp_path)
    if line is not None:
        assert set(of_module(beside.source)) == {"kept", ""}
    else:
        assert beside.source == source + kept
