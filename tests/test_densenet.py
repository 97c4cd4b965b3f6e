"""Sec. III-F: reconstruction with dense connections."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.densenet import _DenseBlock

from fer_repro.densenet import DenseBlock, DenseLayer, FullyConnected, Reconstruction
from fer_repro.figures import densenet as pictures


def like_torchvision(ours: DenseBlock, theirs: _DenseBlock) -> None:
    """Give torchvision's block the weights of ours."""
    for layer, other in zip(ours.layers, theirs.values()):
        for name in ("norm1", "conv1", "norm2", "conv2"):
            getattr(other, name).load_state_dict(getattr(layer, name).state_dict())


def shaken(module: nn.Module) -> nn.Module:
    """Batch norms that are no identities."""
    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
                m.weight.uniform_(0.5, 2)
                m.bias.uniform_(-1, 1)
                m.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
                m.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return module


# --------------------------------------------------------------------------------------------------- slow loops


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("channels", "growth", "layers"), [(6, 12, 4), (3, 5, 1), (8, 4, 3)])
def test_the_dense_block_is_torchvisions(channels: int, growth: int, layers: int, training: bool) -> None:
    torch.manual_seed(0)
    ours = shaken(DenseBlock(channels, growth, layers)).train(training)
    theirs = _DenseBlock(layers, channels, bn_size=4, growth_rate=growth, drop_rate=0.0).train(training)
    like_torchvision(ours, theirs)  # type: ignore[arg-type]
    x = torch.randn(5, channels, 6, 7)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_each_layer_reads_all_maps_before_it() -> None:
    """x_l = H_l([x_0, ..., x_{l-1}]), with a loop that keeps every map."""
    torch.manual_seed(0)
    block = shaken(DenseBlock(3, 4, 3)).eval()
    x = torch.randn(2, 3, 5, 5)
    maps = [x]
    for l in range(1, 4):  # noqa: E741
        stacked = torch.cat([maps[k] for k in range(l)], dim=1)
        assert stacked.shape[1] == 3 + 4 * (l - 1)
        maps.append(block.layers[l - 1](stacked))  # type: ignore[index, operator]
    torch.testing.assert_close(block(x), torch.cat(maps, dim=1))


def test_the_summed_block_adds_as_resnet_does() -> None:
    torch.manual_seed(0)
    block = shaken(DenseBlock(3, 4, 2, connections="sum")).eval()
    x = torch.randn(2, 3, 5, 5)
    slow = block.widen(x)  # type: ignore[operator]
    for layer in block.layers:  # type: ignore[union-attr]
        slow = slow + layer(slow)  # type: ignore[operator]
    torch.testing.assert_close(block(x), slow)


# --------------------------------------------------------------------------------------------------- properties


def test_the_input_comes_out_untouched_in_front() -> None:
    x = torch.randn(4, 3, 5, 5)
    assert torch.equal(DenseBlock(3, 4, 2)(x)[:, :3], x)


@pytest.mark.parametrize("connections", ["dense", "sum"])
@pytest.mark.parametrize(("growth", "layers"), [(12, 4), (5, 1)])
def test_both_kinds_end_equally_wide(connections: str, growth: int, layers: int) -> None:
    block = DenseBlock(6, growth, layers, connections=connections)
    assert block.out_channels == 6 + growth * layers
    assert block(torch.randn(2, 6, 6, 1)).shape == (2, block.out_channels, 6, 1)


def test_gradient_reaches_the_first_layer_from_every_map() -> None:
    block = DenseBlock(3, 4, 3)
    for channel in range(3, block.out_channels):
        block.zero_grad()
        block(torch.randn(4, 3, 5, 5))[:, channel].square().sum().backward()
        assert block.layers[0].conv1.weight.grad.abs().max() > 0  # type: ignore[union-attr]


def test_a_layer_has_the_parameters_its_formula_says() -> None:
    layer = DenseLayer(30, growth_rate=12, bottleneck=4)
    k, b = 12, 4 * 12
    assert sum(p.numel() for p in layer.parameters()) == 2 * 30 + 30 * b + 2 * b + 9 * b * k


def test_dense_connections_take_fewer_weights_than_summed_ones() -> None:
    dense, summed = (sum(p.numel() for p in DenseBlock(6, 12, 4, connections=c).parameters()) for c in ("dense", "sum"))
    assert dense < summed


