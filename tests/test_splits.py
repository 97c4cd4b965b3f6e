"""The protocols: who is trained on, who is tested, and that nobody is on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fer_repro import data, results
from fer_repro.data import CK_CLASSES, DataError, FaceDataset, audit, splits

PEOPLE_TO_FOLDS = [  # of the made-up CK+ below, as scikit-learn 1.7 and 1.9 made them alike
    4, 5, 8, 4, 8, 2, 9, 6, 2, 1, 9, 6, 4, 6, 9, 8, 0, 3, 0, 5,
    0, 7, 8, 8, 5, 3, 3, 3, 2, 7, 1, 0, 7, 5, 6, 7, 1, 9, 7, 0,
]  # fmt: skip


@pytest.fixture
def ck():
    """Return 40 subjects with one to seven sequences of three frames, classes unevenly spread."""
    rng = np.random.default_rng(1)
    rows = []
    for subject in range(100, 140):
        chosen = rng.choice(7, rng.integers(1, 8), replace=False, p=np.array([3, 1, 4, 2, 5, 2, 6]) / 23)
        rows += [(subject, 1000 * subject + k, label) for k, label in enumerate(chosen) for _ in range(3)]
    subject, sequence, labels = np.array(rows).T
    images = rng.integers(0, 256, (len(rows), 4, 4), dtype=np.uint8)
    return FaceDataset(images, labels, CK_CLASSES, np.full(len(rows), "train"), subject, sequence, name="ckplus")


def people(ds, split):
    return {s for s, where in zip(ds.subject.tolist(), ds.split.tolist(), strict=True) if where == split}


def test_nobody_on_both_sides_and_everybody_tested_once(ck):
    tested = []
    for fold in range(splits.FOLDS):
        ds = splits.protocol(ck, "subjects", fold=fold)
        train, val, test = (people(ds, s) for s in data.SPLITS)
        assert train and val and test
        assert not (train & val or train & test or val & test)
        assert val == people(splits.protocol(ck, "subjects", fold=(fold + 1) % splits.FOLDS), "test")
        tested += sorted(test)
    assert sorted(tested) == sorted(set(ck.subject.tolist()))


def test_folds_are_balanced_by_class(ck):
    folds = splits.subject_folds(ck)
    counts = np.array([np.bincount(ck.labels[folds == k], minlength=7) for k in range(10)])
    assert counts.sum(axis=1).max() <= 2 * counts.sum(axis=1).min()
    random = np.random.default_rng(0).integers(0, 10, 40)[ck.subject - 100]
    chance = np.array([np.bincount(ck.labels[random == k], minlength=7) for k in range(10)])
    assert counts.std(axis=0).sum() < chance.std(axis=0).sum()


def test_folds_are_fixed(ck):
    folds = splits.subject_folds(ck)
    order = np.random.default_rng(5).permutation(len(ck))
    assert (splits.subject_folds(ck[order]) == folds[order]).all()  # whatever the order
    assert (splits.subject_folds(ck[2::3]) == folds[2::3]).all()  # whatever the frames a sequence
    a, b = (splits.protocol(ck, "subjects", seed=s, fold=4).split for s in (0, 1))
    assert (a == b).all()
    assert (splits.protocol(ck, "subjects").split == splits.protocol(ck, "subjects", fold=0).split).all()


def test_folds_are_the_same_with_every_version_of_what_they_are_made_with(ck):
    folds = [splits.subject_folds(ck)[ck.subject == person][0] for person in np.unique(ck.subject)]
    assert folds == PEOPLE_TO_FOLDS


def test_random_frames_leak(ck):
    ds = splits.protocol(ck, "frames", seed=3)
    n = len(ck)
    assert (ds.split == "test").sum() == round(0.3 * n)
    assert (ds.split == "val").sum() == round(0.1 * (n - round(0.3 * n)))
    assert splits.shared_subjects(ds)["train", "test"]
    assert "frames" in splits.LEAKING
    with pytest.raises(DataError, match="wanted nobody both in train and in val, got"):
        splits.refuse_shared_subjects(ds)
    assert (splits.protocol(ck, "frames", seed=3).split == ds.split).all()
    assert (splits.protocol(ck, "frames", seed=4).split != ds.split).any()


def test_random_sequences_stay_whole_and_their_people_do_not(ck):
    ds = splits.protocol(ck, "sequences", seed=3)
    ids, first, at = np.unique(ck.sequence, return_index=True, return_inverse=True)
    assert (ds.split == ds.split[first][at]).all()  # one side for all frames of a sequence
    whole, n = ds.split[first], len(ids)
    assert (whole == "test").sum() == round(0.3 * n)
    assert (whole == "val").sum() == round(0.1 * (n - round(0.3 * n)))
    assert splits.shared_subjects(ds)["train", "test"] and "sequences" in splits.LEAKING
    assert (splits.protocol(ck, "sequences", seed=3).split == ds.split).all()
    assert (splits.protocol(ck, "sequences", seed=4).split != ds.split).any()
    with pytest.raises(DataError, match="wanted every image's sequence, got 3 of none"):
        splits.protocol(replace(ck, sequence=np.where(ck.sequence == ids[0], -1, ck.sequence)), "sequences")


def test_the_last_frames_of_each_sequence(ck):
    ids = np.unique(ck.sequence)
    for count in (1, 2):
        kept = splits.last_frames(ck, count)
        slow = np.concatenate([np.flatnonzero(ck.sequence == s)[-count:] for s in ids])
        assert (kept.images == ck.images[np.sort(slow)]).all() and len(kept) == count * len(ids)
    assert splits.last_frames(ck, 0) is ck
    assert splits.last_frames(ck, 99).fingerprint() == ck.fingerprint()  # what they have
    with pytest.raises(ValueError, match="last_frames: wanted 0"):
        splits.last_frames(ck, -1)


@pytest.mark.parametrize("name", ["subjects", "sequences"])
def test_the_last_frames_are_divided_as_all_of_them_are(ck, name):
    one, all_of = (splits.protocol(ds, name, seed=3) for ds in (splits.last_frames(ck, 1), ck))
    for part in ("train", "val", "test"):
        assert set(one.part(part).sequence.tolist()) == set(all_of.part(part).sequence.tolist())


def test_images_of_no_sequence_stay(ck, tiny_fer):
    assert splits.last_frames(tiny_fer, 1).fingerprint() == tiny_fer.fingerprint()
    some = replace(ck, sequence=np.where(ck.sequence == ck.sequence[0], -1, ck.sequence))
    whole = int((ck.sequence == ck.sequence[0]).sum())
    assert len(splits.last_frames(some, 1)) == len(np.unique(ck.sequence)) - 1 + whole
    assert len(splits.last_frames(ck[:0], 1)) == 0


def test_official_keeps_what_the_data_set_carries(tiny_fer):
    ds = splits.protocol(tiny_fer, "official", seed=9)
    assert ds.fingerprint() == tiny_fer.fingerprint()
    assert ds.split is not tiny_fer.split


def test_shared_subjects_against_a_slow_loop(ck):
    ds = splits.protocol(ck, "frames")
    for a, b in [("train", "val"), ("train", "test"), ("val", "test")]:
        slow = sorted({s for s in people(ds, a) for t in people(ds, b) if s == t})
        assert splits.shared_subjects(ds).get((a, b), []) == slow


def test_the_original_is_left_alone(ck):
    before = ck.split.copy()
    splits.protocol(ck, "frames")
    splits.protocol(ck, "subjects", fold=2)
    assert (ck.split == before).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("random", {}, "protocol: wanted one of official, subjects, sequences, frames, got 'random'"),
        ("subjects", {"fold": 10}, r"fold: wanted 0\.\.9, got 10"),
        ("subjects", {"fold": -1}, r"fold: wanted 0\.\.9, got -1"),
        ("sequences", {"fold": 1}, "only the protocol 'subjects' has folds"),
        ("frames", {"fold": 1}, "only the protocol 'subjects' has folds"),
        ("official", {}, "it has no official split, use 'subjects', 'sequences' or 'frames'"),
    ],
)
def test_refusals(ck, name, options, message):
    with pytest.raises(ValueError, match=message):
        splits.protocol(ck, name, **options)


def test_data_that_cannot_be_divided(ck, tiny_fer):
    with pytest.raises(DataError, match="fer2013: wanted every image's subject, got 42 images of unknown people"):
        splits.protocol(tiny_fer, "subjects", fold=0)
    with pytest.raises(DataError, match="wanted at least 10 subjects for 10 folds, got 3"):
        splits.protocol(ck[ck.subject < 103], "subjects", fold=0)
    with pytest.raises(DataError, match=r"got none in test: the files may be incomplete"):
        splits.protocol(tiny_fer[tiny_fer.split != "test"], "official")


def test_every_data_set_has_a_default():
    assert set(splits.DEFAULT_PROTOCOL) == set(data.NAMES)
    assert not set(splits.DEFAULT_PROTOCOL.values()) & splits.LEAKING


def test_real_folds(real_data):
    ds = data.load("ckplus", real_data)
    folds = splits.subject_folds(ds)
    counts = np.array([np.bincount(ds.labels[folds == k], minlength=7) for k in range(10)])
    assert (counts > 0).all()  # each fold tests every class, the 18 sequences of contempt too
    for fold in range(10):
        splits.refuse_shared_subjects(splits.protocol(ds, "subjects", fold=fold))
    committed = results.load_all(dataset="ckplus", protocol="subjects")
    assert len({r["fold"] for r in committed}) == 10
    for r in committed:
        assert set(r["split"]["subjects"]["test"]) == set(ds.subject[folds == r["fold"]].tolist())


def test_the_name_of_a_split_is_not_cut_to_fit():
    with pytest.raises(DataError, match="trainval"):
        FaceDataset(np.zeros((2, 4, 4), np.uint8), np.array([0, 1]), ("a", "b"), np.array(["train", "trainval"]))


def persons(subject, labels, sequence=None):
    n = len(subject)
    more = {} if sequence is None else {"sequence": sequence}
    images = np.zeros((n, 4, 4), np.uint8)
    split = np.full(n, "train")
    return FaceDataset(images, np.asarray(labels), CK_CLASSES, split, np.asarray(subject), name="ckplus", **more)


def test_folds_that_put_somebody_on_both_sides_are_refused(monkeypatch):
    ds = persons(np.repeat(np.arange(12), 10), np.arange(120) % 7, np.arange(120))
    monkeypatch.setattr(splits, "subject_folds", lambda ds: np.arange(len(ds)) % splits.FOLDS)
    with pytest.raises(DataError, match="wanted nobody both in"):
        splits.protocol(ds, "subjects", fold=0)


def test_images_of_no_sequence_are_balanced_one_by_one():
    subject = np.repeat(np.arange(12), 3)
    labels = (np.tile(np.arange(3), 12) + subject) % 3  # each class once a person, another one first
    folds = splits.subject_folds(persons(subject, labels))  # 12 of each class: enough for ten folds
    assert all(len(set(folds[subject == s])) == 1 for s in range(12))


def test_too_few_sequences_of_every_class_are_named():
    ds = persons(np.arange(12), np.arange(12) % 7, np.arange(12))
    with pytest.raises(DataError, match="wanted 10 sequences or more of some class, got 2 at most"):
        splits.subject_folds(ds)


def test_people_who_are_not_known_are_not_shared(tiny_fer):
    assert (tiny_fer.subject < 0).all() and splits.shared_subjects(tiny_fer) == {}
    assert audit.report(tiny_fer).shared_subjects == {}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_an_official_split_that_lacks_a_part_is_refused(tiny_fer, split):
    with pytest.raises(DataError, match=f"got none in {split}"):
        splits.protocol(tiny_fer[tiny_fer.split != split], "official")


def test_as_many_people_and_sequences_as_folds_are_enough():
    ds = persons(np.repeat(np.arange(10), 7), np.tile(np.arange(7), 10))
    assert len(set(splits.subject_folds(ds).tolist())) == splits.FOLDS


def test_true_is_no_fold(ck):
    with pytest.raises(ValueError, match=r"fold: wanted 0\.\.9, got True"):
        splits.protocol(ck, "subjects", fold=True)


def test_whatever_a_data_set_holds_is_in_its_fingerprint():
    n = 4
    given = {
        "images": np.zeros((n, 2, 3), np.uint8),
        "labels": np.zeros(n, np.int64),
        "classes": ("a", "b"),
        "split": np.full(n, "train"),
        "subject": np.arange(n),
        "sequence": np.arange(n),
    }
    changes = {
        "images": np.eye(6, dtype=np.uint8)[:n].reshape(n, 2, 3),
        "labels": np.array([0, 0, 0, 1]),
        "classes": ("a", "c"),
        "split": np.array(["train", "train", "train", "test"]),
        "subject": np.zeros(n, int),
        "sequence": np.zeros(n, int),
    }
    prints = [FaceDataset(**given | {name: changed}).fingerprint() for name, changed in changes.items()]
    prints.append(FaceDataset(**given | {"images": given["images"].reshape(n, 3, 2)}).fingerprint())
    assert len({FaceDataset(**given).fingerprint(), *prints}) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.array([0, 2])}, r"label of image 1: wanted 0\.\.1, got 2"),
        ({"labels": np.array([-1, 0])}, r"label of image 0: wanted 0\.\.1, got -1"),
        *(({name: np.zeros(3, int)}, f"{name}: wanted one value for each of 2") for name in ("subject", "sequence")),
    ],
)
def test_what_does_not_fit_together_is_refused(change, message):
    given = {"labels": np.array([0, 1]), "classes": ("a", "b"), "split": np.full(2, "train")}
    with pytest.raises(DataError, match=message):
        FaceDataset(np.zeros((2, 4, 4), np.uint8), **given | change)
    with pytest.raises(ValueError, match="split: wanted one of"):
        FaceDataset(np.zeros((2, 4, 4), np.uint8), **given).part("training")


def test_the_last_frames_are_found_where_sequences_stand_mixed():
    ds = persons(np.arange(900) % 3, np.arange(900) % 3, np.arange(900) % 3)
    ds.images[:, 0, 0] = np.arange(900) // 4
    assert (splits.last_frames(ds, 4).images == ds.images[-12:]).all()


def test_as_many_folds_are_made_as_asked_for(ck):
    assert set(splits.subject_folds(ck, 5).tolist()) == set(range(5))
