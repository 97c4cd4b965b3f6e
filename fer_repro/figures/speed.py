"""The figures of the chapter on speed: the ladder, growth along each axis, and what peers cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from fer_repro import paper
from fer_repro.figures import COLORS

_PLAIN, _STEP, _OURS = COLORS[7], COLORS[0], COLORS[2]
_number = FuncFormatter(lambda v, _: f"{v:g}")


def ladder(rows: pd.DataFrame, plain: int = 2) -> Figure:
    """Draw images a second rung by rung, fastest below; beside each bar, times the better plain loop.

    Parameters
    ----------
    rows : DataFrame
        As :func:`fer_repro.speed.ladder` returns.
    plain : int
        The first so many rungs are what a user would write.
    """
    figure, axes = plt.subplots(figsize=(6.8, 0.9 + 0.36 * len(rows)))
    colors = [_PLAIN] * plain + [_STEP] * (len(rows) - plain - 1) + [_OURS]
    places = np.arange(len(rows))
    axes.barh(places, rows["images_per_second"], 0.66, color=colors, alpha=0.85)
    for place, row in zip(places, rows.itertuples(), strict=True):
        axes.annotate(
            f"{row.images_per_second:,.0f}   ×{row.times_faster:.1f}",
            (row.images_per_second, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
        )
    axes.set(yticks=places, xlabel="images a second", xlim=(0, 1.22 * rows["images_per_second"].max()))
    axes.set_yticklabels(rows["way"], fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return figure


def tap(values: np.ndarray, outputs: np.ndarray, kinks: np.ndarray) -> Figure:
    """Draw what one tap of the second convolution adds to some of its outputs, as functions of the grey value.

    Parameters
    ----------
    values : ndarray (n,)
        Grey values, normalised.
    outputs : ndarray (k, n)
        Of k outputs.
    kinks : ndarray (C,)
        Where a channel of the first block begins or ends to be active.
    """
    figure, axes = plt.subplots(figsize=(6.8, 3.2))
    for number, curve in enumerate(outputs):
        axes.plot(values, curve, color=COLORS[number % len(COLORS)], lw=1.6, label=f"output {number + 1}")
    inside = kinks[(kinks > values.min()) & (kinks < values.max())]
    axes.plot(
        inside, np.full(len(inside), 0.02), "|", color=_PLAIN, ms=9, mew=1.2, transform=axes.get_xaxis_transform()
    )
    axes.set(xlabel="grey value $v$, normalised", ylabel="added by this tap", xlim=(values.min(), values.max()))
    axes.legend(ncols=2, fontsize=8, frameon=False)
    return figure


def growth(found: Mapping[str, Any]) -> Figure:
    """Draw what the growth benchmark measured: time against images and size, speed against batch, and memory.

    Parameters
    ----------
    found : mapping
        The record ``results/benchmarks/growth.json``.
    """
    axes_of, exponents = found["axes"], found["exponents"]
    figure, grid = plt.subplots(2, 2, figsize=(6.8, 5.4), layout="constrained")

    points = axes_of["images"]
    n, seconds = np.array([p["images"] for p in points]), np.array([p["epoch_seconds"] for p in points])
    _log(grid[0, 0], n, seconds, "training images", "seconds an epoch")
    _line(grid[0, 0], n, seconds)
    grid[0, 0].set_title(f"images: exponent {exponents['epoch seconds, images']:.2f}", fontsize=9.5)

    memory = np.array([p["peak_megabytes"] for p in points])
    grid[0, 1].plot(n, memory, "s-", color=_STEP)
    top = 1.15 * max(memory.max(), 1)  # a tiny run may need no more than what the imports took
    grid[0, 1].set(xlabel="training images", ylabel="peak memory, MiB", ylim=(0, top), xticks=n[::2])
    grid[0, 1].xaxis.set_major_formatter(_number)
    grid[0, 1].set_title(f"images: {found['bytes_an_image'] / 2**10:.1f} KiB each", fontsize=9.5)

    points = axes_of["size"]
    size, each = np.array([p["size"] for p in points]), np.array([1e3 / p["images_per_second"] for p in points])
    _log(grid[1, 0], size, each, "image side, pixels", "milliseconds an image")
    _line(grid[1, 0], size, each, 2.0)
    grid[1, 0].set_title(f"pixels: exponent {exponents['seconds an image, pixels']:.2f}", fontsize=9.5)

    points = axes_of["batch"]
    batch, speed = np.array([p["batch"] for p in points]), np.array([p["images_per_second"] for p in points])
    grid[1, 1].plot(batch, speed, "D-", color=_STEP)
    grid[1, 1].set_xscale("log", base=2)
    grid[1, 1].set(xlabel="images in a mini-batch", ylabel="images a second", ylim=(0, 1.15 * speed.max()))
    grid[1, 1].set_xticks(batch)
    grid[1, 1].xaxis.set_major_formatter(_number)
    grid[1, 1].set_title("batch", fontsize=9.5)
    return figure


def _log(axes: Any, x: np.ndarray, y: np.ndarray, xlabel: str, ylabel: str) -> None:
    axes.loglog(x, y, "o-", color=_STEP)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_xticks(x)
    axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(_number)
    axes.yaxis.set_major_formatter(_number)
    axes.tick_params(axis="x", labelsize=8)


def _line(axes: Any, x: np.ndarray, y: np.ndarray, power: float = 1.0) -> None:
    """Draw what growth with this exponent would look like, through the last point."""
    label = "linear" if power == 1 else "linear in pixels"
    axes.plot(x, y[-1] * (x / x[-1]) ** power, "--", color=_PLAIN, linewidth=1.2, label=label)
    axes.legend(fontsize=8, loc="upper left")


def peers(rows: pd.DataFrame) -> Figure:
    """Draw accuracy against the time for one face, each network a labelled mark, with 95 % intervals.

    Parameters
    ----------
    rows : DataFrame
        ``name, ours (bool), accuracy, low, high`` (fractions), ``milliseconds`` (one face alone), ``parameters``.
    """
    figure, axes = plt.subplots(figsize=(6.8, 4.2))
    for row in rows.itertuples():
        color, mark = (_OURS, "o") if row.ours else (_STEP, "s")
        axes.plot([row.milliseconds] * 2, [100 * row.low, 100 * row.high], color=color, linewidth=1.3)
        axes.plot(row.milliseconds, 100 * row.accuracy, mark, color=color, markersize=7)
        # where another's interval would run through the name, it goes below
        beside = rows[(rows["milliseconds"] > row.milliseconds) & (rows["milliseconds"] < 4 * row.milliseconds)]
        taken = ((beside["low"] - 0.005 < row.accuracy) & (row.accuracy < beside["high"] + 0.005)).any()
        if row.ours:
            at, place, side = row.high, (12, 4), "right"
        else:
            at, place, side = (row.low, (0, -11), "center") if taken else (row.accuracy, (8, -3), "left")
        name = paper.METHOD_NAMES.get(row.name, row.name).removesuffix(" method") + f", {row.parameters / 1e3:,.0f}k"
        axes.annotate(
            name, (row.milliseconds, 100 * at), xytext=place, ha=side, textcoords="offset points", fontsize=8.5
        )
    axes.set_xscale("log")
    axes.set(xlabel="milliseconds for one face (logarithmic)", ylabel="accuracy on PrivateTest, %")
    axes.set_xlim(0.6 * rows["milliseconds"].min(), 4 * rows["milliseconds"].max())
    axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    axes.xaxis.set_major_formatter(_number)
    axes.minorticks_off()
    return figure
