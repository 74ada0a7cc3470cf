"""The lab as a whole: what children see, what is observed, and when an application has come to rest."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from playbook.lab import Lab, LabError, Recorder, wait_until
from playbook.lab.target import Target
from tests.playbook.integration.miniapp.target import BUCKET, MINI, QUEUE, SEND_CELERY, WORKSPACE

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    run_dir = tmp_path_factory.mktemp("lab")
    with Lab(WORKSPACE, run_dir, target=MINI, env={"MINI_EXTRA": "given"}) as lab:
        lab.api()
        lab.celery_worker(pool="solo")
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Lab:
    shared.reset()
    return shared


def test_a_child_sees_the_settings_the_workspace_and_nothing_of_the_host(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the host")
    source = "import json, os, mini; print(json.dumps([dict(os.environ), mini.__file__, os.getcwd()]))"
    env, origin, cwd = lab.probe(source, env={"MINI_MORE": "also"})
    assert env["MINI_REDIS_URL"] == lab.redis_url
    assert (env["MINI_EXTRA"], env["MINI_MORE"]) == ("given", "also")
    assert "AWS_SECRET_ACCESS_KEY" not in env
    assert Path(origin).parent.parent == Path(cwd) == WORKSPACE


def test_a_probe_is_a_file_a_module_or_source_and_takes_arguments(lab: Lab, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("import json, sys\nprint('noise')\nprint(json.dumps(sys.argv[1:]))\n")
    assert lab.probe(script, "a", "b") == ["a", "b"]
    assert lab.probe("print(1 + 1)") == 2
    with pytest.raises(LabError, match="is not JSON"):
        lab.probe("this")


def test_a_probe_that_fails_shows_its_error_without_credentials(lab: Lab):
    with pytest.raises(LabError, match=r"(?s)ended with 1.*ValueError: redis://\*\*\*@host"):
        lab.probe("raise ValueError('redis://:secret@host')")
    with pytest.raises(LabError, match="is not JSON"):
        lab.probe("print('not json')")
    with pytest.raises(LabError, match="is not JSON"):
        lab.probe("pass # nothing")


def test_run_gives_status_and_output_and_ends_what_takes_too_long(lab: Lab):
    done = lab.run([sys.executable, "-c", "import sys; print('out'); sys.exit('err')"])
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (1, "out", "err")
    with pytest.raises(LabError, match=r"still runs after 0\.3 s"):
        lab.run([sys.executable, "-c", "import time; time.sleep(600)"], timeout=0.3)


class Everything:
    """Leaves something in every place where effects are collected."""

    name = "everything"

    def __call__(self, lab: Lab) -> None:
        lab.run([sys.executable, "-m", "mini.database", "fill"])
        httpx.post(f"{lab.world.url}/webhooks/x", json={"n": 1}, trust_env=False)
        lab.aws.put(BUCKET, "key", b"data")
        lab.aws.send(QUEUE, {"n": 2})
        (lab.data_dir / "file").write_text("text")
        recorder = lab.listen("/events", "numbers")
        assert wait_until(lambda: len(recorder.messages) == 3, timeout=20)
        lab.probe(SEND_CELERY, "mini.add", "[1, 2]")
        assert lab.wait_quiet(lambda: len(lab.trace()) == 2)


def test_an_observation_holds_all_effects_and_the_trace_of_this_run_only(lab: Lab):
    first = lab.observe(Everything(), "A", "celery")
    second = lab.observe(Everything(), "A'", "celery")
    for observation in (first, second):
        effects = observation.effects
        assert {table: len(rows) for table, rows in effects.rows.items()} == {"author": 2, "book": 1}
        assert [request.body for request in effects.requests] == [{"n": 1}]
        assert [message.data for message in effects.messages] == [{"number": n} for n in range(3)]
        assert {message.channel for message in effects.messages} == {"numbers"}
        assert [stored.key for stored in effects.objects] == ["key"]
        assert [message.body for message in effects.queue_messages] == [{"n": 2}]
        assert [file.key for file in effects.files] == ["file"]
        assert [event.kind for event in observation.trace] == ["start", "end"]
    assert (first.scenario, first.label, first.system) == ("everything", "A", "celery")
    assert first.trace[0].id != second.trace[0].id
    assert type(first).model_validate_json(first.model_dump_json()) == first


def test_reset_forgets_planned_faults(lab: Lab):
    lab.world.fail("webhooks", status=500)
    lab.reset()
    assert httpx.post(f"{lab.world.url}/webhooks/x", trust_env=False).is_success


def test_waiting_for_rest_includes_the_tasks_that_still_run(lab: Lab):
    lab.probe(SEND_CELERY, "mini.sleep", "[0.6]")
    assert lab.wait_quiet(lambda: lab.trace())
    assert [event.kind for event in lab.trace()] == ["start", "end"]


def test_an_application_that_stays_quiet_is_not_waited_for_any_longer(lab: Lab):
    assert not lab.wait_quiet(lambda: False, quiet=0.3)


def test_one_that_never_rests_is_an_error(lab: Lab):
    def busy() -> bool:
        httpx.get(f"{lab.world.url}/health-ping", trust_env=False)
        return False

    with pytest.raises(LabError, match=r"did not come to rest within 0\.5 s"):
        lab.wait_quiet(busy, quiet=60, timeout=0.5)


def test_a_socket_that_cannot_be_opened_says_so():
    with pytest.raises(LabError, match=r"no WebSocket connection to ws://127\.0\.0\.1:1/events"):
        Recorder("ws://127.0.0.1:1/events", "numbers")


def test_an_application_that_cannot_create_its_tables_stops_the_start(tmp_path: Path):
    broken = Target(**{**vars(MINI), "setup": ("-c", "raise SystemExit('no tables today')")})
    lab = Lab(WORKSPACE, tmp_path, target=broken)
    with pytest.raises(LabError, match=r"(?s)could not create its tables.*no tables today"):
        lab.start()
    assert lab.aws.process is None
    assert lab.world.process is None


def test_the_lab_is_up_again_after_a_stop(tmp_path: Path):
    lab = Lab(WORKSPACE, tmp_path, target=MINI)
    for _ in range(2):
        with lab:
            assert lab.aws.objects() == []
            lab.aws.put(BUCKET, "key", b"data")


async def test_it_works_while_an_event_loop_runs(lab: Lab):
    assert lab.effects().rows == {"author": [], "book": []}
    assert lab.probe("print(1)") == 1


def test_the_lab_is_light_to_import_for_workers():
    source = "import sys, playbook.lab.tracing.celery_trace as t; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    for heavy in ("boto3", "sqlalchemy", "taskiq", "httpx", "av"):
        assert f"'{heavy}'" not in done.stdout
