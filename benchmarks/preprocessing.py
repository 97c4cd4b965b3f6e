"""Preprocessing side by side with what a user would write: bare OpenCV calls, and scikit-image with scipy.

    python benchmarks/preprocessing.py [--images 2000] [--repeats 5] [--json [OUT]]

Every pipeline resizes 48x48 images to 128x128, filters with a 3x3 median and applies Eq. 1; the results are compared,
so that only pipelines that give the same numbers are timed against one another. All run in turn, several times, and the
fastest turn counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import skimage
import torch
from _common import in_turns, parser, report
from scipy import ndimage
from skimage import transform

from fer_repro import data
from fer_repro.augmentation import augment
from fer_repro.preprocessing import normalize_batch, prepare_uint8, preprocess

SIZE, KERNEL = 128, 3


def bare_opencv(images: np.ndarray) -> np.ndarray:
    """The shortest loop over OpenCV's own functions."""
    out = np.empty((len(images), SIZE, SIZE), np.float32)
    for i, image in enumerate(images):
        x = cv2.medianBlur(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), KERNEL)
        mean, deviation = cv2.meanStdDev(x)
        x = x.astype(np.float32)
        x -= np.float32(mean[0, 0])
        x /= np.float32(max(1e-8, deviation[0, 0]))
        out[i] = x
    return out


def scikit_image(images: np.ndarray) -> np.ndarray:
    """The same by scikit-image and scipy, in floating point."""
    out = np.empty((len(images), SIZE, SIZE), np.float32)
    for i, image in enumerate(images):
        x = transform.resize(image.astype(np.float32), (SIZE, SIZE), order=1, mode="edge", preserve_range=True)
        x = ndimage.median_filter(x, KERNEL, mode="nearest")
        out[i] = (x - x.mean()) / max(1e-8, x.std())
    return out


def on_one_thread(images: np.ndarray, repeats: int) -> float:
    """Processor time of ours over bare OpenCV's, which a busy machine disturbs least."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        pair = {"ours": lambda: preprocess(images, SIZE), "bare": lambda: bare_opencv(images)}
        best = in_turns(pair, repeats, time.process_time)
    finally:
        cv2.setNumThreads(threads)
    return best["ours"] / best["bare"]


def compare(count: int, repeats: int) -> dict[str, Any]:
    """Return microseconds an image, ratios, and how far the pipelines' numbers differ."""
    images = data.load("synthetic", n=count).images
    few = images[: max(1, count // 10)]  # scikit-image is slow
    ours, floats = preprocess(few, SIZE), preprocess(few.astype(np.float32), SIZE)
    agreement = {
        "bare OpenCV": float(np.abs(ours - bare_opencv(few)).max()),
        "scikit-image and scipy (float32 images)": float(np.abs(floats - scikit_image(few)).max()),
        "scikit-image and scipy (uint8 images, rounded to grey levels)": float(np.abs(ours - scikit_image(few)).max()),
    }
    single = in_turns({"ours": lambda: preprocess(few, SIZE), "skimage": lambda: scikit_image(few)}, min(repeats, 2))
    seconds = in_turns(
        {
            "ours": lambda: preprocess(images, SIZE),
            "ours, float32 images": lambda: preprocess(images.astype(np.float32), SIZE),
            "ours, bytes only (resize, median)": lambda: prepare_uint8(images, SIZE),
            "bare OpenCV": lambda: bare_opencv(images),
        },
        repeats,
    )
    micro = {name: 1e6 * s / count for name, s in seconds.items()} | {
        "scikit-image and scipy": 1e6 * single["skimage"] / len(few)
    }
    return {
        "microseconds_an_image": micro,
        "times_as_fast_as_scikit_image": micro["scikit-image and scipy"] / micro["ours"],
        "time_over_bare_opencv": micro["ours"] / micro["bare OpenCV"],
        "time_over_bare_opencv_on_one_thread": on_one_thread(images, repeats),
        "seconds_for_fer2013": 35887 * micro["ours"] / 1e6,
        "largest_difference": agreement,
    }


def on_the_batch(repeats: int) -> dict[str, float]:
    """Milliseconds of what a training step does to its batch."""
    pipelines: dict[str, Callable[[], object]] = {}
    for b, s in ((64, 128), (128, 48)):
        held, generator = torch.randint(0, 256, (b, 1, s, s), dtype=torch.uint8), torch.Generator().manual_seed(0)
        ready = normalize_batch(held)
        pipelines[f"Eq. 1 ({b},1,{s},{s})"] = lambda held=held: normalize_batch(held)  # type: ignore[misc]
        pipelines[f"augment ({b},1,{s},{s})"] = lambda x=ready, g=generator: augment(x, g)  # type: ignore[misc]
    return {name: 1e3 * s for name, s in in_turns(pipelines, 20 * repeats).items()}


def measure(count: int, repeats: int) -> dict[str, Any]:
    """Return the comparison, and what a training step does to its batch."""
    return {
        **compare(count, repeats),
        "milliseconds_a_batch": on_the_batch(repeats),
        "images": count,
        "threads": cv2.getNumThreads(),
        "others": {"scikit-image": skimage.__version__},
    }


def main() -> None:
    """Print the comparison, and write it where asked."""
    asked: argparse.ArgumentParser = parser(__doc__, "preprocessing")
    asked.add_argument("--images", type=int, default=2000)
    asked.add_argument("--repeats", type=int, default=5)
    wanted = asked.parse_args()
    report(measure(wanted.images, wanted.repeats), wanted.json)


if __name__ == "__main__":
    main()
