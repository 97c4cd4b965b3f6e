"""Sec. III-E, Algorithm 1: point-multiplication attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_repro.attention import QUERIES, PointMultiplicationAttention, point_multiplication_attention
from fer_repro.figures import attention as pictures

B, Q, T, D, E = 2, 3, 5, 4, 6


def parts(seed: int = 0, several: bool = True) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(seed)
    query = torch.randn(B, Q, D, generator=chance) if several else torch.randn(B, D, generator=chance)
    return query, torch.randn(B, T, D, generator=chance), torch.randn(B, T, E, generator=chance)


# -------------------------------------------------------------------------------------- against a loop from the formula


def algorithm_1(query: np.ndarray, keys: np.ndarray, values: np.ndarray, scale: bool) -> tuple[np.ndarray, np.ndarray]:
    """d = softmax(q K^T), a = d V for one query (D,), keys (T, D) and values (T, E), number by number."""
    score = []
    for key in keys:
        s = sum(query[j] * key[j] for j in range(len(key)))
        score.append(s / math.sqrt(len(key)) if scale else s)
    total = sum(math.exp(s) for s in score)
    d = [math.exp(s) / total for s in score]
    a = [sum(d[t] * values[t][e] for t in range(len(values))) for e in range(len(values[0]))]
    return np.array(a), np.array(d)


@pytest.mark.parametrize("scale", [False, True])
def test_several_queries_are_algorithm_1(scale):
    query, keys, values = parts()
    attended, weights = point_multiplication_attention(query, keys, values, scale)
    assert attended.shape == (B, Q, E) and weights.shape == (B, Q, T)
    for b in range(B):
        for n in range(Q):
            a, d = algorithm_1(*(t.double().numpy() for t in (query[b, n], keys[b], values[b])), scale)
            np.testing.assert_allclose(weights[b, n], d, rtol=1e-5)
            np.testing.assert_allclose(attended[b, n], a, rtol=1e-4, atol=1e-6)


def test_one_query_an_image_is_algorithm_1():
    query, keys, values = parts(several=False)
    attended, weights = point_multiplication_attention(query, keys, values)
    assert attended.shape == (B, E) and weights.shape == (B, T)
    for b in range(B):
        a, d = algorithm_1(*(t.double().numpy() for t in (query[b], keys[b], values[b])), False)
        np.testing.assert_allclose(weights[b], d, rtol=1e-5)
        np.testing.assert_allclose(attended[b], a, rtol=1e-4, atol=1e-6)


def test_it_is_torchs_own_attention_where_scaled():
    query, keys, values = parts()
    expected = torch.nn.functional.scaled_dot_product_attention(query, keys, values)
    torch.testing.assert_close(point_multiplication_attention(query, keys, values, scale=True)[0], expected)


@pytest.mark.parametrize("query", QUERIES)
def test_the_layer_is_algorithm_1_with_each_reading_of_the_query(query):
    torch.manual_seed(0)
    layer = PointMultiplicationAttention(D, query)
    values = torch.randn(B, T, D)
    attended, how = layer(values)
    V, W = values.double().numpy(), layer.key_weight.weight.detach().double().numpy()
    for b in range(B):
        K = np.tanh(V[b] @ W.T)  # K = tanh(V W^a)
        if query == "self":
            expected = np.stack([algorithm_1(V[b, t], K, V[b], False)[0] for t in range(T)])
        else:
            learned = None if layer.learned is None else layer.learned.detach().double().numpy()
            q = {"last": V[b, -1], "mean": V[b].mean(0), "learned": learned}[query]
            d = algorithm_1(q, K, V[b], False)[1]
            expected = np.stack([T * d[t] * V[b, t] for t in range(T)])
        np.testing.assert_allclose(attended[b].detach(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(how["keys"][b].detach(), K, rtol=1e-4, atol=1e-6)


# ----------------------------------------------------------------------------------------------------------- properties


@given(size=st.floats(0, 300), seed=st.integers(0, 50), scale=st.booleans())
@settings(deadline=None, max_examples=40)
def test_weights_are_a_distribution_however_large_the_scores(size, seed, scale):
    query, keys, values = parts(seed)
    attended, weights = point_multiplication_attention(size * query, keys, values, scale)
    assert (weights >= 0).all() and attended.isfinite().all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, Q))
    low, high = values.amin(1, keepdim=True) - 1e-4, values.amax(1, keepdim=True) + 1e-4
    assert ((attended >= low) & (attended <= high)).all()  # a weighted mean stays within what it is the mean of


@given(order=st.permutations(range(T)))
@settings(deadline=None, max_examples=20)
def test_permuting_keys_and_values_permutes_the_weights(order):
    query, keys, values = parts()
    attended, weights = point_multiplication_attention(query, keys, values)
    again, moved = point_multiplication_attention(query, keys[:, order], values[:, order])
    torch.testing.assert_close(moved, weights[..., order])
    torch.testing.assert_close(again, attended)


def test_equal_keys_give_the_plain_mean():
    query, keys, values = parts()
    attended, weights = point_multiplication_attention(query, keys[:, :1].expand_as(keys), values)
    torch.testing.assert_close(weights, torch.full((B, Q, T), 1 / T))
    torch.testing.assert_close(attended, values.mean(1, keepdim=True).expand(B, Q, E))


def test_a_query_along_one_key_takes_its_value():
    keys = 30 * torch.eye(4)[None]
    values = torch.arange(8.0).view(1, 4, 2)
    attended, weights = point_multiplication_attention(torch.eye(4)[None, 2], keys, values)
    torch.testing.assert_close(weights[0], torch.tensor([0.0, 0.0, 1.0, 0.0]))
    torch.testing.assert_close(attended[0], values[0, 2])


def test_scaling_divides_the_scores_by_the_root_of_the_width():
    query, keys, values = parts()
    scaled = point_multiplication_attention(query, keys, values, scale=True)
    by_hand = point_multiplication_attention(query / math.sqrt(D), keys, values)
    torch.testing.assert_close(scaled, by_hand)
    plain = point_multiplication_attention(query, keys, values)
    assert (scaled[1].amax(-1) < plain[1].amax(-1)).all()  # and so makes the weights more even


@pytest.mark.parametrize("query", QUERIES)
def test_a_map_of_the_same_shape_is_left_for_the_next_layer(query):
    layer = PointMultiplicationAttention(D, query)
    values = torch.randn(B, T, D, requires_grad=True)
    attended, how = layer(values)
    assert attended.shape == values.shape
    assert how["weights"].shape == ((B, T, T) if query == "self" else (B, T))
    attended.square().sum().backward()
    assert values.grad is not None and values.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in layer.parameters())


def test_the_readings_of_the_query_differ():
    values = torch.randn(B, T, D, generator=torch.Generator().manual_seed(1))
    found = []
    for query in QUERIES:
        torch.manual_seed(2)
        found.append(PointMultiplicationAttention(D, query)(values)[0])
    pairs = [(a, b) for a in range(len(found)) for b in range(a)]
    assert all((found[a] - found[b]).abs().max() > 1e-3 for a, b in pairs)


def test_weights_of_half_precision_values_still_sum_to_one():
    query, keys, values = (t.bfloat16() for t in parts())
    attended, weights = point_multiplication_attention(query, keys, values)
    assert attended.dtype == weights.dtype == torch.bfloat16
    torch.testing.assert_close(weights.float().sum(-1), torch.ones(B, Q), rtol=0, atol=0.02)


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("query", "keys", "values", "message"),
    [
        ((D,), (B, T, D), (B, T, E), r"wanted query \(B, D\) or \(B, Q, D\).*got \(4,\)"),
        ((B, D), (T, D), (B, T, E), r"keys \(B, T, D\).*\(5, 4\)"),
        ((B, D), (B, T, D), (B, T), r"values \(B, T, E\)"),
        ((B, D + 1), (B, T, D), (B, T, E), r"query and keys must share D.*query \(2, 5\)"),
        ((B, D), (B, T, D), (B, T + 1, E), r"keys and values T.*values \(2, 6, 6\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(query, keys, values, message):
    with pytest.raises(ValueError, match=message):
        point_multiplication_attention(torch.zeros(query), torch.zeros(keys), torch.zeros(values))


def test_an_unknown_query_is_named():
    with pytest.raises(ValueError, match=r"wanted one of .*\(Q8\), got 'first'"):
        PointMultiplicationAttention(D, "first")


def test_a_learned_query_starts_about_as_long_as_one() -> None:
    torch.manual_seed(0)
    learned = PointMultiplicationAttention(256, "learned").learned
    assert learned is not None and 0.8 < float(learned.detach().norm()) < 1.2


# ---------------------------------------------------------------------------------------------- the chapter's pictures


def test_what_a_step_receives_is_the_mean_over_who_asks():
    weights = np.array([[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]])
    assert pictures.received(weights).tolist() == [[0.5, 0.5, 0.0]]
    assert pictures.received(weights[:, 1]).tolist() == [[0.5, 0.5, 0.0]]


def test_effective_steps_go_from_one_to_all():
    found = pictures.effective_steps(np.array([[1.0, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4]))
    np.testing.assert_allclose(found, [1, 2, 4], rtol=1e-6)


@pytest.mark.usefixtures("styled")
def test_the_weight_of_covered_rows_has_an_interval_over_faces():
    plain, covered = np.tile([[1.0, 3.0], [2.0, 6.0], [4.0, 4.0]], 8), np.tile([[0.5, 0.7], [1.0, 1.0], [2.0, 4.0]], 8)
    (axes,) = pictures.shift(plain, covered).axes
    for drawn, values, name in zip(axes.containers, (plain, covered), ("uncovered", "covered"), strict=True):
        assert drawn.get_label() == name
        assert drawn.lines[0].get_ydata() == pytest.approx(values.mean(1))
        for segment, row in zip(drawn.lines[2][0].get_segments(), values, strict=True):
            assert np.ptp(segment[:, 1]) == pytest.approx(2 * 1.96 * row.std() / math.sqrt(16))
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1–2", "2–3", "3–4"]


@pytest.mark.usefixtures("styled")
def test_the_rows_marked_as_covered_are_those_that_are():
    face, share = np.zeros((8, 8), np.uint8), np.array([0.1, 0.2, 0.3, 0.4])
    panels = pictures.over_faces({"free": [face], "barred": [face]}, {"free": [share], "barred": [share]}, (1, 3)).axes
    free, barred = ([bar.get_facecolor() for bar in panels[k].patches] for k in (1, 3))
    assert len(set(free)) == 1
    assert [color != free[0] for color in barred] == [False, True, True, False]
    assert [bar.get_width() for bar in panels[3].patches] == share.tolist()
    assert panels[2].patches[-1].get_y() == 2 and panels[2].patches[-1].get_height() == 4


@pytest.mark.usefixtures("styled")
def test_weights_are_drawn_with_who_asks_down_and_what_is_looked_at_across():
    found = {"a": np.array([[0.0, 1.0], [0.25, 0.75]]), "b": np.array([[0.5, 0.5], [1.0, 0.0]])}
    figure = pictures.matrices(found)
    for axes, matrix in zip(figure.axes, found.values(), strict=False):
        np.testing.assert_array_equal(axes.images[0].get_array(), matrix)
        assert axes.images[0].get_clim() == (0, 1)
    assert figure.axes[0].get_ylabel() == "row that asks" and figure.get_supxlabel() == "row that is looked at"
    left, right = pictures.saturation([2, 4], {"plain": np.array([3.0, 2.0])}, {"plain": np.array([0.5, 0.1])}, 4).axes
    assert left.lines[0].get_ydata().tolist() == [3, 2] and left.get_ylabel() == "steps that count"
    assert right.lines[0].get_ydata().tolist() == [0.5, 0.1] and right.get_ylabel() == "gradient that passes"
