"""One calm look for all figures, and PNG bytes that are equal for equal figures."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette for readers of every colour vision (jfly.uni-koeln.de/color), without its yellow:
# that is too light for a white page.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F")
HATCHES = ("", "///", "...", "xxx")
INK, FAINT, PAPER = "#222222", "#D9D9D9", "#FFFFFF"

_DOTS_PER_INCH = 110
_LOOK: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 0.6,
    "hatch.color": PAPER,
}


class Chart(Figure):
    """A figure that shows itself in a notebook without any plotting backend. On white, so that it prints."""

    def __init__(self, width: float, height: float) -> None:
        """Make an empty figure of the given size in inches."""
        with look():
            super().__init__(
                figsize=(width, height), dpi=_DOTS_PER_INCH, facecolor=PAPER, layout="constrained"
            )
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        return png(self)


def look() -> Any:
    """Return the context in which figures are drawn."""
    return rc_context(_LOOK)


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, without date and version, so that equal figures are equal bytes."""
    target = BytesIO()
    with look():
        figure.savefig(target, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return target.getvalue()


def colours(names: list[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a hatch for each name; the pairs differ for up to 28 names."""
    return {
        name: (PALETTE[place % len(PALETTE)], HATCHES[place // len(PALETTE) % len(HATCHES)])
        for place, name in enumerate(names)
    }


def short(task: str) -> str:
    """Return the last part of a task's name."""
    return task.rsplit(".", 1)[-1]
