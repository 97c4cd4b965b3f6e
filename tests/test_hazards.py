"""Hazards: classifiers against loops, planted copies, what a division gives away, the facts, the chapter's pictures."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import row_labels

from fer_repro import data, figures, hazards, paper
from fer_repro.data import FER_CLASSES, FaceDataset, audit, splits
from fer_repro.figures import hazards as pictures


@pytest.fixture
def films():
    """Return 36 films of 3 noise frames, frames of one film alike; 12 people, 3 films each."""
    rng = np.random.default_rng(3)
    base = rng.integers(0, 200, (36, 16, 16))
    images = (np.repeat(base, 3, axis=0) + rng.integers(0, 8, (108, 16, 16))).astype(np.uint8)
    sequence = np.repeat(np.arange(36), 3)
    split = np.full(108, "train")
    return FaceDataset(images, sequence % 3, ("a", "b", "c"), split, sequence // 3, sequence, "ckplus")


def test_the_nearest_is_that_of_a_loop_over_correlations(tiny_fer):
    near = hazards.nearest(tiny_fer, chunk=5)
    train, test = tiny_fer.part("train"), tiny_fer.part("test")
    for i, image in enumerate(test.images):
        found = [0.0 if other.std() == 0 else np.corrcoef(image.ravel(), other.ravel())[0, 1] for other in train.images]
        assert near.position[i] == int(np.argmax(found))
        assert near.similarity[i] == pytest.approx(max(found), abs=1e-5)
        assert near.predicted[i] == train.labels[near.position[i]]


def test_the_nearest_of_a_copy_is_its_original_whatever_the_light(tiny_fer):
    images = tiny_fer.images.copy()
    test, train = np.flatnonzero(tiny_fer.split == "test"), np.flatnonzero(tiny_fer.split == "train")
    images[test] = images[train[::-1]] // 2 + 20
    images[test[-1]] = images[train[3]]  # train[0] is black and correlates with nothing
    near = hazards.nearest(replace(tiny_fer, images=images))
    assert near.position[:-1].tolist() == list(range(13, 0, -1))
    assert near.similarity.min() > 0.99


def test_the_linear_classifier_learns_what_is_linear_and_no_more():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    images = rng.integers(0, 100, (300, 16, 16)).astype(np.uint8)
    images[np.arange(300), labels] += 100  # a bright row tells the class
    split = np.where(np.arange(300) < 200, "train", "test")
    ds = FaceDataset(images, labels, ("a", "b", "c"), split)
    assert (hazards.linear(ds) == labels[200:]).all()
    noise = replace(ds, images=rng.integers(0, 100, images.shape).astype(np.uint8))
    assert (hazards.linear(noise) == labels[200:]).mean() < 0.6


def test_an_empty_side_and_an_unknown_classifier_are_refused(tiny_fer):
    with pytest.raises(ValueError, match="wanted images in test, got none"):
        hazards.nearest(replace(tiny_fer, split=np.full(len(tiny_fer), "train")))
    with pytest.raises(ValueError, match="wanted one of nearest, linear, got 'deep'"):
        hazards.classify(tiny_fer, "deep")


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_planted_copies_are_as_many_as_asked_and_leave_the_test_set_alone(tiny_fer, share):
    planted = hazards.plant(tiny_fer, share, seed=4)
    assert audit.duplicates_of(planted).sum() == round(14 * share)
    assert (planted.part("test").images == tiny_fer.part("test").images).all()
    assert hazards.twins(planted) == {
        "test": 14, "known": round(14 * share), "right": round(14 * share), "another_label": 0
    }  # fmt: skip


def test_a_copy_with_another_label_never_bears_its_own(tiny_fer):
    planted = hazards.plant(tiny_fer, 1.0, relabel=True)
    assert hazards.twins(planted) == {"test": 14, "known": 14, "right": 0, "another_label": 14}
    with pytest.raises(ValueError, match="share: wanted 0 to 1"):
        hazards.plant(tiny_fer, 1.5)


def test_more_copies_mean_more_right_answers_for_who_understands_nothing():
    drawn = data.load("synthetic", n=420, seed=1)
    right = [
        (hazards.nearest(p).predicted == p.part("test").labels).mean()
        for p in (hazards.plant(drawn, share) for share in (0.0, 0.5, 1.0))
    ]
    assert right[0] < right[1] < right[2] == 1


def test_only_frames_at_random_put_a_film_on_both_sides(films):
    found = hazards.leak(films, random_splits=3)
    assert found["frames"]["sequence"] > 0.6
    assert found["frames"]["nearest"] == pytest.approx(found["frames"]["same_sequence"], abs=0.2)
    assert found["sequences"]["sequence"] == found["sequences"]["same_sequence"] == 0 < found["sequences"]["subject"]
    assert found["subjects"]["sequence"] == found["subjects"]["subject"] == 0
    assert found["subjects"]["nearest"] < 0.6 < found["frames"]["nearest"]


def test_companions_are_those_of_a_loop(films):
    divided = splits.protocol(films, "frames", seed=1)
    train, test = divided.part("train"), divided.part("test")
    found = hazards.companions(divided)
    assert set(found) == {"sequence", "subject"}
    for name, share in found.items():
        known = set(getattr(train, name).tolist())
        assert share == pytest.approx(np.mean([i in known for i in getattr(test, name).tolist()]))


def test_conflicts_count_pairs_and_the_images_nobody_gets_right():
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    images = np.stack([picture] * 4 + [picture.T] * 2 + [picture[::-1]])
    labels = np.array([0, 0, 2, 3, 1, 1, 5])
    ds = FaceDataset(images, labels, FER_CLASSES, np.array(["train"] * 3 + ["val"] + ["test"] * 3))
    found = hazards.describe(ds)
    assert found["conflicts"] == {
        "groups": 1, "of": 2, "lost": 2,
        "pairs": {"anger, fear": 1, "anger, happiness": 1, "fear, happiness": 1},
    }  # fmt: skip
    assert found["duplicates"]["sizes"] == {"2": 1, "4": 1}
    assert found["duplicates"]["across"] == {"train, val": 1, "val, train": 3}


def test_the_neighbourhood_counts_each_test_image_once(tiny_fer):
    found = hazards.neighbourhood(hazards.plant(tiny_fer, 0.5))
    assert sum(found["similarity"]["others"]) + sum(found["similarity"]["copies"]) == found["test"] == 14
    assert found["accuracy"]["copies"] == 1
    assert found["similarity"]["copies"][-1] == found["copies"] == 7


def _record(**changes):
    r = {"dataset": "fer2013", "model": "proposed", "variant": None, "complete": True, "seed": 0, "fold": None}
    r |= {"protocol": "official", "recipe": {"name": "native48"}, "classes": ["a", "b"], "path": "x.json"}
    r["predictions"] = {"label": [0, 1, 0, 1], "predicted": [0, 1, 1, 1], "duplicate": [1, 2], "subject": [1, 1, 2, 2]}
    r |= {"test": {"accuracy": 0.75}, "test_without_duplicates": {"accuracy": 1.0}}
    return r | changes


def test_the_worth_of_copies_is_read_from_records():
    table = hazards.worth_of_duplicates([_record(), _record(complete=False), _record(dataset="ckplus")])
    assert len(table) == 1
    assert table.loc[0, ["copies", "all", "on_copies", "without", "worth"]].tolist() == [2, 0.75, 0.5, 1.0, -0.25]


def test_folds_are_put_together_and_the_leaking_protocol_is_marked():
    runs = [_record(dataset="ckplus", protocol="subjects", fold=k) for k in range(3)]
    table = hazards.leak_in_records([*runs, _record(dataset="ckplus", protocol="frames")])
    assert table["leaks"].tolist() == [True, False]
    assert table["images"].tolist() == [4, 12]
    assert table["accuracy"].tolist() == [0.75, 0.75]
    assert hazards.leak_in_records([]).empty


def test_the_leaks_size_takes_up_people_and_seeds():
    def run(protocol, seed, right, fold=None):
        who = np.repeat(np.arange(20), 2)
        predicted = [0 if k < right else 1 for k in range(40)]
        r = _record(dataset="ckplus", protocol=protocol, seed=seed, fold=fold)
        r["predictions"] = {"label": [0] * 40, "predicted": predicted, "subject": who.tolist()}
        return r

    apart = [run("subjects", seed, 30, fold) for seed in range(3) for fold in range(10)]
    level = hazards.leak_of_methods([*apart, *(run("frames", seed, 36) for seed in range(3))])
    (row,) = level.itertuples()
    assert (row.protocol, row.leaking, row.subjects) == ("frames", 0.9, 0.75)
    assert row.difference == pytest.approx(0.15) and row.low < 0.15 < row.high
    uneven = hazards.leak_of_methods([*apart, *(run("frames", seed, n) for seed, n in enumerate((32, 36, 40)))])
    assert uneven.loc[0, "difference"] == pytest.approx(0.15)
    assert uneven.loc[0, "high"] - uneven.loc[0, "low"] > 1.15 * (row.high - row.low)  # seeds that differ count
    both = hazards.leak_of_methods([*apart, run("frames", 0, 36), run("sequences", 0, 32)])
    assert both["protocol"].tolist() == ["sequences", "frames"]
    assert hazards.leak_of_methods(apart[:5]).empty


def _film(protocol, seed, hits, frames, fold=None):
    """12 sequences of four people; the first ``hits`` last frames are right, and no other frame is."""
    sequence = np.repeat(np.arange(12) + 100 * (seed if protocol == "sequences" else 10 * seed + (fold or 0)), frames)
    last = np.arange(12 * frames) % frames == frames - 1
    predicted = np.where(last & (np.arange(12 * frames) // frames < hits), 0, 1)
    r = _record(dataset="ckplus", protocol=protocol, seed=seed, fold=fold)
    r["predictions"] = {"label": [0] * len(last), "predicted": predicted.tolist()}
    r["predictions"] |= {"subject": (sequence % 4).tolist(), "sequence": sequence.tolist()}
    r["split"] = {"train": 200 * frames}
    return r | ({"changes": {"last_frames": 1}, "variant": "last_frames=1"} if frames == 1 else {})


def test_runs_on_last_frames_alone_are_compared_on_them():
    whole = [_film("sequences", seed, 6, 3) for seed in range(2)]
    alone = [_film("sequences", seed, hits, 1) for seed, hits in enumerate((9, 9, 12))]
    (row,) = hazards.last_frames_alone([*whole, *alone]).itertuples()
    assert (row.protocol, row.seeds, row.images, row.trained, row.pairs) == ("sequences", 3, 12, 200, 2)
    assert row.accuracy == pytest.approx(30 / 36) and (row.least, row.most) == (9, 12)
    assert row.all_frames == 0.5 and row.difference == pytest.approx(0.25)
    assert row.difference_low < 0.25 < row.difference_high
    with pytest.raises(ValueError, match="runs on other test sequences cannot be compared"):
        hazards.last_frames_alone([*alone, _film("sequences", 7, 6, 3) | {"seed": 0}])


def test_a_measure_of_frames_and_of_sequences_takes_a_seeds_folds_together():
    def fold(seed, k, label, predicted):
        r = _record(dataset="ckplus", protocol="subjects", seed=seed, fold=k)
        r["predictions"] = {"label": [label] * 3, "predicted": predicted, "sequence": [k] * 3, "confidence": [0.9] * 3}
        return r

    folds = [fold(0, k, 0, [0, 0, 1]) for k in range(9)]  # of each film two frames of three are right
    folds += [fold(0, 9, 1, [1, 1, 0])]
    (row,) = hazards.by_frame_and_sequence([*folds, fold(1, 0, 0, [1, 1, 1])]).itertuples(index=False)
    assert row[:4] == ("proposed", "native48", "subjects", 1)
    assert row.sequences == 1.0
    of_frames = [2 * 18 / (27 + 19), 2 * 2 / (3 + 11)]  # F1 of each class: 2 right / (there + said)
    assert row.frames == pytest.approx(np.mean(of_frames))
    assert hazards.by_frame_and_sequence([folds[0] | {"variant": "query=last"}]).empty


def test_a_seed_with_some_folds_only_moves_nothing():
    whole = [_film("subjects", seed, 9, 3, fold) for seed in range(2) for fold in range(10)]
    leaking = [_film("frames", seed, 12, 3) for seed in range(2)]
    begun = [_film("subjects", 2, 0, 3, fold) for fold in range(3)]
    for table in (hazards.leak_in_records, hazards.leak_of_methods):
        pd.testing.assert_frame_equal(table([*whole, *leaking, *begun]), table([*whole, *leaking]))
    assert hazards.leak_in_records(begun)["folds"].tolist() == [3]  # while none is whole, what there is
    assert hazards.leak_of_methods([*begun, *leaking]).empty


def test_what_runs_were_trained_on_is_counted_in_images_and_whole_batches():
    runs = [_film("sequences", seed, 6, frames) for seed, frames in enumerate((1, 3))]
    runs = [r | {"recipe": {"name": "native48", "batch_size": 128}, "curves": [{}] * 10} for r in runs]
    runs[0] |= {"changes": {}, "variant": None}
    wanted = {"images": 400, "steps": (1 + 4) * 10 / 2}
    others = [runs[0] | {"complete": False}, runs[0] | {"variant": "size=64"}, runs[0] | {"dataset": "fer2013"}]
    assert hazards.training_amounts([*runs, *others]).loc["sequences"].to_dict() == wanted
    assert hazards.training_amounts([]).empty


def test_runs_on_last_frames_count_with_all_their_folds_only():
    folds = [_film("subjects", seed, 9, 1, fold) for seed in range(2) for fold in range(10)]
    (row,) = hazards.last_frames_alone([*folds[:13], *(_film("subjects", 1, 3, 3, k) for k in range(10))]).itertuples()
    assert (row.seeds, row.images, row.least, row.most, row.pairs) == (1, 120, 90, 90, 0)
    assert np.isnan(row.difference)
    assert hazards.last_frames_alone(folds[1:10]).empty and hazards.last_frames_alone([]).empty


def test_the_committed_facts_hold_counts_and_no_picture():
    found = hazards.facts()
    assert found["fer2013"]["images"] == sum(sum(c.values()) for c in found["fer2013"]["counts"].values()) == 35887
    assert found["ckplus"]["sequences"] == sum(found["ckplus"]["sequences_by_class"].values()) == 327
    longest = max(len(v) for v in _lists(found))
    assert longest <= 50, "a histogram has 50 bins; nothing longer belongs here"
    with pytest.raises(FileNotFoundError, match="the facts on the real data"):
        hazards.facts(hazards.FACTS.with_name("nothing.json"))


def _lists(tree):
    if isinstance(tree, dict):
        for value in tree.values():
            yield from _lists(value)
    elif isinstance(tree, list):
        yield tree


def test_the_facts_are_those_of_the_real_data(real_data):
    found = hazards.facts()
    fer = hazards.fer2013_facts(data.load("fer2013", real_data), neighbours=False)
    assert json.loads(json.dumps(fer)) == {k: v for k, v in found["fer2013"].items() if k != "neighbours"}
    ck = hazards.describe(data.load("ckplus", real_data))
    assert json.loads(json.dumps(ck)) == {k: found["ckplus"][k] for k in ck}


def test_every_picture_can_be_drawn_in_both_themes():
    found = hazards.facts()
    fer, ck = found["fer2013"], found["ckplus"]
    planted = pd.DataFrame(
        [(c, w, s, 0.5) for c in hazards.CLASSIFIERS for w in (False, True) for s in (0, 1)],
        columns=["classifier", "relabelled", "share", "accuracy"],
    )
    draws = [
        lambda: pictures.imbalance({"a": fer["counts"]["train"], "b": ck["sequences_by_class"]}),
        lambda: pictures.copies(fer["neighbours"]["official"], fer["twins"]["official"]),
        lambda: pictures.groups_and_similarity(fer["duplicates"], fer["neighbours"]["official"]),
        lambda: pictures.conflicts(fer["conflicts"]["pairs"], fer["classes"]),
        lambda: pictures.leak(ck["leak"], 0.25, {"paper": 0.9}),
        lambda: pictures.planted(planted),
        lambda: pictures.worth(hazards.worth_of_duplicates([_record()])),
    ]
    for k, draw in enumerate(draws):
        assert "themed-figure" in figures.figure(draw, f"fig-{k}", "caption", "alt").myst


def test_copies_are_not_near_copies_as_well(tiny_fer):
    found = hazards.neighbourhood(hazards.plant(tiny_fer, 0.5))
    assert (found["copies"], found["near_copies"]) == (7, 0)


def test_people_of_two_splits_are_drawn_each_on_their_own():
    """Two splits with the very same result: their difference is none, and how far it scatters is not none."""

    def run(protocol, seed, fold=None):
        r = _record(dataset="ckplus", protocol=protocol, seed=seed, fold=fold)
        who = np.repeat(np.arange(20), 2)
        r["predictions"] = {"label": [0] * 40, "predicted": [0] * 30 + [1] * 10, "subject": who.tolist()}
        return r

    apart = [run("subjects", seed, fold) for seed in range(3) for fold in range(10)]
    (row,) = hazards.leak_of_methods([*apart, *(run("frames", seed) for seed in range(3))]).itertuples()
    assert row.difference == 0 and row.low < -0.1 < 0.1 < row.high


def test_images_of_no_sequence_have_no_companions(films):
    lost = replace(splits.protocol(films, "frames", seed=1), sequence=np.full(len(films), -1))
    assert hazards.companions(lost)["sequence"] == 0


# ------------------------------------------------------------------------------------------ what the pictures show


@pytest.mark.usefixtures("styled")
def test_shares_and_counts_stand_beside_their_class():
    (axes,) = pictures.imbalance({"one": {"x": 30, "y": 10}, "two": {"y": 5, "z": 5}}).axes
    rows, shown = row_labels(axes), []
    for bar, text in zip(axes.patches, axes.texts, strict=True):
        y = bar.get_y() + bar.get_height() / 2
        assert text.get_position()[1] == pytest.approx(y)
        shown.append((rows[round(y)], bar.get_width(), text.get_text()))
    wanted = [("x", 75, "30"), ("y", 25, "10"), ("z", 0, "none"), ("x", 0, "none"), ("y", 50, "5"), ("z", 50, "5")]
    assert shown == wanted


@pytest.mark.usefixtures("styled")
def test_squares_of_copies_are_the_test_set():
    (axes,) = pictures.copies({"near_copies": 20}, {"test": 100, "known": 30, "another_label": 10}).axes
    assert [len(line.get_xdata()) for line in axes.lines] == [2, 1, 2, 5]
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [label.rpartition(": ")[2] for label in said] == ["20", "10", "20", "50"]
    assert said[-1] == "no copy found: 50"


@pytest.mark.usefixtures("styled")
def test_groups_and_similarities_are_those_given():
    similarity = {"from": 0.0, "to": 1.0, "others": [4, 2], "copies": [0, 7]}
    left, right = pictures.groups_and_similarity({"sizes": {"2": 9, "5": 1}}, {"similarity": similarity}).axes
    assert [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in left.patches] == [(2, 9), (5, 1)]
    shown = {step.get_label(): step.get_data().values.tolist() for step in right.patches}
    assert shown == {"no copy in training": [4, 2], "copy in training": [0, 7]}


@pytest.mark.usefixtures("styled")
def test_a_conflict_stands_where_its_two_classes_meet():
    (axes,) = pictures.conflicts({"a, c": 3, "b, c": 2}, ("a", "b", "c")).axes
    columns = [label.get_text() for label in axes.get_xticklabels()]
    at = {t.get_text(): (columns[int(t.get_position()[0])], row_labels(axes)[t.get_position()[1]]) for t in axes.texts}
    assert at["3"] == ("a", "c") and at["2"] == ("b", "c") and at["0"] == ("a", "b")


@pytest.mark.usefixtures("styled")
def test_each_division_stands_beside_what_it_gives_away():
    keys = ("sequence", "subject", "nearest", "linear")
    found = {
        name: dict(zip(keys, np.array([0.9, 0.8, 0.7, 0.6]) - 0.2 * k)) for k, name in enumerate(pictures.DIVISIONS)
    }
    left, right = pictures.leak(found, 0.25, {"the paper": 0.95}).axes
    rows = {label: name for name, label in pictures.DIVISIONS.items()}
    for bars, key in zip(left.containers, ("sequence", "subject"), strict=True):
        for bar in bars:
            name = rows[row_labels(left)[round(bar.get_y() + bar.get_height() / 2)]]
            assert bar.get_width() == pytest.approx(100 * found[name][key])
    lines = {line.get_label(): line for line in right.lines}
    for key, label in pictures.CLASSIFIERS.items():
        for x, y in zip(*lines[label].get_data(), strict=True):
            assert x == pytest.approx(100 * found[rows[row_labels(left)[y]]][key])
    assert lines["the paper"].get_xdata()[0] == 95 and lines["largest class"].get_xdata()[0] == 25


@pytest.mark.usefixtures("styled")
def test_copies_with_another_label_are_dotted_and_say_so():
    rows = [
        (c, w, s, 0.1 * k)
        for k, (c, w) in enumerate((c, w) for c in hazards.CLASSIFIERS for w in (False, True))
        for s in (0, 1)
    ]
    (axes,) = pictures.planted(pd.DataFrame(rows, columns=["classifier", "relabelled", "share", "accuracy"])).axes
    for k, line in enumerate(axes.lines):
        assert line.get_label().startswith(list(pictures.CLASSIFIERS.values())[k // 2])
        assert ("another label" in line.get_label()) == (line.get_linestyle() == ":") == (k % 2 == 1)
        assert line.get_xdata().tolist() == [0, 100] and line.get_ydata() == pytest.approx([10 * k] * 2)


@pytest.mark.usefixtures("styled")
def test_what_copies_are_worth_stands_beside_its_method():
    rows = [("proposed", 0.9, 0.7, 0.6), ("proposed", 0.8, 0.7, 0.5), ("cnn-lstm", 0.4, 0.3, 0.2)]
    (axes,) = pictures.worth(pd.DataFrame(rows, columns=["model", "on_copies", "all", "without"])).axes
    shown = {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in axes.lines}
    for label, k in (("with a copy in training", 1), ("all of PrivateTest", 2), ("without a copy", 3)):
        for (x, y), row in zip(shown[label], rows, strict=True):
            assert (x, row_labels(axes)[y]) == (pytest.approx(100 * row[k]), paper.METHOD_NAMES[row[0]])


# ------------------------------------------------------------------------------------------ seeds, splits, real sets


def test_a_seed_says_which_images_are_planted(tiny_fer):
    first, again, other = (hazards.plant(tiny_fer, 0.5, seed).images for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_large_ridge_leaves_the_linear_classifier_the_largest_class_alone():
    rng, labels = np.random.default_rng(0), np.repeat([0, 0, 1], 60)
    images = rng.integers(0, 100, (180, 16, 16)).astype(np.uint8)
    images[labels == 1, :4] += 100
    ds = FaceDataset(images, labels, ("a", "b"), np.where(np.arange(180) % 2, "train", "test"))
    assert set(hazards.linear(ds)) == {0, 1} and set(hazards.linear(ds, ridge=1e12)) == {0}


def test_a_leak_is_measured_over_as_many_splits_as_asked_each_of_its_own_seed(films, monkeypatch):
    found = hazards.divisions(films, 3, folds=2)
    assert [len(divided) for divided in found.values()] == [3, 3, 2]
    for divided in found.values():
        assert len({one.split.tobytes() for one in divided}) == len(divided)
    given = []
    monkeypatch.setattr(hazards, "divisions", lambda ds, n: given.append(n) or {})
    assert hazards.leak(films, 7) == {} and given == [7]


def test_near_copies_are_among_those_without_copies(tiny_fer):
    images, labels = tiny_fer.images.copy(), tiny_fer.labels.copy()
    train, test = np.flatnonzero(tiny_fer.split == "train")[2:], np.flatnonzero(tiny_fer.split == "test")
    images[test[:4]] = images[train[:4]]
    images[test[4:10]] = images[train[4:10]] // 2 + 20  # the same but for the light
    labels[test[:10]] = labels[train[:10]]
    labels[test[4]] = (labels[test[4]] + 1) % 7
    ds = replace(tiny_fer, images=images, labels=labels)
    right = hazards.nearest(ds).predicted == ds.part("test").labels
    found = hazards.neighbourhood(ds)
    assert (found["copies"], found["near_copies"]) == (4, 6)
    wanted = {"all": right, "copies": right[:4], "near copies": right[4:10], "without copies": right[4:]}
    assert found["accuracy"] == {name: round(float(which.mean()), 4) for name, which in wanted.items()}
    assert found["accuracy"]["near copies"] == round(5 / 6, 4) != found["accuracy"]["without copies"]


def test_facts_of_films_count_films_and_those_of_faces_each_division(films, tiny_fer, monkeypatch):
    monkeypatch.setattr(hazards, "leak", lambda ds: {})
    found = hazards.ckplus_facts(films[np.arange(107)])  # the last film has lost a frame
    assert found["sequences_by_class"] == {"a": 12, "b": 12, "c": 12}
    assert found["sequences_a_subject"] == {"3": 12} and found["frames_a_sequence"] == {"2": 1, "3": 35}
    ds = hazards.plant(tiny_fer, 1.0)
    mixed = replace(ds, split=splits.protocol(ds, "frames", seed=0).split)
    facts = hazards.fer2013_facts(ds)
    assert facts["twins"] == {"official": hazards.twins(ds), "random": hazards.twins(mixed)}
    assert facts["neighbours"]["official"]["copies"] == 14 == facts["twins"]["official"]["known"]
    assert facts["neighbours"]["random"] == hazards.neighbourhood(mixed) != facts["neighbours"]["official"]
