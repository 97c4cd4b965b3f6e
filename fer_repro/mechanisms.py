"""What each part is claimed to do, tested by knob on synthetic faces: ``python -m fer_repro.mechanisms``.

The paper says that attention helps with occluded faces, that a median filter removes noise, that batch norm speeds up
convergence, and so on, and measures none of it. Photographs do not come with a knob for occlusion; drawn faces do. So
the network is trained with and without each part, on the same faces from the same seed, and tested on faces that differ
in one knob. (Weights that are drawn after the part that differs start otherwise; several seeds stand for that.) What is
compared, over which values, and which way counts for the claim, stands here as data, fixed before the first run; what
was added later is exploratory (:data:`fer_repro.claims.EXPLORATORY`), shown and not counted. :mod:`fer_repro.claims`
reads the answers. They are evidence on synthetic faces and never a verdict on the paper's numbers.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_repro import data, recipe, results, training
from fer_repro.claims import EXPLORATORY, mechanisms_folder
from fer_repro.cnn import CONVOLUTIONS, SevenLayerCNN
from fer_repro.data import cache
from fer_repro.data.faces import FaceDataset
from fer_repro.lda import LinearDiscriminantProjection
from fer_repro.preprocessing import prepare_uint8

MID_GREY, GREY_SPREAD = 128.0, 64.0  # the fixed scale that stands in for Eq. 1 where it is switched off
SEEDS = 3
OTHER_PEOPLE = 1000  # seed of the test faces: nobody in them is in a training set (seeds 0, 1, 2, ...)


@dataclass(frozen=True)
class Setting:
    """How large the experiment is. A network takes about twenty seconds of one core."""

    faces: int = 4000  # drawn: 70 % to train on, 15 % to choose the epoch by, the rest unused
    epochs: int = 6  # half before LDA is fitted, half after
    test_faces: int = 560  # for each value of a knob: 80 of each class, always the same people and expressions
    knobs: Mapping[str, Any] = field(default_factory=lambda: {"intensity": (0.7, 1.0), "variety": 0.3})
    changes: Mapping[str, Any] = field(default_factory=lambda: {"rotate": 0.0, "dropout": 0.0})  # of recipe "quick"
    # ^ few steps are affordable, so what slows learning down is left out: faces near the apex, little augmentation

    def __hash__(self) -> int:
        """Hash by content, so that trained networks can be shared."""
        return hash(repr(self))


@dataclass(frozen=True)
class Arm:
    """One way to build and train the network; the default is the proposed one."""

    model: str = "proposed"
    options: tuple[tuple[str, Any], ...] = ()  # of the network
    changes: tuple[tuple[str, Any], ...] = ()  # of the recipe
    normalised: bool = True  # Eq. 1; else one fixed scale for all images
    pointwise: bool = True  # the 1x1 first convolution (Sec. III-C)


ARMS = {
    "proposed": Arm(),
    "no attention": Arm(model="no_attention"),
    "one learned query": Arm(options=(("query", "learned"),)),
    "no median filter": Arm(changes=(("median_kernel", 1),)),
    "no normalisation": Arm(normalised=False),
    "no center loss": Arm(changes=(("center_weight", 0.0),)),
    "ten times the center loss": Arm(changes=(("center_weight", 0.03),)),
    "no batch norm": Arm(options=(("norm", "none"),)),
    "no batch norm, slower": Arm(options=(("norm", "none"),), changes=(("learning_rate", 1e-3),)),
    "summed": Arm(options=(("connections", "sum"),)),
    "no 1x1": Arm(pointwise=False),
    "pooled later": Arm(options=(("pool_after", (2, 3, 4)),)),  # the 1x1, and the poolings of "no 1x1"
}

# --------------------------------------------------------------------------------------------------------------------
# Training: once for each arm and seed


class FixedScale(training.Images):
    """Images without Eq. 1: grey levels are brought to the network's range by constants, the same for every image.

    Not Eq. 1 with a large λ and an s to match: that would still take each image's own mean away.
    """

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return images float (B, 1, S, S), (X - 128) / 64, and labels (B,)."""
        index = index.to(self.labels.device)
        return (self.pixels[index].float() - MID_GREY) / GREY_SPREAD, self.labels[index]


