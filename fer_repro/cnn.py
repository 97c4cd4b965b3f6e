"""The seven-layer convolutional network (Paper: Sec. III-C): four convolutions and three max-poolings.

``(1x1, 32), (5x5, 32), (3x3, 32), (3x3, 64)``, each followed by batch normalisation (Sec. III-F) and ReLU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from fer_repro import lookup, results


class Convolution(NamedTuple):
    """One convolution as the paper writes it: (kernel x kernel, channels)."""

    kernel: int
    channels: int


CONVOLUTIONS = (Convolution(1, 32), Convolution(5, 32), Convolution(3, 32), Convolution(3, 64))  # Paper: Sec. III-C
POOL_AFTER = (1, 2, 4)  # Q5: which convolutions a pooling follows
NORMS = ("before", "after", "none")
PIECE = 4096  # pixels whose 32 channels stay in a core's cache


class ConvolutionBlock(nn.Module):
    """Convolution, batch norm, ReLU and, where asked for, 2x2 max-pooling.

    Parameters
    ----------
    in_channels : int
    convolution : Convolution
    pool : bool
    padding : {"same", "valid"}
        Q5: keep the size, or let the border fall away.
    norm : {"before", "after", "none"}
        Q5: batch norm before or after the ReLU, or none (for C-BN).
    separable : bool
        Depthwise-separable convolution (the DSCNN baseline, Q17).
    fast : bool
        Take :class:`RoundedConvolution` and :class:`DepthwiseConvolution`; they give the same numbers.
    """

    def __init__(
        self,
        in_channels: int,
        convolution: Convolution,
        pool: bool,
        padding: str = "same",
        norm: str = "before",
        separable: bool = False,
        fast: bool = True,
    ) -> None:
        super().__init__()
        if padding not in ("same", "valid") or norm not in NORMS:
            raise ValueError(f"Q5: wanted padding 'same' or 'valid' and norm in {NORMS}, got {padding!r}, {norm!r}")
        kernel, channels = convolution
        pad = kernel // 2 if padding == "same" else 0
        bias = norm != "before"  # batch norm right after the convolution removes any bias
        dense, depthwise = (RoundedConvolution, DepthwiseConvolution) if fast else (nn.Conv2d, nn.Conv2d)
        if separable and in_channels > 1:
            self.convolution: nn.Module = nn.Sequential(
                depthwise(in_channels, in_channels, kernel, padding=pad, groups=in_channels, bias=False),
                dense(in_channels, channels, 1, bias=bias),
            )
        else:
            self.convolution = dense(in_channels, channels, kernel, padding=pad, bias=bias)
        self.norm = nn.BatchNorm2d(channels) if norm != "none" else nn.Identity()
        self.norm_last = norm == "after"
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W'); with "same" padding H' = H, and H // 2 with pooling."""
        x = self.convolution(x)
        if self.norm_last:
            return self.pool(self.norm(F.relu(x)))
        # maxpool(relu(x)) = relu(maxpool(x)), values and gradients: pooled first, ReLU has a quarter of the work
        return F.relu(self.pool(self.norm(x)))


@cache
def bfloat16_in_float32() -> bool:
    """Say whether this CPU convolves in float32 sooner than in bfloat16."""
    return not results.quick_bfloat16()


class RoundedConvolution(nn.Conv2d):
    """A convolution of stride 1 in bfloat16 that a CPU slow at it does in float32, with the same numbers.

    In bfloat16, factors are rounded, their products added up in float32 and the sums rounded. Products of rounded
    factors are exact in float32: its own convolution, rounded after, differs in the order of adding alone, as any two
    processors do. Runs recorded in bfloat16 can so be repeated without its instructions, at about the speed of float32
    (``benchmarks/layers.py``). All else is PyTorch's own.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W')."""
        if not _in_bfloat16(x) or not bfloat16_in_float32():
            return super().forward(x)
        x, w = x.to(torch.bfloat16), self.weight.to(torch.bfloat16)
        bias = None if self.bias is None else self.bias.to(torch.bfloat16)
        made: Tensor = _InFloat32.apply(x, w, bias, self.padding, self.groups)
        return made


