"""Pictures and counts for the chapter on the assembled network (Figs 1 and 2, Table I)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from torch import nn

from fer_repro.figures import COLORS, class_color, class_legend, class_marker
from fer_repro.lda import ProjectionLayer

__all__ = [
    "ablations",
    "architecture",
    "course",
    "intermediates",
    "mini_batches",
    "module_parameters",
    "parameter_bars",
]

Array = NDArray[Any]
Shape = tuple[int, ...]


class Step(NamedTuple):
    """A box of Fig. 2: what it is called, what it does, which of the network's parts comes out, and its colour."""

    title: str
    does: str
    part: str
    color: str


STEPS = (
    Step("Image", "median filter,\nEq. 1", "image", COLORS[5]),
    Step("C1 1×1, P1", "32 tone curves", "block1", COLORS[0]),
    Step("C2 5×5, P2", "edges, spots", "block2", COLORS[0]),
    Step("C3 3×3", "their patterns", "block3", COLORS[0]),
    Step("C4 3×3, P3", "more maps", "feature_map", COLORS[0]),
    Step("Serialise", "a step a row", "sequence", COLORS[7]),
    Step("BiLSTM", "down and up\nthe face", "hidden", COLORS[4]),
    Step("Attention", "each step asks\nall steps", "attended", COLORS[1]),
    Step("LDA", "fitted once,\nthen fixed", "projected", COLORS[3]),
    Step("Dense block", "maps beside\nmaps", "reconstructed", COLORS[2]),
    Step("Fully connected", "features $x_i$\nof Eq. 4", "features", COLORS[2]),
    Step("Softmax", "seven\nprobabilities", "logits", COLORS[6]),
)
_W, _H = 1.5, 1.22


def architecture(shapes: Mapping[str, Shape]) -> Figure:
    """Draw Fig. 2 afresh: the network in three rows of four steps, with the shape that leaves each.

    Parameters
    ----------
    shapes : mapping
        Name of a part (and ``image``, ``logits``) to its shape without the batch.
    """
    figure, axes = plt.subplots(figsize=(6.8, 4.9))
    tops = (4.3, 2.3, 0.3)
    for number, step in enumerate(STEPS):
        row, column = divmod(number, 4)
        left = 0.1 + 1.85 * column
        _box(axes, left, tops[row], step, "×".join(map(str, shapes[step.part])))
        if column < 3:
            _arrow(axes, (left + _W + 0.03, tops[row] + _H / 2), (left + 1.85 - 0.03, tops[row] + _H / 2))
    ink = plt.rcParams["xtick.labelcolor"]
    last, first = 0.1 + 1.85 * 3 + _W / 2, 0.1 + _W / 2
    for above, below in ((tops[0], tops[1]), (tops[1], tops[2])):
        turn = above - 0.4
        axes.plot([last, last, first], [above - 0.03, turn, turn], color=ink, linewidth=1.2)
        _arrow(axes, (first, turn), (first, below + _H + 0.03))
    notes = (
        (tops[0] - 0.36, "CNN: seven layers, batch norm and ReLU after each convolution"),
        (tops[1] - 0.36, "until LDA is fitted, a linear layer on the attended features stands in"),
    )
    for height, text in notes:
        axes.text((first + last) / 2, height, text, ha="center", va="bottom", fontsize=8.5, style="italic")
    axes.set(xlim=(0, 7.35), ylim=(0.2, 5.6), aspect="equal")
    axes.set_axis_off()
    return figure


def _box(axes: Axes, left: float, bottom: float, step: Step, shape: str) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom),
            _W,
            _H,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=step.color + "22",
            edgecolor=step.color,
        )
    )
    middle = left + _W / 2
    axes.text(middle, bottom + 1.0, step.title, ha="center", va="center", fontsize=9, weight="bold")
    axes.text(middle, bottom + 0.64, step.does, ha="center", va="center", fontsize=8, linespacing=1.1)
    axes.text(middle, bottom + 0.2, shape, ha="center", va="center", fontsize=9, family="DejaVu Sans Mono")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ink = plt.rcParams["xtick.labelcolor"]
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9, "color": ink, "linewidth": 1.2}
    axes.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **look))


