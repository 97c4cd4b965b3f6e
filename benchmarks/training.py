"""Training at the paper's 128x128, side by side with the loop a user would write, and with the machine's own limit.

    python benchmarks/training.py [--size 128] [--images 512] [--repeats 2] [--precision 32-true]
                                  [--dataset fer2013] [--json [OUT]]

The ladder begins with a plain PyTorch loop (float32, a ``Dataset`` that decodes, resizes, filters and augments item by
item, a ``DataLoader``, the default allocator, a loss printed each step) and takes up one measure a rung; its last rung
is ``training.train`` itself, as ``fer-repro train`` calls it. All rungs do the same arithmetic on the same network:
both stages, LDA between them, center loss, gradient clipping, AdamW on a one-cycle schedule. Each runs in a process of
its own, because allocator and threads belong to a process, and trains twice there: the second time counts, as in the
first the kernel clears fresh memory, for a few steps of the thousands that a run has. All run in turn, and the
fastest turn counts.

Without ``--dataset`` the faces are drawn ones. What they show matters to the table alone (``fer_repro.lookup``): it is
quicker the longer neighbouring pixels stay on one piece.

``share_of_gemm`` is what training does, in the network's floating-point operations a second, over what the same machine
does in one large matrix product at the same precision, in the same run: the limit to approach by a loop that carries
them out. The table (``fer_repro.lookup``) does not carry out ``tabled_operations`` of them. Each kind of processor has
a record of its own, by its instructions and the precision (``fer_repro.speed.TRAINED``).
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from _common import high_water, in_fresh_process, parser, place, report
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import v2

from fer_repro import data, lookup, network, results, training
from fer_repro.augmentation import augment
from fer_repro.center_loss import CenterLoss
from fer_repro.cnn import CONVOLUTIONS, without_first_maps
from fer_repro.data.faces import FaceDataset
from fer_repro.recipe import Recipe, get
from fer_repro.speed import TABLE, training_name


@dataclass(frozen=True)
class Rung:
    """What a loop takes up, beside the plain one."""

    workers: int = 0  # processes of the DataLoader
    allocator: bool = False  # keep freed memory
    resident: bool = False  # images prepared once, held as uint8, augmented on the batch; the loss read once an epoch
    pointwise: bool = False  # the exact algebraic form of the first block
    channels_last: bool = False
    bf16: bool = False  # where the processor has it
    tabled: bool = False  # the first two blocks together, by table


LADDER = {
    "a plain loop": Rung(),
    "with two loading processes": Rung(workers=2),
    "freed memory kept": Rung(allocator=True),
    "images prepared once, augmented on the batch": Rung(allocator=True, resident=True),
    "first block in its algebraic form": Rung(allocator=True, resident=True, pointwise=True),
    "channels last": Rung(allocator=True, resident=True, pointwise=True, channels_last=True),
    "bfloat16": Rung(allocator=True, resident=True, pointwise=True, channels_last=True, bf16=True),
}
PLAIN = ("a plain loop", "with two loading processes")
OURS = "fer_repro.training"


# ------------------------------------------------------------------------------------------- what a user would write


class Files(Dataset[tuple[Tensor, int]]):
    """Face images in files, decoded and prepared one by one, as most public code does."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.paths, self.recipe = sorted(folder.glob("*.jpg")), recipe
        self.change = v2.Compose(
            [v2.RandomRotation(recipe.rotate, interpolation=v2.InterpolationMode.BILINEAR), v2.RandomHorizontalFlip()]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        r = self.recipe
        image = np.asarray(Image.open(self.paths[i]))
        image = cv2.medianBlur(cv2.resize(image, (r.size, r.size)), r.median_kernel)
        x = torch.from_numpy(image)[None].float()
        x = (x - x.mean()) / max(r.gcn_epsilon, float(x.std(correction=0)))  # Eq. 1
        x = self.change(x) + r.brightness * float(torch.rand(()) * 2 - 1)
        return x, int(self.paths[i].stem[-1])


def write_files(faces: FaceDataset, folder: Path) -> None:
    """Write images as JPEG files whose names end in the label."""
    for i, (image, label) in enumerate(zip(faces.images, faces.labels, strict=True)):
        (folder / f"{i:06}_{label}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())


def prepared_batches(faces: FaceDataset, r: Recipe) -> Callable[[], Iterator[tuple[Tensor, Tensor]]]:
    """Return a source of batches whose images were prepared once."""
    images = training.Images(training.pixels_for(faces, r), faces.labels, r, torch.device("cpu"))
    chance = torch.Generator().manual_seed(0)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(images)).split(r.batch_size):
            x, y = images.batch(index)
            yield augment(x, chance, rotate=r.rotate, flip=r.flip, brightness=r.brightness), y

    return batches


def loop(rung: Rung, faces: FaceDataset, r: Recipe) -> dict[str, float]:
    """Train one epoch of each stage; return images a second while training."""
    torch.manual_seed(0)
    if rung.allocator:
        training.keep_memory()
    layout = torch.channels_last if rung.channels_last else torch.contiguous_format
    model = network.build("proposed", 7, r.size, dropout=r.dropout, fast=rung.pointwise)
    model.to(memory_format=layout)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as folder:
        if rung.resident:
            batches = prepared_batches(faces, r)
        else:
            write_files(faces, Path(folder))
            loader = DataLoader(Files(Path(folder), r), r.batch_size, shuffle=True, num_workers=rung.workers)
            batches = loader.__iter__
        seconds = 0.0
        with without_first_maps(model) if rung.tabled else nullcontext():
            for stage in (1, 2):
                clock = time.perf_counter()
                attended, labels = epoch(model, batches, r, rung, layout)
                seconds += time.perf_counter() - clock
                if stage == 1:
                    model.fit_stage(attended, labels)  # type: ignore[operator]
    return {"images_per_second": 2 * len(faces) / seconds, "peak_megabytes": high_water()}


def epoch(
    model: nn.Module,
    batches: Callable[[], Iterator[tuple[Tensor, Tensor]]],
    r: Recipe,
    rung: Rung,
    layout: torch.memory_format,
) -> tuple[Tensor, Tensor]:
    """Train one epoch; return the attended features it went through, and their labels, for LDA."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=r.learning_rate, weight_decay=r.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, r.learning_rate, total_steps=100_000)
    centers: CenterLoss | None = None
    seen, read = [], []
    for x, y in batches():
        with torch.autocast("cpu", torch.bfloat16, enabled=rung.bf16):
            logits, parts = model(x.contiguous(memory_format=layout))
        features = parts["features"].float().flatten(1)
        centers = centers or CenterLoss(7, features.shape[1], r.center_rate)
        loss = F.cross_entropy(logits.float(), y) + r.center_weight * centers(features, y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), r.clip)
        optimizer.step()
        schedule.step()
        centers.update(features.detach(), y)
        read.append(loss.detach() if rung.resident else loss.item())
        seen.append((parts["attended"].detach().float(), y))
    if not math.isfinite(float(torch.as_tensor(read).sum())):
        raise SystemExit("the loss is not finite: nothing to time")
    return torch.cat([a for a, _ in seen]), torch.cat([y for _, y in seen])


def ours(faces: FaceDataset, r: Recipe, precision: str) -> dict[str, float]:
    """Train one epoch of each stage with the project's own loop."""
    record, _ = training.train(faces, "proposed", r, device="cpu", keep=False, epochs=2, precision=precision)
    return {"images_per_second": record["images_per_second"], "peak_megabytes": high_water()}


# ------------------------------------------------------------------------------------------------- the machine's limit


def operations(size: int) -> dict[str, float]:
    """Return floating-point operations of one image's step (forward and backward) by part, in the second stage.

    PyTorch counts convolutions and matrix products; what its counter leaves out, the fused LSTM, is
    2 directions x T steps x 4 gates x h (D + h) multiplications and additions, and twice that again backwards.
    """
    model = network.build("proposed", 7, size)
    features = model(torch.zeros(2, 1, size, size))[1]["attended"]
    labels = torch.arange(len(features) * 50) % 7
    model.fit_stage(torch.randn(len(labels), *features.shape[1:]), labels)  # type: ignore[operator]
    model.train()
    count = 4
    with FlopCounterMode(display=False) as counter:
        logits, parts = model(torch.randn(count, 1, size, size))
        logits.sum().backward()
    T, D = parts["sequence"].shape[1:]
    h = parts["hidden"].shape[2] // 2
    return {
        "convolutions and products": counter.get_total_flops() / count,
        "LSTM": 3 * 2 * 2 * T * 4 * h * (D + h),
    }


def second_convolution(size: int) -> float:
    """Return the floating-point operations of one image's step in the second convolution."""
    (_, inputs), (kernel, outputs) = CONVOLUTIONS[:2]
    return 3.0 * 2 * kernel**2 * inputs * outputs * (size // 2) ** 2


def matrix_product(kind: str, n: int = 4096, repeats: int = 5) -> float:
    """Return the operations a second of an n x n product."""
    dtype: torch.dtype = getattr(torch, kind)
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    best = math.inf
    for _ in range(repeats + 1):
        clock = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - clock)
    return 2 * n**3 / best


# ---------------------------------------------------------------------------------------------------------------- main


def inner(way: str, size: int, images: int, precision: str, dataset: str) -> dict[str, float]:
    """Measure one way in this process."""
    recipe = replace(get("paper128" if size == 128 else "native48"), size=size)
    options = {"n": int(images / 0.6) + 40} if dataset == "synthetic" else {}
    faces = data.load(dataset, **options)
    where = np.random.default_rng(0).permutation(np.flatnonzero(faces.split == "train"))  # FER2013 lies class by class
    if len(where) < images:
        raise SystemExit(f"{dataset}: wanted {images} training images, got {len(where)}; try fewer --images")
    aside = [np.flatnonzero(faces.split == part)[: images // 4 + 7] for part in ("val", "test")]  # some suffice
    keep = np.sort(np.concatenate([where[:images], *aside]))
    if way == "products":
        kinds = ["float32"] + ["bfloat16"] * training.multiplies_bfloat16("cpu")  # else imitated: minutes a product
        return {kind: matrix_product(kind) for kind in kinds}
    train = (
        partial(ours, faces[keep], recipe, precision)
        if way == OURS
        else partial(loop, rungs_of(precision)[way], faces[where[:images]], recipe)
    )
    train()
    return train()


def rungs_of(precision: str) -> dict[str, Rung]:
    """Return the ladder's rungs at that precision, by name."""
    rungs = {way: rung for way, rung in LADDER.items() if not rung.bf16 or precision.startswith("bf16")}
    return rungs | ({TABLE: replace([*rungs.values()][-1], tabled=True)} if lookup.available() else {})


def compare(size: int, images: int, repeats: int, precision: str, dataset: str) -> dict[str, Any]:
    """Run every way in turn; return speeds, ratios and the share of the machine's limit."""
    bf16 = precision.startswith("bf16")
    rungs = rungs_of(precision)
    ways = [*rungs, OURS]
    fold = 8 if bf16 else 4  # times the plain loop's images, so that each takes about as long
    best: dict[str, dict[str, float]] = {}
    for _ in range(repeats):
        for way in [*ways, "products"]:
            more = 1 if way in PLAIN else fold
            given = ("--size", str(size), "--images", str(more * images), "--precision", precision)
            found = in_fresh_process(__file__, "--way", way, "--dataset", dataset, *given)
            known = best.setdefault(way, found)
            best[way] = {k: (min if k == "peak_megabytes" else max)(v, known[k]) for k, v in found.items()}
    products = best.pop("products")
    speed = {w: best[w]["images_per_second"] for w in ways}
    plain = max(speed[w] for w in PLAIN)
    parts = operations(size)
    limit = products["bfloat16" if bf16 else "float32"]
    return {
        "size": size,
        "batch": get("paper128").batch_size,
        "dataset": dataset,
        "images": images,
        "warmed_up": True,  # each way trained once before it was timed
        "precision": precision,
        "threads": torch.get_num_threads(),
        "rungs": {way: asdict(rung) for way, rung in rungs.items()},
        "ways": best,
        "times_faster": {w: speed[w] / plain for w in ways},  # than the faster of the two plain loops
        "operations_an_image": parts,  # the network's, whether they are carried out or not
        "tabled_operations": second_convolution(size) if TABLE in rungs else 0.0,  # of these, what is not
        "matrix_product": products,  # operations a second
        "share_of_gemm": speed[OURS] * sum(parts.values()) / limit,
    }


def main() -> None:
    """Print the comparison, and write it where asked."""
    asked: argparse.ArgumentParser = parser(__doc__, "training")
    asked.add_argument("--size", type=int, default=128)
    asked.add_argument("--images", type=int, default=512, help="in an epoch of the plain loop")
    asked.add_argument("--repeats", type=int, default=2)
    asked.add_argument("--dataset", choices=["synthetic", "fer2013"], default="synthetic", help="by FER_REPRO_DATA")
    asked.add_argument("--way", choices=[*LADDER, TABLE, OURS, "products"], help="measure one alone, in this process")
    asked.add_argument("--precision", choices=["bf16-mixed", "32-true"], default=training.automatic_precision("cpu"))
    wanted = asked.parse_args()
    if wanted.way:
        print(json.dumps(inner(wanted.way, wanted.size, wanted.images, wanted.precision, wanted.dataset)))
        return
    to: Path | None = wanted.json
    if to == place("training"):
        to = place(training_name(wanted.precision, results.instructions()))
    report(compare(wanted.size, wanted.images, wanted.repeats, wanted.precision, wanted.dataset), to)


if __name__ == "__main__":
    main()
