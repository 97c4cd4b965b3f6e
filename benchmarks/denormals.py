"""What numbers too small for float32's full precision cost: the LSTM's way back, with them and with zeros instead.

    python benchmarks/denormals.py [--batch 128] [--repeats 5] [--json [OUT]]

A gate that an LSTM has learned to close far lets next to nothing through, and its gradient is smaller still: below
1.2e-38 numbers are denormal, and many a CPU takes far longer for each. The BiLSTM of the proposed network at
128x128 goes backwards here, in float32, with input weights that spread its gates' sums over ``spread``: about 2 as it
is built, 50 and more where training carries some of them. ``times_faster`` is the time with denormals over that with
``training.flushed_denormals``. Each has a process of its own, as threads inherit the setting when they start.
"""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from typing import Any

import torch
from _common import in_fresh_process, in_turns, parser, report

from fer_repro import training
from fer_repro.bilstm import BiLSTM

SPREADS = (2, 16, 50, 100)  # standard deviation of a gate's sum
FORMS = ("kept", "flushed")


def backward(spread: int, batch: int, repeats: int) -> float:
    """Return the milliseconds of one way back through a BiLSTM on (batch, 16, 1024)."""
    torch.manual_seed(0)
    lstm = BiLSTM(1024, 128)
    x = torch.randn(batch, 16, 1024, requires_grad=True)
    with torch.no_grad():
        for name, weight in lstm.named_parameters():
            if "weight_ih" in name:
                weight.mul_(spread / (x.flatten(0, 1) @ weight.T).std())
    made = lstm(x)
    gradient = 0.01 * torch.randn_like(made)
    ways = {"back": lambda: made.backward(gradient, retain_graph=True)}
    in_turns(ways, 1)
    return 1e3 * in_turns(ways, repeats)["back"]


def inner(form: str, batch: int, repeats: int) -> dict[str, float]:
    """Measure one form in this process, which has no other thread yet."""
    with training.flushed_denormals() if form == "flushed" else nullcontext():
        return {str(spread): backward(spread, batch, repeats) for spread in SPREADS}


def compare(batch: int, repeats: int) -> dict[str, Any]:
    """Return milliseconds by form and spread, and the ratios."""
    given = ("--batch", str(batch), "--repeats", str(repeats))
    milliseconds = {form: in_fresh_process(__file__, "--form", form, *given) for form in FORMS}
    kept, flushed = (milliseconds[form] for form in FORMS)
    return {
        "batch": batch,
        "threads": torch.get_num_threads(),
        "milliseconds": milliseconds,
        "times_faster": {spread: kept[spread] / flushed[spread] for spread in kept},
    }


def main() -> None:
    """Print the comparison, and write it where asked."""
    asked: argparse.ArgumentParser = parser(__doc__, "denormals")
    asked.add_argument("--batch", type=int, default=128)
    asked.add_argument("--repeats", type=int, default=5)
    asked.add_argument("--form", choices=FORMS, help="measure one alone, in this process")
    wanted = asked.parse_args()
    if wanted.form:
        print(json.dumps(inner(wanted.form, wanted.batch, wanted.repeats)))
        return
    report(compare(wanted.batch, wanted.repeats), wanted.json)


if __name__ == "__main__":
    main()
