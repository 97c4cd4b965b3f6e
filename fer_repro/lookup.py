"""The first two convolutions as tabled functions of a grey value (Paper: Sec. III-C), for training on a CPU.

The first block makes 32 numbers of one grey value v, relu(a_c v + d_c). What a tap of the second convolution adds to
its 32 outputs is a function of v alone, too, and between two neighbouring kinks -d_c / a_c it is linear::

    sum_c w_c relu(a_c v + d_c) = slope_i v + intercept_i,   slope_i = sum of w_c a_c over the channels active there

So slopes and intercepts of every piece are made once a step, and each pixel adds ``slope v + intercept`` where the
plain form adds up 32 products for each output: values and gradients are the same up to rounding, sums are in float32.
Of a pooling square, channels with a_c >= 0 see the largest pixel and the others the smallest: two tables, side by side.

The loop over pixels is C, ``lookup.c``, compiled by the machine's own compiler when it is first wanted and kept in the
cache. Where there is none, :func:`available` says so, and the network takes its ordinary convolution.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from fer_repro import results
from fer_repro.data import cache as kept

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("lookup.c")
COMPILERS = ("gcc", "cc", "clang")
FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fopenmp", "-shared", "-fPIC")
KERNEL, CHANNELS = 5, 32  # what the C code is written for: the second convolution, (5x5, 32)


class _Shape(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_int32)
        for name in ("images", "height", "width", "padding", "rising", "falling", "bfloat16", "threads")
    ]


def available() -> bool:
    """Say whether this machine can compile the loop, or has."""
    return _library() is not None


@cache
def _library() -> ctypes.CDLL | None:
    """Return the compiled loop; None, and a line in the log, where it cannot be had."""
    if os.name != "posix":
        return None
    compiler = next(filter(None, map(shutil.which, filter(None, (os.environ.get("CC"), *COMPILERS)))), None)
    if compiler is None:
        log.info("no C compiler found (Debian, Ubuntu: sudo apt-get install gcc libc6-dev)")
        return None
    try:
        return _loaded(_whole(_name(compiler)) or _compile(compiler))
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("%s is not compiled, training takes the ordinary convolution: %s", SOURCE.name, error)
        return None


def _name(compiler: str) -> str:
    """Return what the compiled loop's file begins with; by the processor, too: machines may share a home."""
    made_of = (hashlib.sha256(SOURCE.read_bytes()).hexdigest(), compiler, FLAGS, _processor())
    return f"lookup-{kept.key(*made_of)}-"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _whole(name: str) -> Path | None:
    """Return the file kept, if its contents are what its name says: loading a damaged one would end the process."""
    found = kept.directory().glob(f"{name}*.so")
    return next((path for path in found if path.stem == name + _digest(path)), None)


def _loaded(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for function in (library.fer_repro_forward, library.fer_repro_backward):
        function.argtypes, function.restype = [ctypes.c_void_p] * 9, ctypes.c_int
    return library


def _processor() -> str:
    """Return what tells processors apart that may need other instructions."""
    features = sorted({line for line in results.processor().splitlines() if line.startswith(("flags", "Features"))})
    return " ".join([platform.system(), platform.machine(), platform.processor(), *features])


def _compile(compiler: str) -> Path:
    """Compile the loop into the cache, whole or not at all; return the file."""
    where = kept.directory()
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where, prefix="lookup-") as folder:
        made = Path(folder, "lookup.so")
        command = [compiler, *FLAGS, "-o", str(made), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise OSError(f"{compiler}: {(done.stderr.strip() or 'failed').splitlines()[0]}")
        path = where / f"{_name(compiler)}{_digest(made)}.so"
        os.replace(made, path)
    return path


def second_block(
    x: Tensor, a: Tensor, d: Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d, kind: torch.dtype
) -> Tensor:
    """Return relu(max-pooling(batch norm(convolution(relu(max-pooling(a x + d)))))), as both blocks do in training.

    Differentiable by a, d and the weights of convolution and norm, whose running statistics it keeps.

    Parameters
    ----------
    x : Tensor (B, 1, H, W)
        Grey images, float32, on the CPU.
    a, d : Tensor (C,)
        Slope and intercept of the first block's channels, batch norm included (Secs III-C, III-F).
    convolution : nn.Conv2d
        C to 32 channels, without a bias.
    norm : nn.BatchNorm2d
    kind : torch.dtype
        Of the result, bfloat16 or float32.

    Returns
    -------
    Tensor (B, 32, H', W'), channels last in memory.

    Raises
    ------
    RuntimeError
        Where the loop is not :func:`available`.
    """
    padding = int(convolution.padding[0])
    table, kinks, rising = _table(a, d, convolution.weight)
    out, mean, variance = _SecondBlock.apply(table, norm.weight, norm.bias, x, kinks, rising, padding, norm.eps, kind)
    down, across = _sides(x, padding)
    keep_statistics(norm, mean, variance, len(x) * down * across)
    made: Tensor = out
    return made


def keep_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, n: int) -> None:
    """Update running statistics by a batch's mean and (biased) variance (C,) over n numbers each, as PyTorch does."""
    assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
    with torch.no_grad():
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (n / max(n - 1, 1)), norm.momentum)
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)


