"""The paper's Figs 4–8, redrawn from its tables, with ours beside where the runs are there."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_repro import paper
from fer_repro.figures import COLORS
from fer_repro.recipe import get

PAPER_COLORS = {"FER": COLORS[0], "CK": COLORS[1]}
_NAMES = {**paper.TABLE_1_LABELS, **paper.METHOD_LABELS}


Point = tuple[str, float, float, float]  # recipe, mean, and the ends of its interval
MARKERS = {"native48": "D", "paper128": "o"}


def table_1(ours: pd.DataFrame | None = None) -> Figure:
    """Draw Fig. 4: recognition rate with one module removed, both data sets; ours as points with intervals.

    Parameters
    ----------
    ours : DataFrame, optional
        ``claim, recipe, ours, low, high``, as from :func:`fer_repro.claims.cells`, which may have a claim in several
        recipes, or from :func:`fer_repro.claims.ledger`. Without it, or where a claim has no runs, the paper's bars
        stand alone.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.8, 2.7), sharey=True)
    for axes, ds in zip(panels, paper.DATASETS, strict=True):
        values = {m: row[ds] for m, row in paper.TABLE_1.items()}
        names = {m: "complete" if m == "proposed" else m.replace("_", "-") for m in values}
        points = _points(ours, {m: f"C-T1-{ds}-{name}" for m, name in names.items()})
        labels = {m: paper.TABLE_1_LABELS[m].replace(" module", "").replace(" Module", "") for m in values}
        _panel(axes, ds, values, labels, points, "recognition rate, %")
    _legend(figure, ours)
    return figure


def comparison(metric: str, ours: pd.DataFrame | None = None) -> Figure:
    """Draw Fig. 5, 6, 7 or 8: one measure of all methods on both data sets; ours as points with intervals.

    Parameters
    ----------
    metric : {"accuracy", "precision", "f1", "recall"}
    ours : DataFrame, optional
        As in :func:`table_1`.
    """
    if metric not in paper.METRICS:
        raise ValueError(f"metric: wanted one of {paper.METRICS}, got {metric!r}")
    figure, panels = plt.subplots(1, 2, figsize=(6.8, 2.9))
    for axes, (ds, table) in zip(panels, paper.TABLES.items(), strict=True):
        values = {m: row[metric] for m, row in table.items()}
        number = len(paper.TABLE_NUMBERS[ds])
        points = _points(ours, {m: f"C-T{number}-{m}-{metric}" for m in values})
        _panel(axes, ds, values, paper.METHOD_LABELS, points, f"{paper.METRIC_NAMES[metric]}, %")
    _legend(figure, ours)
    return figure


def _points(ours: pd.DataFrame | None, ids: Mapping[str, str]) -> dict[str, list[Point]]:
    if ours is None:
        return {}
    known = ours.dropna(subset=["ours", "low", "high"])
    return {
        m: [
            (str(r.recipe), float(r.ours), float(r.low), float(r.high))
            for r in known[known["claim"] == id].itertuples()
        ]
        for m, id in ids.items()
    }


def _panel(
    axes: Axes,
    ds: str,
    values: Mapping[str, float],
    labels: Mapping[str, str],
    points: Mapping[str, list[Point]],
    what: str,
) -> None:
    places = np.arange(len(values))[::-1]
    color = PAPER_COLORS[ds]
    axes.barh(places, list(values.values()), height=0.62, facecolor=(color, 0.35), edgecolor=color)
    ink = plt.rcParams["axes.labelcolor"]
    for place, value in zip(places, values.values(), strict=True):
        axes.text(1.5, place, f"{value:.2f}", va="center", fontsize=8.5)
    for place, model in zip(places, values, strict=True):
        mine = points.get(model, [])
        for k, (recipe, mean, low, high) in enumerate(mine):
            axes.errorbar(
                mean,
                place + 0.3 * ((len(mine) - 1) / 2 - k),
                xerr=[[mean - low], [high - mean]],
                fmt=MARKERS.get(recipe, "s"),
                color=ink,
                markerfacecolor="none" if recipe == "paper128" else ink,
                markersize=4.5,
                capsize=3,
            )
    axes.set(yticks=places, xlim=(0, 102), xlabel=what, title=paper.DATASET_NAMES[ds])
    axes.set_yticklabels([labels[m] for m in values])
    axes.tick_params(axis="y", length=0)


def _legend(figure: Figure, ours: pd.DataFrame | None) -> None:
    if ours is None or ours["ours"].notna().sum() == 0:
        return
    ink = plt.rcParams["axes.labelcolor"]
    bar = plt.Rectangle((0, 0), 1, 1, facecolor=(COLORS[7], 0.35), edgecolor=COLORS[7])
    shown = ours[ours["ours"].notna() & ours["claim"].str.match("C-T[123]-")]["recipe"].dropna().unique()
    recipes = sorted(shown, key=lambda name: get(name).size)
    lines = [
        plt.Line2D(
            *([], []),
            marker=MARKERS.get(recipe, "s"),
            color=ink,
            markerfacecolor="none" if recipe == "paper128" else ink,
            markersize=4.5,
        )
        for recipe in recipes
    ]
    words = [
        "ours, 95 % interval" if len(recipes) == 1 else f"ours at {get(r).size}×{get(r).size}, 95 % interval"
        for r in recipes
    ]
    figure.legend([bar, *lines], ["the paper's", *words], loc="outside upper center", ncols=1 + len(lines))
