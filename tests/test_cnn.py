"""Sec. III-C: four convolutions and three poolings, and the first block's algebraic form."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fer_repro import cnn
from fer_repro.cnn import (
    CONVOLUTIONS,
    POOL_AFTER,
    Convolution,
    ConvolutionBlock,
    DepthwiseConvolution,
    PointwiseBlock,
    RoundedConvolution,
    SevenLayerCNN,
)
from fer_repro.figures import cnn as pictures

CLOSE = {"rtol": 2e-5, "atol": 2e-5}  # float32, a few sums long


def images(n: int = 3, height: int = 12, width: int = 12, seed: int = 0) -> Tensor:
    return torch.randn(n, 1, height, width, generator=torch.Generator().manual_seed(seed))


def shaken(block: ConvolutionBlock, seed: int = 1) -> ConvolutionBlock:
    """Give norm weight, bias and statistics values that a trained network could have, negative slopes among them."""
    chance = torch.Generator().manual_seed(seed)
    norm = block.norm
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.copy_(torch.randn(tensor.shape, generator=chance))
        norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=chance) + 0.5)
    return block


def both(seed: int = 1) -> tuple[ConvolutionBlock, PointwiseBlock]:
    """Return the plain first block and its algebraic form with the same weights."""
    torch.manual_seed(seed)
    plain = shaken(ConvolutionBlock(1, Convolution(1, 32), pool=True), seed)
    fast = PointwiseBlock(1, Convolution(1, 32), pool=True)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def assert_same_state(a: nn.Module, b: nn.Module, **close: float) -> None:
    assert a.state_dict().keys() == b.state_dict().keys()
    for name, tensor in a.state_dict().items():
        torch.testing.assert_close(b.state_dict()[name], tensor, msg=lambda m, name=name: f"{name}: {m}", **close)


def gradients(block: nn.Module, x: Tensor) -> dict[str, Tensor]:
    block.zero_grad()
    out = block(x)
    weight = torch.linspace(-1, 2, out.numel()).view_as(out)  # each output counts differently
    (out * weight).sum().backward()
    return {name: p.grad.clone() for name, p in block.named_parameters() if p.grad is not None}


# -------------------------------------------------------------------------------------- against a loop from the formula


def convolution_loop(x: np.ndarray, weight: np.ndarray, pad: int) -> np.ndarray:
    """y[n, k, i, j] = sum over c, u, v of weight[k, c, u, v] x[n, c, i + u - pad, j + v - pad]."""
    n, _, height, width = x.shape
    channels, _, kernel, _ = weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((n, channels, height + 2 * pad - kernel + 1, width + 2 * pad - kernel + 1))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            patch = padded[:, :, i : i + kernel, j : j + kernel]
            for k in range(channels):
                out[:, k, i, j] = (patch * weight[k]).sum(axis=(1, 2, 3))
    return out


def block_loop(x: np.ndarray, weight: np.ndarray, gamma: np.ndarray, beta: np.ndarray, pad: int) -> np.ndarray:
    """Convolve, normalise by the batch, cut at zero, and take the largest of each 2x2, all written out."""
    y = convolution_loop(x, weight, pad)
    for k in range(y.shape[1]):
        y[:, k] = gamma[k] * (y[:, k] - y[:, k].mean()) / np.sqrt(y[:, k].var() + 1e-5) + beta[k]
    y = np.maximum(y, 0)
    out = np.zeros((*y.shape[:2], y.shape[2] // 2, y.shape[3] // 2))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = y[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max(axis=(2, 3))
    return out


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_block_is_convolution_norm_relu_and_pooling_written_out(kernel, padding):
    torch.manual_seed(0)
    block = shaken(ConvolutionBlock(2, Convolution(kernel, 3), pool=True, padding=padding)).train()
    x = torch.randn(2, 2, 9, 8)
    conv, norm = block.convolution, block.norm
    pad = kernel // 2 if padding == "same" else 0
    arrays = (t.detach().double().numpy() for t in (x, conv.weight, norm.weight, norm.bias))
    np.testing.assert_allclose(block(x).detach().numpy(), block_loop(*arrays, pad), rtol=1e-4, atol=1e-5)


def test_the_first_block_in_algebraic_form_is_the_loop_too():
    _, fast = both()
    x, conv, norm = images(2, 7, 6), fast.convolution, fast.norm
    arrays = (t.detach().double().numpy() for t in (x, conv.weight, norm.weight, norm.bias))
    np.testing.assert_allclose(fast.train()(x).detach().numpy(), block_loop(*arrays, 0), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------- the algebraic form is the plain layers

SHAPES = [(3, 12, 12), (2, 13, 9), (1, 2, 3), (4, 48, 48)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_values_are_equal(shape, training):
    plain, fast = both()
    x = images(*shape)
    expected = plain.train(training)(x)
    assert (expected == 0).any() and (expected > 0).any()  # both sides of the ReLU are in the comparison
    torch.testing.assert_close(fast.train(training)(x), expected, **CLOSE)


def test_slopes_of_both_signs_are_compared():
    plain, _ = both()
    slopes = plain.norm.weight * plain.convolution.weight.flatten()
    assert (slopes < 0).sum() > 5 and (slopes > 0).sum() > 5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_are_equal(shape, training):
    plain, fast = both()
    x = images(*shape)
    expected, got = gradients(plain.train(training), x), gradients(fast.train(training), x)
    assert expected.keys() == got.keys() == {"convolution.weight", "norm.weight", "norm.bias"}
    for name, gradient in expected.items():
        size = max(float(gradient.abs().max()), 1.0)
        # in training, batch norm undoes the weight's scale: its gradient is a difference of large numbers near zero
        slack = 1e-4 * max(size, float(got["norm.weight"].abs().max()))
        torch.testing.assert_close(got[name], gradient, rtol=1e-3, atol=slack, msg=lambda m, name=name: f"{name}: {m}")


def test_running_statistics_are_equal_after_several_batches():
    plain, fast = both()
    for seed in range(4):
        x = images(3, 11, 14, seed=seed) * (1 + seed)
        plain.train()(x), fast.train()(x)
    assert_same_state(plain, fast, rtol=1e-5, atol=1e-6)
    assert int(fast.norm.num_batches_tracked) == 4


@pytest.mark.parametrize("level", [0.0, -3.0, 120.0])
def test_constant_images_are_equal(level):
    plain, fast = both()
    x = torch.full((2, 1, 6, 6), level)
    expected = plain.train()(x)
    # a constant batch is its own mean: only the norm's bias is left, up to rounding that 1/sqrt(eps) enlarges
    torch.testing.assert_close(fast.train()(x), expected, rtol=1e-4, atol=1e-4 * max(1.0, abs(level)))
    torch.testing.assert_close(fast.eval()(x), plain.eval()(x), rtol=1e-4, atol=1e-4 * max(1.0, abs(level)))


def test_either_form_loads_the_others_weights():
    torch.manual_seed(3)
    fast, plain = SevenLayerCNN(fast=True), SevenLayerCNN(fast=False)
    assert isinstance(fast.blocks[0], PointwiseBlock) and not isinstance(plain.blocks[0], PointwiseBlock)
    plain.load_state_dict(fast.state_dict())
    x = images(2, 24, 24)
    torch.testing.assert_close(plain(x)[0], fast(x)[0], rtol=1e-4, atol=1e-4)
    fast.load_state_dict(plain.state_dict())
    torch.testing.assert_close(fast.eval()(x)[0], plain.eval()(x)[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_training_takes_the_same_course(optimizer):
    """Several steps from the same start: the two forms stay together, batch after batch."""
    torch.manual_seed(4)
    plain = nn.Sequential(both()[0], nn.Flatten(), nn.Linear(32 * 36, 3))
    fast = copy.deepcopy(plain)
    fast[0] = both()[1]
    losses = []
    for network in (plain, fast):
        steps, course = optimizer(network.parameters(), lr=1e-2), []
        for seed in range(6):
            x, y = images(8, seed=seed), torch.arange(8) % 3
            loss = nn.functional.cross_entropy(network(x), y)
            steps.zero_grad()
            loss.backward()
            steps.step()
            course.append(loss.item())
        losses.append(course)
    assert losses[0][0] != losses[0][-1]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)
    np.testing.assert_allclose(fast(images()).detach(), plain(images()).detach(), rtol=2e-2, atol=2e-3)


def test_the_algebraic_form_computes_in_float32_under_autocast_and_rounds_once():
    _, fast = both()
    x = images()
    exact = fast.eval()(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = fast(x)
    assert rounded.dtype == torch.bfloat16
    assert torch.equal(rounded, exact.to(torch.bfloat16))
    assert fast.double()(x.double()).dtype == torch.float64


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_the_first_blocks_maps_do_not_depend_on_the_pieces_they_are_made_in(piece, monkeypatch):
    chance = torch.Generator().manual_seed(3)
    e, A, g = (torch.randn(*shape, generator=chance) for shape in ((2, 3, 5, 3), (3, 4), (2, 3, 5, 4)))
    leaves = [v.double().requires_grad_() for v in (e, A)]
    expected = torch.relu(leaves[0] @ leaves[1])
    wanted = torch.autograd.grad(expected, leaves, g.double())
    monkeypatch.setattr(cnn, "PIECE", piece)
    values = cnn._ProductReLU.apply(*leaves, torch.float64)
    torch.testing.assert_close(values, expected)
    for got, want in zip(torch.autograd.grad(values, leaves, g.double()), wanted, strict=True):
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("shape", SHAPES)
def test_extremes_are_the_same_with_and_without_a_gradient_to_the_image(shape):
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(4))[:, None]
    torch.testing.assert_close(cnn._extremes(x), cnn._extremes(x.clone().requires_grad_()).detach(), rtol=0, atol=0)


def test_gradients_to_the_image_are_equal():
    plain, fast = both()
    x = torch.randn(3, 1, 9, 8).round(decimals=1).requires_grad_()  # rounded, so that squares have ties
    out = plain(x)
    weight = torch.randn(out.shape)
    wanted = torch.autograd.grad((out * weight).sum(), x)
    torch.testing.assert_close(torch.autograd.grad((fast(x) * weight).sum(), x), wanted, rtol=1e-4, atol=1e-4)


def test_the_algebraic_form_hands_on_maps_with_channels_last():
    _, fast = both()
    assert fast(images()).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("norm", ["before", "none"])
def test_relu_after_pooling_is_relu_before_it(norm):
    torch.manual_seed(0)
    block = ConvolutionBlock(3, Convolution(3, 8), pool=True, norm=norm)
    x = torch.randn(4, 3, 10, 10).round(decimals=1).requires_grad_()  # rounded, so that squares have ties
    got = block(x)
    weights = torch.randn_like(got)
    expected = block.pool(torch.relu(block.norm(block.convolution(x))))
    first = torch.autograd.grad((got * weights).sum(), [x, *block.parameters()])
    second = torch.autograd.grad((expected * weights).sum(), [x, *block.parameters()])
    assert torch.equal(got, expected)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "options", [{"norm": "after"}, {"norm": "none"}, {"pool_after": (2, 3, 4)}, {"convolutions": CONVOLUTIONS[1:]}]
)
def test_where_the_algebra_does_not_hold_the_plain_layers_are_taken(options):
    network = SevenLayerCNN(**{"pool_after": (1, 2, 3), **options})
    assert not any(isinstance(block, PointwiseBlock) for block in network.blocks)


# ---------------------------------------------------------------------------------------------------- the seven layers


def test_the_layers_are_the_papers():
    network = SevenLayerCNN()
    kernels = [(block.convolution.kernel_size[0], block.convolution.out_channels) for block in network.blocks]
    assert kernels == [(1, 32), (5, 32), (3, 32), (3, 64)]
    assert sum(isinstance(block.pool, nn.MaxPool2d) for block in network.blocks) == 3
    assert all(isinstance(block.norm, nn.BatchNorm2d) for block in network.blocks)


def test_parameters_are_those_counted_by_hand():
    weights = 1 * 1 * 1 * 32 + 5 * 5 * 32 * 32 + 3 * 3 * 32 * 32 + 3 * 3 * 32 * 64
    norms = 2 * (32 + 32 + 32 + 64)
    assert sum(p.numel() for p in SevenLayerCNN().parameters()) == weights + norms


@pytest.mark.parametrize("size", [41, 48, 50, 128])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("pool_after", [POOL_AFTER, (2, 3, 4), (1, 2, 3)])
def test_output_size_is_that_of_the_output(size, padding, pool_after):
    network = SevenLayerCNN(pool_after, padding).eval()
    out, parts = network(torch.zeros(1, 1, size, size))
    assert out.shape == (1, 64, network.output_size(size), network.output_size(size))
    assert list(parts) == ["block1", "block2", "block3"]


@pytest.mark.parametrize("norm", ["before", "after", "none"])
@pytest.mark.parametrize("separable", [False, True])
def test_every_reading_of_q5_trains(norm, separable):
    torch.manual_seed(0)
    network = SevenLayerCNN(norm=norm, separable=separable)
    network(images(2, 16, 16))[0].square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_separable_convolutions_have_fewer_parameters():
    counts = [sum(p.numel() for p in SevenLayerCNN(separable=s).parameters()) for s in (True, False)]
    assert counts[0] < counts[1] / 5


def test_the_first_block_cannot_see_a_neighbourhood():
    """Pixels exchanged within each pooling window, or anywhere before pooling, change nothing but their places."""
    _, fast = both()
    x = images(1, 8, 8)
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)  # (1, 1, 4, 4, 4)
    turned = windows[..., [2, 0, 3, 1]].unflatten(4, (2, 2)).permute(0, 1, 2, 4, 3, 5).reshape(x.shape)
    assert not torch.equal(turned, x)
    torch.testing.assert_close(fast.eval()(turned), fast.eval()(x))


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "reflect"}, r"padding 'same' or 'valid'.*'reflect'"),
        ({"norm": "batch"}, r"norm in .*'batch'"),
        ({"pool_after": (2, 1)}, r"rising numbers within 1\.\.4 \(Q5\), got \(2, 1\)"),
        ({"pool_after": (1, 5)}, r"rising numbers within 1\.\.4"),
        ({"pool_after": (1, 1)}, r"rising numbers within 1\.\.4"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        SevenLayerCNN(**options)


def test_images_that_vanish_are_refused():
    with pytest.raises(ValueError, match="too small"):
        SevenLayerCNN(padding="valid").output_size(12)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("kind", [{"separable": True}, {}, {"norm": "after"}], ids=str)
def test_the_fast_forms_in_bfloat16_are_those_of_the_plain_layers(wide, padding, layout, kind, monkeypatch):
    monkeypatch.setattr(cnn, "bfloat16_in_float32", lambda: wide)
    monkeypatch.setattr(cnn, "PIECE", 20)  # of the nine images, two are taken at a time
    torch.manual_seed(0)
    plain, fast = (ConvolutionBlock(6, Convolution(5, 8), True, padding, fast=f, **kind) for f in (False, True))
    assert {type(m) for m in plain.modules()}.isdisjoint({RoundedConvolution, DepthwiseConvolution})
    if "separable" in kind:
        assert isinstance(fast.convolution[0], DepthwiseConvolution)
        assert isinstance(fast.convolution[1], RoundedConvolution)
    else:
        assert isinstance(fast.convolution, RoundedConvolution)
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(9, 6, 14, 11).contiguous(memory_format=layout)
    values = []
    for block in (plain, fast):
        leaf = x.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = block(leaf)
        weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
        values.append([out, *torch.autograd.grad((out.float() * weight).sum(), [leaf, *block.parameters()])])
    for got, want in zip(values[1], values[0], strict=True):
        assert got.dtype == want.dtype
        torch.testing.assert_close(got, want, rtol=0.02, atol=0.01 * float(want.detach().abs().max()))
    assert values[1][0].is_contiguous(memory_format=layout)


@pytest.mark.parametrize(("groups", "bias"), [(1, True), (1, False), (4, True)])
def test_a_rounded_convolution_rounds_factors_and_sums_and_nothing_else(groups, bias, monkeypatch):
    monkeypatch.setattr(cnn, "bfloat16_in_float32", lambda: True)
    monkeypatch.setattr(cnn, "PIECE", 10)
    torch.manual_seed(0)
    layer = RoundedConvolution(4, 8, 3, padding=1, groups=groups, bias=bias)
    x, g = torch.randn(7, 4, 9, 8).bfloat16(), torch.randn(7, 8, 9, 8).bfloat16()
    exact = [v.bfloat16().double().requires_grad_() for v in (x, *layer.parameters())]
    sums = torch.nn.functional.conv2d(*exact, padding=1, groups=groups)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x.requires_grad_())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.double(), sums, rtol=2**-8, atol=1e-6)  # half a step of 8 bits
    got = torch.autograd.grad(out, [x, *layer.parameters()], g)
    for one, other in zip(got, torch.autograd.grad(sums, exact, g.double()), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("separable", [False, True])
def test_training_in_bfloat16_takes_the_same_course_whichever_way_it_is_multiplied(separable, monkeypatch):
    torch.manual_seed(5)
    start, courses = nn.Sequential(SevenLayerCNN(separable=separable), nn.Flatten(), nn.Linear(64 * 2 * 2, 3)), []
    for wide in (True, False):
        monkeypatch.setattr(cnn, "bfloat16_in_float32", lambda wide=wide: wide)
        network, course = copy.deepcopy(start), []
        steps, x, y = torch.optim.SGD(network.parameters(), lr=5e-3), images(16, 16, 16), torch.arange(16) % 3
        for _ in range(6):
            with torch.autocast("cpu", torch.bfloat16):
                maps, _ = network[0](x)
                scores = network[1:](maps)
            loss = nn.functional.cross_entropy(scores.float(), y)
            steps.zero_grad()
            loss.backward()
            steps.step()
            course.append(loss.item())
        courses.append(course)
    assert courses[0][0] - courses[0][-1] > 0.1
    np.testing.assert_allclose(*courses, atol=0.01)


def test_a_rounded_convolution_is_the_plain_one_outside_bfloat16(monkeypatch):
    monkeypatch.setattr(cnn, "bfloat16_in_float32", lambda: True)
    monkeypatch.setattr(cnn._InFloat32, "apply", lambda *_: pytest.fail("was rounded"))
    layer, x = RoundedConvolution(3, 5, 3), torch.randn(2, 3, 6, 6)
    assert torch.equal(layer(x), torch.nn.functional.conv2d(x, layer.weight, layer.bias))
    assert layer.double()(x.double()).dtype == torch.float64


def test_the_images_themselves_get_no_gradient_where_none_is_wanted(monkeypatch):
    monkeypatch.setattr(cnn, "bfloat16_in_float32", lambda: True)
    layer = RoundedConvolution(3, 5, 3)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(2, 3, 6, 6)).sum().backward()
    assert layer.weight.grad is not None and layer.bias.grad is not None
    torch.testing.assert_close(layer.bias.grad, torch.full((5,), 2.0 * 4 * 4))


def test_the_fast_depthwise_gradient_is_exact_before_rounding():
    x, w, g = (torch.randn(*shape, dtype=torch.float64) for shape in ((3, 4, 9, 8), (4, 1, 5, 5), (3, 4, 9, 8)))
    leaves = [v.requires_grad_() for v in (x, w)]
    wanted = torch.autograd.grad(torch.nn.functional.conv2d(x, w, padding=2, groups=4), leaves, g)
    got = torch.autograd.grad(cnn._Depthwise.apply(x, w, (2, 2)), leaves, g)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_norm_after_relu_stands_before_the_pooling_and_leaves_the_bias() -> None:
    torch.manual_seed(0)
    block = ConvolutionBlock(3, Convolution(3, 8), pool=True, norm="after")
    assert block.convolution.bias is not None
    with torch.no_grad():
        block.norm.weight.uniform_(-2, 2)
    x = torch.randn(4, 3, 10, 10)
    torch.testing.assert_close(block(x), block.pool(block.norm(torch.relu(block.convolution(x)))))


# ---------------------------------------------------------------------------------------------- the chapter's pictures


def test_the_table_of_layers_is_what_the_layers_are() -> None:
    model = SevenLayerCNN()
    table = pictures.layer_table(model, 48)
    assert table["layer"].str.partition(":")[0].tolist() == ["C1", "P1", "C2", "P2", "C3", "C4", "P3"]
    assert table["parameters"].sum() == sum(p.numel() for p in model.parameters())
    assert table["side"].tolist() == [48, 24, 24, 12, 12, 12, 6]
    kernels, strides = [1, 2, 5, 2, 3, 3, 2], [1, 2, 1, 2, 1, 1, 2]
    for k, row in enumerate(table.itertuples()):
        field = 1
        for kernel, stride in zip(kernels[k::-1], strides[k::-1], strict=True):  # back from one value to the pixels
            field = (field - 1) * stride + kernel
        assert (row.field, row.stride) == (field, np.prod(strides[: k + 1]))
    assert table["multiplications"].iloc[2] == pytest.approx(25 * 32 * 32 * 24**2 / 1e6)


@torch.no_grad()
@pytest.mark.parametrize("norm", ["before", "none"])
def test_the_first_blocks_maps_are_curves_over_the_grey_value(norm: str) -> None:
    torch.manual_seed(0)
    block = ConvolutionBlock(1, Convolution(1, 8), pool=False, norm=norm).eval()
    if norm == "before":
        shaken(block)
    slope, offset = (torch.from_numpy(v)[:, None, None] for v in pictures.tones(block))
    x = images()
    torch.testing.assert_close(torch.relu(slope * x + offset), block(x), **CLOSE)


def test_the_effective_rank_counts_directions_by_their_share_of_the_variance() -> None:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    a, b = np.cos(t), np.sin(t)
    assert pictures.effective_rank(np.stack([a, 5 * b + 3], 1)) == pytest.approx(2)
    assert pictures.effective_rank(np.stack([a, -2 * a, a + 1], 1)) == pytest.approx(1)
    mixed = np.stack([a, 0.6 * a + 0.8 * b, np.ones(48)], 1)  # correlated by 0.6: shares 0.8 and 0.2
    assert pictures.effective_rank(mixed) == pytest.approx(np.exp(-0.8 * np.log(0.8) - 0.2 * np.log(0.2)))


@pytest.mark.usefixtures("styled")
def test_a_smoothed_loss_stands_at_the_last_of_its_mini_batches() -> None:
    (axes,) = pictures.losses({"here": np.array([4.0, 2.0, 0.0, 4.0])}, 2).axes
    assert [v.tolist() for v in axes.lines[0].get_data()] == [[2, 3, 4], [3, 1, 2]]


@pytest.mark.usefixtures("styled")
def test_a_receptive_field_is_as_wide_as_the_table_says() -> None:
    table = pictures.layer_table(SevenLayerCNN(), 48)
    for axes, (name, field) in zip(
        pictures.receptive_fields(np.zeros((48, 48)), table, ["P1", "C3"]).axes, (("P1", 2), ("C3", 20)), strict=True
    ):
        assert (axes.patches[0].get_width(), axes.patches[0].get_height()) == (field, field)
        assert axes.get_title().startswith(f"after {name}\n{field}×{field}, every {2 if name == 'P1' else 4}")


@pytest.mark.usefixtures("styled")
def test_a_face_is_seen_through_the_most_rising_and_the_most_falling_curve() -> None:
    curves = {"here": (np.array([1.0, 2.0, -3.0]), np.array([0.0, 0.5, 1.0]))}
    face = np.linspace(-1, 1, 16).reshape(4, 4)
    above, _, *seen = pictures.tone_curves(curves, face.ravel(), face).axes
    assert [axes.get_title() for axes in seen] == ["a drawn face", "a rising map", "a falling map"]
    for axes, wanted in zip(seen, (face, np.maximum(2 * face + 0.5, 0), np.maximum(1 - 3 * face, 0)), strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), wanted)
    rising, also_rising, falling = (line.get_color() for line in above.lines)
    assert rising == also_rising != falling
