"""The parts without gradients at FER2013's size: LDA's and the SVM's closing fits, intervals, paired tests.

    python benchmarks/methods.py [--size 128] [--repeats 3] [--json [OUT]]

Each part is measured at an eighth, a quarter, half and all of FER2013's images (the statistics: of its test images),
each time in a process of its own; all take turns, and the fastest turn counts. The features are random with class
structure, of the very shape that the network built at that size gives, in the precision it is trained in here, and
gathered batch by batch as training does. Beside ours stand scikit-learn's LDA and SVM, and a loop over resamples.

``exponent`` is the slope of log seconds over log images: 1 is linear. ``peak_megabytes`` is above what the imports
took, the features among it; ``process_megabytes`` is all that the process held.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from _common import high_water, in_fresh_process, parser, report, risen
from torch import Tensor, nn

from fer_repro import metrics, network, training
from fer_repro.data.fer2013 import OFFICIAL
from fer_repro.recipe import get

CLASSES = 7
TRAIN, TEST = sum(OFFICIAL["train"]), sum(OFFICIAL["test"])
SHARES = (8, 4, 2, 1)
METHODS = len(network.NAMES)
RUNS = 3  # seeds of each method, as a verdict needs
GOAL = 4096  # MiB, for everything at FER2013's size
LATE = (  # what the parts import when they are first called: no part of what is measured
    *("scipy.stats", "sklearn.svm", "sklearn.preprocessing", "sklearn.discriminant_analysis", "sklearn.metrics"),
    *("statsmodels.stats.contingency_tables", "statsmodels.stats.multitest"),
)
NETWORKS = {"LDA": "proposed", "LDA without feature extraction": "no_feature_extraction", "CNN-SVM": "cnn-svm"}
Work = Callable[[], object]


# -------------------------------------------------------------------------------------------------------- closing fits


def built(name: str, size: int) -> tuple[nn.Module, tuple[int, ...]]:
    """Return a network, and the shape of one image's features that its closing fit wants."""
    model = network.build(name, CLASSES, size).eval()
    with torch.no_grad():
        _, parts = model(torch.zeros(1, 1, size, size))
    return model, tuple(parts[str(model.fits_on)].shape[1:])


