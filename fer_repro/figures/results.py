"""Results and the audit: confusion matrices, learning curves, differences, and the paper's numbers against bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from fer_repro import paper
from fer_repro.figures import COLORS, MARKERS

READING_COLORS = {
    "points": COLORS[0],
    "relative": COLORS[2],
    "relative to ours": COLORS[3],
    "neither": COLORS[1],
}
READING_NAMES = {
    "points": "difference in points",
    "relative": "relative to the baseline",
    "relative to ours": "relative to the proposed",
    "neither": "none of these",
}
KIND_NAMES = {
    "human": "people",
    "shipped": "networks in packages, measured",
    "single": "single networks, published",
    "ensemble": "ensembles, published",
    "later": "the authors' later article",
}


# ------------------------------------------------------------------------------------------------------------ our runs


def confusion(matrix: ArrayLike, classes: Sequence[str], width: float = 5.4) -> Figure:
    """Draw a confusion matrix: each row in percent of its true class, with the number of images below.

    Parameters
    ----------
    matrix : int (C, C)
        Rows true, columns predicted.
    classes : sequence of str
        C names.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(
            f"matrix: wanted ({len(classes)}, {len(classes)}) for {len(classes)} classes, got {counts.shape}"
        )
    percent = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axes = plt.subplots(figsize=(width, width * 0.86))
    color = plt.matplotlib.colors.LinearSegmentedColormap.from_list("fer", ["#00000000", COLORS[0]])
    axes.imshow(percent, cmap=color, vmin=0, vmax=100)
    for (i, j), value in np.ndenumerate(percent):
        ink = "white" if value > 55 else plt.rcParams["text.color"]
        axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=ink, fontsize=9)
    names = [f"{name} ({int(n)})" for name, n in zip(classes, counts.sum(1), strict=True)]
    axes.set(xticks=range(len(classes)), yticks=range(len(classes)), xlabel="predicted", ylabel="true (images)")
    axes.set_xticklabels(classes, rotation=40, ha="right")
    axes.set_yticklabels(names)
    axes.tick_params(length=0)
    return figure


