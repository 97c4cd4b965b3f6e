"""The methods that Tables II and III compare with (Q17)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from fer_repro.baselines import BASELINES, RecurrentBaseline, SupportVectorBaseline, support_vector_machine
from fer_repro.bilstm import serialise
from fer_repro.network import build

RECURRENT = ("cnn-lstm", "dscnn-lstm", "cnn-bilstm", "acnn-lstm")


def images(n: int = 3, size: int = 48) -> torch.Tensor:
    return torch.randn(n, 1, size, size, generator=torch.Generator().manual_seed(0))


def clouds(n: int = 140, F: int = 64, classes: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Features around a mean for each class, on unlike scales."""
    chance = torch.Generator().manual_seed(0)
    y = torch.arange(n) % classes
    x = torch.randn(n, F, generator=chance) + torch.randn(classes, F, generator=chance)[y]
    return 5 + x * torch.linspace(0.1, 20, F), y


# --------------------------------------------------------------------------------------------------- slow loops


@torch.no_grad()
def test_acnn_weighs_places_before_the_lstm() -> None:
    torch.manual_seed(0)
    model = build("acnn-lstm", 7, 48).eval()
    assert isinstance(model, RecurrentBaseline)
    assert model.place is not None
    _, parts = model(images())
    m = parts["feature_map"]
    w, b = model.place.weight[0, :, 0, 0], model.place.bias[0]  # type: ignore[index]
    for n in range(3):
        score = torch.tensor([[w @ m[n, :, r, c] + b for c in range(6)] for r in range(6)])
        weights = torch.exp(score) / torch.exp(score).sum()
        torch.testing.assert_close(parts["weights"][n, 0], weights, rtol=1e-4, atol=1e-6)
        rows = [36 * (m[n, :, r] * weights[r]).flatten() for r in range(6)]
        torch.testing.assert_close(parts["sequence"][n], torch.stack(rows), rtol=1e-4, atol=1e-5)


def test_depthwise_separable_convolutions_have_the_weights_their_name_says() -> None:
    pairs = [(5, 32, 32), (3, 32, 32), (3, 32, 64)]  # kernel, in, out: the second convolution on
    full, separable = build("cnn-lstm", 7, 48), build("dscnn-lstm", 7, 48)
    for number, (k, i, o) in enumerate(pairs, start=1):
        assert count(full.cnn.blocks[number].convolution) == k * k * i * o  # type: ignore[index, union-attr]
        assert count(separable.cnn.blocks[number].convolution) == k * k * i + i * o  # type: ignore[index, union-attr]
    saved = sum(k * k * i * o - k * k * i - i * o for k, i, o in pairs)
    assert count(full) - count(separable) == saved


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_machine_inside_is_scikit_learns() -> None:
    x, y = clouds()
    model = SupportVectorBaseline(7, 48)
    model.fit_stage(x, y)
    scaler = StandardScaler().fit(x.numpy())
    svm = LinearSVC(C=0.01, dual=False, tol=1e-8, max_iter=50_000).fit(scaler.transform(x.numpy()), y.numpy())
    ours = (x @ model.svm_weight.T + model.svm_bias).numpy()
    np.testing.assert_allclose(ours, svm.decision_function(scaler.transform(x.numpy())), atol=1e-4)
    assert (ours.argmax(1) == svm.predict(scaler.transform(x.numpy()))).all()


@pytest.mark.parametrize("C", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("overlap", [0.3, 3.0])
def test_the_machine_is_scikit_learns_however_hard_its_margin(C: float, overlap: float) -> None:
    generator = np.random.default_rng(0)
    member = generator.random(300) < 0.2
    x = overlap * generator.normal(size=(300, 5)) @ generator.normal(size=(5, 5)) + member[:, None]
    weight, bias = support_vector_machine(x, member, C)
    svm = LinearSVC(C=C, dual=False, tol=1e-9, max_iter=1_000_000).fit(x, member)
    np.testing.assert_allclose([*weight, bias], [*svm.coef_[0], svm.intercept_[0]], rtol=1e-3, atol=1e-4)


def test_the_machines_newton_steps_do_not_grow_with_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy import optimize

    steps = []
    minimize = optimize.minimize

    def counted(*given: object, **more: object) -> object:
        found = minimize(*given, **more)  # type: ignore[call-overload]
        assert found.success
        steps.append(found.nit)
        return found

    monkeypatch.setattr(optimize, "minimize", counted)
    generator = np.random.default_rng(0)
    for n in (1000, 16_000):
        member = generator.random(n) < 0.2
        x = generator.normal(size=(n, 8)) @ np.diag(10.0 ** -np.arange(8)) + 0.5 * member[:, None]
        support_vector_machine(x, member, 0.01)
    assert max(steps) < 15


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="wanted finite features"):
        support_vector_machine(np.full((4, 2), np.nan), np.array([True, False, True, False]), 1.0)


# --------------------------------------------------------------------------------------------------- properties