def features_of(images: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return features (images, *shape) whose seven classes overlap, joined of batches, and labels."""
    chance = torch.Generator().manual_seed(0)
    dtype = torch.bfloat16 if training.automatic_precision("cpu").startswith("bf16") else torch.float32
    labels = torch.randint(CLASSES, (images,), generator=chance)
    means = 1.5 * torch.randn(CLASSES, *shape, generator=chance) / shape[-1] ** 0.5  # about two deviations apart
    mixed = torch.randn(shape[-1], shape[-1], generator=chance) / shape[-1] ** 0.5  # features are never independent
    size = get("paper128").batch_size
    noise, made = torch.empty(2, size, *shape)  # the same memory for each batch: nothing lies between them

    def batches() -> Iterator[Tensor]:
        for y in labels.split(size):
            noise[: len(y)].normal_(generator=chance).add_(means[y])
            yield torch.matmul(noise[: len(y)], mixed, out=made[: len(y)]).to(dtype)

    return training.joined(batches(), images), labels


def closing_fit(name: str, images: int, size: int) -> Work:
    """Return ours: what training calls, on all training images.

    Training gathers as many steps of a sequence as memory may hold; here those first ones stand for the rest as well.
    """
    model, shape = built(NETWORKS[name], size)
    if not model.fits_by_step:
        features, labels = features_of(images, shape)
        return lambda: model.fit_stage(features, labels)  # type: ignore[operator]
    steps, width = shape
    number = 2 if training.automatic_precision("cpu").startswith("bf16") else 4  # bytes
    at_once = min(steps, training.steps_at_once(images, number * width))
    features, labels = features_of(images, (at_once, width))

    def fit() -> None:
        for first in range(0, steps, at_once):
            model.fit_stage(features[:, : steps - first], labels, first)  # type: ignore[operator]

    return fit


def scikit_learn(solver: str, images: int, size: int) -> Work:
    """Return the same as :func:`closing_fit` of LDA by scikit-learn: a projection for each step of the sequence."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    _, shape = built(NETWORKS["LDA"], size)
    features, labels = features_of(images, shape)

    def fit() -> None:
        for t in range(shape[0]):
            LinearDiscriminantAnalysis(solver=solver).fit(features[:, t].double().numpy(), labels.numpy())

    return fit


def linear_svc(images: int, size: int) -> Work:
    """Return the same as :func:`closing_fit` of CNN-SVM by scikit-learn."""
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    model, shape = built(NETWORKS["CNN-SVM"], size)
    features, labels = features_of(images, shape)

    def fit() -> None:
        x = StandardScaler().fit_transform(features.float().numpy())
        LinearSVC(C=model.penalty, dual=False, max_iter=5000).fit(x, labels.numpy())

    return fit


# ---------------------------------------------------------------------------------------------------------- statistics


def predictions_of(images: int, methods: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return labels (images,) and each method's predictions (RUNS, images), right six times in ten."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, images)
    made = []
    for _ in range(methods):
        wrong = rng.random((RUNS, images)) > 0.6
        made.append(np.where(wrong, rng.integers(0, CLASSES, (RUNS, images)), labels))
    return labels, made


def intervals(images: int) -> Work:
    """Return ours: intervals of four measures over three runs."""
    labels, (a,) = predictions_of(images, 1)
    return lambda: metrics.intervals(labels, a, CLASSES)


def intervals_of_all(images: int) -> Work:
    """Return the same of all methods together, each image drawn by itself, as the ledger has them."""
    labels, many = predictions_of(images, METHODS)
    units, stacked = np.arange(images), np.concatenate(many)
    return lambda: metrics.bootstrap_measures(labels, stacked, CLASSES, units)


def intervals_by_subject(images: int) -> Work:
    """Return the same with people drawn whole: one in ten images shows another."""
    labels, (a,) = predictions_of(images, 1)
    return lambda: metrics.intervals(labels, a, CLASSES, groups=np.arange(images) // 10)


def loop_over_resamples(images: int, resamples: int = 2000) -> Work:
    """Return what a user would write for :func:`intervals`: resample, score, and again."""
    from sklearn.metrics import accuracy_score, precision_recall_fscore_support

    labels, (a,) = predictions_of(images, 1)

    def run() -> np.ndarray:
        rng = np.random.default_rng(0)
        drawn = []
        for _ in range(resamples):
            pick = rng.integers(0, images, images)
            runs = [a[s, pick] for s in rng.integers(0, RUNS, RUNS)]
            y = labels[pick]
            each = [
                (
                    accuracy_score(y, p),
                    *precision_recall_fscore_support(y, p, average="macro", zero_division=0.0)[:3],
                )
                for p in runs
            ]
            drawn.append(np.mean(each, axis=0))
        return np.percentile(drawn, [2.5, 97.5], axis=0)

    return run


def paired(images: int) -> Work:
    """Return ours: two methods compared, three runs each, by bootstrap, McNemar's test and Holm's correction."""
    labels, (a, b) = predictions_of(images, 2)

    def run() -> object:
        p = metrics.mcnemar_over_seeds(labels, a, b)
        return metrics.paired_differences(labels, a, b, CLASSES), metrics.holm([p, 0.5])

    return run


# -------------------------------------------------------------------------------------------------------- measurements


FITS = {
    **{name: partial(closing_fit, name) for name in NETWORKS},
    "LDA by scikit-learn (eigen)": partial(scikit_learn, "eigen"),
    "LDA by scikit-learn (svd)": partial(scikit_learn, "svd"),
    "CNN-SVM by scikit-learn": linear_svc,
}
STATISTICS: dict[str, Callable[[int], Work]] = {
    "intervals": intervals,
    "intervals of nine methods together": intervals_of_all,
    "intervals by subject": intervals_by_subject,
    "intervals by a loop over resamples": loop_over_resamples,
    "paired tests": paired,
}
BESIDE = {  # what a user would pick otherwise, and what it stands beside
    "LDA by scikit-learn (eigen)": "LDA",
    "LDA by scikit-learn (svd)": "LDA",
    "CNN-SVM by scikit-learn": "CNN-SVM",
    "intervals by a loop over resamples": "intervals",
}


def point(part: str, images: int, size: int) -> dict[str, float]:
    """Measure one part once in this process."""
    for module in LATE:
        importlib.import_module(module)
    before = high_water()
    work = FITS[part](images, size) if part in FITS else STATISTICS[part](images)
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return {
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "peak_megabytes": risen(before),
        "process_megabytes": high_water(),
    }


def slope(images: list[int], seconds: list[float]) -> float:
    """Return the exponent k of seconds ~ images^k by least squares over logarithms."""
    return float(np.polyfit(np.log(images), np.log(seconds), 1)[0])


def measure(size: int, repeats: int, train: int, test: int, parts: list[str]) -> dict[str, Any]:
    """Measure ``parts`` at four sizes up to ``train`` and ``test`` images; return times, exponents and peaks."""
    points = [(p, (train if p in FITS else test) // share) for share in SHARES for p in parts]
    best: dict[tuple[str, int], dict[str, float]] = {}
    for _ in range(repeats):
        for part, images in points:
            found = in_fresh_process(__file__, "--part", part, "--images", str(images), "--size", str(size))
            known = best.setdefault((part, images), found)
            best[part, images] = {k: min(v, known[k]) for k, v in found.items()}
    made: dict[str, Any] = {}
    for part in parts:
        images = [n for p, n in points if p == part]
        rows = {key: [best[part, n][key] for n in images] for key in best[points[0]]}
        exponents = {
            "exponent": slope(images, rows["seconds"]),
            "processor_exponent": slope(images, rows["processor_seconds"]),
        }
        made[part] = {"images": images, **rows, **exponents}
    shapes = {name: built(which, size)[1] for name, which in NETWORKS.items() if name in parts}
    return {
        "size": size,
        "precision": training.automatic_precision("cpu"),
        "threads": torch.get_num_threads(),
        "features": shapes,  # of one image
        "parts": made,
        "times_faster": {
            p: made[p]["seconds"][-1] / made[ours]["seconds"][-1] for p, ours in BESIDE.items() if {p, ours} <= {*parts}
        },
        "most_megabytes": {p: max(made[p]["process_megabytes"]) for p in parts if p not in BESIDE},
        "goal_megabytes": GOAL,
    }


def main() -> None:
    """Print the measurements, and write them where asked."""
    known = [*FITS, *STATISTICS]
    asked: argparse.ArgumentParser = parser(__doc__, "methods")
    asked.add_argument("--size", type=int, default=128)
    asked.add_argument("--repeats", type=int, default=3)
    asked.add_argument("--train", type=int, default=TRAIN, help="images at the largest size")
    asked.add_argument("--test", type=int, default=TEST, help="test images at the largest size")
    asked.add_argument("--parts", nargs="+", choices=known, default=known)
    asked.add_argument("--part", choices=known, help="measure one point in this process, with --images")
    asked.add_argument("--images", type=int)
    wanted = asked.parse_args()
    if wanted.part:
        print(json.dumps(point(wanted.part, wanted.images, wanted.size)))
    else:
        report(measure(wanted.size, wanted.repeats, wanted.train, wanted.test, wanted.parts), wanted.json)


if __name__ == "__main__":
    main()
