"""Sec. III-F, Eqs 8-12: scatter matrices, the projection, and its layer inside the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from fer_repro.figures import lda as pictures
from fer_repro.lda import LinearDiscriminantProjection, ProjectionLayer, scatter_matrices

SIZES = (40, 25, 60, 15)


def sample(sizes: tuple[int, ...] = SIZES, D: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated clouds of unequal size around random means."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((D, D))
    y = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.standard_normal((len(y), D)) @ mix + 2 * rng.standard_normal((len(sizes), D))[y]
    order = rng.permutation(len(y))
    return x[order], y[order]


def by_loops(x: np.ndarray, y: np.ndarray, weighted: bool) -> tuple[np.ndarray, np.ndarray]:
    """Eqs 8-12 letter by letter, entry by entry."""
    D, classes = x.shape[1], sorted(set(y.tolist()))
    p, m_i, covariances = [], [], []
    for i in classes:
        rows = [x[j] for j in range(len(x)) if y[j] == i]
        N_i = len(rows)
        p.append(N_i / len(x))
        m_i.append([sum(row[a] for row in rows) / N_i for a in range(D)])  # Eq. 8, read as the mean
        C_i = np.zeros((D, D))
        for a in range(D):
            for b in range(D):
                C_i[a, b] = sum((row[a] - m_i[-1][a]) * (row[b] - m_i[-1][b]) for row in rows) / N_i  # Eq. 10
        covariances.append(C_i)
    m = [sum(p[i] * m_i[i][a] for i in range(len(classes))) for a in range(D)]  # Eq. 9
    S_w, S_b = np.zeros((D, D)), np.zeros((D, D))
    for i in range(len(classes)):
        S_w += covariances[i] * (p[i] if weighted else 1)  # Eq. 12
        for a in range(D):
            for b in range(D):
                S_b[a, b] += p[i] * (m_i[i][a] - m[a]) * (m_i[i][b] - m[b])  # Eq. 11
    return S_w, S_b


def alike(a: np.ndarray, b: np.ndarray) -> float:
    """The least absolute correlation of columns: 1 where a and b agree up to shift, sign and scale."""
    a, b = a - a.mean(0), b - b.mean(0)
    return float(np.abs((a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0))).min())


# --------------------------------------------------------------------------------------------------- slow loops


@pytest.mark.parametrize("within", ["sum", "priors"])
@pytest.mark.parametrize("seed", range(3))
def test_scatter_matrices_equal_the_loops(within: str, seed: int) -> None:
    x, y = sample(seed=seed)
    S_w, S_b = by_loops(x, y, within == "priors")
    ours = scatter_matrices(x, y, within)
    np.testing.assert_allclose(ours.S_w, S_w, atol=1e-10)
    np.testing.assert_allclose(ours.S_b, S_b, atol=1e-10)


def test_labels_need_neither_start_at_zero_nor_be_gapless() -> None:
    x, y = sample()
    for one, other in zip(scatter_matrices(x, y), scatter_matrices(x, 10 * y + 3)):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("within", ["sum", "priors"])
def test_directions_solve_the_eigenproblem_of_step_4(within: str) -> None:
    x, y = sample()
    S_w, S_b = scatter_matrices(x, y, within)
    lda = LinearDiscriminantProjection(shrinkage=0.0, within=within).fit(x, y)
    for v, e in zip(lda.components_.T, lda.eigenvalues_):
        np.testing.assert_allclose(S_b @ v, e * S_w @ v, atol=1e-9)
    slow = np.sort(np.linalg.eigvals(np.linalg.inv(S_w) @ S_b).real)[::-1]  # as the paper writes it
    np.testing.assert_allclose(lda.eigenvalues_, slow[: len(lda.eigenvalues_)], rtol=1e-8)


def test_the_layer_projects_each_step_by_its_own_lda() -> None:
    chance = torch.Generator().manual_seed(0)
    x = torch.randn(90, 3, 6, generator=chance)
    y = torch.arange(90) % 4
    x += torch.randn(4, 3, 6, generator=chance)[y]
    layer = ProjectionLayer(num_steps=3, num_features=6, num_directions=3)
    layer.fit(x, y)
    z = layer(x)
    assert z.shape == (90, 3, 3)
    for t in range(3):
        slow = LinearDiscriminantProjection(within="sum").fit_transform(x[:, t].numpy(), y.numpy())
        slow = slow / slow.std(0)
        np.testing.assert_allclose(z[:, t].numpy(), slow, atol=1e-4)


def test_steps_may_come_one_call_after_another() -> None:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 4
    x = torch.randn(60, 5, 6, generator=generator) + y[:, None, None]
    whole, pieces = (ProjectionLayer(num_steps=5, num_features=6, num_directions=3) for _ in range(2))
    whole.fit(x, y)
    for first in (0, 2, 4):
        assert not pieces.ready
        pieces.fit(x[:, first : first + 2], y, first)
    assert pieces.ready and bool(pieces.fitted)
    for name in ("weight", "offset", "eigenvalues"):
        assert torch.equal(getattr(pieces, name), getattr(whole, name))


def test_a_shared_projection_is_fitted_on_all_steps_together() -> None:
    x, y = torch.randn(40, 3, 5), torch.arange(40) % 3
    layer = ProjectionLayer(3, 5, 2, shared=True)
    layer.fit(x, y)
    slow = LinearDiscriminantProjection().fit_transform(x.flatten(0, 1).numpy(), np.repeat(y.numpy(), 3))
    np.testing.assert_allclose(layer(x).flatten(0, 1).numpy(), slow / slow.std(0), atol=1e-4)


# ------------------------------------------------------------------------------------ scikit-learn, where it agrees


@pytest.mark.parametrize("solver", ["eigen", "svd"])
@pytest.mark.parametrize("sizes", [SIZES, (30, 30, 30)])
def test_scikit_learn_agrees_when_classes_weigh_by_their_share(solver: str, sizes: tuple[int, ...]) -> None:
    x, y = sample(sizes)
    ours = LinearDiscriminantProjection(within="priors", shrinkage=0.0).fit(x, y)
    theirs = LinearDiscriminantAnalysis(solver=solver).fit(x, y)
    assert alike(ours.transform(x), theirs.transform(x)) == pytest.approx(1, abs=1e-8)
    ratio = ours.eigenvalues_ / ours.eigenvalues_.sum()
    np.testing.assert_allclose(ratio, theirs.explained_variance_ratio_, atol=1e-8)


def test_equation_12_as_printed_differs_from_scikit_learn_only_for_unequal_classes() -> None:
    x, y = sample((30, 30, 30, 30))
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(x, y).transform(x)
    assert alike(LinearDiscriminantProjection(shrinkage=0.0).fit_transform(x, y), theirs) == pytest.approx(1, abs=1e-8)
    x, y = sample((200, 6, 60, 15))
    x[y == 1] *= 4  # a small class with a spread of its own
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(x, y).transform(x)
    assert alike(LinearDiscriminantProjection(shrinkage=0.0).fit_transform(x, y), theirs) < 0.999


# --------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("within", ["sum", "priors"])
def test_projections_have_the_identity_as_within_class_covariance(within: str) -> None:
    x, y = sample()
    lda = LinearDiscriminantProjection(shrinkage=0.0, within=within).fit(x, y)
    S_w, S_b = scatter_matrices(lda.transform(x), y, within)
    np.testing.assert_allclose(S_w, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(S_b, np.diag(lda.eigenvalues_), atol=1e-9)


def test_scatter_is_symmetric_positive_and_adds_up_to_the_total() -> None:
    x, y = sample()
    S_w, S_b = scatter_matrices(x, y, "priors")
    for S in (S_w, S_b):
        assert np.array_equal(S, S.T)
        assert np.linalg.eigvalsh(S).min() > -1e-10
    np.testing.assert_allclose(S_w + S_b, np.cov(x.T, bias=True), atol=1e-10)


@pytest.mark.parametrize("C", [2, 3, 7])
def test_the_scatter_between_c_classes_has_rank_c_minus_1(C: int) -> None:
    x, y = sample((20,) * C, D=12)
    assert np.linalg.matrix_rank(scatter_matrices(x, y).S_b, tol=1e-9) == C - 1


def test_a_singular_scatter_within_is_handled() -> None:
    """Fewer samples than dimensions, and a constant dimension: no inverse of S_w exists."""
    x, y = sample((6, 5, 4), D=40)
    x[:, 0] = 3.0
    assert np.linalg.matrix_rank(scatter_matrices(x, y).S_w) < 40
    lda = LinearDiscriminantProjection().fit(x, y)
    z = lda.transform(x)
    assert z.shape == (15, 2)
    assert np.isfinite(z).all()
    nearest = np.stack([((z - z[y == i].mean(0)) ** 2).sum(1) for i in range(3)]).argmin(0)
    assert (nearest == y).all()


def test_classes_without_any_spread_are_handled() -> None:
    y = np.repeat([0, 1, 2], 4)
    z = LinearDiscriminantProjection().fit_transform(np.eye(3)[y], y)
    assert np.isfinite(z).all()
    assert len(np.unique(z.round(6), axis=0)) == 3


def test_fitting_twice_gives_the_same_signs() -> None:
    x, y = sample()
    one, other = (LinearDiscriminantProjection().fit(x, y).components_ for _ in range(2))
    assert np.array_equal(one, other)
    peaks = one[np.abs(one).argmax(0), np.arange(3)]
    assert (peaks > 0).all()


def test_the_order_of_samples_does_not_matter() -> None:
    x, y = sample()
    order = np.random.default_rng(1).permutation(len(y))
    one = LinearDiscriminantProjection().fit(x, y).transform(x)
    other = LinearDiscriminantProjection().fit(x[order], y[order]).transform(x)
    np.testing.assert_allclose(one, other, atol=1e-8)


def test_gradient_passes_through_the_layer_and_none_into_it() -> None:
    x, y = torch.randn(60, 2, 5), torch.arange(60) % 3
    layer = ProjectionLayer(2, 5, 2)
    layer.fit(x, y)
    assert list(layer.parameters()) == []
    before = {k: v.clone() for k, v in layer.state_dict().items()}
    z = x[:4].clone().requires_grad_()
    g = torch.randn(4, 2, 2)
    layer(z).backward(g)
    assert z.grad is not None
    torch.testing.assert_close(z.grad, torch.einsum("btk,tdk->btd", g, layer.weight))  # the transposed map
    assert all(v.grad is None and not v.requires_grad for v in layer.buffers())
    for k, v in layer.state_dict().items():
        assert torch.equal(v, before[k])


def test_the_layer_starts_what_follows_well_scaled() -> None:
    x, y = 100 + 30 * torch.randn(200, 2, 5), torch.arange(200) % 3
    layer = ProjectionLayer(2, 5, 2)
    assert not layer.fitted
    layer.fit(x, y)
    assert layer.fitted
    z = layer(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(2, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(2, 2), atol=1e-3, rtol=0)


def test_the_layer_computes_in_single_precision_under_autocast() -> None:
    x, y = 50 + torch.randn(60, 2, 5), torch.arange(60) % 3
    layer = ProjectionLayer(2, 5, 2)
    layer.fit(x, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = layer(x)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, layer(x))


def test_a_class_missing_from_the_training_images_leaves_an_empty_direction() -> None:
    x, y = torch.randn(60, 2, 5), torch.arange(60) % 3
    layer = ProjectionLayer(2, 5, 3)  # four classes were announced
    layer.fit(x, y)
    z = layer(x)
    assert z[..., :2].std() > 0.5
    assert not z[..., 2].any()


# ---------------------------------------------------------------------------------------------------- bad input


def test_seven_directions_for_seven_classes_do_not_exist() -> None:
    x, y = sample((20,) * 7, D=12)
    assert LinearDiscriminantProjection().fit(x, y).components_.shape == (12, 6)
    with pytest.raises(ValueError, match=r"n_components: wanted 1..6, got 7: 7 class means.*at most 6 dimensions.*Q9"):
        LinearDiscriminantProjection(7).fit(x, y)


def test_features_too_few_for_the_directions_are_named_as_the_reason() -> None:
    with pytest.raises(ValueError, match=r"n_components: wanted 1..2, got 3: the features have 2"):
        LinearDiscriminantProjection(3).fit(*sample(D=2))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_features": 4}, "num_features: wanted at least the 6 directions, got 4"),
        ({"within": "prior"}, "within: wanted one of"),
    ],
)
def test_a_layer_that_could_not_be_fitted_is_refused_before_it_is_trained(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProjectionLayer(**{"num_steps": 2, "num_features": 8, "num_directions": 6, **given})


@pytest.mark.parametrize("n", [0, -1])
def test_no_direction_at_all_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=r"n_components: wanted 1..3"):
        LinearDiscriminantProjection(n).fit(*sample())


def test_one_class_is_not_enough() -> None:
    with pytest.raises(ValueError, match="at least two classes"):
        LinearDiscriminantProjection().fit(np.ones((4, 2)), np.zeros(4))


@pytest.mark.parametrize(("x", "y"), [((4,), (4,)), ((4, 2), (3,)), ((0, 2), (0,))])
def test_shapes_that_do_not_fit_are_named(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"wanted features \(N, D\) and labels \(N,\) with N > 0"):
        scatter_matrices(np.zeros(x), np.zeros(y))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad: float) -> None:
    x, y = sample()
    x[3, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinity: has training diverged"):
        LinearDiscriminantProjection().fit(x, y)


def test_an_unknown_reading_of_equation_12_is_refused() -> None:
    with pytest.raises(ValueError, match=r"within: wanted one of .*Q9.*got 'mean'"):
        scatter_matrices(*sample(), within="mean")


def test_transform_wants_fit_first_and_the_same_width() -> None:
    x, y = sample()
    with pytest.raises(RuntimeError, match="call fit before transform"):
        LinearDiscriminantProjection().transform(x)
    with pytest.raises(ValueError, match=r"wanted features \(N, 5\), got \(3, 4\)"):
        LinearDiscriminantProjection().fit(x, y).transform(np.zeros((3, 4)))


def test_shrinkage_is_a_share_of_the_scatter_and_knows_no_unit() -> None:
    x, y = sample()
    one, other = (LinearDiscriminantProjection(shrinkage=0.1).fit(k * x, y) for k in (1, 1000))
    np.testing.assert_allclose(other.eigenvalues_, one.eigenvalues_, rtol=1e-8)
    assert (one.eigenvalues_ < LinearDiscriminantProjection(shrinkage=0.0).fit(x, y).eigenvalues_).all()


def test_a_layer_fitted_anew_forgets_the_directions_of_before() -> None:
    x = torch.randn(60, 2, 5)
    layer = ProjectionLayer(2, 5, 3)
    layer.fit(x, torch.arange(60) % 4)
    layer.fit(x, torch.arange(60) % 3)
    assert not layer(x)[..., 2].any() and not layer.eigenvalues[:, 2].any()


@pytest.mark.parametrize("within", ["sum", "priors"])
def test_the_layer_takes_the_reading_of_equation_12_that_it_is_given(within: str) -> None:
    x, y = sample((200, 6, 60, 15))
    x[y == 1] *= 4  # a small class with a spread of its own: there the readings differ
    layer = ProjectionLayer(1, 5, 3, within=within)
    layer.fit(torch.from_numpy(x).float()[:, None], torch.from_numpy(y))
    slow = LinearDiscriminantProjection(within=within).fit_transform(x, y)
    np.testing.assert_allclose(layer(torch.from_numpy(x).float()[:, None])[:, 0].numpy(), slow / slow.std(0), atol=1e-3)


# ---------------------------------------------------------------------------------------------- the chapter's pictures


def test_the_nearest_mean_is_a_class_and_no_position() -> None:
    train, labels = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([2, 2, 5, 5])
    assert pictures.nearest_mean(train, labels, np.array([[2.0], [9.0], [9.0], [3.0]]), np.array([2, 5, 2, 5])) == 0.5


def test_steps_that_say_the_same_are_alike_and_others_are_not() -> None:
    x = np.random.default_rng(0).standard_normal((200, 1, 40))
    assert pictures.row_likeness(np.repeat(x, 5, axis=1)) == pytest.approx(1)
    apart = np.random.default_rng(1).standard_normal((200, 5, 40))
    assert pictures.row_likeness(apart) == pytest.approx(0, abs=0.02)
    assert pictures.row_likeness(apart + 100) == pytest.approx(pictures.row_likeness(apart))


@pytest.mark.usefixtures("styled")
def test_as_many_directions_as_classes_less_one_are_told_from_rounding() -> None:
    (axes,) = pictures.spectrum(np.array([3.0, 1.0, 1e-16, 1e-17]), 3).axes
    colors = [bar.get_facecolor() for bar in axes.patches]
    assert colors[0] == colors[1] != colors[2] == colors[3]
    assert [bar.get_height() for bar in axes.patches[:2]] == [3, 1]
    assert axes.lines[0].get_xdata()[0] == 2.5


@pytest.mark.usefixtures("styled")
def test_each_kind_of_feature_has_a_panel_of_its_own() -> None:
    rows = [
        (f, m, k, a + 0.01 * k) for f, m, a in (("x", "LDA", 0.5), ("x", "PCA", 0.3), ("y", "LDA", 0.7)) for k in (1, 2)
    ]
    table = pd.DataFrame(rows, columns=["features", "method", "directions", "accuracy"])
    panels = pictures.separation(table, 0.25).axes
    shown = [{line.get_label(): list(line.get_ydata()) for line in axes.lines} for axes in panels]
    assert [axes.get_title() for axes in panels] == ["x", "y"]
    assert shown[0].pop("most frequent class") == shown[1].pop("most frequent class") == [25, 25]
    assert shown[0] == {"LDA": pytest.approx([51, 52]), "PCA": pytest.approx([31, 32])}
    assert shown[1] == {"LDA": pytest.approx([71, 72])}


@pytest.mark.usefixtures("styled")
def test_a_large_mark_stands_at_the_mean_of_its_class() -> None:
    x, labels = np.array([[0.0, 0.0], [2.0, 4.0], [10.0, 1.0]]), np.array([0, 0, 1])
    axes = pictures.projections({"here": x}, labels, ("anger", "fear", "neutral")).axes[0]
    shown = [c.get_offsets().tolist() for c in axes.collections]
    assert shown == [[[0, 0], [2, 4]], [[1, 2]], [[10, 1]], [[10, 1]], []]
