"""The assembly (Fig. 2) and Table I's versions of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import row_labels
from torch import nn

from fer_repro import network
from fer_repro.attention import point_multiplication_attention
from fer_repro.bilstm import serialise
from fer_repro.figures import network as pictures
from fer_repro.lda import LinearDiscriminantProjection
from fer_repro.network import ABLATIONS, NAMES, ProposedNetwork, build
from fer_repro.sensitivity import READINGS

PROPOSED = ("proposed", *ABLATIONS)

# What the book publishes, for 7 classes: weights of the finished network, LDA's fixed ones among them.
PARAMETERS = {
    "proposed": (702_071, 1_407_411),
    "no_feature_extraction": (514_323, 996_083),
    "no_attention": (636_535, 1_341_875),
    "no_reconstruction": (657_611, 1_332_231),
    "cnn-lstm": (809_895, 1_629_095),
    "dscnn-lstm": (762_119, 1_581_319),
    "cnn-bilstm": (678_823, 1_498_023),
    "acnn-lstm": (809_960, 1_629_160),
    "cnn-svm": (201_639, 1_102_759),
}


def images(n: int = 3, size: int = 48, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(seed))


def fitted(name: str = "proposed", classes: int = 7, size: int = 48, **options: Any) -> nn.Module:
    """A network in its second stage, its LDA fitted on the attended features of random images."""
    torch.manual_seed(0)
    model = build(name, classes, size, **options).eval()
    labels = torch.arange(4 * classes) % classes
    with torch.no_grad():
        _, parts = model(images(4 * classes, size))
    model.fit_stage(parts["attended"], labels)  # type: ignore[operator]
    return model


# --------------------------------------------------------------------------------------------------- slow loops


@torch.no_grad()
def test_the_network_is_its_parts_one_after_another() -> None:
    model = fitted()
    assert isinstance(model, ProposedNetwork)
    x = images()
    logits, parts = model(x)
    assert model.cnn is not None
    assert model.attention is not None
    feature_map, _ = model.cnn(x)
    sequence = torch.stack([feature_map[:, :, row].flatten(1) for row in range(6)], 1)  # one step a row (Q6)
    hidden, _ = model.bilstm.recurrence(sequence)
    keys = torch.tanh(hidden @ model.attention.key_weight.weight.T)
    attended, weights = point_multiplication_attention(hidden, keys, hidden)
    projected = torch.stack([attended[:, t] @ model.lda.weight[t] + model.lda.offset[t] for t in range(6)], 1)
    as_map = projected.transpose(1, 2)[..., None]  # a direction becomes a channel (Q10)
    maps, features = model.reconstruction(as_map)
    slow = {"sequence": sequence, "hidden": hidden, "keys": keys, "weights": weights, "attended": attended}
    slow |= {"projected": as_map, "reconstructed": maps, "features": features}
    for name, value in slow.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    by_hand = features @ model.classifier.weight.T + model.classifier.bias
    torch.testing.assert_close(logits, by_hand, rtol=1e-4, atol=1e-5)


def test_lda_inside_is_fitted_on_the_attended_features_of_each_row() -> None:
    torch.manual_seed(0)
    model = build("proposed", 7, 48).eval()
    y = torch.arange(70) % 7
    with torch.no_grad():
        attended = model(images(70))[1]["attended"]
        model.fit_stage(attended, y)  # type: ignore[operator]
        projected = model(images(70))[1]["projected"]
    for t in range(6):
        slow = LinearDiscriminantProjection().fit_transform(attended[:, t].numpy(), y.numpy())
        np.testing.assert_allclose(projected[:, :, t, 0].numpy(), slow / slow.std(0), atol=2e-2)


def test_parameters_of_the_proposed_network_by_hand() -> None:
    norm = lambda channels: 2 * channels  # noqa: E731
    cnn = (1 * 32 + norm(32)) + (25 * 32 * 32 + norm(32)) + (9 * 32 * 32 + norm(32)) + (9 * 32 * 64 + norm(64))
    side, h = 6, 128
    bilstm = 2 * (4 * h * (64 * side) + 4 * h * h + 2 * 4 * h)  # four gates, two biases each, two directions
    attention = (2 * h) ** 2
    lda = side * ((2 * h) * 6 + 6)
    dense = sum(norm(6 + 12 * k) + (6 + 12 * k) * 48 + norm(48) + 9 * 48 * 12 for k in range(4))
    head = norm(6 + 48) + (6 + 48) * side * 64 + norm(64)
    classifier = 64 * 7 + 7
    assert cnn + bilstm + attention + lda + dense + head + classifier == PARAMETERS["proposed"][0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "column"), [(48, 0), (128, 1)])
def test_published_parameter_counts(name: str, size: int, column: int) -> None:
    assert build(name, 7, size).deployed_parameters() == PARAMETERS[name][column]  # type: ignore[operator]


# --------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "classes"), [(48, 7), (128, 7), (48, 2)])
def test_every_name_runs_and_its_features_feed_the_last_layer(name: str, size: int, classes: int) -> None:
    torch.manual_seed(0)
    model = build(name, classes, size).eval()
    last: dict[str, torch.Tensor] = {}
    heads = [model.warmup[1] if name in PROPOSED else model.classifier]  # type: ignore[index]
    heads[0].register_forward_hook(lambda _m, given, _out: last.update(x=given[0]))
    logits, parts = model(images(2, size))
    assert logits.shape == (2, classes)
    assert torch.isfinite(logits).all()
    assert all(isinstance(v, torch.Tensor) and len(v) == 2 for v in parts.values())
    assert torch.equal(parts["features"], last["x"])  # Eq. 4's x_i
    logits.sum().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize(("size", "side"), [(48, 6), (128, 16)])
@torch.no_grad()
def test_the_shapes_that_flow_through_the_proposed_network(size: int, side: int) -> None:
    _, parts = fitted(size=size)(images(2, size))
    assert {name: tuple(value.shape[1:]) for name, value in parts.items()} == {
        "block1": (32, size // 2, size // 2),
        "block2": (32, size // 4, size // 4),
        "block3": (32, size // 4, size // 4),
        "feature_map": (64, side, side),
        "sequence": (side, 64 * side),
        "hidden": (side, 256),
        "query": (side, 256),
        "keys": (side, 256),
        "weights": (side, side),
        "attended": (side, 256),
        "projected": (6, side, 1),
        "reconstructed": (54, side, 1),
        "features": (64,),
    }


@torch.no_grad()
def test_what_stands_in_for_a_removed_module() -> None:
    x = images(2)
    _, parts = fitted("no_feature_extraction")(x)
    assert torch.equal(parts["sequence"], x[:, 0])  # the image's own rows (Q16)
    assert "block1" not in parts
    _, parts = fitted("no_attention")(x)
    assert torch.equal(parts["attended"], parts["hidden"])
    assert "weights" not in parts
    larger = build("no_attention", size=48, recurrence=False)  # the module of Sec. III-C (Q16)
    _, parts = larger.eval()(x)
    assert torch.equal(parts["attended"], parts["sequence"])
    assert not any("lstm" in name for name, _ in larger.named_parameters())
    _, parts = fitted("no_reconstruction")(x)
    assert "projected" in parts
    assert "reconstructed" not in parts


OPTIONS: list[dict[str, Any]] = [
    {"recurrence": False},  # Q16
    {"pool_after": (2, 3, 4)},  # Q5
    {"padding": "valid", "size": 64},
    {"norm": "after"},
    {"norm": "none"},
    {"fast": False},
    {"serialisation": "columns"},  # Q6
    {"serialisation": "patches"},
    {"hidden": 24},  # Q7
    {"cell": "ungated"},
    {"merge": "equation"},
    {"query": "learned"},  # Q8
    {"query": "last"},
    {"query": "mean"},
    {"scale": True},
    {"lda_shared": True},  # Q9
    {"lda_within": "priors"},
    {"growth_rate": 4},  # Q10
    {"num_layers": 1},
    {"connections": "sum"},
    {"num_features": 16, "dropout": 0.0},  # Q11
]


READ = [dict(r.options) for r in READINGS if r.model == "proposed" and r.options]  # none is left out by hand


@pytest.mark.parametrize("options", READ, ids=str)
def test_every_reading_is_another_network(options: dict[str, Any]) -> None:
    x, outcomes = images(8, 48), []
    for given in ({}, options):
        torch.manual_seed(0)
        model = build("proposed", 7, 48, dropout=0.0, **given)
        attended = model.train()(x)[1]["attended"].detach()
        torch.manual_seed(1)  # features of its own for LDA: shared or weighted otherwise, it projects otherwise
        count = torch.tensor([2] * 3 + [40] * 4)
        labels = torch.arange(7).repeat_interleave(count)
        model.fit_stage(torch.randn(len(labels), *attended.shape[1:]) * (1 + labels)[:, None, None], labels)  # type: ignore[operator]
        outcomes.append(model.eval()(x)[0])
    assert not torch.equal(*outcomes)


@pytest.mark.parametrize(
    "options",
    [*OPTIONS, *(o for o in READ if o not in OPTIONS)],
    ids=lambda o: ",".join(f"{k}={v}" for k, v in o.items()),
)
def test_every_reading_of_an_open_question_trains_in_both_stages(options: dict[str, Any]) -> None:
    options = dict(options)
    size = options.pop("size", 48)
    torch.manual_seed(0)
    model = build("proposed", 7, size, **options)
    x, y = images(14, size), torch.arange(14) % 7
    seen = set()
    for stage in (1, 2):
        model.train()
        logits, parts = model(x)
        assert logits.shape == (14, 7)
        model.zero_grad()
        nn.functional.cross_entropy(logits, y).backward()
        grads = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
        assert any(n.startswith("cnn") for n in grads), "nothing reaches the first module"
        seen |= grads
        if stage == 1:
            model.eval()
            model.fit_stage(parts["attended"].detach(), y)  # type: ignore[operator]
    # A bias right before batch norm has no effect, a gradient of exactly zero in one batch is chance: all others learn.
    never = {n for n, _ in model.named_parameters()} - seen
    assert not {n for n in never if "bias" not in n}


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_the_same_for_the_same_seed(name: str) -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build(name, 7, 48).state_dict())
    assert all(torch.equal(v, states[1][k]) for k, v in states[0].items())
    assert not all(torch.equal(v, states[2][k]) for k, v in states[0].items())


def test_the_first_block_loads_the_weights_of_either_form() -> None:
    fast, plain = build("proposed", 7, 48), build("proposed", 7, 48, fast=False)
    plain.load_state_dict(fast.state_dict())
    x = images(8)
    for mode in (False, True):
        one, other = fast.train(mode).cnn(x)[0], plain.train(mode).cnn(x)[0]  # type: ignore[operator]
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_an_image_alone_gets_what_it_gets_among_others() -> None:
    model = fitted()
    x = images(5)
    together = model(x)[0]
    for i in range(5):
        torch.testing.assert_close(model(x[i : i + 1])[0][0], together[i], rtol=1e-3, atol=1e-4)


def test_the_second_stage_begins_once() -> None:
    model = build("proposed", 7, 48)
    assert not model.fit_is_due(1, finished=False)  # type: ignore[operator]
    assert model.fit_is_due(1, finished=True)  # type: ignore[operator]
    done = fitted()
    assert not done.fit_is_due(1, finished=True)  # type: ignore[operator]
    assert not done.fit_is_due(2, finished=True)  # type: ignore[operator]


@torch.no_grad()
def test_a_fitted_network_survives_its_state_dict() -> None:
    model = fitted()
    other = build("proposed", 7, 48)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.eval()(images())[0], model(images())[0])


def test_rows_of_the_sequence_are_rows_of_the_map() -> None:
    m = torch.arange(2 * 3 * 4 * 5.0).view(2, 3, 4, 5)
    assert torch.equal(serialise(m)[1, 2].view(3, 5), m[1, :, 2])


# ---------------------------------------------------------------------------------------------------- bad input


def test_an_unknown_name_lists_the_names_there_are() -> None:
    with pytest.raises(ValueError, match=r"no network is named 'resnet'; wanted one of proposed, .*cnn-svm"):
        build("resnet")


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_option_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: unknown option, or a value of the wrong kind: .*depth"):
        build(name, 7, 48, depth=3)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"serialisation": "spiral"}, "Q6"),
        ({"cell": "gru"}, "Q7"),
        ({"query": "first"}, "Q8"),
        ({"connections": "skip"}, "connections: wanted one of"),
        ({"pool_after": (4, 1)}, "Q5"),
        ({"norm": "layer"}, "Q5"),
    ],
)
def test_a_value_outside_an_open_questions_readings_names_the_question(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build("proposed", 7, 48, **option)


def test_too_few_classes_or_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="num_classes: wanted at least 2, got 1"):
        build("proposed", 1)
    with pytest.raises(ValueError, match="too small"):
        build("proposed", 7, 4)


def test_the_names_are_those_of_the_papers_tables() -> None:
    assert (
        *("proposed", "no_feature_extraction", "no_attention", "no_reconstruction"),
        *("cnn-lstm", "dscnn-lstm", "cnn-bilstm", "acnn-lstm", "cnn-svm"),
    ) == NAMES
    assert network.NAMES is NAMES


@pytest.mark.parametrize("name", NAMES)
def test_dropout_is_what_the_recipe_says_before_every_last_layer(name: str) -> None:
    shares = [m.p for m in build(name, 7, 48, dropout=0.37).modules() if isinstance(m, nn.Dropout)]
    assert shares == [0.37] * (2 if name in PROPOSED else 1)  # the warm-up head's, too


@pytest.mark.parametrize("options", [o for o in OPTIONS if o != {"fast": False}], ids=str)
@torch.no_grad()
def test_every_reading_of_an_open_question_is_another_network(options) -> None:
    """By one seed: an option that is named in a record and does nothing would tell of runs that never were."""
    options = dict(options)
    size = options.pop("size", 48)
    labels = torch.arange(56) % 7
    labels[28:] = 0  # unequal classes: else priors weigh all alike
    x, said = images(56, size), []
    for given in ({"hidden": 8}, {"hidden": 8} | options):  # narrow, so that features have a spread within classes
        torch.manual_seed(0)
        model = build("proposed", 7, size, **given).eval()
        model.fit_stage(model(x)[1]["attended"], labels)
        said.append(model(x)[0])
    assert (said[0] - said[1]).abs().max() > 1e-4


# ---------------------------------------------------------------------------------------------- the chapter's pictures


@pytest.mark.parametrize("name", NAMES)
def test_the_modules_parameters_are_the_finished_networks(name: str) -> None:
    model = build(name, 7, 48)
    counts = pictures.module_parameters(model)
    assert sum(counts.values()) == model.deployed_parameters() == PARAMETERS[name][0]  # type: ignore[operator]


@pytest.mark.usefixtures("styled")
def test_parameters_are_stacked_beside_their_network() -> None:
    table = pd.DataFrame({"CNN": [1.0, 2.0], "LSTM": [30.0, 40.0]}, index=["a", "b"])
    (axes,) = pictures.parameter_bars(table).axes
    bars = [[(bar.get_x(), bar.get_width()) for bar in module] for module in axes.containers]
    assert bars == [[(0, 1), (0, 2)], [(1, 30), (2, 40)]]
    labels = [(text.get_position()[1], text.get_text()) for text in axes.texts]
    assert labels == [(1, "31"), (0, "42")]
    assert row_labels(axes) == {1: "a", 0: "b"}


@pytest.mark.usefixtures("styled")
def test_a_runs_course_is_named_and_lda_marked_between_the_stages() -> None:
    keys = ("epoch", "stage", "train_loss", "val_loss", "train_accuracy", "val_accuracy", "center_loss")
    rows = [(1, 1, 2.0, 3.0, 0.2, 0.1, 5.0), (2, 1, 1.0, 2.0, 0.3, 0.2, 4.0), (3, 2, 0.5, 1.0, 0.4, 0.3, 3.0)]
    panels = pictures.course({"curves": [dict(zip(keys, row)) for row in rows]}).axes
    wanted: list[dict[str, float]] = [
        {"training": 2, "validation": 3},
        {"training": 20, "validation": 10},
        {"training": 5},
    ]
    for axes, first in zip(panels, wanted, strict=True):
        *lines, fitted = axes.lines
        assert {line.get_label(): line.get_ydata()[0] for line in lines} == pytest.approx(first)
        assert list(fitted.get_xdata()) == [2.5, 2.5] and fitted.get_label() == "LDA fitted"


@pytest.mark.usefixtures("styled")
def test_a_mini_batch_moves_the_centers_of_its_own_classes() -> None:
    labels, batches = np.array([0, 0, 1, 2, 1, 0]), [np.array([0, 1, 5]), np.array([2, 3])]
    (axes,) = pictures.mini_batches(batches, labels, ("anger", "fear", "neutral")).axes
    assert [t.get_text() for t in axes.texts if "centers" in t.get_text()] == ["1 of 3 centers", "2 of 3 centers"]


@pytest.mark.usefixtures("styled")
def test_each_step_of_the_architecture_has_the_shape_that_leaves_it() -> None:
    shapes = {step.part: (k, 2 * k) for k, step in enumerate(pictures.STEPS)}
    texts = [text.get_text() for text in pictures.architecture(shapes).axes[0].texts]
    for k, step in enumerate(pictures.STEPS):
        assert texts[3 * k : 3 * k + 3] == [step.title, step.does, f"{k}×{2 * k}"]


@pytest.mark.usefixtures("styled")
def test_what_is_removed_is_dashed_and_names_what_stands_in() -> None:
    (axes,) = pictures.ablations().axes
    dashed = [
        text
        for text, box in zip([t.get_text() for k, t in enumerate(axes.texts) if k % 7], axes.patches, strict=True)
        if box.get_linestyle() == "--"
    ]
    assert dashed == ["the image's\nown rows", "BiLSTM's\noutput", "LDA's\noutput"]


def test_the_first_stages_features_are_the_attended_ones() -> None:
    parts = network.build("proposed", 7, 16).eval()(torch.randn(2, 1, 16, 16))[1]
    assert torch.equal(parts["features"], parts["attended"].flatten(1))
    assert not torch.equal(parts["attended"], parts["hidden"])
