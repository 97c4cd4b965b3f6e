"""Pictures and measures for the chapter on center loss (Sec. III-B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from fer_repro.figures import COLORS, class_color, class_legend, class_marker

__all__ = ["course", "elongation", "lag", "nearest_mean", "one_step", "plane", "spread", "sweep"]

Array = NDArray[Any]
_DASHES = ("-", "--", ":", "-.")


def spread(features: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Return how far features stand from their class's mean, and class means from the mean of all.

    Parameters
    ----------
    features : (N, D)
    labels : (N,)

    Returns
    -------
    dict
        ``within`` and ``between``, mean squared distances in the features' own units, classes weighted by their share;
        ``ratio``, between over within: a number that does not change when all features are scaled.
    """
    x, y = np.asarray(features, float), np.asarray(labels)
    means = np.stack([x[y == c].mean(0) if (y == c).any() else np.zeros(x.shape[1]) for c in range(y.max() + 1)])
    within = float(((x - means[y]) ** 2).sum(1).mean())
    between = float(((means[y] - x.mean(0)) ** 2).sum(1).mean())
    return {"within": within, "between": between, "ratio": between / max(within, 1e-12)}


def nearest_mean(features: ArrayLike, labels: ArrayLike) -> Array:
    """Return, class by class, the share of its features (N, D) that lie nearest to their own class's mean (C,)."""
    x, y = np.asarray(features, float), np.asarray(labels)
    classes = np.unique(y)
    means = np.stack([x[y == c].mean(0) for c in classes])
    said = classes[((x[:, None] - means) ** 2).sum(2).argmin(1)]
    return np.array([(said[y == c] == c).mean() if (y == c).any() else np.nan for c in range(y.max() + 1)])


def elongation(features: ArrayLike, labels: ArrayLike) -> float:
    """Return how far classes of the plane are drawn out in rays: their spread outwards over that across; 1 is round.

    Outwards is the direction from the mean of the class means to a class's own mean; spreads are root mean squares
    over all features (N, 2).
    """
    x, y = np.asarray(features, float), np.asarray(labels)
    classes = np.unique(y)
    means = np.stack([x[y == c].mean(0) for c in classes])
    out = means - means.mean(0)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)
    k = np.searchsorted(classes, y)
    d = x - means[k]
    along = (d * out[k]).sum(1)
    return float(np.sqrt((along**2).mean() / max(((d**2).sum(1) - along**2).mean(), 1e-12)))


def plane(
    runs: Mapping[str, Sequence[tuple[Array, Array]]],
    labels: Array,
    classes: Sequence[str],
    epochs: Sequence[int],
) -> Figure:
    """Draw features in the plane: a row for each run, a column for each epoch shown.

    Parameters
    ----------
    runs : mapping
        Name to one ``(features (N, 2), centers (C, 2))`` for each epoch.
    labels : (N,)
    classes : sequence of str
    epochs : sequence of int
        Which epochs to show, from 1.
    """
    figure, grid = plt.subplots(len(runs), len(epochs), figsize=(6.8, 2.2 * len(runs) + 0.75), squeeze=False)
    for row, (name, course) in zip(grid, runs.items(), strict=True):
        for axes, epoch in zip(row, epochs, strict=True):
            features, centers = course[epoch - 1]
            _cloud(axes, features, labels, classes, centers)
            if axes in grid[0]:
                axes.set_title(f"epoch {epoch}")
        row[0].set_ylabel(name)
    class_legend(figure, classes)
    return figure