def _in_bfloat16(x: Tensor) -> bool:
    """Say whether a layer, not compiled, multiplies x in bfloat16 on a CPU."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return _kind(x) == torch.bfloat16


class _InFloat32(torch.autograd.Function):
    """``conv2d`` of bfloat16 numbers, stride 1, a few images at a time: what is wide need not go through memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, padding: tuple[int, int], groups: int) -> Tensor:
        """Map x (B, C, H, W) by w (C', C / groups, k, k) and bias (C',) to (B, C', H', W')."""
        ctx.save_for_backward(x, w)
        ctx.bias, ctx.padding, ctx.groups = bias is not None, padding, groups
        wide, shift = w.float(), None if bias is None else bias.float()
        with torch.autocast("cpu", enabled=False):
            made = [
                F.conv2d(part.float(), wide, shift, padding=padding, groups=groups).to(x.dtype)
                for part in x.split(_images_at_a_time(x))
            ]
        return torch.cat(made)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None, None]:
        """Map the gradient (B, C', H', W') to those of x, w and bias."""
        x, w = ctx.saved_tensors
        wide, wanted = w.float(), [ctx.needs_input_grad[0], True, ctx.bias]
        how = ([len(w)], [1, 1], list(ctx.padding), [1, 1], False, [0, 0], ctx.groups, wanted)
        in_x, in_w, in_bias = [], torch.zeros_like(wide), wide.new_zeros(len(w))
        step = _images_at_a_time(x)
        for out, part in zip(g.split(step), x.split(step), strict=True):
            got_x, got_w, got_bias = torch.ops.aten.convolution_backward(out.float(), part.float(), wide, *how)
            in_w += got_w
            if got_x is not None:
                in_x.append(got_x.to(x.dtype))
            if got_bias is not None:
                in_bias += got_bias
        return (
            torch.cat(in_x) if in_x else None,
            in_w.to(w.dtype),
            in_bias.to(w.dtype) if ctx.bias else None,
            None,
            None,
        )