@pytest.mark.parametrize("grid", [(6, 1), (1, 16), (6, 6)])
def test_reconstruction_returns_maps_and_features(grid: tuple[int, int]) -> None:
    net = Reconstruction(6, grid, growth_rate=5, num_layers=2, num_features=9)
    maps, features = net(torch.randn(3, 6, *grid))
    assert maps.shape == (3, 6 + 10, *grid)
    assert features.shape == (3, 9)
    assert (maps >= 0).all()


def test_dropout_stands_before_the_fully_connected_layer_and_only_in_training() -> None:
    torch.manual_seed(0)
    head = FullyConnected(50, 8, dropout=0.5)
    x = torch.ones(4, 50)
    assert not torch.equal(head[0](x), x)
    head.eval()
    assert torch.equal(head(x), head(x))
    assert torch.equal(head[0](x), x)


# ---------------------------------------------------------------------------------------------------- bad input


def test_unknown_connections_are_refused() -> None:
    with pytest.raises(ValueError, match=r"connections: wanted one of \('dense', 'sum'\), got 'skip'"):
        DenseBlock(3, connections="skip")


def test_the_layer_before_the_softmax_ends_with_relu() -> None:
    torch.manual_seed(0)
    out = FullyConnected(20, 8)(torch.randn(32, 20))
    assert (out >= 0).all() and (out == 0).any()


@pytest.mark.parametrize("connections", ["dense", "sum"])
def test_the_bottleneck_is_as_wide_as_asked(connections: str) -> None:
    block = DenseBlock(3, 5, 2, bottleneck=2, connections=connections)
    assert [layer.conv1.out_channels for layer in block.layers] == [10, 10]  # type: ignore[union-attr]


# ---------------------------------------------------------------------------------------------- the chapter's pictures


def test_gradients_hang_on_the_seed_of_the_random_function() -> None:
    torch.manual_seed(0)
    block, x = DenseBlock(2, 3, 2), torch.randn(4, 2, 5, 1)
    first, again, other = (pictures.layer_gradients(block, x, seed=seed) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.usefixtures("styled")
def test_reuse_is_the_mean_weight_on_a_source_whatever_its_number_of_maps() -> None:
    block = DenseBlock(6, 3, 3)
    for layer in block.layers:
        nn.init.constant_(layer.conv1.weight, -0.5)  # type: ignore[union-attr, arg-type]
    with torch.no_grad():
        block.layers[2].conv1.weight[:, 6:9] *= 2  # type: ignore[union-attr, operator, index]
    found = pictures.reuse(block)
    np.testing.assert_allclose(found, [[1, np.nan, np.nan], [1, 1, np.nan], [0.5, 1, 0.5]])
    axes = pictures.reuse_map({"here": found}).axes[0]
    names = [[t.get_text() for t in labels] for labels in (axes.get_yticklabels(), axes.get_xticklabels())]
    assert names == [["$H_1$", "$H_2$", "$H_3$"], ["$x_0$", "$x_1$", "$x_2$"]]
    shown = {text.get_position()[::-1]: text.get_text() for text in axes.texts}
    assert shown == {(i, j): f"{found[i, j]:.2f}" for i in range(3) for j in range(i + 1)}


def test_a_map_and_its_negative_are_alike() -> None:
    maps = np.random.default_rng(0).standard_normal((3, 4, 5, 6))
    maps[:, 1], maps[:, 3] = -2 * maps[:, 0], 0
    r = abs(np.corrcoef(maps[:, 0].ravel(), maps[:, 2].ravel())[0, 1])
    assert pictures.likeness(maps) == pytest.approx((1 + 2 * r) / 3)


@pytest.mark.usefixtures("styled")
def test_maps_are_divided_where_a_layers_channels_begin() -> None:
    maps = np.arange(20.0).reshape(10, 2)
    faces = {"a": np.zeros((4, 4)), "b": np.zeros((4, 4))}
    _, first, _, axes, _ = pictures.grown(faces, {"a": maps, "b": -maps}, [0, 4, 7, 10]).axes
    for panel, wanted in ((first, maps.T), (axes, -maps.T)):
        np.testing.assert_array_equal(panel.images[0].get_array(), wanted)
        assert [line.get_xdata()[0] for line in panel.lines] == [3.5, 6.5]
    names = dict(zip(axes.get_xticks().tolist(), (t.get_text() for t in axes.get_xticklabels())))
    assert names == {1.5: "$x_0$", 5.0: "$x_1$", 8.0: "$x_2$"}
