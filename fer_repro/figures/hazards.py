"""The hazards chapter's figures: counts, shares and histograms; the only faces are drawn ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fer_repro import paper
from fer_repro.figures import COLORS, MARKERS

DIVISIONS = {
    "frames": "frames at random\n(leaks)",
    "sequences": "sequences at random\n(people leak)",
    "subjects": "people apart",
}
CLASSIFIERS = {"nearest": "1-nearest neighbour", "linear": "linear classifier"}


def imbalance(sets: Mapping[str, Mapping[str, int]]) -> Figure:
    """Draw the share of each class in several data sets side by side, with a cross where a class is missing.

    Parameters
    ----------
    sets : mapping
        Title to counts by class.
    """
    classes = list(dict.fromkeys(name for counts in sets.values() for name in counts))
    figure, axes = plt.subplots(figsize=(6.6, 3.4))
    height, places = 0.8 / len(sets), np.arange(len(classes))[::-1]
    for k, (title, counts) in enumerate(sets.items()):
        share = np.array([100 * counts.get(name, 0) / sum(counts.values()) for name in classes])
        at = places + 0.4 - height * (k + 0.5)
        axes.barh(at, share, height * 0.9, color=COLORS[k], hatch=("", "//")[k % 2], label=title)
        axes.plot(np.full((share == 0).sum(), 0.5), at[share == 0], "x", color=COLORS[k], markersize=6)
        for x, y, name in zip(share.tolist(), at.tolist(), classes, strict=True):
            text = f"{counts[name]:,}" if counts.get(name) else "none"
            axes.text(max(x, 0.9) + 0.3, y, text, va="center", fontsize=7.5)
    axes.set(yticks=places, xlabel="share of the data set, %")
    axes.set_yticklabels(classes)
    axes.tick_params(axis="y", length=0)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def copies(neighbours: Mapping[str, Any], twins: Mapping[str, Any], each: int = 10, columns: int = 30) -> Figure:
    """Draw a test set as squares of ``each`` images: copies of training images, near copies, and the rest.

    ``neighbours`` and ``twins`` are what :mod:`fer_repro.hazards` returns under these names.
    """
    kinds = {
        "copy in training, same label": twins["known"] - twins["another_label"],
        "copy in training, another label only": twins["another_label"],
        "near copy in training": neighbours["near_copies"],
        "no copy found": twins["test"] - twins["known"] - neighbours["near_copies"],
    }
    colors = (COLORS[1], COLORS[4], COLORS[5], COLORS[7])
    ends = np.round(np.cumsum(list(kinds.values())) / each).astype(int)
    rows = -(-ends[-1] // columns)
    figure, axes = plt.subplots(figsize=(6.6, 6.6 * rows / columns + 0.7))
    kind = np.searchsorted(ends, np.arange(ends[-1]), side="right")
    handles = []
    for k, (color, (name, n)) in enumerate(zip(colors, kinds.items(), strict=True)):
        at, alpha = np.flatnonzero(kind == k), 0.35 if k == len(colors) - 1 else 1
        axes.plot(at % columns, -(at // columns), MARKERS[1], color=color, markersize=8.5, alpha=alpha)
        handles.append(Patch(color=color, alpha=alpha, label=f"{name}: {n:,}"))
    axes.legend(handles=handles, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.02))
    axes.set(xlim=(-0.7, columns - 0.3), ylim=(-rows + 0.3, 0.7))
    axes.set_aspect("equal")
    axes.axis("off")
    return figure


def groups_and_similarity(duplicates: Mapping[str, Any], neighbours: Mapping[str, Any]) -> Figure:
    """Draw how large groups of identical images are, and how similar test images are to their nearest in training."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.9))
    sizes = {int(k): n for k, n in duplicates["sizes"].items()}
    left.bar(list(sizes), list(sizes.values()), color=COLORS[0])
    for x, n in sizes.items():
        left.text(x, n * 1.12, f"{n:,}", ha="center", fontsize=7.5)
    left.set(yscale="log", xlabel="identical images in a group", ylabel="groups", ylim=(0.7, 4 * max(sizes.values())))
    left.set_xticks(list(sizes))
    shown = neighbours["similarity"]
    edges = np.linspace(shown["from"], shown["to"], len(shown["others"]) + 1)
    right.stairs(shown["others"], edges, fill=True, color=COLORS[7], label="no copy in training")
    right.stairs(shown["copies"], edges, fill=True, color=COLORS[1], hatch="//", label="copy in training")
    right.set(xlabel="correlation with the nearest training image", ylabel="test images", xlim=(0.2, 1.02))
    right.legend(fontsize=8, loc="upper left")
    return figure