def mini_batches(batches: Sequence[Array], labels: Array, classes: Sequence[str]) -> Figure:
    """Draw Fig. 1 afresh: a training set, its mini-batches in one epoch, and the centers that each of them moves.

    Parameters
    ----------
    batches : sequence of (m,)
        Positions in the training set, a mini-batch each, in the order of the epoch.
    labels : (N,)
    classes : sequence of str
    """
    figure, axes = plt.subplots(figsize=(6.8, 3.3))
    n, m = len(labels), max(len(b) for b in batches)
    used = np.isin(np.arange(n), np.concatenate(batches))
    across = (len(batches) * (m + 1) - 1) / n
    axes.text(0, 5.35, "training set", va="bottom")
    for k in range(n):
        _tile(axes, k * across, 4.4, classes[labels[k]], across * 0.9, 0.8, alpha=1.0 if used[k] else 0.35)
    for number, batch in enumerate(batches):
        left = number * (m + 1)
        for k, image in enumerate(batch):
            _tile(axes, left + k, 2.3, classes[labels[image]], 0.9, 0.8)
            start = ((image + 0.45) * across, 4.36)
            axes.plot([start[0], left + k + 0.45], [start[1], 3.14], color=plt.rcParams["xtick.color"], linewidth=0.6)
        axes.text(left + m / 2, 2.12, f"iteration {number + 1}", ha="center", va="top", fontsize=9)
        present = set(labels[batch])
        for j, name in enumerate(classes):
            filled = j in present
            look: dict[str, Any] = {"facecolor": class_color(name) if filled else "none"}
            place = (left + (j + 0.5) * m / len(classes), 0.75)
            axes.scatter(*place, marker=class_marker(name), s=34, edgecolor=class_color(name), linewidth=1.2, **look)
        axes.text(left + m / 2, 0.35, f"{len(present)} of {len(classes)} centers", ha="center", va="top", fontsize=8.5)
    axes.set(xlim=(-0.3, len(batches) * (m + 1) - 0.4), ylim=(-0.2, 5.9))
    axes.set_axis_off()
    class_legend(figure, classes)
    return figure


def _tile(axes: Axes, x: float | int, y: float, name: str, width: float, height: float, alpha: float = 1.0) -> None:
    axes.add_patch(Rectangle((x, y), width, height, color=class_color(name), alpha=alpha, linewidth=0))
    axes.scatter(x + width / 2, y + height / 2, marker=class_marker(name), s=16, color="white", linewidth=0)


_MODULES = ("CNN", "BiLSTM", "attention", "LDA", "reconstruction", "softmax")
_REMOVED = {
    "proposed": ("complete network", {}),
    "no_feature_extraction": ("no feature extraction", {"CNN": "the image's\nown rows"}),
    "no_attention": ("no attention", {"attention": "BiLSTM's\noutput"}),
    "no_reconstruction": ("no reconstruction", {"reconstruction": "LDA's\noutput"}),
}


def ablations() -> Figure:
    """Draw Table I's four networks, and what stands in for a removed module (Q16)."""
    figure, axes = plt.subplots(figsize=(6.8, 3.2))
    colors = dict(zip(_MODULES, (COLORS[0], COLORS[4], COLORS[1], COLORS[3], COLORS[2], COLORS[6]), strict=True))
    soft = plt.rcParams["xtick.labelcolor"]
    for row, (title, stand_ins) in enumerate(_REMOVED.values()):
        y = -1.15 * row
        axes.text(-0.1, y + 0.36, title.replace(" ", "\n", 1), ha="right", va="center", fontsize=9)
        for column, name in enumerate(_MODULES):
            x, gone = 1.12 * column, name in stand_ins
            look: dict[str, Any] = {"facecolor": "none" if gone else colors[name] + "22"}
            look |= {"edgecolor": soft if gone else colors[name], "linestyle": "--" if gone else "-"}
            axes.add_patch(FancyBboxPatch((x, y), 1.0, 0.72, boxstyle="round,pad=0,rounding_size=0.06", **look))
            text = stand_ins.get(name, name if name != "reconstruction" else "recon-\nstruction")
            style = "italic" if gone else "normal"
            axes.text(x + 0.5, y + 0.36, text, ha="center", va="center", fontsize=8, style=style, linespacing=1.1)
    axes.set(xlim=(-1.35, 6.8), ylim=(-3.55, 0.85))
    axes.set_axis_off()
    return figure


# ------------------------------------------------------------------------------------------------------------- counts

_GROUPS = {
    "cnn": "CNN",
    "bilstm": "LSTM",
    "lstm": "LSTM",
    "attention": "attention",
    "place": "attention",
    "lda": "LDA (fixed)",
    "reconstruction": "reconstruction, head",
    "head": "reconstruction, head",
    "classifier": "softmax or SVM",
}


def module_parameters(model: nn.Module) -> dict[str, int]:
    """Return the numbers that each module of a finished network holds, LDA's fixed ones among them.

    The warm-up head, which no finished network has, is left out, and so are an SVM's numbers: it takes the place of a
    softmax layer of the same size.
    """
    counts: dict[str, int] = {}
    for name, child in model.named_children():
        if name == "warmup":
            continue
        if isinstance(child, ProjectionLayer):
            numbers = child.weight.numel() + child.offset.numel()
        else:
            numbers = sum(p.numel() for p in child.parameters())
        counts[_GROUPS[name]] = counts.get(_GROUPS[name], 0) + numbers
    return counts


def parameter_bars(table: pd.DataFrame) -> Figure:
    """Draw where each network's parameters are.

    Parameters
    ----------
    table : DataFrame
        A row a network (its index), a column a module; thousands.
    """
    figure, axes = plt.subplots(figsize=(6.6, 3.5))
    left = np.zeros(len(table))
    places = np.arange(len(table))[::-1]
    for k, name in enumerate(table.columns):
        color = (COLORS[0], COLORS[4], COLORS[1], COLORS[3], COLORS[2], COLORS[6])[k]
        axes.barh(places, table[name], left=left, color=color, height=0.66, label=name)
        left += table[name].to_numpy()
    for place, total in zip(places, left, strict=True):
        axes.text(total + 0.01 * left.max(), place, f"{total:,.0f}", va="center", fontsize=9)
    axes.set_yticks(places, table.index)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="parameters, thousands", xlim=(0, 1.12 * left.max()))
    figure.legend(loc="outside lower center", ncols=3, fontsize=9)
    return figure


# ----------------------------------------------------------------------------------------------------- a run, an image


def course(record: Mapping[str, Any]) -> Figure:
    """Draw a run's losses, accuracies and learning rate over its epochs, and where LDA is fitted.

    Parameters
    ----------
    record : mapping
        A run record; its field ``curves`` is used.
    """
    rows = pd.DataFrame(record["curves"])
    change = (rows["stage"] == 1).sum() + 0.5
    figure, panels = plt.subplots(1, 3, figsize=(6.8, 2.6))
    curves = (
        ("loss", {"training": rows["train_loss"], "validation": rows["val_loss"]}),
        ("accuracy, %", {"training": 100 * rows["train_accuracy"], "validation": 100 * rows["val_accuracy"]}),
        ("center loss", {"training": rows["center_loss"]}),
    )
    for axes, (title, lines) in zip(panels, curves, strict=True):
        for k, (name, values) in enumerate(lines.items()):
            axes.plot(rows["epoch"], values, ("-", "--")[k], color=COLORS[k], marker=".", label=name)
        axes.axvline(change, color=COLORS[7], linestyle=":", linewidth=1.4, label="LDA fitted")
        axes.set(title=title, xlabel="epoch")
        axes.set_ylim(0, 1.08 * max(values.max() for values in lines.values()))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9)
    return figure


def intermediates(panels: Mapping[str, Array]) -> Figure:
    """Draw what flows through the network, each as a grey picture with its own scale.

    Parameters
    ----------
    panels : mapping
        Title to a matrix (rows, columns).
    """
    columns = 4
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(6.8, 1.95 * rows), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (title, values) in zip(grid.flat, panels.items()):
        axes.imshow(values, aspect="auto" if values.shape[1] != values.shape[0] else "equal", interpolation="nearest")
        axes.set_title(title, fontsize=9)
    return figure
