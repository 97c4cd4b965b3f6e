"""Measures, intervals and paired tests.  Paper: Sec. IV-D, Eqs 13–16; statistics after the books, from libraries.

Everything works on labels and predictions (class numbers), so that a stored run can be judged again without training.
Measures are fractions, not percent. Point measures come from the confusion matrix; intervals come from the bootstrap,
which needs no loop over resamples: resampling N images is drawing multinomial counts over their distinct outcomes.

Arguments that many functions here share:

- ``labels, predictions``: class numbers 0 .. C-1, int (N,); predictions of S runs on the same images, (S, N), where it
  says so. ``num_classes`` is C. :func:`confusion_matrix` says which ones are refused, by a ValueError.
- ``groups``: int (N,), subjects. Whole groups are drawn instead of images (cluster bootstrap), as images of one person
  are alike.
- ``average``: how precision, recall and F1 are averaged (Q15): "macro" over classes, "micro" over images, "weighted"
  over classes by their number of images.
- ``resamples, confidence, seed``: of the bootstrap: how many, coverage in (0, 1), the generator's seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MEASURES = ("accuracy", "precision", "recall", "f1")
AVERAGES = ("macro", "micro", "weighted")
SPREADS = ("student", "resampled")  # how an interval of the mean over runs takes up that other runs would differ
CHUNK_BYTES = 2**25  # of confusion matrices held at once while resampling


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> IntArray:
    """Count images by true class (rows) and predicted class (columns): int64 (C, C).

    Raises
    ------
    ValueError
        If lengths differ, nothing is given, or a number is no class.
    """
    y, p = _checked(labels, predictions, num_classes)
    return np.bincount(y * num_classes + p, minlength=num_classes**2).reshape(num_classes, num_classes)


def scores(labels: ArrayLike, predictions: ArrayLike, num_classes: int, average: str = "macro") -> dict[str, Any]:
    """Return accuracy, precision, recall, F1 and the confusion matrix.  Paper: Eqs 13–16.

    Eqs 15 and 16 are for two classes; with C of them each class is counted against the rest and the C values are
    averaged. Eq. 13 is read as the share of images recognised (its TN has no meaning for C classes, I13).

    A class never predicted has no precision, a class without images no recall (0/0); both count as 0, so that ignoring
    a class is never rewarded, and so does F1 where both are 0. A class that neither occurs nor is predicted is left
    out of the macro average, as scikit-learn does. An unknown average is a ValueError.

    Returns
    -------
    dict
        ``accuracy, precision, recall, f1`` as fractions, ``confusion`` int64 (C, C), rows true.
    """
    confusion = confusion_matrix(labels, predictions, num_classes)
    return {**scores_of(confusion, average), "confusion": confusion}


def scores_of(confusion: ArrayLike, average: str = "macro") -> dict[str, float]:
    """Return the measures of one confusion matrix (C, C), rows true; see :func:`scores`."""
    return {name: value.item() for name, value in measures(confusion, average).items()}


def measures(confusions: ArrayLike, average: str = "macro") -> dict[str, FloatArray]:
    """Return the measures of many confusion matrices at once: (…, C, C) -> name to (…,); see :func:`scores`."""
    if average not in AVERAGES:
        raise ValueError(f"average: wanted one of {AVERAGES} (Q15), got {average!r}")
    n = np.asarray(confusions, dtype=np.float64)
    TP = np.diagonal(n, axis1=-2, axis2=-1)  # (…, C)
    accuracy = _ratio(TP.sum(-1), n.sum((-2, -1)))  # Eq. 13
    if average == "micro":  # every false positive of one class is another's false negative: all four agree
        return {"accuracy": accuracy, "precision": accuracy, "recall": accuracy, "f1": accuracy}
    actual, predicted = n.sum(-1), n.sum(-2)  # TP + FN, TP + FP
    each = {
        "precision": _ratio(TP, predicted),  # Eq. 15
        "recall": _ratio(TP, actual),  # Eq. 16
        "f1": _ratio(2 * TP, actual + predicted),  # Eq. 14, 2 / (1/P + 1/R)
    }
    weight = actual if average == "weighted" else ((actual + predicted) > 0).astype(np.float64)
    weight = _ratio(weight, weight.sum(-1, keepdims=True))
    return {"accuracy": accuracy} | {name: np.asarray((values * weight).sum(-1)) for name, values in each.items()}


def per_class(confusion: ArrayLike) -> dict[str, FloatArray]:
    """Return each class's precision, recall, F1 and number of images ``support``, each (..., C), of (..., C, C)."""
    n = np.asarray(confusion, dtype=np.float64)
    TP, actual, predicted = np.diagonal(n, axis1=-2, axis2=-1), n.sum(-1), n.sum(-2)
    return {
        "precision": _ratio(TP, predicted),
        "recall": _ratio(TP, actual),
        "f1": _ratio(2 * TP, actual + predicted),
        "support": actual,
    }


