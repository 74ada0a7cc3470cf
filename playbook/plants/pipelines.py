"""Faults in the pipelines: order, barriers, results, what browsers and others are told."""

from playbook.plants.plant import Edit, Plant

PHASE = "03_pipelines"
WORKER = "reflector/worker/"
LIVE = "reflector/pipelines/main_live_pipeline.py"
FILE = "reflector/pipelines/main_file_pipeline.py"
STEPS = "reflector/pipelines/steps.py"

SENT = "    return dispatch_sync(post)\n"
CHORD = """    post = chord(
        group(chain_mp3_and_diarize, chain_title_preview), chain_final_summaries
    ) | task_pipeline_post_to_zulip.si(transcript_id=transcript_id)
    return dispatch_sync(post)
"""
CHAIN = """    post_chain = chain(
        task_cleanup_consent.si(transcript_id=transcript_id),
        task_pipeline_post_to_zulip.si(transcript_id=transcript_id),
        task_send_webhook_if_needed.si(transcript_id=transcript_id),
    )
    await dispatch(post_chain)
"""
IN_A_ROW = """    await dispatch(task_cleanup_consent, transcript_id=transcript_id)
    await dispatch(task_pipeline_post_to_zulip, transcript_id=transcript_id)
    await dispatch(task_send_webhook_if_needed, transcript_id=transcript_id)
"""
BODY = 'ends = self._add(body, then, Call(id=call.id, receives="result", main=call.main, labels=call.labels))'
EDGES = "        edges = then\n        for step in reversed(steps):\n"
JOINED = "self._add_join(_members(canvas.tasks), ends,"
STORED = "if how ~= 'replaced' and result ~= '' then store(task, result) end"
POSTED = "    message_id = await zulip.send_message_to_zulip(room.zulip_stream, room.zulip_topic, content)\n"
BROADCAST = '    await manager.send_json(f"ts:{event.transcript_id}", message, seq=event.sequence)\n'

