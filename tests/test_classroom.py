"""What chapters set up alike: faces are clear and divided, images prepared as the library does, a network learns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fer_repro import classroom, data, preprocessing
from fer_repro.data import synthetic


@pytest.fixture(scope="module")
def faces():
    return classroom.faces("synthetic", n=210, seed=3)


def test_faces_are_those_of_the_knobs_and_divided_by_the_data_sets_protocol(faces):
    drawn = data.load("synthetic", n=210, seed=3, **classroom.CLEAR)
    assert np.array_equal(faces.images, drawn.images)
    assert np.array_equal(faces.split, drawn.split)
    assert set(faces.split) == {"train", "val", "test"}
    clearer = classroom.faces("synthetic", n=210, seed=3, knobs=classroom.VERY_CLEAR)
    assert np.array_equal(clearer.labels, faces.labels)
    assert not np.array_equal(clearer.images, faces.images)


def test_knobs_are_narrower_than_the_data_sets_own():
    own, units = synthetic.Knobs(), synthetic.Knobs.units()
    for knobs in (classroom.CLEAR, classroom.VERY_CLEAR):
        assert set(knobs) <= set(units)
        for name, given in knobs.items():
            ours, theirs = (np.ptp(np.atleast_1d(v)) for v in (given, getattr(own, name)))
            assert ours <= theirs


def test_some_draws_without_repeating_and_says_which_by_seed(faces):
    few = classroom.some(faces, 50, seed=1)
    rows = [np.flatnonzero((faces.images == image).all((1, 2))) for image in few.images]
    assert len({int(r[0]) for r in rows}) == len(few) == 50
    assert np.array_equal(few.labels, classroom.some(faces, 50, seed=1).labels)
    assert not np.array_equal(few.images, classroom.some(faces, 50, seed=2).images)
    assert len(classroom.some(faces, 10_000)) == len(faces)


def test_ready_equals_preprocess(faces):
    x, y = classroom.ready(faces, 32)
    assert x.shape == (len(faces), 1, 32, 32)
    assert np.allclose(x[:, 0].numpy(), preprocessing.preprocess(faces.images, 32), atol=1e-5)
    assert y.tolist() == faces.labels.tolist()
    assert torch.equal(classroom.prepared(faces.images, 32), x)


def test_device_is_the_one_named():
    assert classroom.device("cpu") == torch.device("cpu")
    assert classroom.device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_fit_learns_in_place_and_the_same_each_time(faces):
    x, y = classroom.ready(faces.part("train"), 16)

    def trained(seed):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(256, 7))
        assert classroom.fit(network, x, y, 20, seed) is network
        return network

    first, again, other = trained(5), trained(5), trained(6)
    assert not first.training
    assert torch.equal(first[1].weight, again[1].weight)
    assert not torch.equal(first[1].weight, other[1].weight)
    assert (first(x).argmax(1) == y).float().mean() > 0.5


def test_fit_moves_as_far_as_its_rate_says(faces):
    x, y = classroom.ready(faces.part("train"), 16)
    moved = []
    for rate in (1e-9, 1e-4):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(256, 7))
        before = network[1].weight.detach().clone()
        after = classroom.fit(network, x, y, 2, 0, rate)[1].weight.detach()
        moved.append(float((after - before).abs().max()))
    assert moved[0] < 1e-7 < 1e-5 < moved[1]
