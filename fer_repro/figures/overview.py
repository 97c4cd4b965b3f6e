"""The paper in one picture, for the book's first page."""

from __future__ import annotations

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Arc, Circle, Ellipse, FancyArrowPatch, FancyBboxPatch

from fer_repro.figures import COLORS

# What flows: title, what it does in a word or two, section of the paper, colour. Read row by row.
STEPS = (
    (
        ("Preprocessing", "resize, median,\ncontrast", "III-A", COLORS[5]),
        ("CNN", "4 convolutions,\n3 poolings", "III-C", COLORS[0]),
        ("BiLSTM", "the map, read\nas a sequence", "III-D", COLORS[4]),
    ),
    (
        ("Attention", "which steps\nmatter", "III-E", COLORS[1]),
        ("LDA", "what separates\nthe classes", "III-F", COLORS[3]),
        ("DenseNet", "rebuilt features,\nsoftmax", "III-F", COLORS[2]),
    ),
)
_WIDTH, _HEIGHT = 1.62, 1.16


def paper_in_one_picture() -> Figure:
    """Draw a face that passes the paper's six steps in two rows and comes out as seven probabilities.

    Returns
    -------
    Figure
        6.6 by 2.9 inches. The bars at the end are a sketch, not a result.
    """
    figure, axes = plt.subplots(figsize=(6.6, 2.9))
    tops = (2.75, 0.62)
    _face(axes, 0.62, tops[0] + _HEIGHT / 2)
    lefts = (1.72, 3.72, 5.72)
    for row, top in zip(STEPS, tops, strict=True):
        for (title, does, section, color), left in zip(row, lefts, strict=True):
            _box(axes, left, top, title, does, section, color)
    middle = [top + _HEIGHT / 2 for top in tops]
    _arrow(axes, (1.24, middle[0]), (lefts[0] - 0.05, middle[0]))
    for level in middle:
        for left, right in pairwise(lefts):
            _arrow(axes, (left + _WIDTH + 0.05, level), (right - 0.05, level))
    turn = 2.26  # down from the end of the first row to the start of the second
    ink = plt.rcParams["xtick.labelcolor"]
    ends = lefts[2] + _WIDTH / 2, lefts[0] + _WIDTH / 2
    axes.plot([ends[0], ends[0], ends[1]], [tops[0] - 0.05, turn, turn], color=ink, linewidth=1.2)
    _arrow(axes, (ends[1], turn), (ends[1], tops[1] + _HEIGHT + 0.05))
    _arrow(axes, (lefts[2] + _WIDTH + 0.05, middle[1]), (7.72, middle[1]))
    _bars(axes, 7.8, middle[1])
    axes.text(
        3.65,
        turn + 0.09,
        "center loss pulls each class together while it learns",
        ha="center",
        va="bottom",
        fontsize=8.5,
    )
    axes.set(xlim=(0.05, 8.65), ylim=(0.5, 4.0), aspect="equal")
    axes.set_axis_off()
    return figure


def _box(axes: Axes, left: float, top: float, title: str, does: str, section: str, color: str) -> None:
    shape = FancyBboxPatch(
        (left, top), _WIDTH, _HEIGHT, boxstyle="round,pad=0,rounding_size=0.09", facecolor=color + "22", edgecolor=color
    )
    axes.add_patch(shape)
    center = left + _WIDTH / 2
    axes.text(center, top + 0.88, title, ha="center", va="center", fontsize=10, weight="bold")
    axes.text(center, top + 0.52, does, ha="center", va="center", fontsize=8.5, linespacing=1.15)
    axes.text(center, top + 0.15, f"Sec. {section}", ha="center", va="center", fontsize=8, style="italic")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ink = plt.rcParams["xtick.labelcolor"]
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=ink, linewidth=1.2, shrinkA=0, shrinkB=0)
    )


def _face(axes: Axes, x: float, y: float) -> None:
    """A drawn face: nobody's."""
    ink = plt.rcParams["text.color"]
    axes.add_patch(Ellipse((x, y), 0.98, 1.24, facecolor=COLORS[1] + "33", edgecolor=ink, linewidth=1.4))
    for side in (-1, 1):
        axes.add_patch(Ellipse((x + side * 0.2, y + 0.12), 0.16, 0.11, facecolor="none", edgecolor=ink, linewidth=1.2))
        axes.add_patch(Circle((x + side * 0.2, y + 0.12), 0.035, color=ink))
        axes.add_patch(Arc((x + side * 0.2, y + 0.22), 0.24, 0.14, theta1=20, theta2=160, color=ink, linewidth=1.6))
    axes.plot([x, x - 0.05, x + 0.03], [y + 0.06, y - 0.12, y - 0.13], color=ink, linewidth=1.2)
    axes.add_patch(Arc((x, y - 0.22), 0.46, 0.34, theta1=200, theta2=340, color=ink, linewidth=1.8))


def _bars(axes: Axes, left: float, middle: float) -> None:
    lengths = np.array([0.1, 0.06, 0.08, 0.66, 0.07, 0.14, 0.2])  # a sketch of seven probabilities
    heights = middle + 0.15 * (np.arange(7) - 3)[::-1]
    colors = [COLORS[1] if length == lengths.max() else COLORS[7] for length in lengths]
    axes.barh(heights, lengths, height=0.1, left=left, color=colors)
    axes.text(left, middle + 0.66, "7 classes", ha="left", va="center", fontsize=8.5)