class _Trainer(training.Trainer):
    """The common loop, for an arm; keeps the network as it was before LDA."""

    warm: dict[str, Tensor]

    def set_up(self, arm: Arm) -> None:
        if not arm.normalised:
            self.images = {k: _raw(v) for k, v in self.images.items()}
        if not arm.pointwise:
            assert isinstance(self.model.cnn, SevenLayerCNN)
            self.model.cnn = without_pointwise()

    def _fit(self, stage: int) -> None:
        if stage == 1:
            self.warm = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        super()._fit(stage)


def _raw(images: training.Images) -> FixedScale:
    return FixedScale(
        images.pixels[:, 0].cpu().numpy(), images.labels.cpu().numpy(), images.recipe, images.pixels.device
    )


def without_pointwise() -> SevenLayerCNN:
    """Return the CNN without its 1x1 convolution: the three others, each followed by pooling, to a map of equal size.

    Its first pooling moves behind the 5x5 convolution, so that no pixel is lost before the first filter sees it.
    """
    return SevenLayerCNN(pool_after=(1, 2, 3), convolutions=CONVOLUTIONS[1:])


@dataclass
class Trained:
    """A network at its best epoch, what it looked like before LDA, and how it got there."""

    arm: Arm
    seed: int
    recipe: recipe.Recipe
    model: nn.Module
    warm: dict[str, Tensor]
    curves: list[dict[str, Any]]
    seconds: float

    def images(self, faces: FaceDataset) -> training.Images:
        """Prepare faces as this arm does."""
        kind = training.Images if self.arm.normalised else FixedScale
        pixels = prepare_uint8(faces.images, self.recipe.size, self.recipe.median_kernel)
        return kind(pixels, faces.labels, self.recipe, torch.device("cpu"))

    def forward(self, faces: FaceDataset, warm: bool = False) -> dict[str, NDArray[Any]]:
        """Return ``predicted`` (N,) and the named parts used below; ``warm`` asks the network before LDA."""
        best = {k: v.clone() for k, v in self.model.state_dict().items()} if warm else None
        if warm:
            self.model.load_state_dict(self.warm)
        try:
            with torch.no_grad():
                model = self.model.eval()
                parts = [_parts(model(x), warm) for x, _ in self.images(faces).in_order()]
        finally:
            if best is not None:
                self.model.load_state_dict(best)
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def _parts(given: tuple[Tensor, dict[str, Tensor]], warm: bool) -> dict[str, NDArray[Any]]:
    logits, parts = given
    wanted = ("attended",) if warm else ("features", "weights", "reconstructed")
    found = {k: parts[k].float().numpy() for k in wanted if k in parts}
    return {"predicted": logits.argmax(1).numpy(), **found}


@lru_cache(maxsize=8)
def training_faces(seed: int, setting: Setting) -> FaceDataset:
    """Return the faces that every arm of a seed is trained on."""
    return data.load("synthetic", n=setting.faces, seed=seed, **setting.knobs)


