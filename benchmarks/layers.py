"""Layers in their fast form against the plain one: forward and backward of the blocks that have both, and of the CNN.

    python benchmarks/layers.py [--size 128] [--batch 128] [--repeats 5] [--json [OUT]]

The two forms start from the same weights and see the same batch, in training mode, as in a step of training; the
gradient does not go on to the images where it does not in training. They take turns and the fastest turn counts, in
float32 and in bfloat16. ``times_faster`` is plain over fast. On a processor that is slow at bfloat16, where the fast
form multiplies in float32 instead, the record is ``layers-rounded.json``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from _common import in_turns, parser, place, report
from torch import Tensor, nn

from fer_repro import training
from fer_repro.cnn import CONVOLUTIONS, ConvolutionBlock, PointwiseBlock, SevenLayerCNN, bfloat16_in_float32

FORMS = ("plain", "fast")


def blocks(size: int) -> dict[str, tuple[Callable[[bool], nn.Module], tuple[int, ...]]]:
    """Return a maker of each part, given whether it is to be fast, and the shape of one input."""
    first, second = CONVOLUTIONS[:2]
    inside = (first.channels, size // 2, size // 2)
    return {
        "first block": (lambda fast: (PointwiseBlock if fast else ConvolutionBlock)(1, first, True), (1, size, size)),
        "second block of DSCNN": (
            lambda fast: ConvolutionBlock(first.channels, second, True, separable=True, fast=fast),
            inside,
        ),
        "the CNN": (lambda fast: SevenLayerCNN(fast=fast), (1, size, size)),
        "the CNN of DSCNN": (lambda fast: SevenLayerCNN(separable=True, fast=fast), (1, size, size)),
    }


def step(part: nn.Module, x: Tensor, precision: str) -> Callable[[], None]:
    """Return one pass forward and backward."""

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            made = part(x)
        made = made[0] if isinstance(made, tuple) else made
        made.backward(torch.ones_like(made))

    return run


def compare(size: int, batch: int, repeats: int) -> dict[str, Any]:
    """Return milliseconds by precision, part and form, and the ratios."""
    training.keep_memory()
    milliseconds: dict[str, dict[str, dict[str, float]]] = {"float32": {}, "bfloat16": {}}
    for name, (make, shape) in blocks(size).items():
        for precision in milliseconds:
            x = torch.randn(batch, *shape).contiguous(memory_format=torch.channels_last)
            if shape[0] > 1:
                x = x.to(torch.bfloat16 if precision == "bfloat16" else x.dtype).requires_grad_()
            parts = {form: make(form == "fast").to(memory_format=torch.channels_last) for form in FORMS}  # type: ignore[call-overload]
            parts["fast"].load_state_dict(parts["plain"].state_dict())
            ways = {form: step(part.train(), x, precision) for form, part in parts.items()}
            in_turns(ways, 1)  # the first pass makes what later ones find
            best = in_turns(ways, repeats)
            milliseconds[precision][name] = {form: 1e3 * seconds for form, seconds in best.items()}
    return {
        "size": size,
        "batch": batch,
        "threads": torch.get_num_threads(),
        "milliseconds": milliseconds,
        "times_faster": {
            p: {name: took["plain"] / took["fast"] for name, took in parts.items()} for p, parts in milliseconds.items()
        },
    }


def main() -> None:
    """Print the comparison, and write it where asked."""
    asked: argparse.ArgumentParser = parser(__doc__, "layers")
    asked.add_argument("--size", type=int, default=128)
    asked.add_argument("--batch", type=int, default=128)
    asked.add_argument("--repeats", type=int, default=5)
    wanted = asked.parse_args()
    to = wanted.json
    if to == place("layers") and bfloat16_in_float32():
        to = place("layers-rounded")
    report(compare(wanted.size, wanted.batch, wanted.repeats), to)


if __name__ == "__main__":
    main()