def one_against_rest_accuracy(accuracy: float, num_classes: int) -> float:
    """Return the mean over classes of (TP + TN) / N, given the share of images recognised.  Paper: Eq. 13, I13.

    Each wrong image is wrong for two classes, its own and the predicted one, and right for the other C - 2:
    1 - 2 (1 - accuracy) / C.
    """
    return 1 - 2 * (1 - accuracy) / num_classes


# --------------------------------------------------------------------------------------------------------------------
# One vote a sequence


class Votes(NamedTuple):
    """One row a sequence, in the order of ``sequence``."""

    label: IntArray
    predicted: IntArray
    subject: IntArray
    sequence: IntArray


def sequence_vote(
    labels: ArrayLike,
    predictions: ArrayLike,
    sequences: ArrayLike,
    confidences: ArrayLike | None = None,
    subjects: ArrayLike | None = None,
    ties: str = "confidence",
) -> Votes:
    """Let the frames of each sequence vote on its class: the "event-based" reading of Sec. IV-D (Q12, Q18).

    Parameters
    ----------
    labels, predictions : int (N,)
        Of frames.
    sequences : int (N,)
        Which sequence a frame belongs to; -1 (unknown) is refused.
    confidences : float (N,), optional
        Probability of each prediction, for ties.
    subjects : int (N,), optional
    ties : {"confidence", "lowest"}
        Among the classes with most votes take the one with the largest summed confidence, or the lowest number.

    Raises
    ------
    ValueError
        If a frame has no sequence, or the frames of one differ in label.
    """
    y, p, s = (np.asarray(a, dtype=np.int64) for a in (labels, predictions, sequences))
    if ties not in ("confidence", "lowest"):
        raise ValueError(f"ties: wanted 'confidence' or 'lowest' (Q18), got {ties!r}")
    if not y.shape == p.shape == s.shape or s.size == 0 or (s < 0).any():
        raise ValueError("wanted one label, prediction and known sequence (not -1) for each frame, and at least one")
    ids, first, which = np.unique(s, return_index=True, return_inverse=True)
    if (y != y[first][which]).any():
        bad = s[np.flatnonzero(y != y[first][which])[0]]
        raise ValueError(f"sequence {bad}: wanted one label for all its frames, got several")
    weight = np.ones(len(p)) if confidences is None else np.asarray(confidences, dtype=np.float64)
    votes = np.zeros((2, len(ids), int(p.max()) + 1))
    np.add.at(votes[0], (which, p), 1.0)
    if ties == "confidence":
        np.add.at(votes[1], (which, p), weight)
    best = votes[0] == votes[0].max(1, keepdims=True)
    subject = np.full(len(y), -1) if subjects is None else np.asarray(subjects, dtype=np.int64)
    return Votes(y[first], np.where(best, votes[1], -1.0).argmax(1), subject[first], ids)


# --------------------------------------------------------------------------------------------------------------------
# The bootstrap


class _Outcomes(NamedTuple):
    """What is resampled: ``draws`` of units with these probabilities, each adding its counts."""

    draws: int
    probability: FloatArray  # (U,)
    counts: Any  # (U, S C C), dense or sparse: a unit's share in each of S confusion matrices


