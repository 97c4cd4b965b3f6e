"""How time and memory of training grow: with images, image size, batch and processes, and what breaks first.

    python benchmarks/growth.py [--repeats 2] [--json [OUT]]

Each point is a process of its own that trains the proposed network for one epoch of each stage on drawn faces; all take
turns, and the fastest turn counts. ``exponents`` are slopes on a log-log scale: 1 is linear. ``scaling`` compares two
processes of one thread each, started by PyTorch's launcher, with one process of one thread and with one of two.
``bytes_an_image`` is what memory grows by for each further image, from which follows where a machine's memory ends.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import high_water, in_fresh_process, parser, report, risen

from fer_repro import data, training
from fer_repro.recipe import get

IMAGES = (2048, 4096, 8192, 16384)
SIZES = (32, 48, 64, 96, 128, 160)
BATCHES = (16, 32, 64, 128, 256, 512)
BASE = {"images": 2048, "size": 48, "batch": 128}


def point(images: int, size: int, batch: int) -> dict[str, float]:
    """Train in this process; return speed, seconds an epoch, and peak memory above what the imports took."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    before = high_water()
    drawn = data.load("synthetic", n=min(int(images / 0.8) + 7, 5000))
    where = [np.flatnonzero(drawn.split == part) for part in ("train", "val", "test")]
    train = np.resize(where[0], images)  # drawn faces are repeated: what they show does not matter to the time
    faces = drawn[np.concatenate([train, where[1][:256], where[2][:256]])]
    recipe = replace(get("native48"), size=size, batch_size=batch)
    record, _ = training.train(faces, "proposed", recipe, device="cpu", keep=False, epochs=2)
    speed = float(record["images_per_second"])
    return {
        "images_per_second": speed,
        "epoch_seconds": images / speed,
        "seconds": float(record["seconds"]),  # validation and LDA's fit with it
        "peak_megabytes": risen(before),
    }


def launched(processes: int, threads: int, images: int, size: int) -> dict[str, float]:
    """Train under PyTorch's launcher; return the first process's measurements."""
    arguments = ["--point", json.dumps({**BASE, "images": images, "size": size})]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    ran = subprocess.run(
        [*command, str(Path(__file__).resolve()), *arguments], capture_output=True, text=True, env=env, check=False
    )
    if ran.returncode:
        raise SystemExit(f"{processes} processes: exit {ran.returncode}\n{ran.stderr[-2000:]}")
    found: dict[str, float] = json.loads(next(line for line in ran.stdout.splitlines() if line.startswith("{")))
    return found


def slope(x: list[float], y: list[float]) -> float:
    """Return the exponent k of y ~ x^k by least squares over logarithms."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def measure(repeats: int, images: tuple[int, ...], sizes: tuple[int, ...], batches: tuple[int, ...]) -> dict[str, Any]:
    """Return all points, exponents, and the scaling over processes."""
    axes = {
        "images": [{**BASE, "images": n} for n in images],
        "size": [{**BASE, "images": 512, "size": s} for s in sizes],
        "batch": [{**BASE, "images": 2048, "batch": b} for b in batches],
    }
    best: dict[str, dict[str, float]] = {}
    processes: dict[str, dict[str, float]] = {}
    ways = {"1 process, 1 thread": (1, 1), "2 processes, 1 thread each": (2, 1), "1 process, 2 threads": (1, 2)}
    for _ in range(repeats):
        for where in (w for points in axes.values() for w in points):
            name = json.dumps(where)
            keep(best, name, in_fresh_process(__file__, "--point", name))
        for name, (count, threads) in ways.items():
            keep(processes, name, launched(count, threads, images[0], 64))
    found = {axis: [{**where, **best[json.dumps(where)]} for where in points] for axis, points in axes.items()}
    memory = [p["peak_megabytes"] * 2**20 for p in found["images"]]
    one = processes["1 process, 1 thread"]["images_per_second"]
    return {
        "axes": found,
        "exponents": {
            "epoch seconds, images": slope(
                [p["images"] for p in found["images"]], [p["epoch_seconds"] for p in found["images"]]
            ),
            "seconds an image, pixels": slope(
                [p["size"] ** 2 for p in found["size"]], [1 / p["images_per_second"] for p in found["size"]]
            ),
        },
        "bytes_an_image": float(np.polyfit([p["images"] for p in found["images"]], memory, 1)[0]),
        "processes": processes,
        "scaling": {name: p["images_per_second"] / one for name, p in processes.items()},
        "threads": torch.get_num_threads(),
    }


def keep(best: dict[str, dict[str, float]], name: str, found: dict[str, float]) -> None:
    """Keep the faster of two measurements, and the smaller peak."""
    known = best.setdefault(name, found)
    if found["images_per_second"] > known["images_per_second"]:
        best[name] = {**found, "peak_megabytes": min(found["peak_megabytes"], known["peak_megabytes"])}


def main() -> None:
    """Print the measurements, and write them where asked."""
    asked: argparse.ArgumentParser = parser(__doc__, "growth")
    asked.add_argument("--repeats", type=int, default=2)
    asked.add_argument("--quick", action="store_true", help="two small points an axis")
    asked.add_argument("--point", type=json.loads, help="measure one point in this process")
    wanted = asked.parse_args()
    if wanted.point:
        found = point(**wanted.point)
        if training.is_first_process():
            print(json.dumps(found), flush=True)
        return
    axes = ((256, 512), (32, 48), (32, 64)) if wanted.quick else (IMAGES, SIZES, BATCHES)
    report(measure(wanted.repeats, *axes), wanted.json)


if __name__ == "__main__":
    main()