def _cloud(axes: Axes, features: Array, labels: Array, classes: Sequence[str], centers: Array) -> None:
    ink, ground = plt.rcParams["text.color"], plt.rcParams["patch.edgecolor"]
    low, high = np.percentile(features, [0.5, 99.5], axis=0)  # a stray feature must not shrink the rest
    low, high = np.minimum(low, centers.min(0)), np.maximum(high, centers.max(0))
    room = 0.08 * (high - low)
    axes.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))
    for k, name in enumerate(classes):
        x = features[labels == k]
        look: dict[str, Any] = {"color": class_color(name), "marker": class_marker(name)}
        axes.scatter(x[:, 0], x[:, 1], s=12, linewidth=0.3, edgecolor=ground, **look)
    for k, name in enumerate(classes):
        axes.scatter(
            centers[k, 0],
            centers[k, 1],
            s=52,
            color=class_color(name),
            marker=class_marker(name),
            edgecolor=ink,
            linewidth=1,
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[["top", "right"]].set_visible(True)


def course(table: pd.DataFrame) -> Figure:
    """Draw spreads over epochs.

    Parameters
    ----------
    table : DataFrame
        Columns ``run``, ``epoch``, ``within``, ``between``, ``ratio``.
    """
    figure, panels = plt.subplots(1, 3, figsize=(6.8, 2.6))
    titles = {"within": "spread within classes", "between": "spread between means", "ratio": "between / within"}
    for axes, (column, title) in zip(panels, titles.items(), strict=True):
        for k, (name, rows) in enumerate(table.groupby("run", sort=False)):
            axes.plot(rows["epoch"], rows[column], _DASHES[k], color=COLORS[k], label=str(name), marker=".")
        axes.set(title=title, xlabel="epoch", ylim=(0, None))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=9)
    return figure


def one_step(features: Array, center: Array, moved: Array) -> Figure:
    """Draw Eq. 2's pull on each feature and Eq. 3's step of their center, in the plane.

    Parameters
    ----------
    features : (m, 2)
        Of one class.
    center, moved : (2,)
        The center before and after the step.
    """
    figure, axes = plt.subplots(figsize=(5.2, 2.9))
    for x in features:
        _arrow(axes, x, x + 0.45 * (center - x), COLORS[0], 1.2)
    _arrow(axes, center, moved, COLORS[1], 2.4)
    axes.scatter(features[:, 0], features[:, 1], color=COLORS[0], zorder=3, label="features $x_i$, pulled by Eq. 2")
    axes.scatter(
        center[0], center[1], color=COLORS[1], marker="s", s=60, zorder=3, label="center $C_j$, moved by Eq. 3"
    )
    mean = features.mean(0)
    axes.scatter(mean[0], mean[1], color=COLORS[7], marker="X", s=60, zorder=3, label="mean of these features")
    axes.set_aspect("equal")
    axes.margins(0.12)
    axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=9)
    return figure


def _arrow(axes: Axes, start: Array, end: Array, color: str, width: float) -> None:
    look = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "color": color, "linewidth": width}
    axes.annotate("", (end[0], end[1]), (start[0], start[1]), arrowprops=look)


def sweep(table: pd.DataFrame, column: str = "weight", xlabel: str = "λ") -> Figure:
    """Draw spread, ratio and accuracy over a setting, a dot for each seed and a line through their means.

    Parameters
    ----------
    table : DataFrame
        Columns ``column`` (0 allowed: it stands at the left), ``within``, ``ratio``, ``accuracy`` (fraction).
    """
    levels = sorted(table[column].unique())
    place = {value: k for k, value in enumerate(levels)}
    titles = {"within": "spread within classes", "ratio": "between / within", "accuracy": "accuracy, %"}
    figure, panels = plt.subplots(1, 3, figsize=(6.8, 2.4))
    for k, (axes, (what, title)) in enumerate(zip(panels, titles.items(), strict=True)):
        values = table[what] * (100 if what == "accuracy" else 1)
        axes.scatter(table[column].map(place), values, color=COLORS[k], s=14)
        axes.plot(range(len(levels)), values.groupby(table[column]).mean(), color=COLORS[k])
        axes.set_xticks(range(len(levels)), [f"{v:g}" for v in levels])
        axes.set(title=title, xlabel=xlabel)
    panels[0].set_yscale("log")
    panels[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    panels[0].yaxis.set_major_formatter("{x:g}")
    panels[0].yaxis.set_minor_formatter(NullFormatter())
    panels[1].set_ylim(0, None)
    panels[2].set_ylim(0, 100)
    return figure


def lag(courses: Mapping[str, Array]) -> Figure:
    """Draw how far centers stand from the means of their classes, step by step.

    Parameters
    ----------
    courses : mapping
        Name to distance, one for each mini-batch.
    """
    figure, axes = plt.subplots(figsize=(5.4, 2.5))
    for k, (name, values) in enumerate(courses.items()):
        axes.plot(np.arange(1, len(values) + 1), values, _DASHES[k % 4], color=COLORS[k], label=name)
    axes.set(xlabel="mini-batch", ylabel="center to class mean,\nin class spreads", ylim=(0, None))
    axes.legend(ncols=2)
    return figure