def learning_curves(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy and loss by epoch for one or more run records, with the moment LDA is fitted marked."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.8))
    for k, record in enumerate(records):
        curves = pd.DataFrame(record["curves"])
        color = COLORS[k % len(COLORS)]
        label = f"{paper.METHOD_NAMES[record['model']]}, seed {record['seed']}"
        left.plot(curves["epoch"], 100 * curves["val_accuracy"], color=color, label=label)
        left.plot(curves["epoch"], 100 * curves["train_accuracy"], color=color, linestyle=":", linewidth=1.2)
        right.plot(curves["epoch"], curves["val_loss"], color=color)
        right.plot(curves["epoch"], curves["train_loss"], color=color, linestyle=":", linewidth=1.2)
        second = curves.loc[curves["stage"] == 2, "epoch"]
        for axes in (left, right):
            if len(second) and k == 0:
                axes.axvline(second.iloc[0] - 0.5, color=plt.rcParams["axes.edgecolor"], linewidth=1, zorder=0)
    left.set(xlabel="epoch", ylabel="accuracy, %")
    right.set(xlabel="epoch", ylabel="loss")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.plot([], [], color=COLORS[7], label="validation")
    right.plot([], [], color=COLORS[7], linestyle=":", label="training")
    left.legend(fontsize=8)
    right.legend(fontsize=8)
    return figure


def differences(table: pd.DataFrame, what: str = "difference in accuracy, points") -> Figure:
    """Draw paired differences with intervals: filled where significant after correction, hollow where not.

    Parameters
    ----------
    table : DataFrame
        ``model, baseline, metric, difference, low, high, better, worse``, as
        :meth:`fer_repro.claims.Evaluation.comparisons` returns.
    """
    places = np.arange(len(table))[::-1]
    figure, axes = plt.subplots(figsize=(6.4, 0.9 + 0.28 * len(table)))
    axes.axvline(0, color=plt.rcParams["axes.edgecolor"], linewidth=1)
    for place, row in zip(places, table.itertuples(), strict=True):
        sure = row.better or row.worse
        color = COLORS[2] if row.better else COLORS[1] if row.worse else COLORS[7]
        axes.plot([row.low, row.high], [place, place], color=color, linewidth=2)
        axes.plot(row.difference, place, "o", color=color, markerfacecolor=color if sure else "none", markersize=7)
    axes.set(yticks=places, xlabel=what)
    names = paper.METHOD_NAMES
    axes.set_yticklabels(
        [f"{names[r.model]} − {names[r.baseline]}, {paper.METRIC_NAMES[r.metric]}" for r in table.itertuples()],
        fontsize=8.5,
    )
    return figure


def seeds(records: Sequence[Mapping[str, Any]], metric: str = "accuracy") -> Figure:
    """Draw every run's test measure as a dot, by model: what three seeds look like beside a single number."""
    models = list(dict.fromkeys(r["model"] for r in records))
    figure, axes = plt.subplots(figsize=(6.4, 0.9 + 0.34 * len(models)))
    ground = plt.rcParams["patch.edgecolor"]
    for place, model in enumerate(reversed(models)):
        values = [100 * r["test"][metric] for r in records if r["model"] == model]
        axes.plot(values, np.full(len(values), place), "o", color=COLORS[0], markeredgecolor=ground)
        axes.plot([np.mean(values)] * 2, [place - 0.3, place + 0.3], color=plt.rcParams["text.color"], linewidth=2)
    axes.set(yticks=range(len(models)), xlabel=f"{paper.METRIC_NAMES[metric]}, %")
    axes.set_yticklabels([paper.METHOD_NAMES[model] for model in reversed(models)])
    return figure


# ----------------------------------------------------------------------------------------------------------- the audit


def same_network(same: pd.DataFrame, below: pd.DataFrame) -> Figure:
    """Draw I1 and I10: the complete network's two accuracies beside the baselines'.

    Parameters
    ----------
    same, below : DataFrame
        :func:`fer_repro.consistency.same_network_twice` and ``complete_below_baselines``.
    """
    figure, panels = plt.subplots(2, 1, figsize=(6.6, 2.5), sharex=True)
    for axes, row in zip(panels, same.itertuples(), strict=True):
        baselines = below.loc[below["dataset"] == row.dataset, "accuracy"]
        axes.plot(baselines, np.zeros(len(baselines)), "o", color=COLORS[7], label="baselines (Table II or III)")
        axes.plot(row.recognition_rate, 0, "s", color=COLORS[1], markersize=9, label="complete network (Table I)")
        axes.plot(row.accuracy, 0, "D", color=COLORS[0], markersize=8, label="proposed method (Table II or III)")
        axes.set(yticks=[0], ylim=(-1, 1))
        axes.set_yticklabels([paper.DATASET_NAMES[row.dataset]])
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
    panels[1].set_xlabel("percent")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def f1_excess(table: pd.DataFrame) -> Figure:
    """Draw I2: how far each row's F1 lies above its bound (P + R) / 2; the band is what rounding can hide."""
    places = np.arange(len(table))[::-1]
    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    axes.axvspan(-0.01, 0.01, color=COLORS[7], alpha=0.5, linewidth=0)
    axes.axvline(0, color=plt.rcParams["text.color"], linewidth=1)
    for place, row in zip(places, table.itertuples(), strict=True):
        color = COLORS[1] if row.raised else COLORS[0]
        axes.plot([0, row.excess], [place, place], color=color)
        axes.plot(row.excess, place, MARKERS[1] if row.raised else MARKERS[0], color=color, markersize=7)
    axes.set(yticks=places, xlabel="F1 above the mean of precision and recall, points")
    axes.set_yticklabels(
        [f"{paper.DATASET_NAMES[r.dataset]}: {paper.METHOD_LABELS[r.method]}" for r in table.itertuples()]
    )
    axes.plot([], [], MARKERS[1], color=COLORS[1], label="impossible")
    axes.plot([], [], MARKERS[0], color=COLORS[0], label="possible")
    axes.legend(loc="lower left")
    axes.grid(axis="x")
    return figure


def percent_readings(table: pd.DataFrame) -> Figure:
    """Draw I5: each "x % higher" against the difference in points that the tables give."""
    figure, axes = plt.subplots(figsize=(5.6, 4.2))
    top = 9.0
    axes.plot([0, top], [0, top], color=plt.rcParams["axes.edgecolor"], linewidth=1)
    kinds = table["reading"].str.partition(",")[0]
    for k, (kind, color) in enumerate(READING_COLORS.items()):
        some = table[kinds == kind]
        if len(some):
            printed = some["printed"].astype(float)
            label = f"{READING_NAMES[kind]} ({len(some)})"
            axes.plot(some["points"], printed, MARKERS[k], color=color, label=label, alpha=0.8, linestyle="none")
    for row in table[kinds != "points"].itertuples():
        name = (
            f"{paper.DATASET_NAMES[row.dataset]}, {paper.METRIC_NAMES[row.metric]}, {paper.METHOD_LABELS[row.baseline]}"
        )
        left = float(row.printed) - row.points > 0.15  # above the line: room is on the left
        place: dict[str, Any] = {"xytext": (-7, 1), "ha": "right"} if left else {"xytext": (8, -6), "ha": "left"}
        axes.annotate(name, (row.points, float(row.printed)), textcoords="offset points", fontsize=7.5, **place)
    axes.set(xlabel="difference in the tables, points", ylabel="“x % higher” in the text", xlim=(0, top), ylim=(0, top))
    axes.legend(fontsize=8)
    return figure


def granularity(table: pd.DataFrame) -> Figure:
    """Draw I6: how many of five accuracies are k/n, by test set, beside how many arbitrary numbers would be."""
    table = table.drop_duplicates(["dataset", "n"])
    places = np.arange(len(table))[::-1]
    figure, axes = plt.subplots(figsize=(6.6, 0.9 + 0.26 * len(table)))
    for place, row in zip(places, table.itertuples(), strict=True):
        axes.barh(place, row.count, height=0.6, color=COLORS[0] if row.dataset == "FER" else COLORS[1])
        axes.plot([row.by_chance] * 2, [place - 0.38, place + 0.38], color=plt.rcParams["text.color"], linewidth=2.2)
    axes.set(
        yticks=places, xlim=(0, 5.2), xlabel="accuracies of five that are k / n (line: expected of arbitrary numbers)"
    )
    names = [f"{paper.DATASET_NAMES[r.dataset]}: {r.test_set.partition(':')[0]}, n = {r.n}" for r in table.itertuples()]
    axes.set_yticklabels(names, fontsize=8.5)
    return figure


def field(table: pd.DataFrame, dataset: str = "FER") -> Figure:
    """Draw I7: the paper's accuracy beside people and published or measured networks."""
    some = table[table["dataset"] == dataset].copy()
    order = list(KIND_NAMES)
    some["place"] = some["kind"].map(order.index)
    some = some.sort_values(["place", "value"], ignore_index=True)
    figure, axes = plt.subplots(figsize=(6.6, 0.9 + 0.27 * (len(some) + 1)))
    for i, row in some.iterrows():
        k = int(row["place"])
        error = None if pd.isna(row["plus_minus"]) else row["plus_minus"]
        axes.errorbar(row["value"], -i, xerr=error, fmt=MARKERS[k], color=COLORS[(0, 5, 2, 4, 3)[k]], capsize=3)
    claimed = some["claimed"].iloc[0]
    axes.plot(claimed, -len(some), "D", color=COLORS[1], markersize=8)
    axes.axvline(claimed, color=COLORS[1], linewidth=1, linestyle="--", zorder=0)
    names = [f"{row.who}" for row in some.itertuples()]
    axes.set(yticks=-np.arange(len(some) + 1), xlabel="accuracy or agreement, %", xlim=(55, 100))
    axes.set_yticklabels([*names, "The paper"], fontsize=8.5)
    axes.grid(axis="x")
    for k, kind in enumerate(order):
        if (some["kind"] == kind).any():
            axes.plot([], [], MARKERS[k], color=COLORS[(0, 5, 2, 4, 3)[k]], label=KIND_NAMES[kind])
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def verdicts(tally: Mapping[str, int]) -> Figure:
    """Draw the number of claims with each verdict."""
    from fer_repro.figures import VERDICTS, verdict_sign

    some = {k: v for k, v in tally.items() if v}
    colors = {"good": COLORS[2], "fair": COLORS[3], "poor": COLORS[1], "none": COLORS[7]}
    places = np.arange(len(some))[::-1]
    figure, axes = plt.subplots(figsize=(6.4, 0.8 + 0.36 * len(some)))
    axes.barh(places, list(some.values()), color=[colors[VERDICTS[k]] for k in some], height=0.66)
    for place, n in zip(places, some.values(), strict=True):
        axes.text(n + 0.6, place, str(n), va="center")
    axes.set(yticks=places, xlabel="claims")
    axes.set_yticklabels([f"{verdict_sign(k)} {k}" for k in some])
    axes.tick_params(axis="y", length=0)
    return figure
