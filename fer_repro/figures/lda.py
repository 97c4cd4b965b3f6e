"""Pictures and measures for the chapter on linear discriminant analysis (Sec. III-F)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from fer_repro.figures import COLORS, class_color, class_legend, class_marker

__all__ = ["directions", "nearest_mean", "projections", "row_likeness", "separation", "spectrum"]

Array = NDArray[Any]


def nearest_mean(train: ArrayLike, labels: ArrayLike, held: ArrayLike, held_labels: ArrayLike) -> float:
    """Return the share of held-out points (N', k) whose nearest class mean of the training points (N, k) is their own.

    The least classifier there is, so that it says what the *space* separates.
    """
    x, y, z = np.asarray(train), np.asarray(labels), np.asarray(held)
    classes = np.unique(y)
    means = np.stack([x[y == c].mean(0) for c in classes])
    nearest = ((z[:, None] - means) ** 2).sum(2).argmin(1)
    return float((classes[nearest] == np.asarray(held_labels)).mean())


def row_likeness(attended: ArrayLike) -> float:
    """Return how alike the steps of an attended sequence (N, T, D) are: the mean cosine between an image's steps.

    Features are centred over images first: 1 where all steps say the same of an image, 0 where they are unrelated.
    """
    x = np.asarray(attended, float)
    x = x - x.mean(0)
    x = x / np.maximum(np.linalg.norm(x, axis=2, keepdims=True), 1e-12)
    cosines = x @ x.transpose(0, 2, 1)  # (N, T, T)
    T = x.shape[1]
    return float((cosines.sum((1, 2)) - T).mean() / (T * (T - 1)))


def directions(points: Array, labels: Array, arrows: Mapping[str, Array]) -> Figure:
    """Draw points of two classes in the plane, directions through their mean, and what each direction sees of them.

    Parameters
    ----------
    points : (N, 2)
    labels : (N,)
        0 or 1.
    arrows : mapping
        Name to direction (2,).
    """
    figure, panels = plt.subplots(1, 1 + len(arrows), figsize=(6.8, 2.7), width_ratios=[1.5, *[1] * len(arrows)])
    axes: Axes = panels[0]
    middle = points.mean(0)
    for k in (0, 1):
        x = points[labels == k]
        axes.scatter(x[:, 0], x[:, 1], color=COLORS[k], marker="os"[k], s=26, label=f"class {k + 1}")
    for (name, v), color, line in zip(arrows.items(), (COLORS[2], COLORS[4]), ("-", "--")):
        unit = v / np.linalg.norm(v)
        ends = np.stack([middle - 2.6 * unit, middle + 2.6 * unit])
        axes.plot(ends[:, 0], ends[:, 1], line, color=color, label=name)
    axes.set_aspect("equal")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=9)
    for axes, (name, v) in zip(panels[1:], arrows.items(), strict=True):
        seen = (points - middle) @ (v / np.linalg.norm(v))
        for k in (0, 1):
            axes.scatter(seen[labels == k], np.full((labels == k).sum(), k), color=COLORS[k], marker="os"[k], s=26)
        axes.set(title=name, yticks=[], ylim=(-0.8, 1.8), xlabel="place on the line")
        axes.spines["left"].set_visible(False)
    return figure


def projections(panels: Mapping[str, Array], labels: Array, classes: Sequence[str]) -> Figure:
    """Draw two-dimensional projections, two in a row, class means as large marks.

    Parameters
    ----------
    panels : mapping
        Title to points (N, 2).
    labels : (N,)
    classes : sequence of str
    """
    ink, ground = plt.rcParams["text.color"], plt.rcParams["patch.edgecolor"]
    rows = (len(panels) + 1) // 2
    figure, grid = plt.subplots(rows, 2, figsize=(6.8, 2.7 * rows + 0.6), squeeze=False)
    for axes, (title, x) in zip(grid.flat, panels.items()):
        for k, name in enumerate(classes):
            mine = x[labels == k]
            look: dict[str, Any] = {"color": class_color(name), "marker": class_marker(name)}
            axes.scatter(mine[:, 0], mine[:, 1], s=11, linewidth=0.3, edgecolor=ground, **look)
            if len(mine):
                axes.scatter(mine[:, 0].mean(), mine[:, 1].mean(), s=58, edgecolor=ink, linewidth=1, zorder=3, **look)
        axes.set(title=title, xticks=[], yticks=[])
        axes.spines[["top", "right"]].set_visible(True)
    class_legend(figure, classes)
    return figure


def spectrum(eigenvalues: Array, classes: int) -> Figure:
    """Draw generalised eigenvalues, largest first, on a logarithmic axis, and where C - 1 ends.

    Parameters
    ----------
    eigenvalues : (n,)
        Not negative but for rounding.
    classes : int
        C.
    """
    floor = 1e-18
    values = np.maximum(np.abs(eigenvalues), floor)
    colors = [COLORS[0] if k < classes - 1 else COLORS[7] for k in range(len(values))]
    figure, axes = plt.subplots(figsize=(6.0, 2.6))
    axes.bar(np.arange(1, len(values) + 1), values - floor, bottom=floor, color=colors, width=0.7)
    axes.axvline(classes - 0.5, color=COLORS[1], linestyle="--", linewidth=1.2)
    ink = plt.rcParams["text.color"]
    axes.text(classes - 0.3, 0.1 * values.max(), f"after C − 1 = {classes - 1}:\nrounding errors", va="top", color=ink)
    axes.set_yscale("log")
    axes.set_ylim(floor, 30 * values.max())
    axes.set_xticks(np.arange(1, len(values) + 1))
    axes.set(xlabel="direction", ylabel="spread between\nover spread within")
    return figure


def separation(table: pd.DataFrame, chance: float) -> Figure:
    """Draw held-out accuracy over the number of directions kept, a panel for each kind of feature.

    Parameters
    ----------
    table : DataFrame
        Columns ``features``, ``method``, ``directions``, ``accuracy`` (fraction).
    chance : float
        Share of the most frequent class.
    """
    kinds = list(table["features"].unique())
    figure, panels = plt.subplots(1, len(kinds), figsize=(6.8, 2.6), sharey=True, squeeze=False)
    for axes, kind in zip(panels[0], kinds, strict=True):
        for k, (method, rows) in enumerate(table[table["features"] == kind].groupby("method", sort=False)):
            look: dict[str, Any] = {"color": COLORS[(2, 4)[k]], "marker": "os"[k], "linestyle": ("-", "--")[k]}
            axes.plot(rows["directions"], 100 * rows["accuracy"], label=str(method), markersize=4, **look)
        axes.axhline(100 * chance, color=COLORS[7], linestyle=":", linewidth=1.2, label="most frequent class")
        axes.set(title=kind, xlabel="directions kept", xticks=sorted(table["directions"].unique()), ylim=(0, 100))
    panels[0, 0].set_ylabel("accuracy, %")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure
