"""The data chapter's figures: they draw, they show what they say, and they refuse real faces."""

from __future__ import annotations

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from fer_repro import figures
from fer_repro.data import synthetic
from fer_repro.figures import data as pictures


@pytest.fixture(scope="module")
def faces():
    return synthetic.load(210)


@pytest.fixture(autouse=True)
def _style():
    with figures.style("light"):
        yield
    plt.close("all")


def texts(figure):
    return {text.get_text() for ax in figure.axes for text in ax.texts}


def test_a_sheet_holds_its_pictures_untouched():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 20, 24)).astype(np.uint8)
    shown = pictures.sheet(images, rows=("a", "b"), columns=("1", "2", "3")).axes[0].images[0].get_array()
    kept = np.asarray(shown.compressed())  # without the gaps, row by row
    assert np.array_equal(np.sort(kept), np.sort(images.ravel()))
    assert np.array_equal(shown[:20, :24].filled(0), images[0, 0])


def test_every_expression_and_action_unit_is_named():
    assert texts(pictures.expressions(size=32)) == set(synthetic.PROTOTYPES)
    assert len(texts(pictures.action_units(size=32))) == len(pictures.UNITS)


def test_sweeps_name_knobs_values_and_units():
    shown = texts(pictures.knob_sweeps({"blur": (0.0, 2.0), "salt_pepper": (0.0, 0.1)}, size=32))
    assert {"blur (pixels)", "salt and pepper (share of pixels)", "2", "0.1"} <= shown


def test_counts_stand_at_the_bars(faces):
    assert texts(pictures.class_counts(faces)) == {"30"}


def test_the_leaking_diagram_leaks_and_folds_test_everybody_once():
    figure = pictures.protocols(folds=5)
    _, folds, frames = figure.axes

    def cells(ax):
        color = {figures.COLORS[0]: "train", figures.COLORS[1]: "val", figures.COLORS[4]: "test"}
        from matplotlib.colors import to_hex

        found = {}
        for bar in ax.patches:
            found.setdefault(round(bar.get_x()), []).append(color[to_hex(bar.get_facecolor())])
        return found

    assert all(column.count("test") == column.count("val") == 1 for column in cells(folds).values())
    assert any({"train", "test"} <= set(column) for column in cells(frames).values())


def test_people_and_sequences_and_the_rest_draw(faces):
    assert texts(pictures.people(3, size=32)) == {"0", "1", "2", "neutral", "happiness"}
    assert "50%" in texts(pictures.sequences(["fear"], frames=3, size=32))
    assert len(pictures.grey_statistics(faces).axes) == 2
    assert len(pictures.prototype_table().axes) == 1
    assert len(pictures.difficulty({"yaw": ((0.0, 10.0), (0.5, 0.4))}, 1 / 7).axes) == 1


def test_samples_shows_drawn_faces_only(faces):
    assert texts(pictures.samples(faces, columns=3)) == set(faces.classes)
    with pytest.raises(ValueError, match="wanted synthetic faces to show, got 'fer2013'"):
        pictures.samples(replace(faces, name="fer2013"))
    with pytest.raises(ValueError, match="wanted 99 faces of 'anger', the data set has 30"):
        pictures.samples(faces, columns=99)


def test_counts_are_stacked_by_split_beside_their_class(faces):
    some = faces[np.concatenate([np.flatnonzero(faces.labels == k)[: 3 * k + 2] for k in (2, 0, 1)])]
    (axes,) = pictures.class_counts(some).axes
    counts, ends = some.counts(), np.zeros(len(some.classes))
    order = sorted(range(len(some.classes)), key=lambda k: int((some.labels == k).sum()))
    for bars in axes.containers:
        for place, (bar, k) in enumerate(zip(bars, order, strict=True)):
            assert place == axes.convert_yunits(some.classes[k]) and bar.get_x() == ends[place]
            assert bar.get_width() == counts[bars.get_label()][some.classes[k]]
            ends[place] += bar.get_width()
    assert [text.get_text() for text in axes.texts] == [f"{n:.0f}" for n in ends]


def test_accuracy_and_chance_are_in_percent():
    (axes,) = pictures.difficulty({"yaw": ((0.0, 10.0), (0.5, 0.4))}, 0.2).axes
    curve, chance = axes.lines
    assert curve.get_ydata() == pytest.approx([50, 40]) and list(chance.get_ydata()) == [20, 20]


def test_each_expressions_units_stand_in_its_row():
    (axes,) = pictures.prototype_table().axes
    rows = dict(zip(axes.get_yticks(), (t.get_text() for t in axes.get_yticklabels()), strict=True))
    columns = dict(zip(axes.get_xticks(), (t.get_text() for t in axes.get_xticklabels()), strict=True))
    shown = {name: set() for name in rows.values()}
    for dot in axes.collections:
        x, y = dot.get_offsets()[0]
        shown[rows[y]].add(columns[x])
    for name, units in synthetic.PROTOTYPES.items():
        assert shown[name] == {str(u) for u in units} | {str(u) for u, _, _ in synthetic.COMPANIONS[name]}


def test_labels_stand_at_the_pictures_they_are_of():
    images = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1) * np.ones((1, 1, 20, 24), np.uint8)
    (axes,) = pictures.sheet(images, cells=[["0", "1", "2"], ["3", "4", "5"]]).axes
    canvas = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    for text in axes.texts:  # each below its own
        x, y = text.get_position()
        assert canvas[int(y) - 5, int(x)] == int(text.get_text())
    (axes,) = pictures.knob_sweeps({"blur": (0.0, 1.0, 2.0), "yaw": (-30.0, 30.0), "light": (0.5,)}, size=32).axes
    at = {text.get_text(): text.get_position() for text in axes.texts}
    columns = [[(x - 16) / 32 for x, _ in (at[v] for v in row)] for row in (("0", "1", "2"), ("−30", "30"))]
    assert columns == [[0, 1, 2], [0, 1]]
    assert at["0"][1] < at["−30"][1] and at["0.5"][0] > at["2"][0]  # two rows, then the second column
