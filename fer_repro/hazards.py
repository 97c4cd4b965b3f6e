"""What the data do to a result: duplicates, contradicting labels, imbalance, and people on both sides of a split.

``python -m fer_repro.hazards DIR`` measures the real data sets once and writes counts, shares and histograms to
``results/facts/hazards.json``, so that the book can be built without them. No image can be rebuilt from that file.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_repro import metrics, results
from fer_repro.data import audit, load, splits
from fer_repro.data.faces import SPLITS, FaceDataset
from fer_repro.preprocessing import global_contrast_normalize

FACTS = Path(__file__).resolve().parent.parent / "results" / "facts" / "hazards.json"
CLASSIFIERS = ("nearest", "linear")
RANDOM_SPLITS = 20  # how many random splits are averaged
ALIKE = 0.98  # correlation from which two pictures count as near copies of one another
_BINS = 50

IntArray = NDArray[np.int64]


# ------------------------------------------------------------------------------------ two classifiers that need no GPU


class Neighbours(NamedTuple):
    """For each test image: the class of the most similar training image, their correlation, and its position."""

    predicted: IntArray
    similarity: NDArray[np.float32]
    position: IntArray


def nearest(ds: FaceDataset, wanted: str = "test", among: str = "train", chunk: int = 1024) -> Neighbours:
    """Classify each image of a split by its most similar training image: 1-nearest-neighbour on pixels.

    Similarity is the correlation of two images, that is, the mean product of their pixels after Eq. 1. Nothing is
    learned: what it recognises, it has seen almost as it is.

    Parameters
    ----------
    ds : FaceDataset
    wanted, among : {"train", "val", "test"}
        Whose images are classified, and by whose.
    chunk : int
        Images compared at a time; memory is ``chunk`` times the training images.

    Returns
    -------
    Neighbours
        Classes int (N,), correlations in [-1, 1] float (N,), positions within ``ds.part(among)`` int (N,).

    Raises
    ------
    ValueError
        If one of the two splits is empty.
    """
    train, test = _part(ds, among), _part(ds, wanted)
    known, asked = _standardised(train.images), _standardised(test.images)
    best = np.empty(len(test), np.int64)
    similarity = np.empty(len(test), np.float32)
    for start in range(0, len(test), chunk):
        r = asked[start : start + chunk] @ known.T  # (chunk, N_train)
        best[start : start + chunk] = r.argmax(1)
        similarity[start : start + chunk] = r.max(1)
    return Neighbours(train.labels[best], similarity, best)


def linear(ds: FaceDataset, ridge: float = 100.0) -> IntArray:
    """Return the classes (N_test,) that a linear classifier on pixels (ridge regression on ±1) gives the test images.

    ``ridge`` is the penalty, in units of squared pixels after Eq. 1. Raises ValueError if train or test is empty.
    """
    from sklearn.linear_model import RidgeClassifier

    train, test = _part(ds, "train"), _part(ds, "test")
    fitted = RidgeClassifier(alpha=ridge).fit(_flat(train.images), train.labels)
    return np.asarray(fitted.predict(_flat(test.images)), np.int64)


def classify(ds: FaceDataset, by: str) -> IntArray:
    """Return the test images' classes by ``"nearest"`` or ``"linear"``; ValueError for anything else."""
    if by not in CLASSIFIERS:
        raise ValueError(f"by: wanted one of {', '.join(CLASSIFIERS)}, got {by!r}")
    return nearest(ds).predicted if by == "nearest" else linear(ds)


def _part(ds: FaceDataset, split: str) -> FaceDataset:
    part = ds.part(split)
    if not len(part):
        raise ValueError(f"{ds.name}: wanted images in {split}, got none; divide it with splits.protocol first")
    return part


