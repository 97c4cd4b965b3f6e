"""Who is trained on and who is tested: the evaluation protocols (Q12)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .faces import DataError, FaceDataset

PROTOCOLS = ("official", "subjects", "sequences", "frames")
DEFAULT_PROTOCOL = {"synthetic": "official", "fer2013": "official", "ckplus": "subjects"}
LEAKING = {"frames", "sequences"}  # the same person on both sides; with "frames" the same sequence, too
FOLDS = 10
PARTITION_SEED = 2024  # of the folds: fixed, so that every method and every training seed meets the same ones
TEST_SHARE = 0.3  # of the random splits
VAL_SHARE = 0.1  # of what a random split leaves


def protocol(ds: FaceDataset, name: str, seed: int = 0, fold: int | None = None) -> FaceDataset:
    """Return a copy of ``ds`` whose ``split`` follows an evaluation protocol.

    Parameters
    ----------
    ds : FaceDataset
    name : {"official", "subjects", "sequences", "frames"}
        ``"official"``: the split the data set carries (FER2013, synthetic faces).
        ``"subjects"``: folds with nobody on both sides; ``fold`` is the test set, the next one validates, the other
        eight train. The folds are balanced by class and the same for every ``seed``.
        ``"sequences"``: 30 % of the sequences, drawn at random by ``seed``, are the test set; a tenth of the rest
        validates. It leaks (:data:`LEAKING`): other sequences of the same people stand on the other side.
        ``"frames"``: the same with single frames. It leaks more: frames of one sequence stand on both sides.
    seed : int
        Of the random splits; the other two do not depend on it.
    fold : int, optional
        0..9, for ``"subjects"`` only; without it fold 0.

    Raises
    ------
    ValueError
        If the protocol or fold is unknown.
    DataError
        If the data set cannot be divided in this way, or would have somebody on both sides.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"protocol: wanted one of {', '.join(PROTOCOLS)}, got {name!r}")
    if fold is not None and name != "subjects":
        raise ValueError(f"fold: only the protocol 'subjects' has folds, got fold={fold!r} with {name!r}")
    if name == "official":
        return _official(ds)
    if name == "frames":
        return replace(ds, split=_random(len(ds), seed))
    if name == "sequences":
        if (ds.sequence < 0).any():
            raise DataError(f"{ds.name}: wanted every image's sequence, got {int((ds.sequence < 0).sum())} of none")
        ids, at = np.unique(ds.sequence, return_inverse=True)
        return replace(ds, split=_random(len(ids), seed)[at])
    divided = replace(ds, split=_by_subject(ds, 0 if fold is None else fold))
    refuse_shared_subjects(divided)
    return divided


def _official(ds: FaceDataset) -> FaceDataset:
    for split in ("train", "val", "test"):
        if not (ds.split == split).any():
            known = "it has no official split, use 'subjects', 'sequences' or 'frames'"
            reason = known if ds.name == "ckplus" else "the files may be incomplete, see `fer-repro data check`"
            raise DataError(f"{ds.name}: wanted images in train, val and test, got none in {split}: {reason}")
    return replace(ds, split=ds.split.copy())


def _random(n: int, seed: int) -> NDArray[Any]:
    split = np.full(n, "train")
    order = np.random.default_rng(seed).permutation(n)
    n_test = round(TEST_SHARE * n)
    split[order[:n_test]] = "test"
    split[order[n_test : n_test + round(VAL_SHARE * (n - n_test))]] = "val"
    return split


def _by_subject(ds: FaceDataset, fold: int) -> NDArray[Any]:
    if isinstance(fold, bool) or fold not in range(FOLDS):
        raise ValueError(f"fold: wanted 0..{FOLDS - 1}, got {fold!r}")
    folds = subject_folds(ds)
    split = np.full(len(ds), "train")
    split[folds == fold] = "test"
    split[folds == (fold + 1) % FOLDS] = "val"
    return split


def subject_folds(ds: FaceDataset, folds: int = FOLDS) -> NDArray[np.int64]:
    """Return each image's fold (N,), 0 .. ``folds`` − 1: nobody is in two, and classes are spread as evenly as may be.

    Raises DataError if subjects are unknown, or fewer than ``folds``.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    unknown, people = int((ds.subject < 0).sum()), np.unique(ds.subject)
    if unknown:
        raise DataError(f"{ds.name}: wanted every image's subject, got {unknown} images of unknown people")
    if len(people) < folds:
        raise DataError(f"{ds.name}: wanted at least {folds} subjects for {folds} folds, got {len(people)}")
    # one row a sequence, in a fixed order: the folds depend neither on the images' order nor on frames a sequence
    alone = np.where(ds.sequence >= 0, -1, np.arange(len(ds)))
    _, rows = np.unique(np.stack([ds.subject, ds.sequence, alone]), axis=1, return_index=True)
    largest = int(np.bincount(ds.labels[rows]).max())
    if largest < folds:
        raise DataError(f"{ds.name}: wanted {folds} sequences or more of some class, got {largest} at most")
    # shuffled here: scikit-learn before 1.8 lost the balance when it shuffled, and folds must not hang on its version
    order = np.arange(len(people))
    np.random.RandomState(PARTITION_SEED).shuffle(order)  # whose numbers are promised to stay as they are
    number = np.argsort(order)[np.searchsorted(people, ds.subject[rows])]  # of each row's subject, as shuffled
    splitter = StratifiedGroupKFold(folds)
    fold_of = np.full(int(people.max()) + 1, -1, np.int64)  # by subject
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer sequences than folds is missing in some
        for k, (_, test) in enumerate(splitter.split(rows, ds.labels[rows], number)):
            fold_of[ds.subject[rows[test]]] = k
    return fold_of[ds.subject]


def last_frames(ds: FaceDataset, count: int) -> FaceDataset:
    """Return ``ds`` with the last ``count`` frames of each sequence alone (Q12); 0 for all of them.

    Frames stand in the order of their numbers, as :func:`fer_repro.data.load` gives them; sequences with fewer give
    what they have, and images of no sequence stay. Raises ValueError if ``count`` is negative.
    """
    if count < 0:
        raise ValueError(f"last_frames: wanted 0 (all) or more, got {count!r}")
    if count == 0:
        return ds
    order = np.argsort(ds.sequence, kind="stable")
    _, sizes = np.unique(ds.sequence, return_counts=True)
    left = np.empty(len(ds), np.int64)  # frames of its sequence from this one on
    left[order] = np.concatenate([np.arange(size, 0, -1) for size in sizes]) if len(ds) else 0
    return ds[(left <= count) | (ds.sequence < 0)]


def shared_subjects(ds: FaceDataset) -> dict[tuple[str, str], list[int]]:
    """Return the known subjects on both sides of each pair of splits: ``{("train", "test"): [5, 10], ...}``."""
    people = {s: set(ds.subject[(ds.split == s) & (ds.subject >= 0)].tolist()) for s in ("train", "val", "test")}
    pairs = [("train", "val"), ("train", "test"), ("val", "test")]
    return {(a, b): sorted(people[a] & people[b]) for a, b in pairs if people[a] & people[b]}


def refuse_shared_subjects(ds: FaceDataset) -> None:
    """Raise DataError if a subject stands on both sides of a split."""
    for (a, b), people in shared_subjects(ds).items():
        listed = ", ".join(map(str, people[:5])) + (", ..." if len(people) > 5 else "")
        raise DataError(f"{ds.name}: wanted nobody both in {a} and in {b}, got {len(people)} subjects: {listed}")
