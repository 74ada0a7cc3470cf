"""The figures: every task is in them, and equal input gives equal bytes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from matplotlib.text import Text

from playbook.models import Observation
from playbook.report import Chart, inventory_figure, order_graph, png, timeline
from playbook.report.orders import happens_before
from tests.playbook.unit.parity_samples import LIVE, live, observation, upload

EMPTY = Observation(scenario="upload", label="nothing", system="celery")

INVENTORY: dict[str, list[dict[str, Any]]] = {
    "tasks": [
        {"name": "m.ping", "decorators": ["shared_task"], "options": {}, "bind": False},
        {
            "name": "m.hook",
            "decorators": ["shared_task", "with_session"],
            "options": {"max_retries": 3},
            "bind": True,
        },
    ],
    "calls": [{"task": "m.hook", "method": "delay"}] * 2 + [{"task": None, "method": "delay"}],
    "canvases": [{"structure": {"chain": [{"task": "m.ping"}, {"task": "m.hook"}]}}],
    "schedules": [{"task": "m.ping"}],
    "touchpoints": [],
    "refused": [],
}
PLAN = {
    "order": [
        {"task": "m.ping", "score": 1, "phase": "01_poc"},
        {"task": "m.hook", "score": 7, "phase": "02_simple_tasks"},
    ]
}


def texts(chart: Chart) -> set[str]:
    return {item.get_text() for item in chart.findobj(Text) if item.get_text()}


def test_a_timeline_names_every_task_and_run() -> None:
    a, b = observation(upload(1)), observation(upload(2, "taskiq"))

    shown = texts(timeline([a, b], ["A: Celery", "B: TaskIQ"]))

    assert {"A: Celery", "B: TaskIQ", "celery worker 1", "taskiq worker 1", "requests"} <= shown
    assert {event.task.rsplit(".", 1)[1] for event in a.trace} <= shown


def test_a_timeline_shows_what_never_ended() -> None:
    data = live(1)
    data["trace"] = [event for event in data["trace"] if event["kind"] == "start"]

    chart = timeline([observation(data)])

    assert len(chart.axes[0].patches) == len(data["trace"])


def test_an_order_graph_has_the_chord() -> None:
    runs = [observation(live(seed)) for seed in (1, 2)]
    body, title = LIVE + "task_pipeline_final_summaries", LIVE + "task_pipeline_title"

    edges = happens_before(runs)

    assert {(title, body), (LIVE + "task_pipeline_upload_mp3", body)} <= edges
    assert not {(title, LIVE + "task_pipeline_waveform"), (LIVE + "task_pipeline_waveform", title)} & edges
    assert {"task_pipeline_title", "What waits"} <= texts(order_graph(runs, "What waits"))


def test_an_order_by_chance_can_be_left_out() -> None:
    runs = [observation(live(1))]
    title, body = LIVE + "task_pipeline_title", LIVE + "task_pipeline_final_summaries"

    def arrows(chart: Chart) -> int:
        return len([item for item in chart.axes[0].texts if not item.get_text()])

    assert arrows(order_graph(runs, promised={(title, body)})) == 1
    assert arrows(order_graph(runs)) > 1


def test_the_inventory_figure_counts_uses() -> None:
    shown = texts(inventory_figure(INVENTORY, PLAN))

    assert {"ping", "hook", "01_poc", "02_simple_tasks", "call sites", "2"} <= shown


@pytest.mark.parametrize(
    "draw",
    [
        lambda: timeline([observation(upload(1)), observation(live(2, "taskiq"))]),
        lambda: order_graph([observation(live(1))]),
        lambda: inventory_figure(INVENTORY, PLAN),
        lambda: timeline([EMPTY]),
        lambda: order_graph([EMPTY]),
        lambda: inventory_figure({name: [] for name in INVENTORY}, {"order": []}),
    ],
)
def test_a_figure_is_the_same_bytes_each_time(draw: Any) -> None:
    images = [png(draw()), draw()._repr_png_(), png(draw())]

    assert images[0].startswith(b"\x89PNG")
    assert all(one == other for one, other in pairwise(images))
    assert b"Software" not in images[0]
