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

PAPER_COLORS = {"FER": COLORS[0], "CK": COLORS[1]}
_NAMES = {**paper.TABLE_1_LABELS, **paper.METHOD_LABELS}


def table_1(ledger: pd.DataFrame | None = None) -> Figure:
    """Draw Fig. 4: recognition rate with one module removed, both data sets; ours as points with intervals.

    Parameters
    ----------
    ledger : DataFrame, optional
        :func:`fer_repro.claims.ledger`; without it, or where a row has no runs, the paper's bars stand alone.
    """
    figure, panels = plt.subplots(1, 2, figsize=(6.8, 2.7), sharey=True)
    for axes, ds in zip(panels, paper.DATASETS, strict=True):
        values = {m: row[ds] for m, row in paper.TABLE_1.items()}
        names = {m: "complete" if m == "proposed" else m.replace("_", "-") for m in values}
        ours = _ours(ledger, {m: f"C-T1-{ds}-{name}" for m, name in names.items()})
        labels = {m: paper.TABLE_1_LABELS[m].replace(" module", "").replace(" Module", "") for m in values}
        _panel(axes, ds, values, labels, ours, "recognition rate, %")
    _legend(figure, ledger)
    return figure


def comparison(metric: str, ledger: pd.DataFrame | None = None) -> Figure:
    """Draw Fig. 5, 6, 7 or 8: one measure of all methods on both data sets; ours as points with intervals.

    Parameters
    ----------
    metric : {"accuracy", "precision", "f1", "recall"}
    ledger : DataFrame, optional
        As in :func:`table_1`.
    """
    if metric not in paper.METRICS:
        raise ValueError(f"metric: wanted one of {paper.METRICS}, got {metric!r}")
    figure, panels = plt.subplots(1, 2, figsize=(6.8, 2.9))
    for axes, (ds, table) in zip(panels, paper.TABLES.items(), strict=True):
        values = {m: row[metric] for m, row in table.items()}
        number = len(paper.TABLE_NUMBERS[ds])
        ours = _ours(ledger, {m: f"C-T{number}-{m}-{metric}" for m in values})
        _panel(axes, ds, values, paper.METHOD_LABELS, ours, f"{paper.METRIC_NAMES[metric]}, %")
    _legend(figure, ledger)
    return figure


def _ours(ledger: pd.DataFrame | None, ids: Mapping[str, str]) -> dict[str, tuple[float, float, float]]:
    if ledger is None:
        return {}
    rows = ledger.set_index("claim")
    found = {m: rows.loc[id, ["ours", "low", "high"]].astype(float) for m, id in ids.items() if id in rows.index}
    return {m: (v["ours"], v["low"], v["high"]) for m, v in found.items() if v.notna().all()}


def _panel(
    axes: Axes,
    ds: str,
    values: Mapping[str, float],
    labels: Mapping[str, str],
    ours: Mapping[str, tuple[float, float, float]],
    what: str,
) -> None:
    places = np.arange(len(values))[::-1]
    color = PAPER_COLORS[ds]
    axes.barh(places, list(values.values()), height=0.62, color=color, alpha=0.35, edgecolor=color)
    ink = plt.rcParams["axes.labelcolor"]
    for place, value in zip(places, values.values(), strict=True):
        axes.text(1.5, place, f"{value:.2f}", va="center", fontsize=8.5)
    for place, model in zip(places, values, strict=True):
        if model in ours:
            mean, low, high = ours[model]
            axes.errorbar(
                mean, place, xerr=[[mean - low], [high - mean]], fmt="D", color=ink, markersize=4.5, capsize=3
            )
    axes.set(yticks=places, xlim=(0, 102), xlabel=what, title=paper.DATASET_NAMES[ds])
    axes.set_yticklabels([labels[m] for m in values])
    axes.tick_params(axis="y", length=0)


def _legend(figure: Figure, ledger: pd.DataFrame | None) -> None:
    if ledger is None or ledger["ours"].notna().sum() == 0:
        return
    ink = plt.rcParams["axes.labelcolor"]
    bar = plt.Rectangle((0, 0), 1, 1, facecolor=COLORS[7], alpha=0.35, edgecolor=COLORS[7])
    point = plt.Line2D([], [], marker="D", color=ink, linestyle="-", markersize=4.5)
    figure.legend([bar, point], ["the paper's", "ours, 95 % interval"], loc="outside upper center", ncols=2)
