"""Every way in which an entry gets into Celery beat's schedule."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from playbook.inventory import Inventory, inventory

HEAD = "from celery import Celery\nfrom celery.schedules import crontab, schedule, solar\napp = Celery()\n"
LINES = HEAD.count("\n")


def read(tmp_path: Path, body: str, name: str = "beat.py") -> Inventory:
    (tmp_path / name).write_text(HEAD + textwrap.dedent(body).lstrip("\n"))
    return inventory(tmp_path)


ENTRY = '{"task": "work.job", "schedule": 60.0}'


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (f'app.conf.beat_schedule = {{\n    "one": {ENTRY},\n}}', 2),
        (f'app.conf.beat_schedule["one"] = {ENTRY}', 1),
        (f'app.conf.beat_schedule.update({{"one": {ENTRY}}})', 1),
        (f"app.conf.beat_schedule.update(one={ENTRY})", 1),
        (f'app.conf.beat_schedule |= {{"one": {ENTRY}}}', 1),
        (f'app.conf["beat_schedule"] = {{"one": {ENTRY}}}', 1),
        (f'app.conf.update(\n    timezone="UTC",\n    beat_schedule={{"one": {ENTRY}}},\n)', 3),
        (f'app.conf.update({{"beat_schedule": {{"one": {ENTRY}}}}})', 1),
        (f'settings = {{"beat_schedule": {{"one": {ENTRY}}}}}\napp.conf.update(settings)', 1),
        (f'plan = {{"one": {ENTRY}}}\napp.conf.beat_schedule = plan', 1),
        (f'base = {{"one": {ENTRY}}}\napp.conf.beat_schedule = {{**base}}', 1),
        (f'plan = {{}}\nplan["one"] = {ENTRY}\napp.conf.beat_schedule = plan', 2),
        (
            f'def plan():\n    rows = {{}}\n    rows["one"] = {ENTRY}\n    return rows\n'
            "app.conf.beat_schedule = plan()",
            3,
        ),
        (f"app.conf.beat_schedule = dict(\n    one={ENTRY},\n)", 2),
        ('app.conf.beat_schedule = {"one": dict(task="work.job", schedule=60.0)}', 1),
        (f'beat_schedule = {{"one": {ENTRY}}}', 1),
        (f'CELERYBEAT_SCHEDULE = {{"one": {ENTRY}}}', 1),
        (f'CELERY_BEAT_SCHEDULE: dict = {{"one": {ENTRY}}}', 1),
        (f'class Config:\n    beat_schedule = {{"one": {ENTRY}}}\napp.config_from_object(Config)', 2),
        (f'flask.config.from_mapping(CELERY=dict(beat_schedule={{"one": {ENTRY}}}))', 1),
        (
            '@app.task(name="work.job")\ndef job(): ...\n'
            'app.conf.beat_schedule = {"one": {"task": job.name, "schedule": 60.0}}',
            3,
        ),
        (
            '@app.task(name="work.job")\ndef job(): ...\n@app.on_after_configure.connect\n'
            'def setup(sender, **kw):\n    sender.add_periodic_task(60.0, job.s(1), name="one")',
            5,
        ),
        ('app.add_periodic_task(60.0, app.signature("work.job"), name="one")', 1),
    ],
)
def test_an_entry_is_found_at_its_key(body: str, line: int, tmp_path: Path) -> None:
    found = read(tmp_path, body)
    (entry,) = found.schedules
    assert (entry.entry, entry.task, entry.schedule, entry.condition) == ("one", "work.job", "60.0", None)
    assert entry.line == line + LINES
    assert found.refused == ()


@pytest.mark.parametrize(
    ("body", "condition"),
    [
        (f'if A:\n    app.conf.beat_schedule["one"] = {ENTRY}', "A"),
        (f'if A:\n    if not B:\n        app.conf.beat_schedule["one"] = {ENTRY}', "A and not B"),
        (f'if A:\n    pass\nelse:\n    app.conf.beat_schedule["one"] = {ENTRY}', "not (A)"),
        (f'if A:\n    pass\nelif B == 1:\n    app.conf.beat_schedule["one"] = {ENTRY}', "not (A) and B == 1"),
        (f'def f():\n    if A:\n        app.conf.beat_schedule["one"] = {ENTRY}', "A"),
        (f'if A:\n    def f():\n        app.conf.beat_schedule["one"] = {ENTRY}', "A"),
        (f'if A or B:\n    app.conf.beat_schedule = {{"one": {ENTRY}}}', "A or B"),
        (f'if A or B:\n    if C:\n        beat_schedule = {{"one": {ENTRY}}}', "(A or B) and C"),
    ],
)
def test_the_condition_is_that_of_the_ifs_around_it(body: str, condition: str, tmp_path: Path) -> None:
    (entry,) = read(tmp_path, body).schedules
    assert entry.condition == condition


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("crontab(hour=5, minute=0)", "crontab(hour=5, minute=0)"),
        ("float(settings.POLL)", "float(settings.POLL)"),
        ("60.0 * 10", "60.0 * 10"),
        ("crontab(  # nightly\n    hour=5,\n)", "crontab(hour=5)"),
        ("schedule(run_every=10)", "schedule(run_every=10)"),
    ],
)
def test_the_schedule_is_its_source_on_one_line(source: str, expected: str, tmp_path: Path) -> None:
    (entry,) = read(
        tmp_path, f'app.conf.beat_schedule = {{"one": {{"task": "t", "schedule": {source}}}}}'
    ).schedules
    assert entry.schedule == expected


@pytest.mark.parametrize(
    ("body", "construct"),
    [
        (
            'app.conf.beat_schedule = {"one": {"task": "t", "schedule": solar("sunset", 1, 2)}}',
            "solar schedule",
        ),
        (
            'class Odd(schedule): ...\napp.conf.beat_schedule = {"one": {"task": "t", "schedule": Odd()}}',
            "custom schedule",
        ),
        ('app.conf.beat_schedule = {"one": {"task": f(), "schedule": 1}}', "dynamic task"),
        ("app.conf.beat_schedule = load()", "dynamic schedule"),
        ("app.conf.beat_schedule = {k: entry(k) for k in names}", "dynamic schedule"),
        ('app.conf.beat_schedule = {"one": entry()}', "dynamic schedule"),
        ("app.conf.beat_schedule = {**load()}", "dynamic schedule"),
        (
            'app.conf.beat_schedule = {"one": {"task": "t", "schedule": 1, "options": {"expires": 5}}}',
            "expires",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused(body: str, construct: str, tmp_path: Path) -> None:
    found = read(tmp_path, body)
    line = LINES + body.count("\n") + 1
    assert [(entry.line, entry.construct) for entry in found.refused] == [(line, construct)]


def test_a_module_of_settings_need_not_name_celery(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(HEAD + 'app.config_from_object("options")\n')
    (tmp_path / "options.py").write_text(
        f'broker_url = "redis://u:pw@h"\nbeat_schedule = {{"one": {ENTRY}}}\n'
    )
    found = inventory(tmp_path)
    assert [(entry.path, entry.line, entry.entry) for entry in found.schedules] == [("options.py", 2, "one")]
    lines = [(entry.line, entry.kind) for entry in found.touchpoints if entry.path == "options.py"]
    assert lines == [(1, "config"), (2, "config")]


def test_an_entry_that_two_names_lead_to_is_reported_once(tmp_path: Path) -> None:
    found = read(
        tmp_path, f'CELERY_BEAT_SCHEDULE = {{"one": {ENTRY}}}\napp.conf.beat_schedule = CELERY_BEAT_SCHEDULE'
    )
    assert len(found.schedules) == 1