def conflicts(pairs: Mapping[str, int], classes: Sequence[str]) -> Figure:
    """Draw how many groups of one and the same picture bear both of two labels."""
    counts = np.zeros((len(classes), len(classes)))
    for pair, n in pairs.items():
        a, b = (classes.index(name) for name in pair.split(", "))
        counts[max(a, b), min(a, b)] = n
    figure, axes = plt.subplots(figsize=(4.8, 3.6))
    color = plt.matplotlib.colors.LinearSegmentedColormap.from_list("fer", ["#00000000", COLORS[0]])
    axes.imshow(counts[1:, :-1], cmap=color, vmin=0)
    for (i, j), count in np.ndenumerate(counts):
        if i > j:
            ink = "white" if count > 0.6 * counts.max() else plt.rcParams["text.color"]
            axes.text(j, i - 1, f"{count:.0f}", ha="center", va="center", fontsize=9, color=ink)
    axes.set(xticks=range(len(classes) - 1), yticks=range(len(classes) - 1))
    axes.set_xticklabels(classes[:-1], rotation=40, ha="right")
    axes.set_yticklabels(classes[1:])
    axes.tick_params(length=0)
    return figure


def leak(found: Mapping[str, Mapping[str, float]], chance: float, lines: Mapping[str, float] | None = None) -> Figure:
    """Draw, for three ways to divide sequences, who stands on both sides, and what that is worth to two classifiers.

    Parameters
    ----------
    found : mapping
        As :func:`fer_repro.hazards.leak` returns.
    chance : float
        Accuracy of the largest class (fraction).
    lines : mapping, optional
        Other accuracies (fractions) to draw as lines, by name.
    """
    names, places = list(found), np.arange(len(found))[::-1]
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.9), sharey=True, width_ratios=(1, 1.3))
    for k, (key, label) in enumerate({"sequence": "the same sequence", "subject": "the same person"}.items()):
        share = [100 * found[name][key] for name in names]
        left.barh(places + 0.2 - 0.4 * k, share, 0.36, color=COLORS[(1, 4)[k]], hatch=("", "//")[k], label=label)
        for x, y in zip(share, places + 0.2 - 0.4 * k, strict=True):
            left.text(x + 1.5, y, f"{x:.0f}", va="center", fontsize=8)
    ground = {"boxstyle": "square,pad=0.1", "facecolor": plt.rcParams["patch.edgecolor"], "edgecolor": "none"}
    for k, (key, label) in enumerate(CLASSIFIERS.items()):
        value = [100 * found[name][key] for name in names]
        right.plot(value, places, MARKERS[k], color=COLORS[(0, 2)[k]], markersize=8, label=label)
        for place, x in zip(places, value, strict=True):
            high, side = ((-0.17, "top"), (0.15, "bottom"))[k]
            right.text(x, place + high, f"{x:.1f}", ha="center", va=side, fontsize=8, bbox=ground, zorder=3)
    for k, (label, at) in enumerate((lines or {}).items()):
        right.axvline(100 * at, color=COLORS[3], linestyle=("-", "--", ":")[k % 3], linewidth=1.3, label=label)
    right.axvline(100 * chance, color=COLORS[7], linestyle=":", linewidth=1.3, label="largest class")
    left.set(yticks=places, xlim=(0, 118), ylim=(-0.6, len(names) - 0.3), xlabel="test frames with … in training, %")
    left.set_yticklabels([DIVISIONS[name] for name in names], fontsize=8.5)
    right.set(xlabel="accuracy, %", xlim=(0, 104))
    handles = [*left.get_legend_handles_labels()[0], *right.get_legend_handles_labels()[0]]
    labels = [*left.get_legend_handles_labels()[1], *right.get_legend_handles_labels()[1]]
    figure.legend(handles, labels, fontsize=7.5, ncols=3, loc="outside lower center")
    return figure


def planted(table: pd.DataFrame) -> Figure:
    """Draw accuracy against the share of test images planted in train: true labels filled, other labels hollow.

    ``table`` has columns ``classifier, relabelled, share, accuracy`` (fractions).
    """
    figure, axes = plt.subplots(figsize=(6.2, 3.1))
    for (name, wrong), rows in table.groupby(["classifier", "relabelled"], sort=False):
        k = list(CLASSIFIERS).index(name)
        color = COLORS[(0, 2)[k]]
        what = "copies with another label" if wrong else "copies"
        axes.plot(
            100 * rows["share"],
            100 * rows["accuracy"],
            marker=MARKERS[k],
            color=color,
            linestyle=":" if wrong else "-",
            markerfacecolor="none" if wrong else color,
            label=f"{CLASSIFIERS[name]}, {what}",
        )
    axes.set(xlabel="share of test images planted in training, %", ylabel="accuracy, %", ylim=(-2, 102))
    axes.legend(fontsize=8, loc="upper left")
    return figure


def worth(table: pd.DataFrame) -> Figure:
    """Draw each run's accuracy on all test images, on those with a copy in training, and on those without."""
    names = list(dict.fromkeys(table["model"]))
    figure, axes = plt.subplots(figsize=(6.4, 1.2 + 0.42 * len(names)))
    kinds = {"on_copies": "with a copy in training", "all": "all of PrivateTest", "without": "without a copy"}
    for k, (column, label) in enumerate(kinds.items()):
        places = [len(names) - 1 - names.index(model) for model in table["model"]]
        axes.plot(
            100 * table[column], places, MARKERS[k], color=COLORS[(1, 7, 0)[k]], markersize=7, alpha=0.85, label=label
        )
    axes.set(yticks=range(len(names)), xlabel="accuracy, %", ylim=(-0.6, len(names) - 0.4))
    axes.set_yticklabels([paper.METHOD_NAMES[name] for name in names[::-1]])
    axes.legend(fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure
