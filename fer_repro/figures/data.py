"""The data chapter's figures: sheets of drawn faces, knobs and action units, class counts, protocols.

Sheets show synthetic faces only: a function that is given a real data set's images to show refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from fer_repro.data import synthetic
from fer_repro.data.faces import SPLITS, FaceDataset
from fer_repro.data.portrait import UNIT_NAMES, UNITS
from fer_repro.figures import COLORS, class_color

SPLIT_COLORS = {"train": COLORS[0], "val": COLORS[1], "test": COLORS[4]}
SPLIT_HATCHES = {"train": "", "val": "//", "test": "\\\\"}
# What a figure sweeps each knob through
SWEEPS: dict[str, tuple[float, ...]] = {
    "intensity": (0.0, 0.25, 0.5, 0.75, 1.0),
    "yaw": (-35.0, -18.0, 0.0, 18.0, 35.0),
    "pitch": (-25.0, -12.0, 0.0, 12.0, 25.0),
    "roll": (-30.0, -15.0, 0.0, 15.0, 30.0),
    "light": (0.0, 0.25, 0.5, 0.75, 1.0),
    "contrast": (0.2, 0.4, 0.7, 1.0, 1.4),
    "blur": (0.0, 0.5, 1.0, 1.5, 2.5),
    "noise": (0.0, 8.0, 16.0, 30.0, 50.0),
    "salt_pepper": (0.0, 0.02, 0.05, 0.1, 0.2),
    "occlusion": (0.0, 0.1, 0.2, 0.3, 0.4),
}

_NAMES = {"salt_pepper": "salt and pepper", "light_angle": "direction of the light"}


def sheet(
    images: NDArray[np.uint8],
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    cells: Sequence[Sequence[str]] = (),
    width: float = 6.6,
) -> Figure:
    """Draw pictures side by side.

    Parameters
    ----------
    images : uint8 (R, C, H, W)
        Synthetic faces, or what was computed from them.
    rows, columns, cells : sequences of str, optional
        Labels: one a row (left), one a column (above), one a picture (below it).
    width : float
        Inches.
    """
    count_r, count_c, height, wide = images.shape
    gap = max(2, wide // 24)
    below = round(0.19 * height) if cells else gap
    canvas = np.full((count_r * (height + below), count_c * (wide + gap)), np.nan)
    left, top = np.arange(count_c) * (wide + gap), np.arange(count_r) * (height + below)
    for r in range(count_r):
        for c in range(count_c):
            canvas[top[r] : top[r] + height, left[c] : left[c] + wide] = images[r, c]
    share = canvas.shape[0] / canvas.shape[1]
    space = 0.85 * bool(rows)
    figure, axes = plt.subplots(figsize=(width, (width - space) * share + 0.25 * bool(columns)))
    axes.imshow(canvas, vmin=0, vmax=255, interpolation="none")  # an SVG then holds the pixels as they are
    axes.axis("off")
    for label, x in zip(columns, left + wide / 2):
        axes.text(x, -gap, label, ha="center", va="bottom", fontsize=8.5)
    for label, y in zip(rows, top + height / 2):
        axes.text(-2 * gap, y, label, ha="right", va="center", fontsize=8.5)
    for r, line in enumerate(cells):
        for c, label in enumerate(line):
            axes.text(left[c] + wide / 2, top[r] + height + gap / 2, label, ha="center", va="top", fontsize=7.5)
    return figure


def expressions(identity: int | None = None, size: int = 160) -> Figure:
    """Draw the eight expressions at their apex, without any nuisance."""
    names = list(synthetic.PROTOTYPES)
    images = np.stack([synthetic.draw(name, identity, size) for name in names]).reshape(2, 4, size, size)
    return sheet(images, cells=[names[:4], names[4:]])


def action_units(size: int = 128) -> Figure:
    """Draw each action unit alone at full intensity, with its number and name."""
    images = np.stack([synthetic.draw({unit: 1.0}, size=size) for unit in UNITS]).reshape(4, 4, size, size)
    labels = [f"AU{unit} {UNIT_NAMES[unit]}" for unit in UNITS]
    return sheet(images, cells=[labels[k : k + 4] for k in range(0, 16, 4)])


def knob_sweeps(sweeps: Mapping[str, Sequence[float]] = SWEEPS, size: int = 72, identity: int | None = None) -> Figure:
    """Draw one face under each knob, turned from its least to its most; two knobs side by side, values below."""
    names, wide = list(sweeps), max(len(values) for values in sweeps.values()) * size
    half, gap, high = (len(names) + 1) // 2, size // 2, round(1.62 * size)
    canvas = np.full((half * high, 2 * wide + gap), np.nan)
    figure, axes = plt.subplots(figsize=(6.8, 6.8 * canvas.shape[0] / canvas.shape[1]))
    for k, name in enumerate(names):
        x, y = (k // half) * (wide + gap), (k % half) * high + round(0.34 * size)
        strip = np.concatenate([_under(name, value, size, identity) for value in sweeps[name]], axis=1)
        canvas[y : y + size, x : x + strip.shape[1]] = strip
        title = f"{_NAMES.get(name, name)} ({synthetic.Knobs.units()[name][2]})"
        axes.text(x, y - 4, title, ha="left", va="bottom", fontsize=8.5, fontweight="bold")
        for i, value in enumerate(sweeps[name]):
            label = f"{value:g}".replace("-", "−")
            axes.text(x + (i + 0.5) * size, y + size + 3, label, ha="center", va="top", fontsize=7.5)
    axes.imshow(canvas, vmin=0, vmax=255, interpolation="none")
    axes.axis("off")
    return figure


def _under(name: str, value: float, size: int, identity: int | None) -> NDArray[np.uint8]:
    fixed: dict[str, Any] = {"light_angle": 90.0} if name == "light" else {}
    return synthetic.draw("happiness", identity, size, 3, None, **{**fixed, name: value})


def samples(dataset: FaceDataset, columns: int = 10, seed: int = 0) -> Figure:
    """Draw some faces of each class of a synthetic data set, a row for each class.

    Raises
    ------
    ValueError
        For a data set of photographs: no real person's face is shown.
    """
    _refuse_real(dataset)
    rng = np.random.default_rng(seed)
    rows = []
    for label, name in enumerate(dataset.classes):
        where = np.flatnonzero(dataset.labels == label)
        if len(where) < columns:
            raise ValueError(f"samples: wanted {columns} faces of {name!r}, the data set has {len(where)}")
        rows.append(dataset.images[rng.choice(where, columns, replace=False)])
    return sheet(np.stack(rows), rows=dataset.classes)


def people(count: int = 10, size: int = 64, seed: int = 0) -> Figure:
    """Draw the first subjects at rest and smiling, without nuisances."""
    faces = [[synthetic.draw(name, k, size, seed) for k in range(count)] for name in ("neutral", "happiness")]
    return sheet(np.array(faces), ("neutral", "happiness"), [f"{k}" for k in range(count)])


def sequences(names: Sequence[str], frames: int = 6, size: int = 96, identity: int | None = None) -> Figure:
    """Draw sequences from neutral to apex, a row for each expression."""
    ramp = np.linspace(0, 1, frames)
    faces = [[synthetic.draw(name, identity, size, intensity=float(level)) for level in ramp] for name in names]
    return sheet(np.array(faces), tuple(names), [f"{level:.0%}" for level in ramp], width=5.4)


def _refuse_real(dataset: FaceDataset) -> None:
    if dataset.name != "synthetic":
        raise ValueError(f"wanted synthetic faces to show, got {dataset.name!r}: no real person's face is published")


def class_counts(dataset: FaceDataset, title: str = "") -> Figure:
    """Draw images by class, the splits stacked; counts stand at the bars' ends."""
    figure, axes = plt.subplots(figsize=(6.4, 0.34 * len(dataset.classes) + 1.0))
    counts, start = dataset.counts(), np.zeros(len(dataset.classes))
    order = np.argsort([sum(counts[s][c] for s in SPLITS) for c in dataset.classes], kind="stable")
    names = [dataset.classes[k] for k in order]
    for split in SPLITS:
        values = np.array([counts[split][name] for name in names])
        if values.any():
            hatch, color = SPLIT_HATCHES[split], SPLIT_COLORS[split]
            axes.barh(names, values, left=start[: len(names)], color=color, hatch=hatch, label=split)
            start += values
    for y, total in enumerate(start):
        axes.text(total + 0.01 * start.max(), y, f"{total:,.0f}", va="center", fontsize=9)
    axes.set(xlabel="images", title=title, xlim=(0, 1.12 * start.max()))
    axes.legend(loc="lower right", ncols=3, bbox_to_anchor=(1, 1))
    return figure


def grey_statistics(dataset: FaceDataset) -> Figure:
    """Draw how bright and how rich in contrast the images are: histograms of their mean and standard deviation."""
    flat = dataset.images.reshape(len(dataset), -1)
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.4), sharey=True)
    for ax, values, what in zip(axes, (flat.mean(axis=1), flat.std(axis=1)), ("mean", "standard deviation")):
        ax.hist(values, bins=40, range=(0, 255 if what == "mean" else 128), color=COLORS[0])
        ax.axvline(float(np.median(values)), color=COLORS[1], linestyle="--", label=f"median {np.median(values):.0f}")
        ax.set(xlabel=f"{what} of an image, grey levels")
        ax.legend()
    axes[0].set(ylabel="images")
    return figure


def protocols(folds: int = 10) -> Figure:
    """Draw how a data set is divided: an official split, subject-independent folds, and random frames, which leak."""
    figure, axes = plt.subplots(1, 3, figsize=(6.8, 2.7), width_ratios=(0.8, 1.5, 1.5))
    _official(axes[0])
    _folds(axes[1], folds)
    _frames(axes[2])
    handles = [Patch(facecolor=SPLIT_COLORS[s], hatch=SPLIT_HATCHES[s], label=s) for s in SPLITS]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _cell(axes: Axes, x: float | int, y: float | int, split: str, height: float) -> None:
    color, hatch = SPLIT_COLORS[split], SPLIT_HATCHES[split]
    axes.bar(x, height, 0.9, bottom=y, align="edge", color=color, hatch=hatch)


def _plain(axes: Axes, title: str, below: str) -> None:
    axes.set_title(title, fontsize=9)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(below, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.margins(0.02)


def _official(axes: Axes) -> None:
    for split, start, height in (("train", 0.2, 0.8), ("val", 0.1, 0.1), ("test", 0.0, 0.1)):
        _cell(axes, 0, start, split, 0.94 * height)
    _plain(axes, "official (FER2013)", "one split,\ncounted once")


def _folds(axes: Axes, folds: int) -> None:
    for fold in range(folds):
        for group in range(folds):
            split = "test" if group == fold else "val" if group == (fold + 1) % folds else "train"
            _cell(axes, group, folds - 1 - fold, split, 0.86)
    _plain(axes, "subjects (CK+)", f"{folds} groups of people;\neach row is one run")


def _frames(axes: Axes, sequences: int = 12, frames: int = 3) -> None:
    shares = np.array(["train", "train", "test", "train", "test", "train", "val", "train", "train", "test"])
    for k in range(sequences):
        for frame in range(frames):
            _cell(axes, k, frames - 1 - frame, str(shares[(7 * k + 3 * frame) % len(shares)]), 0.86)
    _plain(axes, "random frames: leaks", f"a column is one sequence;\nits {frames} frames fall on both sides")


def difficulty(scores: Mapping[str, tuple[Sequence[float], Sequence[float]]], chance: float) -> Figure:
    """Draw accuracy against knobs: ``scores[knob] = (values, accuracies)``, accuracies as fractions."""
    figure, axes = plt.subplots(1, len(scores), figsize=(6.6, 2.5), sharey=True, squeeze=False)
    for ax, (knob, (values, accuracy)) in zip(axes[0], scores.items()):
        ax.plot(values, np.asarray(accuracy) * 100, marker="o")
        ax.axhline(100 * chance, color=COLORS[7], linestyle="--", label="chance")
        ax.set(xlabel=f"{_NAMES.get(knob, knob)},\n{synthetic.Knobs.units()[knob][2]}", ylim=(0, 100))
    axes[0, 0].set(ylabel="accuracy, %")
    axes[0, 0].legend()
    return figure


def prototype_table(size: int = 16) -> Figure:
    """Draw which action units make which expression, and how strongly, as a grid of dots."""
    figure, axes = plt.subplots(figsize=(6.4, 2.9))
    names = list(synthetic.PROTOTYPES)
    for y, name in enumerate(names):
        for unit, share in synthetic.PROTOTYPES[name].items():
            axes.scatter(UNITS.index(unit), y, s=share * size**2 * 0.6, color=class_color(name))
        for unit, _, often in synthetic.COMPANIONS[name]:
            axes.scatter(UNITS.index(unit), y, s=often * size**2, facecolors="none", edgecolors=class_color(name))
    axes.set_xticks(range(len(UNITS)), [str(unit) for unit in UNITS])
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="action unit", ylim=(len(names) - 0.5, -0.5))
    axes.grid(alpha=0.6)
    return figure
