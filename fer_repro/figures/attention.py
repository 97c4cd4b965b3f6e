"""Pictures and measures for the chapter on attention (Sec. III-E, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from numpy.typing import NDArray

from fer_repro.figures import COLORS, MARKERS

__all__ = ["effective_steps", "flow", "matrices", "over_faces", "received", "saturation", "shift"]

Array = NDArray[Any]


# ------------------------------------------------------------------------------------------------------------ measures


def effective_steps(weights: Array) -> Array:
    """Return how many steps weights (..., T) are spread over: exp of their entropy, from 1 to T."""
    share = np.clip(np.asarray(weights, dtype=float), 1e-12, None)
    return np.exp(-(share * np.log(share)).sum(-1))


def received(weights: Array) -> Array:
    """Return the weight each step receives, (N, T): weights (N, T) of one query, or the mean over queries (N, Q, T)."""
    return weights if weights.ndim == 2 else weights.mean(1)


# ------------------------------------------------------------------------------------------------------------ pictures


def flow(steps: int, width: int) -> Figure:
    """Draw what Algorithm 1 computes, with the shapes of one image.

    Parameters
    ----------
    steps, width : int
        T and D.
    """
    figure, axes = plt.subplots(figsize=(6.6, 2.6))
    boxes = {  # name: (x, y, first line, second line, colour)
        "V": (0.0, 0.0, "$V$", f"{steps}×{width}", COLORS[4]),
        "K": (1.75, 0.0, "$K=\\tanh(VW^a)$", f"{steps}×{width}", COLORS[0]),
        "q": (1.75, 1.25, "$q$", "Q8", COLORS[7]),
        "s": (3.75, 0.6, "$qK^{\\top}$", f"{steps} scores", COLORS[0]),
        "d": (5.35, 0.6, "$d$ = softmax", f"{steps} weights", COLORS[1]),
        "a": (7.0, 0.0, "$a=d\\,V$", f"{width} numbers", COLORS[2]),
    }
    for x, y, first, second, color in boxes.values():
        wide = 1.4 if len(first) > 14 else 1.2
        patch = FancyBboxPatch(
            (x - wide / 2, y - 0.3), wide, 0.6, boxstyle="round,pad=0,rounding_size=0.08", fc=color + "26", ec=color
        )
        axes.add_patch(patch)
        axes.text(x, y + 0.1, first, ha="center", va="center", fontsize=9.5)
        axes.text(x, y - 0.15, second, ha="center", va="center", fontsize=8)
    for start, end, bend in (("V", "K", 0.0), ("K", "s", 0.0), ("q", "s", 0.0), ("s", "d", 0.0), ("d", "a", 0.0)):
        _arrow(axes, boxes[start], boxes[end], bend)
    ink = plt.rcParams["xtick.labelcolor"]
    low = {"arrowstyle": "-|>", "mutation_scale": 9, "color": ink, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.plot([0, 0, 7.0], [-0.3, -0.62, -0.62], color=ink, linewidth=1.1)
    axes.add_patch(FancyArrowPatch((7.0, -0.63), (7.0, -0.3), **low))
    axes.set(xlim=(-0.7, 7.75), ylim=(-0.75, 1.65), aspect="equal")
    axes.set_axis_off()
    return figure


def _arrow(axes: Axes, start: tuple[Any, ...], end: tuple[Any, ...], bend: float) -> None:
    first, last = (start[0] + (0.72 if "tanh" in start[2] else 0.62), start[1]), (end[0] - 0.62, end[1])
    last = (end[0] - 0.72, end[1]) if "tanh" in end[2] else last
    ink = plt.rcParams["xtick.labelcolor"]
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 1, "shrinkB": 1}
    axes.add_patch(FancyArrowPatch(first, last, connectionstyle=f"arc3,rad={bend}", color=ink, linewidth=1.1, **style))


def saturation(widths: Sequence[int], steps: Mapping[str, Array], slopes: Mapping[str, Array], most: int) -> Figure:
    """Draw how even the weights are, and how well a gradient passes, against the width D.

    Parameters
    ----------
    widths : sequence of int
    steps, slopes : name to (len(widths),)
        Effective steps; mean of d (1 - d), relative to even weights'.
    most : int
        T.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.6, 3.1))
    for axes, curves in ((left, steps), (right, slopes)):
        for (name, values), color, marker in zip(curves.items(), COLORS, MARKERS, strict=False):
            axes.plot(widths, values, color=color, marker=marker, markersize=4, label=name)
        axes.set_xscale("log", base=2)
        axes.set(xlabel="width D")
    left.axhline(most, color=COLORS[7], linestyle=":", linewidth=1)
    left.set(ylabel="steps that count", ylim=(0.9, most + 0.3))
    right.set(ylabel="gradient that passes", ylim=(0, 1.05))
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8.5)
    return figure


