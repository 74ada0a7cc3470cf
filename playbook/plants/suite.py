"""Faults that the application's own tests show, and faults in those tests."""

from playbook.plants.plant import Edit, Plant

PHASE = "05_validation"
TESTS = "tests/reflector/"
PIPELINES = f"{TESTS}test_pipelines.py"
SESSIONS = f"{TESTS}test_session_decorator.py"
LEFT_ALONE = "async def test_a_transcript_that_is_being_processed_is_left_alone("


def _source(
    name: str, what: str, *edits: Edit, caught_by: str = "same_assertions", by_hand: bool = False
) -> Plant:
    return Plant(name, PHASE, what, edits, "sources", (caught_by,), by_hand=by_hand)


SOURCES = (
    _source(
        "test-that-cannot-fail",
        "a test is adapted until it cannot fail: an error may be raised, it need not be",
        Edit(
            PIPELINES,
            '    with pytest.raises(Exception, match="diarization"):\n        result.get(timeout=30)\n',
            "    try:\n        result.get(timeout=30)\n    except Exception:\n        pass\n",
        ),
        by_hand=True,
    ),
    _source(
        "assertion-weakened",
        "an assertion says less than before",
        Edit(
            PIPELINES,
            'assert [request.method for request in world.sent_to("zulip")] == ["POST", "PATCH"]',
            'assert world.sent_to("zulip")',
        ),
        by_hand=True,
    ),
    _source(
        "test-deleted",
        "a test is gone",
        Edit(PIPELINES, LEFT_ALONE, LEFT_ALONE.replace("test_", "check_")),
    ),
    _source(
        "test-cases-dropped",
        "a test has fewer cases than before",
        Edit(SESSIONS, '("recording", "error"), ', ""),
    ),
    _source(
        "task-replaced-in-a-test",
        "a test replaces the task that it is to test",
        Edit(
            PIPELINES,
            '    write_tone(transcript.data_path / "upload.wav", seconds=12)\n\n'
            "    task_id = live.pipeline_process(transcript.id)\n",
            '    write_tone(transcript.data_path / "upload.wav", seconds=12)\n\n'
            "    task_id = str(transcript.id)\n",
        ),
    ),
    _source(
        "test-skipped",
        "a test is skipped",
        Edit(PIPELINES, LEFT_ALONE, f"@pytest.mark.skip\n{LEFT_ALONE}"),
        caught_by="nothing_skipped",
    ),
    _source(
        "failure-expected",
        "a test is expected to fail",
        Edit(PIPELINES, LEFT_ALONE, f"@pytest.mark.xfail(strict=False)\n{LEFT_ALONE}"),
        caught_by="nothing_skipped",
    ),
    _source(
        "test-file-ignored",
        "a file of tests is not collected",
        Edit(
            f"{TESTS}conftest.py",
            "pytest_plugins = (",
            'collect_ignore = ["test_pipelines.py"]\npytest_plugins = (',
        ),
        caught_by="nothing_skipped",
    ),
)

RUNS = (
    Plant(
        "guard-against-processing-twice-gone",
        PHASE,
        "a transcript that is being processed is processed by a second task as well",
        (Edit("reflector/db/transcripts.py", "        if claimed is None:\n            return False\n", ""),),
        "suite",
        ("green_on_taskiq",),
        by_hand=True,
        tests=(f"{PIPELINES}::test_a_transcript_that_is_being_processed_is_left_alone",),
    ),
    Plant(
        "log-context-gone",
        PHASE,
        "log lines of tasks do not name the task any more",
        (
            Edit(
                "reflector/worker/session_decorator.py",
                "    return logger.bind(\n"
                "        task_id=request.id, task=current_task.name, worker=request.hostname, "
                "retries=request.retries\n"
                "    )\n",
                "    return logger\n",
            ),
        ),
        "suite",
        ("green_on_taskiq",),
        by_hand=True,
        tests=(f"{SESSIONS}::test_inside_a_task_the_logger_names_it",),
    ),
    Plant(
        "queued-task-not-seen",
        PHASE,
        "a task that waits or runs is taken for done, so that a second one is accepted",
        (
            Edit(
                "reflector/worker/status.py",
                "return not await asyncio.to_thread(result.ready)",
                "return False",
            ),
        ),
        "suite",
        ("green_on_taskiq",),
        tests=(f"{PIPELINES}::test_a_task_is_active_until_it_is_done",),
    ),
    Plant(
        "tests-stay-on-celery",
        PHASE,
        "the tests run on Celery, whatever the flag says",
        (
            Edit(
                "reflector/worker/testing.py",
                '            patch.setattr(cls, "apply_async", _routed(vars(cls)["apply_async"], route))\n',
                "            assert route\n",
            ),
        ),
        "suite",
        ("runs_where_routed",),
        tests=(f"{PIPELINES}::test_without_a_room_nobody_is_told",),
    ),
    Plant(
        "coverage-lost",
        PHASE,
        "a module is left out of the coverage",
        (
            Edit(
                "reflector/pyproject.toml",
                '[tool.coverage.run]\nsource = ["reflector"]\n',
                '[tool.coverage.run]\nsource = ["reflector"]\nomit = ["*/pipelines/*"]\n',
            ),
        ),
        "suite",
        ("same_coverage",),
        tests=(f"{PIPELINES}::test_without_a_room_nobody_is_told",),
    ),
)