@lru_cache(maxsize=64)
def fit(name: str, seed: int, setting: Setting) -> Trained:
    """Train one arm with one seed; at full size, one trained before with the same code is read from the cache."""
    arm = ARMS[name]
    changes = {**setting.changes, **dict(arm.changes)}
    what = training.job(
        "synthetic",
        arm.model,
        recipe.get("quick"),
        seed=seed,
        options=dict(arm.options),
        epochs=setting.epochs,
        changes=changes,
    )
    faces = training_faces(seed, setting)
    training.keep_memory()
    trainer = _Trainer(what, faces, training.engine("cpu"), None, False)
    kept = cache.key(arm, setting, trainer.key, _method())
    path = cache.directory() / "mechanisms" / f"{kept}.pt"
    trainer.set_up(arm)
    full = setting == Setting()
    state = _read(path) if full else None
    if state is None:
        clock = time.process_time()
        trainer.run()
        seconds = time.process_time() - clock
        state = {"best": trainer.model.state_dict(), "warm": trainer.warm, "curves": trainer.curves, "seconds": seconds}
        if full:
            training.save_atomically(state, path)
    trainer.model.load_state_dict(state["best"])
    model = trainer.model.float().eval()
    return Trained(arm, seed, what.recipe, model, state["warm"], state["curves"], state["seconds"])


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = training.load_checked(path)
    except Exception:  # missing or damaged: train
        return None
    return found


@lru_cache(maxsize=1)
def _method() -> str:  # once: what this process has imported, whatever is edited meanwhile
    return hashlib.sha256(training.method_digest().encode() + Path(__file__).read_bytes()).hexdigest()


# --------------------------------------------------------------------------------------------------------------------
# Testing: the same faces, one knob moved


@lru_cache(maxsize=128)
def test_faces(setting: Setting, **knobs: Any) -> FaceDataset:
    """Return test faces as in training but for the knobs named: other people, the same ones at every value."""
    return data.load("synthetic", n=setting.test_faces, seed=OTHER_PEOPLE, **{**setting.knobs, **knobs})


@lru_cache(maxsize=512)
def _seen(name: str, seed: int, setting: Setting, **knobs: Any) -> dict[str, NDArray[Any]]:
    return fit(name, seed, setting).forward(test_faces(setting, **knobs))


def accuracy(name: str, seed: int, m: Measurement, setting: Setting) -> list[float]:
    """Return the percentage of test faces recognised at each value of the knob."""
    found = []
    for x in m.x:
        labels = test_faces(setting, **{m.knob: x}).labels
        found.append(100 * float((_seen(name, seed, setting, **{m.knob: x})["predicted"] == labels).mean()))
    return found


