"""Pictures and measures for the chapter on dense reconstruction (Sec. III-F)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import NDArray
from torch import Tensor

from fer_repro.densenet import DenseBlock
from fer_repro.figures import COLORS, MARKERS

__all__ = ["connections", "gradient_norms", "grown", "layer_gradients", "likeness", "reuse", "reuse_map", "without_sum"]

Array = NDArray[Any]


# ------------------------------------------------------------------------------------------------------------ measures


def without_sum(block: DenseBlock, x: Tensor) -> Tensor:
    """Run a block made with ``connections="sum"`` as a plain chain: each layer sees only the one before it."""
    x = block.widen(x)
    for layer in block.layers:
        x = layer(x)
    return x


def layer_gradients(block: DenseBlock, x: Tensor, chain: bool = False, seed: int = 0) -> Array:
    """Return the gradient's norm at each layer's last convolution (L,), for a random linear function of the output.

    Parameters
    ----------
    block : DenseBlock
    x : (B, C, H, W)
    chain : bool
        Run the block by :func:`without_sum`.
    seed : int
        Of the random function.
    """
    block.zero_grad()
    out = without_sum(block, x) if chain else block(x)
    pull = torch.randn(out.shape[1:], generator=torch.Generator().manual_seed(seed))
    ((out * pull).sum((1, 2, 3)).square().mean()).sqrt().backward()
    layers: list[Any] = list(block.layers)
    return np.array([float(layer.conv2.weight.grad.norm()) for layer in layers])


def reuse(block: DenseBlock) -> Array:
    """Return how much each layer of a dense block reads from each earlier map, (L, L): row = layer, column = source.

    The mean size of the first convolution's weights (times the norm's scale before it) on the source's channels,
    relative to the layer's largest; NaN where there is nothing to read yet. Source 0 is the block's input.
    """
    layers: list[Any] = list(block.layers)
    edges = np.cumsum([0, layers[0].conv1.in_channels, *[layer.conv2.out_channels for layer in layers]])
    found = np.full((len(layers), len(layers)), np.nan)
    for row, layer in enumerate(layers):
        size = (layer.conv1.weight.detach().squeeze((2, 3)) * layer.norm1.weight.detach()).abs().mean(0).cpu().numpy()
        for source in range(row + 1):
            found[row, source] = size[edges[source] : edges[source + 1]].mean()
    return found / np.nanmax(found, axis=1, keepdims=True)


def likeness(maps: Array) -> float:
    """Return the mean absolute correlation between channels of maps (N, K, H, W), without those that never vary."""
    flat = np.moveaxis(maps, 1, 0).reshape(maps.shape[1], -1)
    flat = flat[flat.std(1) > 1e-6]
    correlation = np.abs(np.corrcoef(flat))
    return float(correlation[np.triu_indices(len(correlation), 1)].mean())


# ------------------------------------------------------------------------------------------------------------ pictures


def connections(num_layers: int = 4) -> Figure:
    """Draw the wiring of dense and of summed connections, one under the other."""
    figure, panels = plt.subplots(2, 1, figsize=(6.6, 3.7), height_ratios=[1.25, 1])
    for axes, dense in zip(panels, (True, False), strict=True):
        names = ["$x_0$", *[f"$H_{k}$" for k in range(1, num_layers + 1)], "out"]
        places = [1.6 * k for k in range(len(names))]
        for x, name in zip(places, names, strict=True):
            color = COLORS[7] if name in ("$x_0$", "out") else COLORS[0 if dense else 1]
            box = FancyBboxPatch(
                (x - 0.32, -0.24), 0.64, 0.48, boxstyle="round,pad=0,rounding_size=0.1", fc=color + "33", ec=color
            )
            axes.add_patch(box)
            axes.text(x, 0, name, ha="center", va="center", fontsize=10.5)
        for left, right in pairwise(places):
            _arrow(axes, (left + 0.34, 0), (right - 0.34, 0), 0.0, plt.rcParams["xtick.labelcolor"])
        for start in range(len(places)):
            for end in range(start + 2, len(places)):
                if dense:
                    color = COLORS[start % len(COLORS)]
                    _arrow(axes, (places[start], 0.26), (places[end], 0.26), -0.28, color)
                elif end == start + 2:
                    _arrow(axes, (places[start] + 0.5, 0.02), (places[start + 1] + 0.5, 0.24), -0.65, COLORS[7])
        title = "dense: each layer reads all maps before it, side by side" if dense else "summed: each adds to one map"
        axes.set_title(title, fontsize=9.5, loc="left")
        if not dense:
            for x in places[1:-1]:
                axes.text(x + 0.5, 0.13, "+", ha="center", va="center", fontsize=11, weight="bold")
        axes.set(xlim=(-0.5, places[-1] + 0.5), ylim=(-0.35, 1.75 if dense else 1.0))
        axes.set_axis_off()
    return figure


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], bend: float, color: str) -> None:
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", color=color, linewidth=1.1, **style))


def gradient_norms(found: Mapping[str, Array]) -> Figure:
    """Draw the gradient's norm at each layer.

    Parameters
    ----------
    found : name to (runs, L)
        Relative to the last layer's; the band is the range over runs.
    """
    figure, axes = plt.subplots(figsize=(6.2, 3.0))
    for (name, values), color, marker in zip(found.items(), COLORS, MARKERS, strict=False):
        layers = np.arange(1, values.shape[1] + 1)
        axes.plot(layers, values.mean(0), color=color, marker=marker, markersize=4, label=name)
        axes.fill_between(layers, values.min(0), values.max(0), color=color, alpha=0.18, linewidth=0)
    axes.set(xlabel="layer", ylabel="gradient, last layer = 1", xticks=layers, yscale="log")
    axes.legend(fontsize=8.5)
    return figure


def reuse_map(found: Mapping[str, Array]) -> Figure:
    """Draw what each layer reads from which source.

    Parameters
    ----------
    found : name to (L, L)
        As :func:`reuse` returns it.
    """
    figure, panels = plt.subplots(1, len(found), figsize=(6.4, 2.7), squeeze=False)
    for axes, (name, matrix) in zip(panels[0], found.items(), strict=True):
        image = axes.imshow(np.ma.masked_invalid(matrix), cmap="viridis", vmin=0.5, vmax=1)
        for (row, column), value in np.ndenumerate(matrix):
            if np.isfinite(value):
                ink = "black" if value > 0.78 else "white"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=ink)
        count = len(matrix)
        axes.set(xticks=range(count), yticks=range(count))
        axes.set_xticklabels([f"$x_{k}$" for k in range(count)])
        axes.set_yticklabels([f"$H_{k + 1}$" for k in range(count)])
        axes.set_title(name, fontsize=9.5)
        axes.spines[:].set_visible(False)
    figure.supxlabel("reads from", fontsize=9)
    figure.colorbar(image, ax=panels[0], shrink=0.8, label="mean weight, largest = 1", pad=0.02)
    return figure


def grown(faces: Mapping[str, Array], maps: Mapping[str, Array], edges: Sequence[int]) -> Figure:
    """Draw the maps of a dense block as they stand side by side, for some drawn faces.

    Parameters
    ----------
    faces : name to (S, S)
    maps : name to (K, T)
        Channels across, steps down when drawn.
    edges : sequence of int
        Where a layer's channels begin.
    """
    height = 1.25 * len(faces) + 0.35
    figure, panels = plt.subplots(len(faces), 2, figsize=(6.8, height), width_ratios=[1, 5], squeeze=False)
    limit = max(float(np.quantile(np.abs(m), 0.99)) for m in maps.values())
    for row, (name, face) in enumerate(faces.items()):
        picture, axes = panels[row]
        size, steps = face.shape[0], maps[name].shape[1]
        picture.imshow(face, cmap="gray", vmin=0, vmax=255, extent=(0, size, size, 0), aspect="auto")
        picture.set(xticks=[], yticks=[])
        picture.set_ylabel(name, fontsize=9)
        picture.spines[:].set_visible(False)
        image = axes.imshow(maps[name].T, cmap="PuOr", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        for edge in edges[1:-1]:
            axes.axvline(edge - 0.5, color="black", linewidth=1.2)
        axes.set(xticks=[], yticks=range(steps) if steps < 9 else [])
        axes.set_yticklabels([str(t + 1) for t in range(steps)] if steps < 9 else [], fontsize=8)
        if row == len(faces) - 1:
            axes.set_xticks([(a + b - 1) / 2 for a, b in pairwise(edges)])
            axes.set_xticklabels([f"$x_{k}$" for k in range(len(edges) - 1)])
            axes.tick_params(length=0)
    figure.colorbar(image, ax=panels[:, 1], shrink=0.8, pad=0.02)
    return figure