def _outcomes(y: IntArray, p: IntArray, num_classes: int, groups: ArrayLike | None) -> _Outcomes:
    """Units are images with the same outcome or, with ``groups``, whole groups.  p: (S, N)."""
    S, N, C = *p.shape, num_classes
    cells = np.arange(S)[:, None] * C * C + y * C + p  # (S, N): where each image counts
    if groups is None:
        patterns, repeats = np.unique(cells, axis=1, return_counts=True)  # (S, U)
        starts = np.arange(0, patterns.size + 1, S)
        sparsely = (np.ones(patterns.size), patterns.T.ravel(), starts)
        return _Outcomes(N, repeats / N, sparse.csr_array(sparsely, shape=(len(repeats), S * C * C)))
    ids, which = np.unique(np.asarray(groups), return_inverse=True)
    if which.shape != (N,):
        raise ValueError(f"groups: wanted one for each of {N} images, got shape {np.shape(groups)}")
    counts = np.zeros((len(ids), S * C * C))
    np.add.at(counts, (np.broadcast_to(which, cells.shape), cells), 1.0)
    return _Outcomes(len(ids), np.full(len(ids), 1 / len(ids)), counts)


def bootstrap_confusions(
    labels: ArrayLike,
    predictions: ArrayLike,
    num_classes: int,
    groups: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
) -> Iterator[FloatArray]:
    """Yield confusion matrices of resampled images, in chunks (R, S, C, C); memory does not grow with ``resamples``.

    ``predictions`` (S, N) of S networks are resampled together (paired); (N,) is one network, S = 1.
    """
    rows = np.atleast_2d(np.asarray(predictions))
    checked = [_checked(labels, row, num_classes) for row in rows]
    y, p = checked[0][0], np.stack([row for _, row in checked])
    if resamples < 1:
        raise ValueError(f"resamples: wanted at least 1, got {resamples}")
    units = _outcomes(y, p, num_classes, groups)
    exact = units.draws * units.counts.max() < 2**24  # up to here float32 holds each whole number, at twice the speed
    whole = np.float32 if exact else np.float64
    counts = units.counts.astype(whole)
    generator = np.random.default_rng(seed)
    chunk = max(1, int(CHUNK_BYTES // (8 * (units.counts.shape[0] + units.counts.shape[1]))))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = generator.multinomial(units.draws, units.probability, size=size)  # (R, U)
        yield (drawn.astype(whole) @ counts).astype(np.float64).reshape(size, len(p), num_classes, num_classes)


def bootstrap_measures(
    labels: ArrayLike,
    predictions: ArrayLike,
    num_classes: int,
    groups: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
    average: str = "macro",
) -> dict[str, FloatArray]:
    """Return the resampled measures, name to (resamples, S); see :func:`bootstrap_confusions`."""
    chunks = bootstrap_confusions(labels, predictions, num_classes, groups, resamples, seed)
    parts = [measures(chunk, average) for chunk in chunks]
    return {name: np.concatenate([part[name] for part in parts]) for name in MEASURES}


def intervals(
    labels: ArrayLike,
    predictions: ArrayLike,
    num_classes: int,
    groups: ArrayLike | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    average: str = "macro",
) -> dict[str, tuple[float, float]]:
    """Return percentile bootstrap intervals (Efron and Tibshirani 1993): measure to (low, high), fractions.

    With ``predictions`` (S, N) of S runs (seeds), the interval is that of their mean, over images and runs: what the
    images' resamples give is spread out further by Student's distribution for so few runs.
    """
    _check_confidence(confidence)
    drawn = bootstrap_measures(labels, predictions, num_classes, groups, resamples, seed, average)
    return {name: interval_of(values, confidence, seed) for name, values in drawn.items()}


def interval_of(
    drawn: FloatArray, confidence: float = 0.95, seed: int = 0, spread: str = "student"
) -> tuple[float, float]:
    """Return the interval of the mean over runs from resampled values (resamples, S), drawing runs as well.

    ``spread`` is how: one of :data:`SPREADS`, else a ValueError.
    """
    return _percentiles(_over_runs(np.random.default_rng((seed, 1)), drawn, spread), confidence)


@dataclass(frozen=True)
class Difference:
    """A paired difference b - a (fractions): the estimate, its interval, and a two-sided bootstrap p-value."""

    estimate: float
    low: float
    high: float
    p: float


def paired_differences(
    labels: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    num_classes: int,
    groups: ArrayLike | None = None,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    average: str = "macro",
) -> dict[str, Difference]:
    """Compare two methods on the same images: measure to the :class:`Difference` b - a.

    ``a`` and ``b`` are the predictions of one run, (N,), or of S runs each, (S, N). Images (or whole groups) are
    resampled for both methods together; the spread over runs (seeds) is added for each on its own. The p-value is
    twice the share of resamples on the far side of no difference, counting one more (Davison and Hinkley 1997, Sec.
    4.2), so it is never 0.
    """
    _check_confidence(confidence)
    a, b = np.atleast_2d(np.asarray(a)), np.atleast_2d(np.asarray(b))
    drawn = bootstrap_measures(labels, np.concatenate([a, b]), num_classes, groups, resamples, seed, average)
    here = [measures([confusion_matrix(labels, row, num_classes) for row in x], average) for x in (a, b)]
    return {
        name: difference_of(
            values[:, : len(a)], values[:, len(a) :], here[1][name].mean() - here[0][name].mean(), confidence, seed
        )
        for name, values in drawn.items()
    }


def accuracy_difference(
    labels: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    num_classes: int,
    groups: ArrayLike | None = None,
    resamples: int = 2000,
) -> Difference:
    """Return the :class:`Difference` b - a in accuracy, as :func:`paired_differences`, with the p-value that counts.

    Where images are independent (no ``groups``), that is the larger of the bootstrap's and McNemar's over the seeds,
    which a and b must then share; where ``groups`` of them are not, such as one person's, McNemar's does not apply.
    """
    found = paired_differences(labels, a, b, num_classes, groups, resamples)["accuracy"]
    return found if groups is not None else replace(found, p=max(found.p, mcnemar_over_seeds(labels, a, b)))


def difference_of(
    drawn_a: FloatArray,
    drawn_b: FloatArray,
    estimate: float,
    confidence: float = 0.95,
    seed: int = 0,
    spread: str = "student",
) -> Difference:
    """Return b - a from values resampled together, (resamples, S) each, and the estimate on the images themselves."""
    difference = drawn_difference(drawn_a, drawn_b, seed, spread)
    return Difference(float(estimate), *_percentiles(difference, confidence), two_sided(difference))


def two_sided(difference: FloatArray) -> float:
    """Return the two-sided p-value of no difference, given resampled ones (R,); see :func:`paired_differences`."""
    far = min((difference <= 0).sum(), (difference >= 0).sum())
    return min(1.0, 2 * (int(far) + 1) / (len(difference) + 1))


def drawn_difference(drawn_a: FloatArray, drawn_b: FloatArray, seed: int = 0, spread: str = "student") -> FloatArray:
    """Return b - a as it scatters over images and runs (resamples,), of what :func:`difference_of` takes."""
    generator = np.random.default_rng((seed, 1))
    a, b = (_over_runs(generator, drawn, spread) for drawn in (drawn_a, drawn_b))
    return b - a


def _over_runs(generator: np.random.Generator, drawn: FloatArray, spread: str) -> FloatArray:
    """Return the mean over runs (R,) of each of ``drawn``'s resamples of images (R, S), moved as other runs would be.

    So few runs cannot be resampled: S drawn from S have only (S - 1) / S of the variance that they estimate, and badly.
    The mean is moved by a draw from Student's distribution with S - 1 degrees of freedom instead, scaled by the
    standard error of the runs' own means: over runs alone, the interval is Student's. The draws are its R quantiles in
    random order, so that they bring no more chance with them than they must. ``spread`` "resampled" is what was done
    before, S runs drawn from S for each resample; it is kept to show which verdicts the change has moved.
    """
    if spread not in SPREADS:
        raise ValueError(f"spread: wanted one of {', '.join(SPREADS)}, got {spread!r}")
    resamples, runs = drawn.shape
    if spread == "resampled":
        return np.asarray(np.take_along_axis(drawn, generator.integers(runs, size=drawn.shape), axis=1).mean(1))
    mean = drawn.mean(1)
    if runs == 1:
        return mean
    error = drawn.mean(0).std(ddof=1) / math.sqrt(runs)
    return np.asarray(mean + error * generator.permutation(student_quantiles(resamples, runs)))


def student_quantiles(resamples: int, runs: int) -> FloatArray:
    """Return evenly spaced quantiles of Student's distribution with ``runs`` - 1 degrees of freedom, (resamples,)."""
    from scipy import stats  # late: half of this module's import time

    return np.asarray(stats.t.ppf((np.arange(resamples) + 0.5) / resamples, runs - 1))


def _percentiles(values: FloatArray, confidence: float) -> tuple[float, float]:
    low, high = np.percentile(values, [50 * (1 - confidence), 50 * (1 + confidence)])
    return float(low), float(high)


# --------------------------------------------------------------------------------------------------------------------
# Paired tests, corrections, effect sizes, spread


class Discordance(NamedTuple):
    """Images that one method alone recognises."""

    only_a: int
    only_b: int


def discordance(labels: ArrayLike, a: ArrayLike, b: ArrayLike) -> Discordance:
    """Count the images that only ``a`` and that only ``b`` recognises; all (N,)."""
    y, a, b = (np.asarray(v) for v in (labels, a, b))
    if not y.shape == a.shape == b.shape or y.ndim != 1 or not y.size:
        raise ValueError(f"wanted labels and two predictions of one length, got {y.shape}, {a.shape}, {b.shape}")
    return Discordance(int(((a == y) & (b != y)).sum()), int(((a != y) & (b == y)).sum()))


def mcnemar(labels: ArrayLike, a: ArrayLike, b: ArrayLike, exact_below: int = 1000) -> float:
    """Return McNemar's two-sided p-value: do two methods, ``a`` and ``b`` (N,), recognise equally many of the images?

    Below ``exact_below`` discordant images it is the exact binomial test, above that the χ² form with continuity
    correction.
    """
    from statsmodels.stats.contingency_tables import mcnemar as test

    only_a, only_b = discordance(labels, a, b)
    if only_a + only_b == 0:
        return 1.0
    return float(test([[0, only_a], [only_b, 0]], exact=only_a + only_b < exact_below, correction=True).pvalue)


def mcnemar_over_seeds(labels: ArrayLike, a: ArrayLike, b: ArrayLike) -> float:
    """Return one p-value for several pairs of runs, a and b (S, N): twice the mean of theirs, at most 1.

    The pairs share their images, so their tests are not independent; twice the mean is valid under any dependence
    (Vovk and Wang 2020, after Rüschendorf 1982).
    """
    a, b = np.atleast_2d(np.asarray(a)), np.atleast_2d(np.asarray(b))
    if a.shape != b.shape:
        raise ValueError(f"wanted as many runs of one method as of the other, got {len(a)} and {len(b)}")
    p = [mcnemar(labels, x, y) for x, y in zip(a, b, strict=True)]
    return p[0] if len(p) == 1 else min(1.0, 2 * float(np.mean(p)))


def holm(p_values: ArrayLike) -> FloatArray:
    """Return p-values corrected for being several (Holm 1979), in the order given (K,)."""
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p_values: wanted a list of numbers in [0, 1], got {p_values!r}")
    return np.asarray(multipletests(p, method="holm")[1]) if p.size else p


def effect_size(labels: ArrayLike, a: ArrayLike, b: ArrayLike) -> dict[str, float]:
    """Return how large a paired difference in accuracy is.

    Returns
    -------
    dict
        ``difference``: accuracy of b minus a, fraction; ``cohens_g``: share of discordant images that b wins, minus
        one half, in [-0.5, 0.5] (0.05 small, 0.15 medium, 0.25 large, Cohen 1988); ``odds_ratio``: images b alone
        recognises for each that a alone does (inf if a has none, nan if neither has).
    """
    only_a, only_b = discordance(labels, a, b)
    both = only_a + only_b
    ratio = only_b / only_a if only_a else float("inf") if only_b else float("nan")
    return {
        "difference": (only_b - only_a) / len(np.asarray(labels)),
        "cohens_g": only_b / both - 0.5 if both else 0.0,
        "odds_ratio": ratio,
    }


def student(differences: ArrayLike) -> float:
    """Return the two-sided p-value of Student's paired test, given one difference a seed (S,).

    1 where all are 0; nan for a single seed, and where all are the same otherwise: seeds that do not differ, as may be
    with numbers of epochs, tell nothing of how others would.
    """
    from scipy import stats

    x = np.asarray(differences, dtype=np.float64)
    if len(x) < 2:
        return float("nan")
    largest = np.abs(x).max()
    if np.ptp(x) <= 1e-9 * max(1.0, largest):  # the same, but for how binary fractions are rounded
        return 1.0 if largest <= 1e-9 else float("nan")
    error = x.std(ddof=1) / math.sqrt(len(x))
    return float(2 * stats.t.sf(abs(x.mean()) / error, len(x) - 1))


def spread(values: ArrayLike, confidence: float = 0.95) -> dict[str, float]:
    """Return mean, sample standard deviation and Student's interval of the mean over runs (seeds).

    Returns
    -------
    dict
        ``n, mean, sd, low, high``; sd, low and high are nan for a single run.
    """
    from scipy import stats  # late: half of this module's import time

    _check_confidence(confidence)
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"values: wanted one number a run, got shape {x.shape}")
    mean = float(x.mean())
    if len(x) == 1:
        return {"n": 1.0, "mean": mean, "sd": np.nan, "low": np.nan, "high": np.nan}
    sd = float(x.std(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, len(x) - 1)) * sd / np.sqrt(len(x))
    return {"n": float(len(x)), "mean": mean, "sd": sd, "low": float(mean - half), "high": float(mean + half)}


def rank_agreement(first: ArrayLike, second: ArrayLike) -> FloatArray:
    """Return Kendall's τ-a of one order of M methods, (M,), with one (M,) or many (..., M): 1 the same, -1 reversed.

    A pair of methods that either order has level counts as half agreed, that is 0.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.ndim != 1 or x.size < 2 or y.shape[-1:] != x.shape:
        raise ValueError(f"wanted values of the same methods, two or more, got shapes {x.shape} and {y.shape}")
    i, j = np.triu_indices(len(x), 1)
    return np.asarray((np.sign(x[i] - x[j]) * np.sign(y[..., i] - y[..., j])).mean(-1))


def rank_test(first: ArrayLike, second: ArrayLike) -> float:
    """Return the exact two-sided p-value of :func:`rank_agreement` between two orders, (M,) each.

    Counted over all orders of the second's own values, level ones included, so for a handful of methods: with four even
    the same order has p = 2/24.
    """
    y = np.asarray(second, dtype=np.float64)
    if not 2 <= y.size <= 8:
        raise ValueError(f"second: wanted 2 to 8 methods, whose orders can be counted, got {y.size}")
    all_orders = np.abs(rank_agreement(first, np.array(list(permutations(y)))))
    return float((all_orders >= abs(rank_agreement(first, y)) - 1e-9).mean())


# --------------------------------------------------------------------------------------------------------------------


def _ratio(top: ArrayLike, bottom: ArrayLike) -> FloatArray:
    top, bottom = np.asarray(top, dtype=np.float64), np.asarray(bottom, dtype=np.float64)
    return np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom > 0)


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: wanted a fraction between 0 and 1, got {confidence}")


def _checked(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> tuple[IntArray, IntArray]:
    y, p = np.asarray(labels), np.asarray(predictions)
    if y.ndim != 1 or y.shape != p.shape or not y.size:
        raise ValueError(
            f"wanted labels and predictions as two lists of one length, at least 1, got shapes {y.shape} and {p.shape}"
        )
    for name, values in (("labels", y), ("predictions", p)):
        if values.dtype.kind not in "iu":
            raise ValueError(f"{name}: wanted whole class numbers, got {values.dtype}: pass argmax(1) of logits")
        if values.min() < 0 or values.max() >= num_classes:
            raise ValueError(f"{name}: wanted classes 0..{num_classes - 1}, got {values.min()}..{values.max()}")
    return y.astype(np.int64), p.astype(np.int64)
