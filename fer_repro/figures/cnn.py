"""Pictures and counts for the chapter on the seven-layer network (Sec. III-C)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from numpy.typing import NDArray
from torch import nn

from fer_repro.cnn import ConvolutionBlock, SevenLayerCNN
from fer_repro.figures import COLORS

__all__ = [
    "effective_rank",
    "feature_maps",
    "layer_table",
    "losses",
    "receptive_fields",
    "seven_layers",
    "tone_curves",
    "tones",
]

Array = NDArray[Any]


# ------------------------------------------------------------------------------------------------------------- counts


def layer_table(network: SevenLayerCNN, size: int) -> pd.DataFrame:
    """Return one row for each convolution and pooling, in the order data pass them.

    Parameters
    ----------
    network : SevenLayerCNN
    size : int
        Height and width of the image, pixels.

    Returns
    -------
    DataFrame
        ``layer``; ``channels`` and ``side`` of what comes out; ``parameters`` (with batch norm's);
        ``multiplications`` for one image, millions; ``field``, the receptive field's side in pixels; ``stride``,
        pixels between neighbours.
    """
    rows, side, field, stride, convolutions, poolings = [], size, 1, 1, 0, 0
    for block in network.blocks:
        assert isinstance(block, ConvolutionBlock)
        convs = [m for m in block.convolution.modules() if isinstance(m, nn.Conv2d)]
        kernel, out = max(c.kernel_size[0] for c in convs), convs[-1].out_channels
        side += 2 * max(int(c.padding[0]) for c in convs) - kernel + 1
        convolutions, field = convolutions + 1, field + (kernel - 1) * stride
        work = sum(c.weight.numel() for c in convs) * side * side / 1e6
        parameters = sum(p.numel() for p in block.parameters())
        rows.append((f"C{convolutions}: {kernel}×{kernel}, {out}", out, side, parameters, work, field, stride))
        if isinstance(block.pool, nn.MaxPool2d):
            poolings, field = poolings + 1, field + stride
            side, stride = side // 2, stride * 2
            rows.append((f"P{poolings}: max 2×2", out, side, 0, 0.0, field, stride))
    names = ["layer", "channels", "side", "parameters", "multiplications", "field", "stride"]
    return pd.DataFrame(rows, columns=names)


def tones(block: ConvolutionBlock) -> tuple[Array, Array]:
    """Return slope and offset (C,), (C,) of a trained first block: each map is relu(slope x + offset), pixel by pixel.

    The running statistics of its batch norm, where it has one, are those of evaluation. ``block`` must begin with a 1x1
    convolution of one channel, and have its batch norm before the ReLU or none.
    """
    conv, norm = block.convolution, block.norm
    assert isinstance(conv, nn.Conv2d) and conv.weight.shape[1:] == (1, 1, 1) and not block.norm_last
    with torch.no_grad():
        slope = conv.weight.flatten()
        offset = torch.zeros_like(slope) if conv.bias is None else conv.bias
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None and norm.running_var is not None
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            slope, offset = scale * slope, norm.bias + scale * (offset - norm.running_mean)
    return slope.detach().cpu().numpy(), offset.detach().cpu().numpy()


def effective_rank(values: Array) -> float:
    """Return how many independent directions (N, K) values have: exp of the entropy of the spectrum's shares.

    Between 1, where all columns are copies of one, and min(N, K). Columns are centred and, where they
    vary at all, brought to unit variance first.
    """
    centred = np.asarray(values, dtype=float) - np.mean(values, axis=0)
    spread = centred.std(axis=0)
    spectrum = np.square(np.linalg.svd(centred[:, spread > 1e-8] / spread[spread > 1e-8], compute_uv=False))
    share = spectrum[spectrum > 0] / spectrum.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


# ------------------------------------------------------------------------------------------------------------ pictures


def seven_layers(table: pd.DataFrame, size: int) -> Figure:
    """Draw what flows through the layers: each stack as high as its maps and as deep as they are many.

    Parameters
    ----------
    table : DataFrame
        As :func:`layer_table` returns it.
    size : int
        Height and width of the image, pixels.
    """
    figure, axes = plt.subplots(figsize=(6.8, 2.9))
    soft = plt.rcParams["xtick.labelcolor"]
    stages = [("image", 1, size), *table[["layer", "channels", "side"]].itertuples(index=False, name=None)]
    x = 0.0
    for number, (name, channels, side) in enumerate(stages):
        color = COLORS[7] if number == 0 else COLORS[1] if name.startswith("P") else COLORS[0]
        height, sheets = 0.35 + 1.75 * side / size, min(8, max(1, channels // 8))
        for sheet in reversed(range(sheets)):
            corner = (x + 0.045 * sheet, -height / 2 + 0.045 * sheet)
            patch = Rectangle(corner, 0.42, height, facecolor=color + "55", edgecolor=color, linewidth=0.8)
            axes.add_patch(patch)
        width = 0.42 + 0.045 * (sheets - 1)
        short, _, what = name.partition(": ")
        top = height / 2 + 0.045 * (sheets - 1) + 0.1
        axes.text(x + width / 2, top, f"{channels}×{side}×{side}", ha="center", fontsize=7.5)
        axes.text(x + width / 2, -1.42, short, ha="center", weight="bold", fontsize=9)
        axes.text(x + width / 2, -1.66, what.removesuffix(f", {channels}"), ha="center", fontsize=8)
        if number < len(stages) - 1:
            arrow = ((x + width + 0.04, 0), (x + width + 0.3, 0))
            axes.add_patch(FancyArrowPatch(*arrow, arrowstyle="-|>", mutation_scale=8, color=soft, linewidth=1))
        x += width + 0.34
    axes.set(xlim=(-0.25, x - 0.1), ylim=(-1.8, 1.75))
    axes.set_axis_off()
    return figure


def receptive_fields(face: Array, table: pd.DataFrame, shown: Sequence[str]) -> Figure:
    """Draw how much of a face one output value sees after each layer.

    Parameters
    ----------
    face : (S, S)
    table : DataFrame
        As :func:`layer_table` returns it.
    shown : sequence of str
        Layers by their short names, such as ``["C1", "C2"]``.
    """
    size = face.shape[0]
    rows = table.set_index(table["layer"].str.partition(":")[0])
    figure, panels = plt.subplots(1, len(shown), figsize=(6.6, 6.6 / len(shown) + 0.35))
    for axes, name in zip(panels, shown, strict=True):
        field, stride = int(rows.loc[name, "field"]), int(rows.loc[name, "stride"])
        axes.imshow(face, cmap="gray", vmin=0, vmax=255)
        place = size * 0.66 - 0.5, size * 0.72 - 0.5  # a corner of the mouth
        left, top = place[0] - field / 2, place[1] - field / 2
        axes.add_patch(Rectangle((left, top), field, field, facecolor="none", edgecolor=COLORS[1], linewidth=2.2))
        axes.set_title(f"after {name}\n{field}×{field}, every {stride}", fontsize=8.5)
        axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        axes.set_axis_off()
    return figure


def tone_curves(curves: Mapping[str, tuple[Array, Array]], pixels: Array, face: Array) -> Figure:
    """Draw the first block's maps as what they are: curves over the grey value, and one face seen through two.

    Parameters
    ----------
    curves : name to (slope, offset)
        As :func:`tones` returns them, one panel each.
    pixels : (N,)
        Normalised grey values, whose histogram stands beneath.
    face : (H, W)
        A normalised face, shown through the first curves' most rising and most falling one.
    """
    figure = plt.figure(figsize=(6.8, 3.2))
    grid = figure.add_gridspec(2, len(curves) + 1, width_ratios=[1.5] * len(curves) + [1], height_ratios=[4, 1])
    x = np.linspace(-2.5, 2.5, 201)
    for column, (name, (slope, offset)) in enumerate(curves.items()):
        above, below = figure.add_subplot(grid[0, column]), figure.add_subplot(grid[1, column])
        for a, d in zip(slope, offset, strict=True):
            above.plot(x, np.maximum(a * x + d, 0), color=COLORS[0 if a >= 0 else 1], linewidth=1, alpha=0.75)
        above.set(title=name, xlim=(-2.5, 2.5), ylim=(0, None))
        above.tick_params(labelbottom=False)
        below.hist(pixels, bins=60, range=(-2.5, 2.5), color=COLORS[7])
        below.set(xlabel="grey value after Eq. 1", xlim=(-2.5, 2.5), yticks=[])
        below.spines["left"].set_visible(False)
        if column == 0:
            above.set_ylabel("value of the map")
    slope, offset = next(iter(curves.values()))
    shown = {"a drawn face": face}
    for name, k in (("a rising map", int(slope.argmax())), ("a falling map", int(slope.argmin()))):
        shown[name] = np.maximum(slope[k] * face + offset[k], 0)
    stack = grid[:, len(curves)].subgridspec(3, 1)
    for row, (name, picture) in enumerate(shown.items()):
        axes = figure.add_subplot(stack[row, 0])
        _picture(axes, picture)
        axes.set_title(name, fontsize=8.5, weight="normal", pad=2)
    return figure


def feature_maps(face: Array, maps: Mapping[str, Array], each: int = 8) -> Figure:
    """Draw the first maps of each block that respond to one drawn face.

    Parameters
    ----------
    face : (H, W)
    maps : name to (C, H', W')
    each : int
        Maps of each block.
    """
    figure, panels = plt.subplots(len(maps), each + 1, figsize=(6.8, 0.76 * len(maps) + 0.1), squeeze=False)
    for axes in panels[:, 0]:
        axes.set_axis_off()
    _picture(panels[0, 0], face)
    for row, (name, stack) in zip(panels, maps.items(), strict=True):
        alive = np.flatnonzero(stack.reshape(len(stack), -1).var(1) > 1e-6)
        for axes, k in zip(row[1:], alive, strict=False):
            _picture(axes, stack[k])
        for axes in row[1 + len(alive) :]:
            axes.set_axis_off()
        row[1].set_ylabel(name, fontsize=8.5)
    return figure


def losses(courses: Mapping[str, Array], each: int, styles: Mapping[str, str] | None = None) -> Figure:
    """Draw training losses over steps, smoothed over ``each`` steps.

    Parameters
    ----------
    courses : name to (steps,)
    each : int
    styles : name to matplotlib line style, optional
    """
    figure, axes = plt.subplots(figsize=(6.4, 3.2))
    for (name, course), color in zip(courses.items(), COLORS, strict=False):
        smooth = np.convolve(course, np.ones(each) / each, mode="valid")
        line = (styles or {}).get(name, "-")
        axes.plot(np.arange(len(smooth)) + each, smooth, line, color=color, label=name)
    axes.axhline(np.log(7), color=COLORS[7], linewidth=1, linestyle=":")
    axes.text(axes.get_xlim()[1], np.log(7) + 0.02, "guessing", ha="right", va="bottom", fontsize=8.5)
    axes.set(xlabel="mini-batch", ylabel="training loss", ylim=(0, 2.4))
    axes.legend(fontsize=8.5, loc="lower left")
    return figure


def _picture(axes: Axes, image: Array) -> None:
    axes.imshow(image, cmap="gray", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    for side in axes.spines.values():
        side.set_visible(False)