PIPELINES = (
    Plant(
        "live-processing-never-started",
        PHASE,
        "what follows a live recording is never started: a coroutine is not awaited",
        (
            Edit(LIVE, SENT, "    return dispatch(post)\n"),
            Edit(
                LIVE,
                "from reflector.worker.routing import dispatch_sync\n",
                "from reflector.worker.routing import dispatch, dispatch_sync\n",
            ),
        ),
        "live",
        ("same_effects_live", "results_live"),
        by_hand=True,
    ),
    Plant(
        "chord-becomes-sends",
        PHASE,
        "the chord is sends in a row: nothing waits for anything",
        (
            Edit(
                LIVE,
                CHORD,
                "    dispatch_sync(chain_mp3_and_diarize)\n"
                "    dispatch_sync(chain_title_preview)\n"
                "    dispatch_sync(chain_final_summaries)\n"
                "    return dispatch_sync(task_pipeline_post_to_zulip, transcript_id=transcript_id)\n",
            ),
        ),
        "live",
        ("same_effects_live", "order"),
        by_hand=True,
    ),
    Plant(
        "chain-becomes-sends",
        PHASE,
        "the chain is sends in a row: Zulip and webhook do not wait for the consent clean-up",
        (Edit(FILE, CHAIN, IN_A_ROW),),
        "file",
        ("same_effects_file", "order"),
        by_hand=True,
    ),
    Plant(
        "failed-consent-stops-nothing",
        PHASE,
        "a consent clean-up that fails stops nothing: what follows is sent all the same",
        (Edit(FILE, CHAIN, IN_A_ROW),),
        "failing",
        ("failure_stops", "same_effects_failing"),
        by_hand=True,
    ),
    Plant(
        "dropped-barrier",
        PHASE,
        "the chord's body starts when the first member of its header has ended",
        (
            Edit(
                f"{WORKER}lua_workflows.py",
                "redis.call('HSET', flow.key, 'l' .. k, join[SIZE])",
                "redis.call('HSET', flow.key, 'l' .. k, 1)",
            ),
            Edit(
                f"{WORKER}lua_workflows.py",
                "            if string.sub(slot, 1, 1) == 'e' then\n",
                "            if not slot then\n            elseif string.sub(slot, 1, 1) == 'e' then\n",
            ),
        ),
        "live",
        ("same_effects_live", "order"),
    ),
    Plant(
        "swapped-order",
        PHASE,
        "the last two steps of a chain change places",
        (Edit(f"{WORKER}plans.py", EDGES, f"        steps[-2:] = reversed(steps[-2:])\n{EDGES}"),),
        "live",
        ("same_effects_live", "order"),
    ),
    Plant(
        "body-before-header",
        PHASE,
        "the chord's body starts together with its header",
        (Edit(f"{WORKER}plans.py", f"return {JOINED}", f"return ends + {JOINED}"),),
        "live",
        ("same_effects_live", "order"),
    ),
    Plant(
        "header-member-lost",
        PHASE,
        "a member of the chord's header is lost",
        (Edit(LIVE, "group(chain_mp3_and_diarize, chain_title_preview)", "group(chain_mp3_and_diarize)"),),
        "live",
        ("same_effects_live", "results_live"),
    ),
    Plant(
        "doubled-callback",
        PHASE,
        "the chord's body runs twice",
        (
            Edit(
                f"{WORKER}plans.py",
                BODY,
                f'{BODY}\n        ends += self._add(body.clone(), [], Call(receives="result", main=False))',
            ),
        ),
        "live",
        ("same_effects_live",),
    ),
    Plant(
        "result-not-stored",
        PHASE,
        "the result of a step of a canvas is not stored",
        (Edit(f"{WORKER}lua_steps.py", STORED, STORED.replace("how ~= 'replaced'", "not node")),),
        "live",
        ("results_live",),
    ),
    Plant(
        "browser-not-told-of-the-end",
        PHASE,
        "a WebSocket message is lost: the last status",
        (
            Edit(
                "reflector/db/transcripts.py",
                "    manager = get_ws_manager()\n",
                '    if event.data == {"value": "ended"}:\n        return\n    manager = get_ws_manager()\n',
            ),
        ),
        "live",
        ("same_effects_live", "told_in_order"),
    ),
    Plant(
        "browser-told-twice",
        PHASE,
        "a WebSocket message is sent twice: the title",
        (
            Edit(
                "reflector/db/transcripts.py",
                BROADCAST,
                f'{BROADCAST}    if event.event == "FINAL_TITLE":\n'
                '        await manager.send_json(f"ts:{event.transcript_id}", message)\n',
            ),
        ),
        "live",
        ("same_effects_live", "told_in_order"),
    ),
    Plant(
        "commit-lost",
        PHASE,
        "sessions are never committed",
        (Edit("reflector/db/__init__.py", "        await session.commit()\n", ""),),
        "live",
        ("same_effects_live",),
    ),
    Plant(
        "caller-gets-another-handle",
        PHASE,
        "who starts the canvas gets a handle that never has a result",
        (Edit(LIVE, SENT, '    dispatch_sync(post)\n    return Handle("nobody")\n'),),
        "live",
        ("caller_result",),
        callers=True,
    ),
    Plant(
        "posted-twice",
        PHASE,
        "the message to Zulip is sent twice",
        (Edit(STEPS, POSTED, POSTED + POSTED),),
        "live",
        ("same_effects_live",),
    ),
    Plant(
        "webhook-called-in-place",
        PHASE,
        "the webhook is not sent as a task but called: no retries",
        (
            Edit(
                FILE,
                "await dispatch(send_transcript_webhook, transcript.id",
                "await send_transcript_webhook.run.__wrapped__(send_transcript_webhook, transcript.id",
            ),
        ),
        "file",
        ("same_effects_file",),
    ),
    Plant(
        "recording-not-removed",
        PHASE,
        "consent was denied, and the recording stays in S3",
        (
            Edit(
                STEPS,
                "            await storage.delete(recording.bucket_name, recording.object_key)\n"
                '    await transcripts_controller.update(session, transcript, {"audio_deleted": True})',
                "            logger.info(recording.object_key)\n"
                '    await transcripts_controller.update(session, transcript, {"audio_deleted": True})',
            ),
        ),
        "file",
        ("same_effects_file",),
    ),
    Plant(
        "task-error-swallowed",
        PHASE,
        "a step that fails is logged and counts as done",
        (
            Edit(
                f"{WORKER}session_decorator.py",
                "            await _fail_if_processing(transcript_id)\n            raise\n",
                "            await _fail_if_processing(transcript_id)\n",
            ),
        ),
        "failing",
        ("failure_stops", "caller_error", "results_failing"),
    ),
    Plant(
        "failure-leaves-the-status",
        PHASE,
        "a failure does not set the status `error`: the transcript is for ever being processed",
        (
            Edit(
                f"{WORKER}session_decorator.py", "            await _fail_if_processing(transcript_id)\n", ""
            ),
        ),
        "failing",
        ("same_effects_failing",),
    ),
    Plant(
        "failed-step-goes-on",
        PHASE,
        "the runtime goes on after a step of a chain that failed",
        (
            Edit(
                f"{WORKER}lua_steps.py",
                "if how == 'ok' or how == 'replaced' then\n    local joined",
                "if how ~= 'silent' then\n    local joined",
            ),
            Edit(
                f"{WORKER}lua_steps.py",
                "    if how == 'ok' then\n        follow(",
                "    if how ~= 'replaced' then\n        follow(",
            ),
        ),
        "failing",
        ("failure_stops",),
    ),
)