def spreads(features: NDArray[Any], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean squared distance of features (N, F) to their class's mean, and of class means to the overall one.

    These are the traces of Eqs 12 and 11 with classes weighted alike.
    """
    classes = np.unique(labels)
    means = np.stack([features[labels == c].mean(0) for c in classes])
    within = np.mean([np.square(features[labels == c] - m).sum(1).mean() for c, m in zip(classes, means, strict=True)])
    return float(within), float(np.square(means - means.mean(0)).sum(1).mean())


def within_share(name: str, seed: int, m: Measurement, setting: Setting) -> list[float]:
    """Return the share of the features' spread that lies within classes, percent: free of the features' scale."""
    found = []
    for x in m.x:
        within, between = _spreads_at(name, seed, m, setting, x)
        found.append(100 * within / (within + between))
    return found


def within_spread(name: str, seed: int, m: Measurement, setting: Setting) -> list[float]:
    """Return the spread within classes itself."""
    return [_spreads_at(name, seed, m, setting, x)[0] for x in m.x]


def between_spread(name: str, seed: int, m: Measurement, setting: Setting) -> list[float]:
    """Return the spread between classes itself."""
    return [_spreads_at(name, seed, m, setting, x)[1] for x in m.x]


def _spreads_at(name: str, seed: int, m: Measurement, setting: Setting, x: float) -> tuple[float, float]:
    labels = test_faces(setting, **{m.knob: x}).labels
    return spreads(_seen(name, seed, setting, **{m.knob: x})["features"].astype(np.float64), labels)


def redundancy(name: str, seed: int, m: Measurement, setting: Setting) -> list[float]:
    """Return the mean absolute correlation between two reconstructed maps, over faces and places."""
    return [_redundancy(_seen(name, seed, setting, **{m.knob: x})["reconstructed"]) for x in m.x]


def _redundancy(maps: NDArray[Any]) -> float:
    """Correlate maps (N, K, H', W'), each as one vector; maps that are zero throughout are left out."""
    flat = np.moveaxis(maps.astype(np.float64), 1, 0).reshape(maps.shape[1], -1)
    flat = flat[flat.std(1) > 1e-9]
    correlation = np.abs(np.corrcoef(flat))
    return float(correlation[~np.eye(len(flat), dtype=bool)].mean())


def weight_of_covered(name: str, seed: int, m: Measurement, setting: Setting, covered: bool) -> list[float]:
    """Return how much attention the steps behind a horizontal bar get; 1 is an even share of it.

    ``covered`` false asks for the same steps of the same faces with nothing before them.
    """
    found = []
    for x in m.x:
        bar = {"occluder": ("bar",), "occluded": 1.0, "occlusion": x}
        plain, hidden = test_faces(setting, **{**bar, "occluded": 0.0}), test_faces(setting, **bar)
        weights = _seen(name, seed, setting, **(bar if covered else {**bar, "occluded": 0.0}))["weights"]  # (N, T, T)
        share = _covered_steps(plain.images, hidden.images, weights.shape[2])  # (N, T)
        some = share.sum(1) > 0
        got = weights.mean(1)[some] * share[some]
        found.append(float(weights.shape[2] * (got.sum(1) / share[some].sum(1)).mean()))
    return found


def _covered_steps(plain: NDArray[np.uint8], hidden: NDArray[np.uint8], steps: int) -> NDArray[np.float64]:
    """Return which share of each step's rows lies behind a bar from side to side: (N, T)."""
    rows = (plain != hidden).mean(2) > 0.9  # (N, S)
    return np.stack([part.mean(1) for part in np.array_split(rows, steps, axis=1)], axis=1)


def learning(name: str, seed: int, m: Measurement, setting: Setting) -> list[float]:
    """Return validation accuracy after each epoch, percent."""
    return [100 * row["val_accuracy"] for row in fit(name, seed, setting).curves]


def overfitting(name: str, seed: int, m: Measurement, setting: Setting) -> list[float]:
    """Return how far training accuracy lies above validation accuracy after each epoch, points."""
    return [100 * (row["train_accuracy"] - row["val_accuracy"]) for row in fit(name, seed, setting).curves]


def kept_by(name: str, seed: int, m: Measurement, setting: Setting, how: str) -> list[float]:
    """Return the accuracy (percent) of a linear classifier on k directions a step, chosen by LDA, by PCA, or all.

    The features are the attended ones of the network before LDA was put in, so that they owe nothing to it.
    Directions and classifier learn from training faces; the accuracy is that on test faces.
    """
    (train, y), (test, target) = _attended(name, seed, setting)
    numbers = [int(k) for k in m.x] if how != "all" else [0]
    found = [100 * _linear_accuracy(*_reduced(train, y, test, how, k), y, target) for k in numbers]
    return found if how != "all" else found * len(m.x)


@lru_cache(maxsize=4)
def _attended(name: str, seed: int, setting: Setting) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    faces = training_faces(seed, setting)
    train, test = faces[np.flatnonzero(faces.split == "train")], test_faces(setting)
    trained = fit(name, seed, setting)
    return tuple((trained.forward(f, warm=True)["attended"], f.labels) for f in (train, test))  # type: ignore[return-value]


def _reduced(train: Any, y: Any, test: Any, how: str, k: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Reduce (N, T, D) to (N, T k), each step by directions of its own."""
    from sklearn.decomposition import PCA

    train, test = train.astype(np.float64), test.astype(np.float64)
    if how == "all":
        return train.reshape(len(train), -1), test.reshape(len(test), -1)
    columns = []
    for t in range(train.shape[1]):
        step: Any = LinearDiscriminantProjection(k) if how == "lda" else PCA(k, svd_solver="full")
        step.fit(train[:, t], y)
        columns.append([step.transform(x[:, t]) for x in (train, test)])
    return np.concatenate([c[0] for c in columns], 1), np.concatenate([c[1] for c in columns], 1)


def _linear_accuracy(train: NDArray[Any], test: NDArray[Any], y: Any, target: Any) -> float:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0)).fit(train, y)
    return float(model.score(test, target))


# --------------------------------------------------------------------------------------------------------------------
# What is measured: fixed before the first run, or exploratory

Method = Callable[[str, int, "Measurement", Setting], list[float]]


@dataclass(frozen=True)
class Measurement:
    """One question put to trained networks.

    Attributes
    ----------
    series : name of a curve -> (arm, method); a method returns one number a value of ``x``
    with_, without, better : what the claim compares; None where the numbers are shown and not judged
    """

    id: str
    claim: str
    measure: str
    knob: str
    unit: str
    x: tuple[float, ...]
    series: dict[str, tuple[str, Method]]
    with_: str | None = None
    without: str | None = None
    better: str | None = None
    note: str = ""

    @property
    def exploratory(self) -> bool:
        """Whether it was planned after first results had been seen; its answer is shown and decides nothing."""
        return self.id in EXPLORATORY


def _pair(arm: str, with_: str, without: str, method: Method = accuracy) -> dict[str, Any]:
    series = {with_: ("proposed", method), without: (arm, method)}
    return {"series": series, "with_": with_, "without": without}


_ATTENTION = _pair("no attention", "with attention", "without") | {"better": "higher"}
_LEARNED: dict[str, Any] = {
    "series": {"one learned query": ("one learned query", accuracy), "without": ("no attention", accuracy)},
    "with_": "one learned query",
    "without": "without",
    "better": "higher",
    "note": "Exploratory, added after the first results: another reading of Q8.",
}
_MEDIAN = _pair("no median filter", "3×3 median", "no filter") | {"better": "higher"}
_GCN = _pair("no normalisation", "with Eq. 1", "one fixed scale") | {"better": "higher"}
_EXPRESSION = ("intensity", "share of the apex", (0.4, 0.6, 0.8, 1.0))
_ACCURACY = "accuracy, %"
_NORM = {
    "batch norm": "proposed",
    "none": "no batch norm",
    "none, a fifth of the learning rate": "no batch norm, slower",
}
_CENTER = {"λ = 0.003": "proposed", "λ = 0": "no center loss", "λ = 0.03": "ten times the center loss"}
_KEPT = {"LDA": "lda", "PCA": "pca", "all 256 features": "all"}


def _kept(how: str) -> Method:
    return lambda name, seed, m, setting: kept_by(name, seed, m, setting, how)


def _weight(covered: bool) -> Method:
    return lambda name, seed, m, setting: weight_of_covered(name, seed, m, setting, covered)


MEASUREMENTS = (
    Measurement(
        "occlusion", "C-OCC", _ACCURACY, "occlusion", "share covered", (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), **_ATTENTION
    ),
    Measurement("blur", "C-OCC", _ACCURACY, "blur", "pixels", (0.0, 0.5, 1.0, 1.5, 2.0, 3.0), **_ATTENTION),
    Measurement(
        "occlusion-learned",
        "C-OCC",
        _ACCURACY,
        "occlusion",
        "share covered",
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        **_LEARNED,
    ),
    Measurement("blur-learned", "C-OCC", _ACCURACY, "blur", "pixels", (0.0, 0.5, 1.0, 1.5, 2.0, 3.0), **_LEARNED),
    Measurement(
        "attention-weight",
        "C-OCC",
        "attention on covered rows, 1 = even share",
        "occlusion",
        "share covered by a bar",
        (0.1, 0.2, 0.3, 0.4),
        {"a bar before them": ("proposed", _weight(True)), "the same rows, free": ("proposed", _weight(False))},
        "a bar before them",
        "the same rows, free",
        "lower",
        "What the claim says to the letter: weight should leave what is covered.",
    ),
    Measurement("yaw", "C-POSE", _ACCURACY, "yaw", "degrees", (0.0, 10.0, 20.0, 30.0, 40.0), **_ATTENTION),
    Measurement("roll", "C-POSE", _ACCURACY, "roll", "degrees", (0.0, 10.0, 20.0, 30.0, 45.0), **_ATTENTION),
    Measurement("uneven-light", "C-POSE", _ACCURACY, "light", "share", (0.0, 0.25, 0.5, 0.75, 1.0), **_ATTENTION),
    Measurement(
        "salt-pepper",
        "C-PRE",
        _ACCURACY,
        "salt_pepper",
        "share of pixels",
        (0.0, 0.01, 0.02, 0.05, 0.1, 0.2),
        **_MEDIAN,
    ),
    Measurement("contrast", "C-PRE", _ACCURACY, "contrast", "factor", (0.15, 0.3, 0.5, 0.75, 1.0), **_GCN),
    Measurement("brightness", "C-PRE", _ACCURACY, "brightness", "grey levels", (-80.0, -40.0, 0.0, 40.0, 80.0), **_GCN),
    Measurement("light", "C-PRE", _ACCURACY, "light", "share", (0.0, 0.25, 0.5, 0.75, 1.0), **_GCN),
    Measurement(
        "center",
        "C-CENTER",
        "spread within classes, % of the whole",
        *_EXPRESSION,
        {name: (arm, within_share) for name, arm in _CENTER.items()},
        "λ = 0.003",
        "λ = 0",
        "lower",
    ),
    Measurement(
        "center-strong",
        "C-CENTER",
        "spread within classes, % of the whole",
        *_EXPRESSION,
        {name: (_CENTER[name], within_share) for name in ("λ = 0.03", "λ = 0")},
        "λ = 0.03",
        "λ = 0",
        "lower",
        "Exploratory: judged since the first results, which show that the effect turns on λ (Q4).",
    ),
    Measurement(
        "center-within",
        "C-CENTER",
        "spread within classes",
        *_EXPRESSION,
        {name: (arm, within_spread) for name, arm in _CENTER.items()},
        note="Not judged: center loss also shrinks all features together, which separates nothing.",
    ),
    Measurement(
        "center-between",
        "C-CENTER",
        "spread between classes",
        *_EXPRESSION,
        {name: (arm, between_spread) for name, arm in _CENTER.items()},
        note="Not judged, for the reason given with the spread within classes.",
    ),
    Measurement(
        "batch-norm",
        "C-BN",
        "validation accuracy, %",
        "epoch",
        "epochs",
        (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        {name: (arm, learning) for name, arm in _NORM.items()},
        "batch norm",
        "none",
        "higher",
        "The convolutions' four; those of the dense block and the last layers stay. LDA is fitted after epoch 3.",
    ),
    Measurement(
        "batch-norm-overfitting",
        "C-BN",
        "training minus validation accuracy, points",
        "epoch",
        "epochs",
        (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        {name: (arm, overfitting) for name, arm in _NORM.items()},
        note="Not judged: a network that has learnt less has less to overfit with.",
    ),
    Measurement(
        "dense-redundancy",
        "C-DENSE",
        "mean absolute correlation between two maps",
        *_EXPRESSION,
        **_pair("summed", "dense", "summed", redundancy),
        better="lower",
    ),
    Measurement(
        "dense-accuracy", "C-DENSE", _ACCURACY, *_EXPRESSION, **_pair("summed", "dense", "summed"), better="higher"
    ),
    Measurement(
        "pointwise",
        "C-1x1",
        _ACCURACY,
        *_EXPRESSION,
        **_pair("no 1x1", "1×1 first", "without"),
        better="higher",
        note="The 1×1 convolution and the pooling behind it together. The representation only: complexity is "
        "arithmetic and is counted in the chapter.",
    ),
    Measurement(
        "pointwise-alone",
        "C-1x1",
        _ACCURACY,
        *_EXPRESSION,
        {"1×1 first": ("pooled later", accuracy), "without": ("no 1x1", accuracy)},
        "1×1 first",
        "without",
        "higher",
        "Exploratory, added after the first results: both networks pool behind the three other convolutions only.",
    ),
    Measurement(
        "lda",
        "C-LDA",
        "accuracy of a linear classifier, %",
        "directions",
        "directions a step",
        (1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        {name: ("proposed", _kept(how)) for name, how in _KEPT.items()},
        "LDA",
        "PCA",
        "higher",
    ),
)


def measure(m: Measurement, seeds: Sequence[int] = range(SEEDS), setting: Setting | None = None) -> dict[str, Any]:
    """Train what is missing, and return a measurement as :func:`fer_repro.claims.load_mechanisms` reads it.

    ``series`` holds one list a value of ``x``, of one number a seed, in the order of ``seeds``.
    """
    setting = setting or Setting()
    provenance = results.provenance()  # of the code as it is now, whatever is committed meanwhile
    xs = m.x[: setting.epochs] if m.knob == "epoch" else m.x
    rows: dict[str, list[list[float]]] = {name: [] for name in m.series}
    for seed in seeds:
        for name, (arm, method) in m.series.items():
            rows[name].append(method(arm, seed, m, setting))
    series = {name: [[round(v, 4) for v in x] for x in zip(*values, strict=True)] for name, values in rows.items()}
    judged = {"with": m.with_, "without": m.without, "better": m.better} if m.better else {}
    arms = sorted({arm for arm, _ in m.series.values()})
    return {
        "id": m.id,
        "claim": m.claim,
        "measure": m.measure,
        "knob": m.knob,
        "unit": m.unit,
        "x": list(xs),
        "series": series,
        **judged,
        "exploratory": m.exploratory,
        "note": m.note,
        "seeds": list(seeds),
        "setting": asdict(setting),
        "arms": {arm: asdict(ARMS[arm]) for arm in arms},
        "training_seconds": {arm: [round(fit(arm, s, setting).seconds, 1) for s in seeds] for arm in arms},
        "threads": torch.get_num_threads(),
        **provenance,
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def write(record: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Write a measurement whole or not at all, in place of an earlier one of the same name."""
    path = (folder or mechanisms_folder()) / f"{record['id']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    results.replace_text(path, results.dumps(record))
    return path


def chosen(only: Sequence[str] | None) -> Iterator[Measurement]:
    """Yield the measurements named, by their own id or their claim's; all of them without names."""
    known = {m.id for m in MEASUREMENTS} | {m.claim for m in MEASUREMENTS}
    if unknown := sorted(set(only or ()) - known):
        raise ValueError(f"no measurement is named {unknown[0]!r}; wanted some of {', '.join(sorted(known))}")
    return iter([m for m in MEASUREMENTS if not only or {m.id, m.claim} & set(only)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure from the command line; each answer is written as soon as it is there."""
    from fer_repro import claims

    parser = argparse.ArgumentParser(prog="python -m fer_repro.mechanisms", description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="ID", help="ids of measurements or claims")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many (no evidence rests on fewer than 3)")
    parser.add_argument("--folder", type=Path, help="where answers go (default: mechanisms/ of the results)")
    given = parser.parse_args(arguments)
    try:
        todo = list(chosen(given.only))
        if given.seeds < 1:
            raise ValueError(f"--seeds: wanted at least 1, got {given.seeds}")
    except ValueError as error:
        parser.error(str(error))
    for m in todo:
        record = measure(m, range(given.seeds))
        path = write(record, given.folder)
        word = claims.judgement(record) or "shown, not judged"
        print(f"{path}: {word}{' (exploratory)' if m.exploratory else ''}", flush=True)


if __name__ == "__main__":
    main()