def _flat(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return global_contrast_normalize(images).reshape(len(images), -1)


def _standardised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images as rows of length one and mean zero (a constant one as zeros), so that products correlate."""
    flat = _flat(images)
    return flat / np.float32(np.sqrt(flat.shape[1]))


# ------------------------------------------------------------------------------------------------- planted and counted


def plant(ds: FaceDataset, share: float, seed: int = 0, relabel: bool = False) -> FaceDataset:
    """Return a data set in which ``share`` of the test images stand in train as well, in place of as many others.

    Parameters
    ----------
    ds : FaceDataset
    share : float
        0 to 1; a larger share contains a smaller one's images.
    seed : int
        Which test images are copied, and which training images make room.
    relabel : bool
        Give each copy another class, drawn at random: conflicting labels.

    Raises
    ------
    ValueError
        If ``share`` is out of range or train is too small to make room.
    """
    rng = np.random.default_rng(seed)
    train, test = np.flatnonzero(ds.split == "train"), np.flatnonzero(ds.split == "test")
    copied, gone = rng.permutation(test), rng.permutation(train)
    other = rng.integers(1, len(ds.classes), len(test))
    n = round(share * len(test))
    if not 0 <= share <= 1 or n > len(train):
        raise ValueError(
            f"share: wanted 0 to 1 and at most {len(train)} copies, got {share} of {len(test)} test images"
        )
    images, labels = ds.images.copy(), ds.labels.copy()
    images[gone[:n]] = ds.images[copied[:n]]
    labels[gone[:n]] = (ds.labels[copied[:n]] + relabel * other[:n]) % len(ds.classes)
    return replace(ds, images=images, labels=labels)


def companions(ds: FaceDataset) -> dict[str, float]:
    """Return the shares of test images whose sequence, and whose subject, is in train as well (fractions)."""
    test, train = ds.part("test"), ds.part("train")
    return {
        name: float(np.isin(getattr(test, name), getattr(train, name)[getattr(train, name) >= 0]).mean())
        for name in ("sequence", "subject")
    }


def over_sequences(ds: FaceDataset, seed: int = 0) -> FaceDataset:
    """Return a copy split at random over sequences, 30 % to test: no sequence on both sides, but people are."""
    divided = splits.protocol(ds, "sequences", seed)
    return replace(ds, split=np.where(divided.split == "test", "test", "train"))


def divisions(ds: FaceDataset, random_splits: int = RANDOM_SPLITS, folds: int = splits.FOLDS) -> dict[str, list[Any]]:
    """Return the three ways to divide image sequences, from leaking most to not at all: name to divided data sets."""
    return {
        "frames": [splits.protocol(ds, "frames", seed) for seed in range(random_splits)],
        "sequences": [over_sequences(ds, seed) for seed in range(random_splits)],
        "subjects": [splits.protocol(ds, "subjects", fold=fold) for fold in range(folds)],
    }


def leak(ds: FaceDataset, random_splits: int = RANDOM_SPLITS) -> dict[str, dict[str, float]]:
    """Measure what a split over frames gives away: companions in train, and accuracy of two classifiers on pixels.

    Accuracy is over all test images of a division's splits or folds together; ``same_sequence`` is the share of test
    images whose nearest training image is of the same sequence.
    """
    found: dict[str, dict[str, float]] = {}
    for name, divided in divisions(ds, random_splits).items():
        right: dict[str, list[Any]] = {c: [] for c in (*CLASSIFIERS, "same_sequence", "sequence", "subject")}
        for one in divided:
            test, train, near = one.part("test"), one.part("train"), nearest(one)
            with_us = companions(one)
            right["sequence"].append(np.full(len(test), with_us["sequence"]))
            right["subject"].append(np.full(len(test), with_us["subject"]))
            right["nearest"].append(near.predicted == test.labels)
            right["linear"].append(linear(one) == test.labels)
            right["same_sequence"].append(train.sequence[near.position] == test.sequence)
        found[name] = {key: round(float(np.concatenate(values).mean()), 4) for key, values in right.items()}
    return found


# ---------------------------------------------------------------------------------------------------- facts, real data


def describe(ds: FaceDataset) -> dict[str, Any]:
    """Return what any data set's hazards are in counts: classes, blanks, duplicates and their labels, as plain data."""
    found = audit.report(ds)
    where = {name: Counter(ds.split[getattr(found, name)].tolist()) for name in ("blank", "constant", "black")}
    return {
        "fingerprint": ds.fingerprint(),
        "images": found.images,
        "classes": list(found.classes),
        "counts": found.counts,
        "subjects": found.subjects,
        "sequences": found.sequences,
        **{name: {s: where[name][s] for s in SPLITS} for name in where},
        "duplicates": {
            "groups": len(found.duplicates),
            "images": found.duplicate_images,
            "sizes": {str(k): n for k, n in sorted(Counter(map(len, found.duplicates)).items())},
            "across": {f"{a}, {b}": n for (a, b), n in found.across.items()},
        },
        "conflicts": _conflicts(ds, found.conflicting, found.duplicates),
    }


def _conflicts(ds: FaceDataset, conflicting: list[list[int]], groups: list[list[int]]) -> dict[str, Any]:
    """Return how often copies of one picture bear two labels, by pair, and how many images nobody can get right."""
    pairs: Counter[str] = Counter()
    lost = 0
    for group in conflicting:
        count = Counter(ds.labels[group].tolist())
        lost += len(group) - max(count.values())
        names = [ds.classes[k] for k in sorted(count)]
        pairs.update(f"{a}, {b}" for i, a in enumerate(names) for b in names[i + 1 :])
    return {"groups": len(conflicting), "of": len(groups), "lost": lost, "pairs": dict(pairs.most_common())}


def twins(ds: FaceDataset) -> dict[str, Any]:
    """Return what looking a test image up in train, pixel for pixel, would give: how many, and how many right."""
    test, train = ds.part("test"), ds.part("train")
    labels: dict[bytes, Counter[int]] = {}
    for image, label in zip(train.images, train.labels.tolist(), strict=True):
        labels.setdefault(image.tobytes(), Counter())[label] += 1
    found = [labels.get(image.tobytes()) for image in test.images]
    known = [(y, seen) for y, seen in zip(test.labels.tolist(), found, strict=True) if seen]
    right = sum(seen.most_common(1)[0][0] == y for y, seen in known)
    return {
        "test": len(test),
        "known": len(known),
        "right": right,
        "another_label": sum(seen[y] == 0 for y, seen in known),
    }


def neighbourhood(ds: FaceDataset) -> dict[str, Any]:
    """Return 1-nearest-neighbour accuracy with and without copies, and a histogram of the nearest one's similarity."""
    test, near, copy = ds.part("test"), nearest(ds), audit.duplicates_of(ds)
    right = near.predicted == test.labels
    close = (near.similarity >= ALIKE) & ~copy
    edges = np.linspace(0, 1, _BINS + 1)
    mean = {name: float(right[which].mean()) for name, which in _kinds(copy, close).items() if which.any()}
    return {
        "test": len(test),
        "copies": int(copy.sum()),
        "near_copies": int(close.sum()),
        "alike": ALIKE,
        "accuracy": {name: round(value, 4) for name, value in mean.items()},
        "similarity": {
            "from": 0.0,
            "to": 1.0,
            "others": np.histogram(np.clip(near.similarity[~copy], 0, 1), edges)[0].tolist(),
            "copies": np.histogram(np.clip(near.similarity[copy], 0, 1), edges)[0].tolist(),
        },
    }


def _kinds(copy: NDArray[np.bool_], close: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    return {"all": np.ones_like(copy), "copies": copy, "near copies": close, "without copies": ~copy}


def fer2013_facts(ds: FaceDataset, neighbours: bool = True) -> dict[str, Any]:
    """Return FER2013's hazards; ``neighbours`` adds the 1-nearest-neighbour counts (a minute on one core)."""
    mixed = replace(ds, split=splits.protocol(ds, "frames", seed=0).split)
    facts = describe(ds) | {"twins": {"official": twins(ds), "random": twins(mixed)}}
    if neighbours:
        facts["neighbours"] = {"official": neighbourhood(ds), "random": neighbourhood(mixed)}
    return facts


def ckplus_facts(ds: FaceDataset) -> dict[str, Any]:
    """Return CK+'s hazards: labels, sequences a subject, and what each way to divide it gives away."""
    _, first, frames = np.unique(ds.sequence, return_index=True, return_counts=True)
    by_class = Counter(ds.labels[first].tolist())
    a_subject = Counter(Counter(ds.subject[first].tolist()).values())
    return describe(ds) | {
        "sequences_by_class": {name: by_class[k] for k, name in enumerate(ds.classes)},
        "sequences_a_subject": {str(k): n for k, n in sorted(a_subject.items())},
        "frames_a_sequence": {str(k): n for k, n in sorted(Counter(frames.tolist()).items())},
        "leak": leak(ds),
    }


def write_facts(data_dir: Path | str, path: Path = FACTS) -> Path:
    """Measure FER2013 and CK+ and write what was found: counts, shares, histograms and fingerprints, no image."""
    facts = {
        "what": "hazards of the data: counts, shares and histograms",
        "command": "python -m fer_repro.hazards DIR",
        "fer2013": fer2013_facts(load("fer2013", data_dir)),
        "ckplus": ckplus_facts(load("ckplus", data_dir)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    results.replace_text(path, json.dumps(facts, indent=1) + "\n")
    return path


def facts(path: Path = FACTS) -> dict[str, Any]:
    """Return the committed facts; FileNotFoundError says how to measure them."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: wanted the facts on the real data; `python -m fer_repro.hazards DIR` writes it"
        )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


# --------------------------------------------------------------------------------------------------------- run records


def worth_of_duplicates(records: Iterable[results.Record]) -> pd.DataFrame:
    """Return, for each complete FER2013 record, accuracy on all test images, on those with a copy in train, and others.

    Columns: ``model, variant, recipe, seed, copies, all, on_copies, without, worth, path`` (fractions). ``worth`` is
    what the copies add: all minus without.
    """
    rows = []
    for r in records:
        if r["dataset"] != "fer2013" or not r["complete"] or not r.get("test_without_duplicates"):
            continue
        shown, said = (np.asarray(r["predictions"][k]) for k in ("label", "predicted"))
        copies = np.asarray(r["predictions"]["duplicate"], np.int64)
        everything, without = r["test"]["accuracy"], r["test_without_duplicates"]["accuracy"]
        rows.append(
            {
                **{k: r[k] for k in ("model", "variant", "seed")},
                "recipe": r["recipe"]["name"],
                "copies": len(copies),
                "all": everything,
                "on_copies": float((shown == said)[copies].mean()) if len(copies) else None,
                "without": without,
                "worth": everything - without,
                "path": r.get("path"),
            }
        )
    return pd.DataFrame(rows)


def divided_runs(recipe: str | None = None) -> list[results.Record]:
    """Return the runs on CK+ by all protocols; those by sequences were made in float32, and are kept apart."""
    apart = results.root() / results.FLOAT32
    by_sequences = results.load_all(apart, dataset="ckplus", recipe=recipe, protocol="sequences")
    return results.load_all(dataset="ckplus", recipe=recipe) + by_sequences


def training_amounts(records: Iterable[results.Record]) -> pd.DataFrame:
    """Return what a run on CK+ was trained on, the mean by protocol: ``images``, and ``steps`` of the optimiser in all.

    Variants and trials are left out, as in :func:`leak_in_records`.
    """
    rows = [
        (
            r["protocol"],
            r["split"]["train"],
            max(1, r["split"]["train"] // r["recipe"]["batch_size"]) * len(r["curves"]),
        )
        for r in records
        if r["dataset"] == "ckplus" and r["complete"] and r["variant"] is None
    ]
    return pd.DataFrame(rows, columns=["protocol", "images", "steps"]).groupby("protocol").mean()


def leak_in_records(records: Iterable[results.Record]) -> pd.DataFrame:
    """Return CK+ accuracy by model, recipe and protocol (all folds of a seed together), with the interval of runs.

    Columns: ``model, recipe, protocol, leaks, runs, folds, images, accuracy, low, high``; variants are left out, and
    seeds with fewer folds than another has. The interval is over people, drawn whole, and seeds.
    """
    groups: dict[tuple[str, str, str], list[results.Record]] = {}
    for r in records:
        if r["dataset"] == "ckplus" and r["complete"] and r["variant"] is None:
            groups.setdefault((r["model"], r["recipe"]["name"], r["protocol"]), []).append(r)
    rows = []
    for (model, recipe, protocol), found in sorted(groups.items()):
        runs = _of_whole_seeds(found)
        low, high = metrics.interval_of(_drawn_people(runs))
        rows.append(
            {
                "model": model,
                "recipe": recipe,
                "protocol": protocol,
                "leaks": protocol in splits.LEAKING,
                "runs": len(runs),
                "folds": len({r["fold"] for r in runs}),
                "images": len(_together(runs, "label")),
                "accuracy": _accuracy(runs),
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)


def leak_of_methods(records: Iterable[results.Record]) -> pd.DataFrame:
    """Return how much higher CK+ accuracy is on a leaking split than with people apart, by split, model and recipe.

    Columns: ``model, recipe, protocol, leaking, subjects`` (accuracies of single images), ``difference, low, high``;
    only seeds with all folds. The two splits test other images, so people are drawn for each on its own; the interval
    takes up the seeds, too.
    """
    groups: dict[tuple[str, str], dict[str, list[results.Record]]] = {}
    for r in records:
        if r["dataset"] == "ckplus" and r["complete"] and r["variant"] is None:
            groups.setdefault((r["model"], r["recipe"]["name"]), {}).setdefault(r["protocol"], []).append(r)
    rows = []
    for (model, recipe), runs in sorted(groups.items()):
        apart = _of_whole_seeds(runs.get("subjects", []), splits.FOLDS)
        if not apart:
            continue
        for protocol in (name for name in splits.PROTOCOLS if name in splits.LEAKING and name in runs):
            here = [_accuracy(r) for r in (runs[protocol], apart)]
            drawn = [_drawn_people(r, seed=k) for k, r in enumerate((runs[protocol], apart))]
            found = metrics.difference_of(drawn[1], drawn[0], here[0] - here[1])
            rows.append((model, recipe, protocol, *here, found.estimate, found.low, found.high))
    columns = ["model", "recipe", "protocol", "leaking", "subjects", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def last_frames_alone(records: Iterable[results.Record]) -> pd.DataFrame:
    """Compare runs on the last frame alone of each of CK+'s sequences with runs on all frames, by protocol and model.

    Both are tested on those last frames, and divided alike: what differs is what they were trained on.

    Parameters
    ----------
    records : iterable of records
        Of one recipe and precision.

    Returns
    -------
    DataFrame
        ``protocol, model``; ``seeds`` with all their folds, ``images`` that each tests, ``trained`` images of one run;
        accuracy (fraction) of the runs on last frames alone, ``accuracy, low, high``, and how many of ``images`` they
        had right in the worst and the best seed, ``least, most``; ``all_frames``: accuracy of the runs on all
        frames, ``difference, difference_low, difference_high`` to it (that of last frames alone less that of all),
        over the ``pairs`` of seeds that both have. Intervals are over people, drawn whole, and seeds; seeds of the two
        count as drawn apart, which makes the difference's wide where each seed divides the images anew for both.
    """
    groups: dict[tuple[str, str], dict[bool, list[results.Record]]] = {}
    for r in records:
        alone = (r.get("changes") or {}).get("last_frames") == 1
        if r["dataset"] == "ckplus" and r["complete"] and (alone or r["variant"] is None):
            groups.setdefault((r["protocol"], r["model"]), {}).setdefault(alone, []).append(r)
    rows = []
    for (protocol, model), found in groups.items():
        folds = splits.FOLDS if protocol == "subjects" else 1
        alone, whole = (_of_whole_seeds(found.get(k, []), folds) for k in (True, False))
        if not alone:
            continue
        seeds = sorted({r["seed"] for r in alone})
        right = {s: int(np.sum(_hits([r for r in alone if r["seed"] == s]))) for s in seeds}
        both = sorted(set(seeds) & {r["seed"] for r in whole})
        before, after = ([r for r in runs if r["seed"] in both] for runs in (map(_on_last_frames, whole), alone))
        low, high = metrics.interval_of(_drawn_people(alone))
        row = {
            "protocol": protocol,
            "model": model,
            "seeds": len(seeds),
            "images": len(_together(alone, "label")) // len(seeds),
            "trained": float(np.mean([r["split"]["train"] for r in alone])),
            "accuracy": _accuracy(alone),
            "low": low,
            "high": high,
            "least": min(right.values()),
            "most": max(right.values()),
            "pairs": len(both),
        }
        if both:
            if not np.array_equal(_together(before, "sequence"), _together(after, "sequence")):
                raise ValueError(f"CK+, {model}, {protocol}: runs on other test sequences cannot be compared")
            there, here = _accuracy(before), _accuracy(after)
            d = metrics.difference_of(_drawn_people(before), _drawn_people(after), here - there)
            row |= {"all_frames": there, "difference": d.estimate, "difference_low": d.low, "difference_high": d.high}
        rows.append(row)
    columns = ["protocol", "model", "seeds", "images", "trained", "accuracy", "low", "high", "least", "most", "pairs"]
    return pd.DataFrame(rows, columns=[*columns, "all_frames", "difference", "difference_low", "difference_high"])


def by_frame_and_sequence(records: Iterable[results.Record]) -> pd.DataFrame:
    """Return macro F1 on CK+ of frames, and of sequences that are each one vote of their frames (Sec. IV-D, Q18).

    A seed's folds are taken together, as the ledger does: a mean over folds, in which a rare class has a sequence or
    two, would be lower. Seeds of which folds are missing, and variants, are left out.

    Returns
    -------
    DataFrame
        ``model, recipe, protocol, seeds``, and ``frames, sequences``: F1 (fraction), mean over seeds.
    """
    groups: dict[tuple[str, str, str], list[results.Record]] = {}
    for r in records:
        if r["dataset"] == "ckplus" and r["complete"] and r["variant"] is None:
            groups.setdefault((r["model"], r["recipe"]["name"], r["protocol"]), []).append(r)
    rows = []
    for key, found in groups.items():
        runs = _of_whole_seeds(found, splits.FOLDS if key[-1] == "subjects" else 1)
        f1 = []
        for seed in sorted({r["seed"] for r in runs}):
            what = ("label", "predicted", "sequence")
            y, p, sequence = (_together((r for r in runs if r["seed"] == seed), k) for k in what)
            sure = np.concatenate([r["predictions"]["confidence"] for r in runs if r["seed"] == seed])
            votes, classes = metrics.sequence_vote(y, p, sequence, sure), len(runs[0]["classes"])
            by = ((y, p), (votes.label, votes.predicted))
            f1.append([metrics.scores(*pair, classes)["f1"] for pair in by])
        if f1:
            rows.append((*key, len(f1), *np.mean(f1, 0)))
    return pd.DataFrame(rows, columns=["model", "recipe", "protocol", "seeds", "frames", "sequences"])


def _of_whole_seeds(runs: Sequence[results.Record], folds: int | None = None) -> list[results.Record]:
    """Return the runs of seeds that have so many folds, or the most that one has, in the order of seed and fold."""
    there = Counter(r["seed"] for r in runs)
    folds = max(there.values(), default=0) if folds is None else folds
    return sorted((r for r in runs if there[r["seed"]] == folds), key=lambda r: (r["seed"], r["fold"] or 0))


def _on_last_frames(record: results.Record) -> results.Record:
    """Return the record with the predictions for each sequence's last frame alone."""
    given = record["predictions"]
    last = {sequence: i for i, sequence in enumerate(given["sequence"])}  # frames stand in the order of their numbers
    at = sorted(last.values())
    return record | {
        "predictions": {k: [given[k][i] for i in at] for k in ("label", "predicted", "subject", "sequence")}
    }


def _hits(runs: Iterable[results.Record]) -> NDArray[np.bool_]:
    return _together(runs, "label") == _together(runs, "predicted")


def _accuracy(runs: Iterable[results.Record]) -> float:
    return float(_hits(runs).mean())


def _drawn_people(runs: Iterable[results.Record], resamples: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """Return the accuracy of each seed's runs together, people drawn with replacement: (resamples, seeds)."""
    by_seed: dict[int, list[results.Record]] = {}
    for r in runs:
        by_seed.setdefault(r["seed"], []).append(r)
    people = np.unique(np.concatenate([_together(mine, "subject") for mine in by_seed.values()]))
    right, shown = np.zeros((2, len(people), len(by_seed)))
    for k, mine in enumerate(by_seed.values()):
        y, p, who = (_together(mine, what) for what in ("label", "predicted", "subject"))
        at = np.searchsorted(people, who)
        right[:, k] = np.bincount(at, y == p, len(people))
        shown[:, k] = np.bincount(at, minlength=len(people))
    times = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), resamples)
    return np.asarray((times @ right) / np.maximum(times @ shown, 1))


def _together(runs: Iterable[Mapping[str, Any]], what: str) -> IntArray:
    return np.concatenate([np.asarray(r["predictions"][what], np.int64) for r in runs])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m fer_repro.hazards DIR (with fer2013/ and ckplus/)")
    print(write_facts(sys.argv[1]))
