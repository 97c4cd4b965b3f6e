"""Sec. III-B, Eqs 2-4: the center loss and its centers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fer_repro.center_loss import CenterLoss, center_distance, center_step, class_sums
from fer_repro.figures import center_loss as pictures


def sample(m: int = 12, D: int = 3, C: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (m, D), labels (m,) without the last class, centers (C, D), all in float64."""
    chance = torch.Generator().manual_seed(seed)
    x = torch.randn(m, D, generator=chance, dtype=torch.float64)
    y = torch.randint(0, C - 1, (m,), generator=chance)
    return x, y, torch.randn(C, D, generator=chance, dtype=torch.float64)


def equation_3(x: torch.Tensor, y: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Eq. 3 letter by letter: Delta C_j for every j."""
    result = torch.zeros_like(centers)
    for j in range(len(centers)):
        above, below = torch.zeros_like(centers[j]), 1.0
        for i in range(len(x)):
            delta = 1 if int(y[i]) == j else 0
            above = above + delta * (centers[j] - x[i])
            below = below + delta
        result[j] = above / below
    return result


def loss_with(centers: torch.Tensor, **arguments: object) -> CenterLoss:
    loss = CenterLoss(*centers.shape, **arguments).double()  # type: ignore[arg-type]
    loss.centers.copy_(centers)
    return loss


# --------------------------------------------------------------------------------------------------- slow loops


@pytest.mark.parametrize("seed", range(5))
def test_the_centers_move_by_equation_3(seed: int) -> None:
    x, y, C = sample(seed=seed)
    torch.testing.assert_close(center_step(x, y, C), equation_3(x, y, C))
    for alpha in (0.0, 0.3, 1.0):
        loss = loss_with(C, alpha=alpha)
        loss.update(x, y)
        torch.testing.assert_close(loss.centers, C - alpha * equation_3(x, y, C))


def test_the_sums_are_the_same_by_a_product() -> None:
    x, y, C = sample()
    for a, b in zip(class_sums(x, y, len(C), False), class_sums(x, y, len(C), True), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("reduction", "divisor"), [("sum", 1), ("mean", 12)])
def test_the_loss_is_the_second_term_of_equation_4(reduction: str, divisor: int) -> None:
    x, y, C = sample()
    slow = sum(float((x[i, d] - C[y[i], d]) ** 2) for i in range(len(x)) for d in range(x.shape[1])) / 2
    assert float(loss_with(C, reduction=reduction)(x, y)) == pytest.approx(slow / divisor, rel=1e-12)


def test_the_gradient_to_the_features_is_equation_2() -> None:
    x, y, C = sample()
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(loss_with(C, reduction="sum")(x, y), x)
    for i in range(len(x)):
        torch.testing.assert_close(gradient[i], x[i].detach() - C[y[i]])
    (mean,) = torch.autograd.grad(loss_with(C)(x, y), x)
    torch.testing.assert_close(mean, gradient / len(x))
    assert torch.autograd.gradcheck(lambda z: center_distance(z, y, C, "sum"), x)


def test_equation_4_as_a_whole() -> None:
    x, y, C = sample(C=4)
    W, b = torch.randn(4, 3, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    slow = 0.0
    for i in range(len(x)):
        below = sum(torch.exp(W[j] @ x[i] + b[j]) for j in range(4))
        slow -= float(torch.log(torch.exp(W[y[i]] @ x[i] + b[y[i]]) / below))
    slow += 0.1 / 2 * sum(float(((x[i] - C[y[i]]) ** 2).sum()) for i in range(len(x)))
    ours = F.cross_entropy(x @ W.T + b, y, reduction="sum") + 0.1 * loss_with(C, reduction="sum")(x, y)
    assert float(ours) == pytest.approx(slow, rel=1e-12)


# --------------------------------------------------------------------------------------------------- properties


def test_a_class_that_is_absent_stays_to_the_bit() -> None:
    x, y, C = sample()
    loss = loss_with(C, alpha=1.0)
    loss.update(x, y)
    assert torch.equal(loss.centers[3], C[3])
    assert not torch.equal(loss.centers[0], C[0])


def test_the_one_below_the_line_damps_a_class_with_one_image() -> None:
    loss = CenterLoss(2, 1, alpha=1.0)
    loss.update(torch.tensor([[6.0]]), torch.tensor([0]))
    assert loss.centers.flatten().tolist() == [3.0, 0.0]  # half the way, though alpha is 1
    loss = CenterLoss(2, 1, alpha=1.0)
    loss.update(torch.tensor([[6.0]] * 99), torch.zeros(99, dtype=torch.long))
    assert loss.centers[0].item() == pytest.approx(6 * 99 / 100)


def test_centers_come_to_rest_at_the_means_of_their_classes() -> None:
    x, y, C = sample(60)
    loss = loss_with(C)
    for _ in range(200):
        loss.update(x, y)
    for j in range(3):
        torch.testing.assert_close(loss.centers[j], x[y == j].mean(0))


def test_no_optimiser_reaches_the_centers() -> None:
    """They are no parameters, get no gradient, and no weight decay, momentum or lambda moves them."""
    x, y, C = sample()
    layer = nn.Linear(3, 3).double()
    loss = loss_with(C)
    assert list(loss.parameters()) == []
    assert "centers" in loss.state_dict()
    optimizer = torch.optim.SGD([*layer.parameters(), *loss.parameters()], lr=0.1, momentum=0.9, weight_decay=0.5)
    for _ in range(3):
        optimizer.zero_grad()
        (1000 * loss(layer(x), y)).backward()
        optimizer.step()
    assert loss.centers.grad is None
    assert not loss.centers.requires_grad
    assert torch.equal(loss.centers, C)


@pytest.mark.parametrize("weight", [1e-3, 1.0, 1e3])
def test_lambda_does_not_leak_into_the_centers(weight: float) -> None:
    x, y, C = sample()
    features = x.clone().requires_grad_()
    loss = loss_with(C)
    (weight * loss(features, y)).backward()
    loss.update(features, y)
    torch.testing.assert_close(loss.centers, C - 0.5 * equation_3(x, y, C))
    assert not loss.centers.requires_grad


def test_the_loss_itself_leaves_the_centers_alone() -> None:
    x, y, C = sample()
    loss = loss_with(C)
    loss(x, y)
    assert torch.equal(loss.centers, C)


def test_half_precision_features_move_single_precision_centers() -> None:
    x, y, _ = sample()
    loss = CenterLoss(4, 3)
    loss.update(x.bfloat16(), y)
    assert loss.centers.dtype == torch.float32
    torch.testing.assert_close(
        loss.centers, 0.5 * -equation_3(x, y, torch.zeros(4, 3).double()).float(), atol=0.02, rtol=0
    )


def test_an_empty_mini_batch_costs_nothing_and_moves_nothing() -> None:
    loss = CenterLoss(2, 3)
    loss.update(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    assert loss(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)).item() == 0
    assert not loss.centers.any()


# ---------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("alpha", [-0.1, 1.5])
def test_a_rate_outside_the_papers_range_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"alpha: wanted a rate in \[0, 1\] \(Sec. III-B\), got"):
        CenterLoss(7, 2, alpha=alpha)


def test_an_unknown_reduction_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted 'mean' or 'sum', got 'max'"):
        CenterLoss(7, 2, reduction="max")


@pytest.mark.parametrize("call", ["forward", "update"])
@pytest.mark.parametrize(("features", "labels"), [((4, 3), (4,)), ((4, 2), (3,)), ((4,), (4,)), ((4, 1, 2), (4,))])
def test_shapes_that_do_not_fit_are_named(call: str, features: tuple[int, ...], labels: tuple[int, ...]) -> None:
    loss = CenterLoss(7, 2)
    with pytest.raises(ValueError, match=r"wanted features \(m, 2\) and labels \(m,\), got"):
        getattr(loss, call)(torch.zeros(features), torch.zeros(labels, dtype=torch.long))


def test_the_chapter_measures_rays_and_classes_apart():
    """A ray along its own direction is long, a cloud across it is flat; turning and scaling change neither."""
    chance = torch.Generator().manual_seed(0)
    noise = torch.randn(3, 200, 2, generator=chance, dtype=torch.float64) * torch.tensor([3.0, 0.5])  # along, across
    angle = torch.tensor([0.0, 2.0944, 4.1888], dtype=torch.float64)
    turn = torch.stack([angle.cos(), angle.sin(), -angle.sin(), angle.cos()], 1).view(3, 2, 2)
    clouds = (noise + torch.tensor([12.0, 0.0])) @ turn  # (3, 200, 2): three rays that start from the origin
    x, y = clouds.flatten(0, 1), torch.arange(3).repeat_interleave(200)
    assert pictures.elongation(x, y) == pytest.approx(6, rel=0.1)
    assert pictures.elongation(0.01 * x + 5, y) == pytest.approx(pictures.elongation(x, y))
    assert pictures.nearest_mean(x, y).tolist() == [1, 1, 1]
    mixed = torch.cat([x, -3 * x[:200]])  # of the first class, half of the faces now lie elsewhere
    assert pictures.nearest_mean(mixed, torch.cat([y, torch.zeros(200, dtype=torch.long)]))[0] < 0.6


def test_centers_are_held_fixed_even_where_they_could_learn() -> None:
    x, y = torch.randn(6, 3, requires_grad=True), torch.arange(6) % 2
    centers = torch.randn(2, 3, requires_grad=True)
    center_distance(x, y, centers).backward()
    assert x.grad is not None and centers.grad is None


def test_the_chapters_spread_is_larger_between_than_within_where_classes_are_apart():
    x, y = torch.tensor([[0.0, 1.0], [0.0, -1.0], [4.0, 1.0], [4.0, -1.0]]), torch.tensor([0, 0, 1, 1])
    assert pictures.spread(x, y) == {"within": 1, "between": 4, "ratio": 4}


@pytest.mark.usefixtures("styled")
def test_features_are_drawn_of_the_epochs_that_the_columns_name():
    course = [(np.array([[k, k], [k + 1, k + 1.0]]), np.full((2, 2), 10.0 + k)) for k in range(3)]
    panels = pictures.plane({"a run": course}, np.array([0, 1]), ("anger", "fear"), (1, 3)).axes
    assert [axes.get_title() for axes in panels] == ["epoch 1", "epoch 3"]
    for axes, k in zip(panels, (0, 2), strict=True):
        assert [c.get_offsets()[0, 0] for c in axes.collections] == [k, k + 1, 10 + k, 10 + k]


@pytest.mark.usefixtures("styled")
def test_a_settings_accuracy_is_drawn_in_percent_with_the_mean_of_seeds():
    rows = [(0.1, 2.0, 1.0, 0.5), (0.0, 4.0, 1.0, 0.2), (0.1, 3.0, 2.0, 0.7)]
    table = pd.DataFrame(rows, columns=["weight", "within", "ratio", "accuracy"])
    within, _, accuracy = pictures.sweep(table).axes
    assert accuracy.collections[0].get_offsets()[:, 0].tolist() == [1, 0, 1]
    assert accuracy.collections[0].get_offsets()[:, 1].tolist() == pytest.approx([50, 20, 70])
    assert accuracy.lines[0].get_ydata() == pytest.approx([20, 60]) and within.lines[0].get_ydata() == pytest.approx(
        [4, 2.5]
    )
    assert [t.get_text() for t in accuracy.get_xticklabels()] == ["0", "0.1"]


@pytest.mark.usefixtures("styled")
def test_each_panel_of_a_course_has_its_own_measure():
    rows = [("a", 1, 1.0, 2.0, 3.0), ("b", 1, 4.0, 5.0, 6.0), ("a", 2, 7.0, 8.0, 9.0)]
    panels = pictures.course(pd.DataFrame(rows, columns=["run", "epoch", "within", "between", "ratio"])).axes
    shown = [{line.get_label(): list(line.get_ydata()) for line in axes.lines} for axes in panels]
    assert shown == [{"a": [1, 7], "b": [4]}, {"a": [2, 8], "b": [5]}, {"a": [3, 9], "b": [6]}]