def matrices(found: Mapping[str, Array]) -> Figure:
    """Draw weights as squares: which step (down) attends to which (across).

    Parameters
    ----------
    found : name to (T, T)
    """
    figure, panels = plt.subplots(1, len(found), figsize=(6.4, 2.4), squeeze=False)
    top = max(float(matrix.max()) for matrix in found.values())
    for axes, (name, matrix) in zip(panels[0], found.items(), strict=True):
        image = axes.imshow(matrix, cmap="viridis", vmin=0, vmax=top)
        steps = range(len(matrix)) if len(matrix) < 9 else range(0, len(matrix), 4)
        axes.set(xticks=steps, yticks=steps)
        axes.set_xticklabels([str(t + 1) for t in steps], fontsize=8)
        axes.set_yticklabels([str(t + 1) for t in steps], fontsize=8)
        axes.set_title(name, fontsize=9)
        if axes is panels[0, 0]:
            axes.set_ylabel("row that asks")
    figure.supxlabel("row that is looked at", fontsize=9)
    figure.colorbar(image, ax=panels, shrink=0.8, label="weight", pad=0.02)
    return figure


def over_faces(
    faces: Mapping[str, Sequence[Array]], weights: Mapping[str, Sequence[Array]], covered: tuple[int, int]
) -> Figure:
    """Lay the weights over faces: the darker a band, the less weight it has; bars beside it give the number.

    Parameters
    ----------
    faces : name to faces (S, S)
        One row of the figure for each name, such as without and with an occluder.
    weights : name to weights (T,)
        As many as faces.
    covered : (int, int)
        First and one past the last covered row of the map; marked on the last row of the figure.
    """
    columns = len(next(iter(faces.values())))
    figure, panels = plt.subplots(
        len(faces), 2 * columns, figsize=(6.8, 1.3 * len(faces)), width_ratios=[1, 0.4] * columns, squeeze=False
    )
    top = max(float(w.max()) for group in weights.values() for w in group)
    for number, (name, group) in enumerate(faces.items()):
        row = panels[number]
        for column, face in enumerate(group):
            share, size = weights[name][column], face.shape[0]
            picture, bars = row[2 * column], row[2 * column + 1]
            picture.imshow(face, cmap="gray", vmin=0, vmax=255, extent=(0, size, size, 0), aspect="auto")
            high = size / len(share)
            for t, w in enumerate(share):
                shade = Rectangle((0, t * high), size, high, color="black", alpha=0.5 * (1 - w / top), linewidth=0)
                picture.add_patch(shade)
            colors = [COLORS[1]] * len(share)
            if number == len(faces) - 1:
                place = (0.01 * size, covered[0] * high)
                tall = (covered[1] - covered[0]) * high
                picture.add_patch(Rectangle(place, 0.98 * size, tall, fill=False, edgecolor=COLORS[1], linewidth=1.5))
                colors = [COLORS[3] if covered[0] <= t < covered[1] else COLORS[1] for t in range(len(share))]
            bars.barh((np.arange(len(share)) + 0.5) * high, share, height=0.7 * high, color=colors)
            bars.axvline(1 / len(share), color=COLORS[7], linewidth=0.9, linestyle=":")
            bars.set(ylim=(size, 0), yticks=[], xlim=(0, top * 1.05), xticks=[])
            bars.spines[["left", "bottom"]].set_visible(False)
            picture.set(xticks=[], yticks=[], xlim=(0, size), ylim=(size, 0))
            picture.spines[:].set_visible(False)
            if column == 0:
                picture.set_ylabel(name, fontsize=9)
    return figure


def shift(plain: Array, covered: Array, width: int = 2) -> Figure:
    """Draw the weight of the covered rows against that of the same rows of the same faces when nothing covers them.

    Parameters
    ----------
    plain, covered : (P, N)
        Weight of the rows at each of P places of the bar, for N faces.
    width : int
        Rows that the bar covers.
    """
    figure, axes = plt.subplots(figsize=(6.2, 2.9))
    places = np.arange(len(plain))
    for side, (values, name, marker) in enumerate(((plain, "uncovered", "o"), (covered, "covered", "s"))):
        mean, spread = values.mean(1), 1.96 * values.std(1) / np.sqrt(values.shape[1])
        x = places + 0.12 * (2 * side - 1)
        axes.errorbar(x, mean, yerr=spread, fmt=marker, color=COLORS[(0, 3)[side]], label=f"{name}", capsize=3)
    axes.set(xlabel="rows of the map under the bar", ylabel="weight of these rows", xticks=places, ylim=(0, None))
    axes.set_xticklabels([f"{p + 1}–{p + width}" for p in places])
    axes.legend(fontsize=8.5)
    return figure