def _table(a: Tensor, d: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return slopes and intercepts of every piece (C + 2, 5, 5, 2, 32), the kinks (C,), and how many of them rise.

    The first pieces belong to channels with a >= 0, in the order of their kinks, of which none is active on the first;
    the last ones to those with a < 0, of which none is active on the last.
    """
    channels = weight.shape[1]
    assert weight.shape == (CHANNELS, channels, KERNEL, KERNEL)
    with torch.no_grad():
        rises = a >= 0
        # a flat channel (a = 0) is active everywhere or nowhere
        kinks = torch.where(a != 0, -d / a, torch.where(d > 0, -torch.inf, torch.inf))
        sides = (side.nonzero()[:, 0] for side in (rises, ~rises))
        order = torch.cat([side[kinks[side].argsort()] for side in sides])
        rising = int(rises.sum())
        falling = channels - rising
        # active on a piece are rising channels whose kinks lie below it, and falling ones whose kinks lie above
        active = torch.zeros(channels + 2, channels)
        active[: rising + 1, order[:rising]] = torch.ones(rising + 1, rising).tril(-1)
        active[rising + 1 :, order[rising:]] = torch.ones(falling + 1, falling).triu()
    taps = weight.permute(1, 2, 3, 0).flatten(1)  # (C, 5 5 32)
    pieces = (active * a) @ taps, (active * d) @ taps  # (C + 2, 5 5 32) each
    table = torch.stack([piece.view(-1, KERNEL, KERNEL, CHANNELS) for piece in pieces], 3)
    return table, kinks[order], rising


class _SecondBlock(torch.autograd.Function):
    """The table's pieces summed up at each place, batch norm, max-pooling and ReLU; and the gradients.

    Batch norm is monotone in each channel: of each square the largest number goes on where its weight is >= 0, else the
    smallest. So the convolution's maps are gone through once, as they are made.
    """

    @staticmethod
    def forward(
        ctx: Any,
        table: Tensor,
        weight: Tensor,
        bias: Tensor,
        x: Tensor,
        kinks: Tensor,
        rising: int,
        padding: int,
        eps: float,
        kind: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map images (B, 1, H, W) to (B, 32, H', W') of type ``kind``; mean and variance of the maps (32,)."""
        x, kinks, table = x.contiguous(), kinks.contiguous(), table.contiguous()
        B, (down, across) = len(x), _sides(x, padding)
        maps = torch.empty(B, down, across, CHANNELS, dtype=kind)
        best = torch.empty(B, down // 2, across // 2, CHANNELS, dtype=kind)
        which = torch.empty(best.shape, dtype=torch.uint8)
        shape = _shape(x, kinks, rising, padding, kind)
        sums = torch.zeros(shape.threads, 2, CHANNELS, dtype=torch.double)
        sign = torch.where(weight >= 0, 1.0, -1.0)
        _call("fer_repro_forward", shape, x, kinks, table, sign, maps, best, which, sums)
        mean, squares = sums.sum(0) / (B * down * across)
        variance = (squares - mean.square()).clamp(min=0).to(weight.dtype)
        mean = mean.to(weight.dtype)
        best = best.permute(0, 3, 1, 2)
        out = F.relu_(F.batch_norm(best, mean, variance, weight, bias, training=False, eps=eps))
        ctx.save_for_backward(x, kinks, weight, maps, best, which, mean, variance, out)
        ctx.shape, ctx.table, ctx.eps = shape, table.shape, eps
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Map the gradient (B, 32, H', W') to those of table, weight and bias."""
        x, kinks, weight, maps, best, which, mean, variance, out = ctx.saved_tensors
        spread = torch.rsqrt(variance + ctx.eps)
        passed = torch.ops.aten.threshold_backward(gradient.contiguous(memory_format=torch.channels_last), out, 0)
        # as with fixed statistics; what these add by themselves follows from the same two sums
        how = (best, weight, mean, variance, mean, spread, False, ctx.eps, [True, True, True])
        in_best, in_weight, in_bias = torch.ops.aten.native_batch_norm_backward(passed, *how)
        scale = -weight * spread / (len(x) * maps.shape[1] * maps.shape[2])
        tilt = scale * in_weight * spread
        base = scale * in_bias - tilt * mean
        tables = torch.zeros(ctx.shape.threads, *ctx.table)
        in_best = in_best.permute(0, 2, 3, 1).contiguous()
        _call("fer_repro_backward", ctx.shape, x, kinks, maps, which, in_best, base, tilt, tables)
        return tables.sum(0), in_weight, in_bias, None, None, None, None, None, None


def _sides(x: Tensor, padding: int) -> tuple[int, int]:
    """Return height and width of the second convolution's maps for images (B, 1, H, W)."""
    down, across = (side // 2 + 2 * padding - KERNEL + 1 for side in x.shape[2:])
    if min(down, across) < 2:
        raise ValueError(f"images of {x.shape[2]}x{x.shape[3]} pixels are too small for the second block")
    return down, across


def _shape(x: Tensor, kinks: Tensor, rising: int, padding: int, kind: torch.dtype) -> _Shape:
    threads = max(1, min(torch.get_num_threads(), len(x)))
    falling = len(kinks) - rising
    return _Shape(len(x), *x.shape[2:], padding, rising, falling, kind == torch.bfloat16, threads)


def _call(function: str, shape: _Shape, *tensors: Tensor) -> None:
    """Call a function of ``lookup.c``; all tensors contiguous, on the CPU."""
    library = _library()
    if library is None:
        raise RuntimeError(f"{SOURCE.name}: wanted a C compiler, got none")
    if getattr(library, function)(ctypes.byref(shape), *(ctypes.c_void_p(t.data_ptr()) for t in tensors)):
        raise MemoryError("the second convolution: no memory for an image's rows")
