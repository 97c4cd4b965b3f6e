"""Pictures and measures for the chapter on preprocessing (Sec. III-A, Eq. 1; augmentation, Sec. IV-B)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from fer_repro.figures import COLORS, MARKERS

__all__ = ["edge_strength", "faces", "lines", "picture", "psnr", "radial_power", "spread", "stages"]

Array = NDArray[Any]
_DEVIATIONS = 2.5  # normalised images are shown from -2.5 to +2.5 standard deviations


# ----------------------------------------------------------------------------------------------------------- measures


def psnr(image: ArrayLike, reference: ArrayLike, peak: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio in decibels: ``20·log10(peak / RMS difference)``; higher is closer.

    Parameters
    ----------
    image, reference : arrays of one shape, in the same units as ``peak``

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    a, b = np.asarray(image, dtype=float), np.asarray(reference, dtype=float)
    if a.shape != b.shape:
        raise ValueError(f"psnr: wanted two arrays of one shape, got {a.shape} and {b.shape}")
    error = np.square(a - b).mean()
    return float("inf") if error == 0 else float(20 * np.log10(peak / np.sqrt(error)))


def edge_strength(images: ArrayLike) -> Array:
    """Return the Sobel gradient's length at each pixel of ``(N, H, W)`` images, in their units a pixel."""
    stack = np.asarray(images, dtype=np.float32)
    gradient = [[cv2.Sobel(i, cv2.CV_32F, *d, ksize=3, scale=1 / 8) for d in ((1, 0), (0, 1))] for i in stack]
    return np.hypot(*np.moveaxis(np.array(gradient), 1, 0))


def radial_power(images: ArrayLike) -> tuple[Array, Array]:
    """Return the mean power spectrum over all directions.

    Parameters
    ----------
    images : (N, S, S)
        Any real type. Each is normalised to mean 0 and power 1, and faded out at its border, so that sizes compare.

    Returns
    -------
    cycles : (S // 2,)
        Spatial frequency: 0, 1, 2, ... cycles a picture.
    power : (S // 2,)
        Share of an image's power in the ring of that frequency.
    """
    stack = np.asarray(images, dtype=float)
    size = stack.shape[-1]
    window = np.hanning(size + 2)[1:-1]
    stack = (stack - stack.mean((1, 2), keepdims=True)) * window[:, None] * window
    power = np.square(np.abs(np.fft.fft2(stack)))
    power = (power / power.sum((1, 2), keepdims=True)).mean(0)
    axis = np.fft.fftfreq(size, 1 / size)
    ring = np.rint(np.hypot(axis[:, None], axis)).astype(int)
    return np.arange(size // 2), np.bincount(ring.ravel(), power.ravel())[: size // 2]


# ----------------------------------------------------------------------------------------------------------- pictures


def picture(axes: Axes, image: Array, title: str = "") -> None:
    """Show one grey image without axes: bytes from 0 to 255, normalised ones from -2.5 to +2.5 deviations."""
    low, high = (0, 255) if image.dtype == np.uint8 else (-_DEVIATIONS, _DEVIATIONS)
    axes.imshow(image, vmin=low, vmax=high, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, fontsize=8.5, weight="normal")


def faces(images: Sequence[Sequence[Array]], rows: Sequence[str], columns: Sequence[str]) -> Figure:
    """Draw a table of pictures with a name for each row and column.

    Parameters
    ----------
    images : rows of (H, W) images
        uint8, or float after Eq. 1.
    rows, columns : sequence of str
        Headings; columns may be empty.
    """
    figure, grid = _grid(len(images), len(images[0]))
    for j, (line, name, row) in enumerate(zip(images, rows, grid, strict=True)):
        for k, (image, axes) in enumerate(zip(line, row, strict=True)):
            picture(axes, image, columns[k] if columns and j == 0 else "")
        row[0].text(-0.08, 0.5, name, rotation=90, ha="right", va="center", transform=row[0].transAxes, fontsize=8.5)
    return figure


def stages(steps: Mapping[str, Array]) -> Figure:
    """Draw a few faces at each step of the pipeline, and beneath each step the histogram of those faces' values.

    Parameters
    ----------
    steps : mapping
        Name of the step to its images (N, H, W).
    """
    count = len(next(iter(steps.values())))
    figure, grid = _grid(count + 1, len(steps), last=0.8)
    for column, (name, images) in enumerate(steps.items()):
        for row, image in enumerate(images):
            picture(grid[row][column], image, name if row == 0 else "")
        low, high = (0, 255) if images.dtype == np.uint8 else (-_DEVIATIONS, _DEVIATIONS)
        axes = grid[count][column]
        for k, image in enumerate(images):
            share, edges = np.histogram(image, np.linspace(low, high, 33))
            axes.plot((edges[1:] + edges[:-1]) / 2, share / image.size, color=COLORS[k], linewidth=1.2)
        axes.set(xlim=(low, high), xticks=[low, high] if low == 0 else [-2, 0, 2], yticks=[])
        axes.tick_params(labelsize=8)
        axes.set_xlabel("grey level" if low == 0 else "deviations", fontsize=8)
    return figure


def _grid(rows: int, columns: int, last: float = 1.0) -> tuple[Figure, Array]:
    width = min(6.8, 1.3 * columns)
    heights = [1.0] * (rows - 1) + [last]
    return plt.subplots(
        rows,
        columns,
        figsize=(width, 0.3 + width / columns * sum(heights)),
        squeeze=False,
        gridspec_kw={"height_ratios": heights},
    )


def lines(axes: Axes, x: ArrayLike, curves: Mapping[str, ArrayLike], xlabel: str, ylabel: str, first: int = 0) -> None:
    """Draw named curves over ``x``, told apart by colour and marker, with a legend.

    Parameters
    ----------
    x : (n,)
    curves : mapping of a name to (n,)
    first : int
        Which colour and marker the first curve takes.
    """
    for k, (name, values) in enumerate(curves.items(), start=first):
        axes.plot(np.asarray(x), np.asarray(values), color=COLORS[k], marker=MARKERS[k], markersize=4.5, label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y")
    axes.legend(fontsize=8.5)


def spread(before: Array, after: Array) -> Figure:
    """Draw each image's mean and standard deviation, before and after Eq. 1: two histograms each.

    Parameters
    ----------
    before, after : (N, H, W)
        In grey levels, and normalised.
    """
    figure, grid = plt.subplots(2, 2, figsize=(6.4, 3.8))
    for row, images, unit, color in ((grid[0], before, "grey levels", 0), (grid[1], after, "after Eq. 1", 1)):
        stack = np.asarray(images, dtype=float)
        for axes, name, values, top in (
            (row[0], "mean", stack.mean((1, 2)), 255),
            (row[1], "standard deviation", stack.std((1, 2)), 110),
        ):
            bins = np.linspace(0, top, 41) if images is before else np.linspace(-1.5, 1.5, 42) + (name[0] == "s")
            axes.hist(values, bins, color=COLORS[color], weights=np.full(len(values), 100 / len(values)))
            axes.set(xlabel=f"{name}, {unit}", xlim=(bins[0], bins[-1]))
        row[0].set_ylabel("% of images")
    return figure
