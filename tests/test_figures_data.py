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
