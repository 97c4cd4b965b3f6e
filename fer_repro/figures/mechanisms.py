"""Mechanisms by knob: curves over a knob with intervals over seeds, the difference below, and all effects together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fer_repro import claims, metrics
from fer_repro.figures import COLORS, MARKERS

WORD_COLORS = {"supported": COLORS[2], "contradicted": COLORS[1], "undecided": COLORS[7]}


def curves(record: Mapping[str, Any]) -> Figure:
    """Draw a measurement: each series' mean over the knob with every seed as a dot, and the claimed effect beside it.

    Parameters
    ----------
    record : dict
        As :func:`fer_repro.claims.load_mechanisms` reads it. One that is not judged has no second panel.
    """
    judged = claims.effect(record) is not None
    figure, panels = plt.subplots(1, 2 if judged else 1, figsize=(6.8 if judged else 4.6, 2.9), squeeze=False)
    axes = panels[0, 0]
    x = np.asarray(record["x"], dtype=float)
    for k, (name, values) in enumerate(record["series"].items()):
        each = np.asarray(values, dtype=float)  # (knob values, seeds)
        axes.plot(x, each.mean(1), color=COLORS[k], marker=MARKERS[k], markersize=5, label=name)
        axes.plot(x, each, MARKERS[k], color=COLORS[k], markersize=2.6, linestyle="none")
    axes.set(xlabel=_knob(record), ylabel=str(record["measure"]))
    axes.yaxis.label.set_fontsize(8.5)
    axes.grid(axis="y")
    axes.legend(fontsize=8)
    if judged:
        _difference(panels[0, 1], record)
    return figure


def _difference(axes: Axes, record: Mapping[str, Any]) -> None:
    """Draw the paired difference at each value of the knob, and its mean over the knob as a band: up is as claimed."""
    low, mean, high = differences(record)
    whole = claims.effect(record)
    assert whole is not None
    x = np.asarray(record["x"], dtype=float)
    axes.axhline(0, color=plt.rcParams["text.color"], linewidth=1)
    if np.isfinite(whole["low"]):
        axes.axhspan(whole["low"], whole["high"], color=COLORS[4], alpha=0.18, linewidth=0)
    axes.axhline(whole["mean"], color=COLORS[4], linewidth=1.4)
    error = np.nan_to_num(np.stack([mean - low, high - mean]))
    axes.errorbar(x, mean, error, fmt="D", color=COLORS[4], markersize=4.5, capsize=3, linewidth=1.2)
    axes.set(xlabel=_knob(record), ylabel="effect (up: as claimed)")
    axes.yaxis.label.set_fontsize(8.5)


def differences(record: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return low, mean and high of the claimed effect at each value of the knob: Student's intervals over seeds."""
    sign = 1.0 if record["better"] == "higher" else -1.0
    a, b = (np.asarray(record["series"][record[k]], dtype=float) for k in ("without", "with"))
    found = [metrics.spread(row, claims.CONFIDENCE) for row in sign * (b - a)]
    low, mean, high = (np.array([f[k] for f in found]) for k in ("low", "mean", "high"))
    return low, mean, high


def _knob(record: Mapping[str, Any]) -> str:
    name = str(record.get("knob", "x")).replace("_", " ")
    unit = str(record.get("unit", ""))
    return name if not unit or unit.startswith(name) else f"{name}, {unit}"


def overview(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw all judged effects on one scale: each divided by the half-width of its own interval.

    Beyond +1 the interval excludes no effect, as the claim has it; beyond -1 the other way. The colour is that of
    :func:`fer_repro.claims.judgements`; exploratory measurements are hollow.
    """
    words = claims.judgements(records)["word"].to_dict()
    rows = []
    for record in records:
        found = claims.effect(record)
        if found is not None and np.isfinite(found["low"]):
            half = max((found["high"] - found["low"]) / 2, 1e-12)
            name = f"{record['claim']}: {record['id'].replace('-', ' ')}"
            word = words.get(record["id"], "undecided")
            rows.append((name, found["mean"] / half, word, bool(record.get("exploratory"))))
    figure, axes = plt.subplots(figsize=(6.4, 1.0 + 0.3 * len(rows)))
    places = np.arange(len(rows))[::-1]
    axes.axvspan(-1, 1, color=COLORS[7], alpha=0.18, linewidth=0)
    axes.axvline(0, color=plt.rcParams["text.color"], linewidth=1)
    for place, (_, value, word, exploratory) in zip(places, rows, strict=True):
        mark, fill = {"supported": "o", "contradicted": "s"}.get(word, "D"), "none" if exploratory else None
        axes.plot([0, value], [place, place], ":" if exploratory else "-", color=WORD_COLORS[word], linewidth=1.6)
        axes.plot(value, place, mark, color=WORD_COLORS[word], markerfacecolor=fill, markersize=7)
    axes.set_xscale("symlog", linthresh=1.0, linscale=1.2)
    limit = max([2.0, *(1.3 * abs(row[1]) for row in rows)])
    ticks = [t for t in (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100) if abs(t) <= limit]
    axes.set(xlim=(-limit, limit), xticks=ticks, yticks=places)
    axes.set_xticklabels([f"{t:+d}".replace("-", "−") if t else "0" for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("effect in half-widths of its 95 % interval (right: as claimed)")
    axes.set_yticklabels([row[0] for row in rows], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    for word, mark in (("supported", "o"), ("contradicted", "s"), ("undecided", "D")):
        axes.plot([], [], mark, color=WORD_COLORS[word], label=word)
    axes.plot([], [], "o", color=COLORS[7], markerfacecolor="none", label="exploratory")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure


def along(images: Sequence[NDArray[np.uint8]], values: Sequence[Sequence[float]], names: Sequence[str]) -> Figure:
    """Draw a face along several knobs: a row a knob, its name at the left and its value over each picture.

    Parameters
    ----------
    images : one array (K, S, S) a knob
    values : one list (K,) a knob
    names : one a knob
    """
    width = max(len(row) for row in images)
    figure, grid = plt.subplots(len(images), width, figsize=(5.2, 0.98 * len(images)), squeeze=False)
    for line, row, numbers, name in zip(grid, images, values, names, strict=True):
        for axes in line:
            axes.set_axis_off()
        for axes, image, number in zip(line, row, numbers, strict=False):
            axes.imshow(image, vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(f"{number:g}".replace("-", "−"), fontsize=8, weight="normal", pad=2)
        line[0].text(-0.12, 0.5, name, rotation=90, ha="right", va="center", transform=line[0].transAxes, fontsize=8.5)
    return figure
