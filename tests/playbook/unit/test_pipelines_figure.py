"""The figure of attempts shows every task, and where its worker died."""

from __future__ import annotations

from matplotlib.text import Text

from playbook.report import Attempt, attempts_figure, png

ATTEMPTS = [
    Attempt("app.second", 3.0, 4.0, died=False),
    Attempt("app.first", 1.0, 1.5, died=True),
    Attempt("app.first", 2.5, 3.0, died=False),
]


def test_every_task_has_a_row_in_the_order_of_its_first_start() -> None:
    axis = attempts_figure(ATTEMPTS).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["first", "second"]
    assert len(axis.patches) == len(ATTEMPTS)


def test_each_kill_is_marked_where_it_hit() -> None:
    (mark,) = attempts_figure(ATTEMPTS).axes[0].lines
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([0.5], [0])


def test_the_legend_says_what_the_marks_mean() -> None:
    shown = {item.get_text() for item in attempts_figure(ATTEMPTS).findobj(Text)}
    assert {"SIGKILL", "ran to its end", "in flight when its worker died"} <= shown


def test_equal_attempts_give_equal_bytes() -> None:
    assert png(attempts_figure(ATTEMPTS)) == png(attempts_figure(ATTEMPTS))
    assert png(attempts_figure([])).startswith(b"\x89PNG")
