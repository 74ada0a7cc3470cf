"""The guide's claims about workflow patterns: Pipeline, gather with a callback, and what they replace."""

from playbook.checks.guide import GuideClaim

PATTERNS = "6. Workflow patterns"
APPENDIX = "Appendix: quick reference"
SUCCESS = "Success criteria"

CLAIMS = (
    GuideClaim(
        PATTERNS,
        "Pipeline(...).call_next(task, transcript_id=...) replaces a chain of immutable signatures.",
        False,
        lambda f: f["call_next"] == "ok",
        "The second step's body ran: {call_next_step_ran}; it ended with {call_next}. call_next passes the "
        "result as a positional argument, and the tasks take keywords only. With call_after: {call_after}.",
        "chain(a.si(...), b.si(...)) of the application's own workflow module, with Celery's meaning.",
    ),
    GuideClaim(
        PATTERNS,
        "gather, then the callback: the callback comes after the group.",
        True,
        lambda f: f["gather_waits"],
        "As long as nothing fails and the process that waits lives: {gather_waits}. (gather takes sent "
        "tasks, not a list; see 01_poc.)",
    ),
    GuideClaim(
        APPENDIX,
        "chord() is gather() + callback: when a member of the group fails.",
        False,
        lambda f: not f["callback_after_failed_header"],
        "A member failed: {header_failed}; the callback ran all the same: {callback_after_failed_header}.",
        "A chord's body never runs after a failed header; who waits gets the error.",
    ),
    GuideClaim(
        APPENDIX,
        "chord() is gather() + callback: when the process that waits dies.",
        False,
        lambda f: f["callback_outlives_the_waiter"],
        "The process was killed; the header still ended: {header_ended}; the callback came: "
        "{callback_outlives_the_waiter}.",
        "Nobody waits: the step that ends last sends the body, in the same atomic step that ends it.",
    ),
    GuideClaim(
        PATTERNS,
        "chain_final_summaries.kiq(transcript_id, results): the callback takes the group's results.",
        False,
        lambda f: f["callback_with_results"] == "ok",
        "The callback ended with {callback_with_results}: the application's task takes no results.",
        "The canvas stays as it is: its signatures are immutable, and get no results.",
    ),
    GuideClaim(
        PATTERNS,
        "Awaiting the kiq of the summaries, then that of Zulip, keeps their order.",
        False,
        lambda f: f["sent_in_a_row_runs_in_order"],
        "The summaries had ended when Zulip began: {sent_in_a_row_runs_in_order}. kiq returns when the "
        "message is sent.",
        "Zulip is a step after the chord. Nothing is posted before the summaries and the consent cleanup.",
    ),
    GuideClaim(
        SUCCESS,
        "WebSocket notifications still function.",
        True,
        lambda f: f["told_in_order"],
        "Browsers got every stored event once, in order, on both systems: {told_in_order}.",
    ),
    GuideClaim(
        SUCCESS,
        "The pipelines behave as before.",
        True,
        lambda f: f["same_effects"] and f["order_is_kept"],
        "With the workflow module, in place of the guide's patterns: the same effects {same_effects}, the "
        "same order {order_is_kept}.",
    ),
)
