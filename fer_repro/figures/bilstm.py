"""Pictures and measures for the chapter on the BiLSTM (Sec. III-D, Fig. 3, Eqs 5-7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_repro.figures import COLORS

__all__ = ["gate_maps", "gates", "memory", "reach", "reach_maps", "saliency", "serialisations", "structure"]

Array = NDArray[Any]


# ------------------------------------------------------------------------------------------------------------ measures


def gates(lstm: nn.LSTM, sequence: Array, reverse: bool = False) -> dict[str, Array]:
    """Run one direction of an LSTM by its equations, step by step, and keep everything.

    Parameters
    ----------
    lstm : nn.LSTM
        One layer.
    sequence : (T, D)
    reverse : bool
        The backward direction: it starts at the last step.

    Returns
    -------
    dict
        ``input``, ``forget``, ``candidate``, ``output`` (the gates), ``cell`` and ``hidden``, each (T, h) and in the
        order of the sequence.
    """
    suffix = "_l0_reverse" if reverse else "_l0"
    W, U, b, c = (
        getattr(lstm, name + suffix).detach().double().cpu().numpy()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = cell = np.zeros(lstm.hidden_size)
    kept: dict[str, list[Array]] = {k: [] for k in ("input", "forget", "candidate", "output", "cell", "hidden")}
    for x in sequence[::-1] if reverse else sequence:
        i, f, g, o = np.split(W @ x + b + U @ h + c, 4)
        i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
        cell = f * cell + i * g
        h = o * np.tanh(cell)
        for name, value in zip(kept, (i, f, g, o, cell, h), strict=True):
            kept[name].append(value)
    return {name: np.stack(rows[::-1] if reverse else rows) for name, rows in kept.items()}


def _sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def reach(states: Callable[[Tensor], Tensor], sequence: Tensor) -> Array:
    """Return how much the state at step t hangs on the input at step s: the Frobenius norm of dh_t/dx_s.

    Parameters
    ----------
    states : callable
        Maps (B, T, D) to the states (B, T, h) of one direction.
    sequence : (T, D)

    Returns
    -------
    (T, T)
        Row t, column s; zero where x_s cannot reach h_t.
    """
    with torch.no_grad():
        units = states(sequence[None]).shape[2]
    x = sequence.detach().expand(units, *sequence.shape).clone().requires_grad_()  # a copy for each unit
    h = states(x).diagonal(dim1=0, dim2=2)  # (T, h): of each unit, in its own copy
    norms = []
    for h_t in h:
        (gradient,) = torch.autograd.grad(h_t.sum(), x, retain_graph=True)  # (h, T, D): dh_t/dx, unit by unit
        norms.append(gradient.square().sum((0, 2)).sqrt())
    return torch.stack(norms).cpu().numpy()


# ------------------------------------------------------------------------------------------------------------ pictures


def structure(steps: int = 4) -> Figure:
    """Draw the two directions over a face's rows with the six shared weights: the paper's Fig. 3, afresh."""
    figure, axes = plt.subplots(figsize=(6.6, 3.5))
    levels = {"x": 0.0, "forward": 1.05, "backward": 2.1, "O": 3.15}
    names = [f"{t + 1}" if t < steps - 1 else "T" for t in range(steps)]
    apart = 2.3
    for t, name in enumerate(names):
        x = apart * t
        _node(axes, x, levels["x"], f"$x_{{{name}}}$", COLORS[7])
        _node(axes, x, levels["forward"], f"$h_{{{name}}}$", COLORS[0])
        _node(axes, x, levels["backward"], f"$h'_{{{name}}}$", COLORS[1])
        _node(axes, x, levels["O"], f"$O_{{{name}}}$", COLORS[2])
        _arrow(axes, (x, 0.24), (x, 0.81), "$w_1$", (0.19, 0.0), COLORS[0])
        _arrow(axes, (x - 0.3, 0.12), (x - 0.3, 1.98), "$w_3$", (-0.53, -0.42), COLORS[1], bend=-0.35)
        _arrow(axes, (x + 0.3, 1.17), (x + 0.3, 3.03), "$w_4$", (0.55, -0.45), COLORS[0], bend=0.35)
        _arrow(axes, (x, 2.34), (x, 2.91), "$w_6$", (-0.2, 0.0), COLORS[1])
        if t < steps - 1:
            _arrow(axes, (x + 0.34, 1.05), (x + apart - 0.34, 1.05), "$w_2$", (0.05, 0.15), COLORS[0])
            _arrow(axes, (x + apart - 0.34, 2.1), (x + 0.34, 2.1), "$w_5$", (0.05, 0.15), COLORS[1])
    labels = {"x": "steps of the map", "forward": "forward", "backward": "backward", "O": "output"}
    for level, label in labels.items():
        axes.text(-0.85, levels[level], label, ha="right", va="center", fontsize=9)
    axes.text(apart * (steps - 1.5), 0.0, "…", ha="center", va="center", fontsize=14)
    axes.set(xlim=(-2.4, apart * (steps - 1) + 0.95), ylim=(-0.35, 3.5))
    axes.set_axis_off()
    return figure


def _node(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    box = FancyBboxPatch(
        (x - 0.3, y - 0.22), 0.6, 0.44, boxstyle="round,pad=0,rounding_size=0.1", fc=color + "33", ec=color
    )
    axes.add_patch(box)
    axes.text(x, y, text, ha="center", va="center", fontsize=11)


def _arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str,
    off: tuple[float, float],
    color: str,
    bend: float = 0.0,
) -> None:
    connection = f"arc3,rad={bend}"
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0}
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=connection, color=color, linewidth=1.3, **style))
    middle = (start[0] + end[0]) / 2 + off[0], (start[1] + end[1]) / 2 + off[1]
    axes.text(*middle, text, ha="center", va="center", fontsize=9.5)


def serialisations(face: Array, grids: Mapping[str, tuple[int, int]]) -> Figure:
    """Draw how a face falls into steps: the parts of the picture that lie beneath each step of the feature map.

    Parameters
    ----------
    face : (S, S)
    grids : name to (rows, columns)
        As :func:`fer_repro.bilstm.step_grid` returns them.
    """
    figure, panels = plt.subplots(1, len(grids), figsize=(6.6, 2.5), squeeze=False)
    size = face.shape[0]
    for axes, (name, (rows, columns)) in zip(panels[0], grids.items(), strict=True):
        axes.imshow(face, cmap="gray", vmin=0, vmax=255, extent=(0, size, size, 0))
        high, wide = size / rows, size / columns
        for step in range(rows * columns):
            i, j = divmod(step, columns)
            patch = Rectangle((j * wide, i * high), wide, high, facecolor="none", edgecolor=COLORS[1], linewidth=1.2)
            axes.add_patch(patch)
            if rows * columns <= 12 or (step % columns in (0, columns - 1) and i in (0, rows - 1)):
                place = (j + 0.5) * wide if columns > 1 else 0.08 * size, (i + 0.5) * high if rows > 1 else 0.08 * size
                box = {"boxstyle": "round,pad=0.15", "fc": "black", "ec": "none", "alpha": 0.55}
                axes.text(*place, str(step + 1), ha="center", va="center", fontsize=7.5, color="white", bbox=box)
        axes.set(title=f"{name}: {rows * columns} steps", xlim=(0, size), ylim=(size, 0))
        axes.set_axis_off()
    return figure


def memory(courses: Mapping[str, Array]) -> Figure:
    """Draw how much of a single step is left after 0, 1, 2, ... further ones."""
    figure, axes = plt.subplots(figsize=(6.2, 2.9))
    for (name, course), color, line in zip(courses.items(), COLORS, ("-", "--", "-.", ":"), strict=False):
        axes.plot(course, line, color=color, marker="o", markersize=3.5, label=name)
    axes.set(xlabel="steps since", ylabel="share left", ylim=(0, 1.05))
    axes.legend(fontsize=8.5)
    return figure


def gate_maps(found: Mapping[str, Mapping[str, Array]], shown: Sequence[str], units: int = 16) -> Figure:
    """Draw gates as heat maps, a panel for each gate and direction: steps down, units across.

    Parameters
    ----------
    found : direction to what :func:`gates` returns
    shown : sequence of str
        Which of the gates.
    units : int
        The first so many.
    """
    figure, panels = plt.subplots(len(found), len(shown), figsize=(6.8, 1.45 * len(found) + 0.5), squeeze=False)
    for number, (direction, parts) in enumerate(found.items()):
        for axes, gate in zip(panels[number], shown, strict=True):
            image = axes.imshow(parts[gate][:, :units], cmap="viridis", vmin=0, vmax=1, aspect="auto")
            axes.set(xticks=[], yticks=range(0, len(parts[gate]), 1 if len(parts[gate]) < 9 else 4))
            axes.set_yticklabels([str(t + 1) for t in axes.get_yticks().astype(int)], fontsize=8)
            if gate == shown[0]:
                axes.set_ylabel(f"{direction}\nrow of the map", fontsize=8.5)
            if number == 0:
                axes.set_title(f"{gate} gate", fontsize=9)
    figure.supxlabel("units", fontsize=9)
    figure.colorbar(image, ax=panels, shrink=0.8, label="0 shut, 1 open", pad=0.02)
    return figure


def reach_maps(found: Mapping[str, Array]) -> Figure:
    """Draw how far states look, one square for each direction and cell.

    Parameters
    ----------
    found : name to (T, T)
        As :func:`reach` returns it; each is drawn relative to its own largest value.
    """
    figure, panels = plt.subplots(1, len(found), figsize=(6.8, 2.05), squeeze=False)
    for axes, (name, matrix) in zip(panels[0], found.items(), strict=True):
        image = axes.imshow(matrix / matrix.max(), cmap="viridis", vmin=0, vmax=1)
        steps = range(len(matrix)) if len(matrix) < 9 else range(0, len(matrix), 4)
        axes.set_title(name, fontsize=9)
        axes.set(xticks=steps, yticks=steps)
        axes.set_xticklabels([str(t + 1) for t in steps], fontsize=8)
        axes.set_yticklabels([str(t + 1) for t in steps], fontsize=8)
        if axes is panels[0, 0]:
            axes.set_ylabel("state at row")
    figure.supxlabel("input at row", fontsize=9)
    figure.colorbar(image, ax=panels, shrink=0.75, label="share of the largest", pad=0.02)
    return figure


def saliency(faces: Mapping[str, Array], found: Mapping[str, Mapping[str, Array]]) -> Figure:
    """Draw beside each face how strongly each row of the map moves its class's score, by either direction.

    Parameters
    ----------
    faces : name to (S, S)
    found : name to direction to (T,)
    """
    figure, panels = plt.subplots(
        1, 2 * len(faces), figsize=(6.8, 2.2), width_ratios=[1.25, 0.75] * len(faces), squeeze=False
    )
    for number, (name, face) in enumerate(faces.items()):
        picture, bars = panels[0, 2 * number], panels[0, 2 * number + 1]
        size = face.shape[0]
        picture.imshow(face, cmap="gray", vmin=0, vmax=255, extent=(0, size, size, 0), aspect="auto")
        picture.set_title(name, fontsize=9)
        picture.set_axis_off()
        for side, (direction, values) in enumerate(found[name].items()):
            high = size / len(values)
            place = (np.arange(len(values)) + 0.3 + 0.4 * side) * high
            bars.barh(place, values, height=0.38 * high, color=COLORS[side], label=direction)
            picture.hlines(np.arange(1, len(values)) * high, 0, size, color="white", linewidth=0.4, alpha=0.6)
        bars.set(ylim=(size, 0), yticks=[], xticks=[])
        bars.spines["bottom"].set_visible(False)
    handles, labels = panels[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8.5)
    return figure