def _images_at_a_time(x: Tensor) -> int:
    """Return how many images of (B, C, H, W) have about 16 :data:`PIECE` pixels; one at least."""
    return max(1, 16 * PIECE // (x.shape[2] * x.shape[3]))


class DepthwiseConvolution(RoundedConvolution):
    """A convolution of each channel alone, whose weights' gradient is made by the dense one where that is quicker.

    In bfloat16 on a CPU quick at it, this gradient of 5x5 kernels was seen to take far longer than that of the dense
    convolution between all channels, of which it is the diagonal (``benchmarks/layers.py``).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H', W')."""
        if not _in_bfloat16(x) or self.kernel_size[0] <= 3 or bfloat16_in_float32():
            return super().forward(x)
        made: Tensor = _Depthwise.apply(x.to(torch.bfloat16), self.weight.to(torch.bfloat16), self.padding)
        return made


class _Depthwise(torch.autograd.Function):
    """``conv2d(x, w, groups=C)``, stride 1, without a bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, padding: tuple[int, ...]) -> Tensor:
        """Map x (B, C, H, W) by w (C, 1, k, k) to (B, C, H', W')."""
        ctx.save_for_backward(x, w)
        ctx.padding = padding
        return F.conv2d(x, w, padding=padding, groups=len(w))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor, None]:
        """Map the gradient (B, C, H', W') to those of x and w."""
        x, w = ctx.saved_tensors
        how, C = ([1, 1], list(ctx.padding), [1, 1], False, [0, 0]), len(w)
        made = torch.ops.aten.convolution_backward
        in_x = made(g, x, w, None, *how, C, [True, False, False])[0] if ctx.needs_input_grad[0] else None
        dense = made(g, x, w.expand(-1, C, -1, -1), None, *how, 1, [False, True, False])[1]  # (C, C, k, k)
        return in_x, dense.diagonal().permute(2, 0, 1)[:, None].contiguous(), None


class PointwiseBlock(ConvolutionBlock):
    """The first block, exactly as :class:`ConvolutionBlock` computes it, but without its full-size maps.

    A 1x1 convolution of one grey channel, batch norm and ReLU act on each pixel alone, and per channel they are a
    monotone function of its grey value x. Max-pooling passes through a monotone function::

        maxpool(relu(a x + d)) = relu(a maxpool(x) + d)  where a >= 0,  relu(a minpool(x) + d)  where a < 0

    and the batch statistics of w x follow from those of x: mean w m, variance w^2 v. So the 32 maps of full size, their
    normalisation and their pooling are never made. Values, gradients and running statistics are those of the plain
    layers up to rounding; parameters and state have the same names, so that either form loads the other's weights.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to (B, C, H // 2, W // 2)."""
        kind = _kind(x)
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            a, d = self.line(x)
            # the largest x where the slope rises, the smallest where it falls, and d: one product with (max, min, 1)
            A = torch.stack([a.clamp(min=0), a.clamp(max=0), d])  # (3, C)
            maps: Tensor = _ProductReLU.apply(_extremes(x), A, kind)  # (B, H/2, W/2, C)
        return maps.permute(0, 3, 1, 2)  # channels last in memory, as the next convolution wants them

    def into(self, following: ConvolutionBlock, x: Tensor) -> Tensor:
        """Map (B, 1, H, W) to the following block's output without the maps between, see :mod:`fer_repro.lookup`."""
        kind, conv, norm = _kind(x), following.convolution, following.norm
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            return lookup.second_block(x, *self.line(x), conv, norm, kind)

    def line(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and d, each (C,), of norm(w x) = a x + d."""
        conv, norm = self.convolution, self.norm
        assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        w = conv.weight.view(-1)  # (C,)
        mean, variance = self._statistics(x, w, norm)  # of w x, per channel
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        return scale * w, norm.bias - scale * mean

    @staticmethod
    def _statistics(x: Tensor, w: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        """Return mean and variance of w x, each (C,), and keep the running statistics."""
        if not norm.training:
            assert norm.running_mean is not None and norm.running_var is not None
            return norm.running_mean, norm.running_var
        m = x.mean()
        v = (x - m).square().mean()  # a sixth of what var_mean takes
        mean, variance = w * m, w.square() * v
        lookup.keep_statistics(norm, mean, variance, x.numel())
        return mean, variance


def _kind(x: Tensor) -> torch.dtype:
    """Return the type that autocast wants a convolution of x to have."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype


def _extremes(x: Tensor) -> Tensor:
    """Return largest and smallest pixel of each 2x2 window, and 1: (B, 1, H, W) to (B, H // 2, W // 2, 3)."""
    if x.requires_grad:  # a tie's gradient goes to the first, as in the plain layers
        high = F.max_pool2d(x, 2)
        return torch.cat([high, -F.max_pool2d(-x, 2), torch.ones_like(high)], 1).permute(0, 2, 3, 1)
    x = x[:, 0, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    high, low = (of(x[:, ::2], x[:, 1::2]) for of in (torch.maximum, torch.minimum))
    high = torch.maximum(high[..., ::2], high[..., 1::2])
    return torch.stack([high, torch.minimum(low[..., ::2], low[..., 1::2]), torch.ones_like(high)], -1)


class _ProductReLU(torch.autograd.Function):
    """relu(e A), rounded to a narrower type, and its gradients, a few images at a time.

    The maps are the largest of the network: on a CPU each step over all of them goes through memory. Taken in pieces
    that stay in the cache, product, rounding and ReLU cost about half. The arithmetic is in the type of ``e``.
    """

    @staticmethod
    def forward(ctx: Any, e: Tensor, A: Tensor, kind: torch.dtype) -> Tensor:
        """Map e (B, H, W, K) and A (K, C) to (B, H, W, C) of type ``kind``."""
        flat = e.reshape(-1, len(A))  # (B H W, K)
        maps = flat.new_empty(len(flat), A.shape[1], dtype=kind)
        piece = PIECE if e.device.type == "cpu" else len(flat)
        for part, into in zip(flat.split(piece), maps.split(piece), strict=True):
            into.copy_((part @ A).clamp_(min=0))
        ctx.save_for_backward(flat, A, maps)
        ctx.shape = e.shape
        return maps.view(*e.shape[:-1], A.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor, None]:
        """Map the gradient (B, H, W, C) to those of e and A."""
        flat, A, maps = ctx.saved_tensors
        g = g.reshape(maps.shape)
        piece = 4 * PIECE if g.device.type == "cpu" else len(flat)
        in_e = torch.empty_like(flat) if ctx.needs_input_grad[0] else None
        in_A = torch.zeros_like(A)
        with torch.autocast(g.device.type, enabled=False):
            for start in range(0, len(flat), piece):
                here = slice(start, start + piece)
                passed = torch.ops.aten.threshold_backward(g[here], maps[here], 0).to(A.dtype)
                in_A.addmm_(flat[here].T, passed)
                if in_e is not None:
                    torch.mm(passed, A.T, out=in_e[here])
        return None if in_e is None else in_e.view(ctx.shape), in_A, None


class SevenLayerCNN(nn.Module):
    """Four convolutions and three poolings (Paper: Sec. III-C).

    Parameters
    ----------
    pool_after : sequence of int
        Q5: numbers (from 1) of the convolutions that a pooling follows.
    padding, norm : str
        Q5, see :class:`ConvolutionBlock`.
    separable : bool
        Depthwise-separable convolutions from the second on (Q17, DSCNN).
    fast : bool
        Take :class:`PointwiseBlock` for the first block where it applies, and :class:`DepthwiseConvolution`; they give
        the same numbers.
    convolutions : sequence of Convolution
        The paper's four by default.
    """

    def __init__(
        self,
        pool_after: Sequence[int] = POOL_AFTER,
        padding: str = "same",
        norm: str = "before",
        separable: bool = False,
        fast: bool = True,
        convolutions: Sequence[Convolution] = CONVOLUTIONS,
    ) -> None:
        super().__init__()
        if sorted(set(pool_after)) != list(pool_after) or not set(pool_after) <= set(range(1, len(convolutions) + 1)):
            raise ValueError(
                f"pool_after: wanted rising numbers within 1..{len(convolutions)} (Q5), got {tuple(pool_after)}"
            )
        blocks: list[ConvolutionBlock] = []
        channels = 1
        for number, convolution in enumerate(convolutions, start=1):
            pool = number in pool_after
            pointwise = fast and number == 1 and convolution.kernel == 1 and pool and norm == "before"
            kind = PointwiseBlock if pointwise else ConvolutionBlock
            blocks.append(kind(channels, convolution, pool, padding, norm, separable, fast))
            channels = convolution.channels
        self.blocks = nn.ModuleList(blocks)
        self.channels = channels
        self.first_maps = True  # see without_first_maps
        self.tabled = (
            len(blocks) > 1
            and isinstance(blocks[0], PointwiseBlock)
            and isinstance(blocks[1].convolution, RoundedConvolution)
            and blocks[1].convolution.out_channels == lookup.CHANNELS
            and blocks[1].convolution.kernel_size == (lookup.KERNEL, lookup.KERNEL)
            and isinstance(blocks[1].pool, nn.MaxPool2d)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Map images (B, 1, S, S) to the feature map (B, 64, H, W) and the blocks' outputs by name."""
        parts: dict[str, Tensor] = {}
        made = 0  # blocks
        if self._by_table(x):
            first, second = self.blocks[:2]
            assert isinstance(first, PointwiseBlock) and isinstance(second, ConvolutionBlock)
            x, made = first.into(second, x), 2
        for number, block in enumerate(self.blocks, start=1):
            if number > made:
                x = block(x)
            if max(made, 1) <= number < len(self.blocks):
                parts[f"block{number}"] = x
        if x.requires_grad and not torch.compiler.is_compiling():
            # what follows reads the map in another order: turned once, its gradient does not slow ReLU and pooling
            x.register_hook(lambda g: g.contiguous(memory_format=torch.channels_last))
        return x, parts

    def _by_table(self, x: Tensor) -> bool:
        """Say whether the first two blocks are taken together, see :mod:`fer_repro.lookup`."""
        return (
            not self.first_maps
            and self.tabled
            and self.training
            and x.device.type == "cpu"
            and x.dtype in (torch.float32, torch.bfloat16)
            and _kind(x) in (torch.float32, torch.bfloat16)
            and not x.requires_grad
            and not torch.compiler.is_compiling()
            and lookup.available()
        )

    def output_size(self, size: int) -> int:
        """Return H = W of the feature map for images of ``size`` pixels."""
        for block in self.blocks:
            assert isinstance(block, ConvolutionBlock)
            conv = block.convolution[0] if isinstance(block.convolution, nn.Sequential) else block.convolution
            assert isinstance(conv, nn.Conv2d)
            size = size + 2 * int(conv.padding[0]) - conv.kernel_size[0] + 1
            size = size // 2 if isinstance(block.pool, nn.MaxPool2d) else size
        if size < 1:
            raise ValueError("the images are too small: nothing is left after the last pooling")
        return size


@contextmanager
def without_first_maps(model: nn.Module) -> Iterator[bool]:
    """Let networks within ``model`` leave out the first block's maps, in training, while this lasts.

    On a CPU the first two blocks are then taken together, by table (:mod:`fer_repro.lookup`), and "block1" is not among
    the parts. Gives whether any can be on this machine.
    """
    found = [part for part in model.modules() if isinstance(part, SevenLayerCNN)]
    for part in found:
        part.first_maps = False
    try:
        yield lookup.available() and any(part.tabled for part in found)
    finally:
        for part in found:
            part.first_maps = True