def test_only_what_the_name_says_differs() -> None:
    """One CNN, one way to serialise, one width, one pair of last layers."""
    parts = {name: build(name, 7, 48).eval()(images())[1] for name in RECURRENT}
    for name in RECURRENT:
        assert parts[name]["feature_map"].shape == (3, 64, 6, 6)
        assert parts[name]["sequence"].shape == (3, 6, 384)
        assert parts[name]["hidden"].shape == (3, 6, 256)
        assert parts[name]["features"].shape == (3, 64)
    directions = {name: build(name, 7, 48).lstm.recurrence.bidirectional for name in RECURRENT}  # type: ignore[union-attr]
    assert directions == {"cnn-lstm": False, "dscnn-lstm": False, "cnn-bilstm": True, "acnn-lstm": False}


def test_a_plain_lstm_does_not_look_ahead_and_a_bidirectional_one_does() -> None:
    for name, looks in (("cnn-lstm", False), ("cnn-bilstm", True)):
        lstm = build(name, 7, 48).lstm
        x = torch.randn(1, 6, 384)
        changed = x.clone()
        changed[:, -1] += 1
        assert torch.equal(lstm(x)[:, 0], lstm(changed)[:, 0]) != looks  # type: ignore[operator]


@pytest.mark.parametrize("name", BASELINES)
def test_none_has_what_the_paper_counts_as_its_own(name: str) -> None:
    model = build(name, 7, 48)
    assert model.center_loss is False
    assert not {"lda", "reconstruction", "attention"} & {n for n, _ in model.named_children()}
    assert model.deployed_parameters() == count(model)  # type: ignore[operator]


@pytest.mark.parametrize("name", RECURRENT)
def test_nothing_is_fitted_in_closed_form_but_the_svm(name: str) -> None:
    model = build(name, 7, 48)
    assert not any(model.fit_is_due(stage, finished=True) for stage in (1, 2))  # type: ignore[operator]


def test_the_svm_is_fitted_once_and_at_the_end() -> None:
    model = SupportVectorBaseline(7, 48)
    due = [(stage, finished) for stage in (1, 2) for finished in (False, True) if model.fit_is_due(stage, finished)]
    assert due == [(2, True)]
    model.fit_stage(*clouds())
    assert not model.fit_is_due(2, finished=True)


def test_the_svm_takes_the_place_of_the_softmax_layer() -> None:
    torch.manual_seed(0)
    model = SupportVectorBaseline(7, 48).eval()
    before, parts = model(images())
    torch.testing.assert_close(before, model.classifier(parts["features"]))
    model.fit_stage(*clouds())
    after, parts = model(images())
    torch.testing.assert_close(after, parts["features"] @ model.svm_weight.T + model.svm_bias)
    assert model.svm_weight.shape == model.classifier.weight.shape


@pytest.mark.parametrize("present", [(1, 4), (0, 2, 6)])
def test_a_class_that_was_never_seen_is_never_predicted(present: tuple[int, ...]) -> None:
    x, y = clouds()
    keep = torch.isin(y, torch.tensor(present))
    model = SupportVectorBaseline(7, 48)
    model.fit_stage(x[keep], y[keep])
    predicted = (x @ model.svm_weight.T + model.svm_bias).argmax(1)
    assert set(predicted.tolist()) == set(present)
    assert (predicted[keep] == y[keep]).float().mean() > 0.9


def test_mean_attention_is_one_so_the_scale_stays() -> None:
    model = build("acnn-lstm", 7, 48).eval()
    with torch.no_grad():
        for zeroed in (model.place.weight, model.place.bias):
            zeroed.zero_()  # all places alike: none is weighed up or down
    parts = model(images())[1]
    torch.testing.assert_close(parts["weights"].flatten(1).sum(1), torch.ones(3))
    torch.testing.assert_close(parts["sequence"], serialise(parts["feature_map"], "rows"))


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("name", BASELINES)
def test_images_too_small_for_the_poolings_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="too small"):
        build(name, 7, 6)


@pytest.mark.parametrize("C", [0, -1.0, float("nan"), float("inf"), "x"])
def test_a_penalty_that_is_none_is_refused_before_training(C: object) -> None:
    with pytest.raises(ValueError, match=r"C: wanted a number above 0|a value of the wrong kind"):
        build("cnn-svm", 7, 48, C=C)


@pytest.mark.parametrize("name", BASELINES)
def test_an_option_of_the_proposed_network_is_none_of_a_baselines(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: unknown option, or a value of the wrong kind: .*query"):
        build(name, 7, 48, query="last")


@pytest.mark.parametrize("name", RECURRENT)
def test_the_baselines_poolings_are_where_they_are_wanted(name: str) -> None:
    blocks = build(name, 7, 48, pool_after=(2, 3, 4)).cnn.blocks
    assert [k for k, b in enumerate(blocks, 1) if isinstance(b.pool, nn.MaxPool2d)] == [2, 3, 4]


def test_the_machines_have_the_penalty_that_was_asked_for() -> None:
    x, y = clouds()
    model = SupportVectorBaseline(7, 48, C=0.5)
    model.fit_stage(x, y)
    scaler = StandardScaler()
    scaled = scaler.fit_transform(x.double().numpy())
    for c in range(7):
        weight, _ = support_vector_machine(scaled, y.numpy() == c, 0.5)
        np.testing.assert_allclose(model.svm_weight[c].numpy(), weight / scaler.scale_, atol=1e-5)
