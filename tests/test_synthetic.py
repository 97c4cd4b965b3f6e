"""Synthetic faces: the same everywhere, moved as FACS says, disturbed as the knobs say, split by subject."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest

from fer_repro.data import load as load_any
from fer_repro.data import synthetic
from fer_repro.data.portrait import UNITS
from fer_repro.data.synthetic import Knobs, action_units, draw, landmarks, load, person

PLAIN = Knobs.clean()


@pytest.fixture(scope="module")
def faces():
    return load(840, seed=3)


# ------------------------------------------------------------------------------------------------------- determinism


def test_the_same_seed_gives_the_same_faces_in_another_process():
    code = (
        "from fer_repro.data.synthetic import load; print(load(40, seed=5, sequences=2, classes='all').fingerprint())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert there == load(40, seed=5, sequences=2, classes="all").fingerprint()


def test_another_seed_gives_other_faces():
    assert not np.array_equal(load(8, seed=1).images, load(8, seed=2).images)


@pytest.mark.parametrize("sequences", [False, 3])
def test_a_longer_set_begins_with_the_shorter(sequences):
    long, short = load(620, sequences=sequences), load(301, sequences=sequences)
    for name in ("images", "labels", "split", "subject", "sequence"):
        np.testing.assert_array_equal(getattr(long, name)[:301], getattr(short, name))


def test_load_by_name_gives_the_same(faces):
    assert load_any("synthetic", n=840, seed=3).fingerprint() == faces.fingerprint()


# ---------------------------------------------------------------------------------------------- classes, splits, people


@pytest.mark.parametrize(("classes", "count"), [("fer2013", 7), ("ckplus", 7), ("all", 8)])
@pytest.mark.parametrize("balance", ["uniform", {"skewed": 1}])
def test_every_class_is_in_every_split_of_a_small_set(classes, count, balance):
    if balance != "uniform":
        balance = {c: 1.0 if c == "fear" else 0.001 for c in synthetic.CLASSES[classes]}
    counts = load(36, classes=classes, balance=balance).counts()
    assert all(len(part) == count and min(part.values()) > 0 for part in counts.values())


def test_no_subject_is_on_two_sides(faces):
    people = [set(faces.part(split).subject.tolist()) for split in ("train", "val", "test")]
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])
    assert {len(p) for p in people} == {42, 9}


def test_about_seventy_percent_train(faces):
    shares = [len(faces.part(split)) / len(faces) for split in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.70, 0.15, 0.15], atol=0.02)


def test_uniform_by_default_and_as_imbalanced_as_asked(faces):
    assert set(np.bincount(faces.labels).tolist()) == {120}
    skewed = load(840, balance="fer2013")
    asked = np.array(list(synthetic.BALANCE["fer2013"].values()))
    np.testing.assert_allclose(np.bincount(skewed.labels) / 840, asked / asked.sum(), atol=0.006)


def test_the_fields_of_stills_and_sequences(faces):
    assert faces.images.shape == (840, 48, 48) and faces.images.dtype == np.uint8
    assert len(set(faces.sequence.tolist())) == 840
    moving = load(90, sequences=6)
    assert len(set(moving.sequence.tolist())) == 15
    for k in range(15):
        one = moving[moving.sequence == k]
        assert len(one) == 6 and len(set(one.labels.tolist())) == len(set(one.subject.tolist())) == 1


def test_a_sequence_goes_from_neutral_to_apex():
    film = load(7 * 6, sequences=6, classes="ckplus", knobs=PLAIN).images.astype(float).reshape(7, 6, -1)
    away = np.abs(film - film[:, :1]).mean(axis=2)  # (sequence, frame): how far from its first frame
    assert (np.diff(away, axis=1) > 0).all()


def test_a_person_keeps_their_face():
    assert person(4, seed=2) == person(4, seed=2) != person(5, seed=2)
    assert np.array_equal(draw(identity=4, seed=2), draw(identity=4, seed=2))
    assert not np.array_equal(draw(identity=4), draw(identity=5))


# -------------------------------------------------------------------------------------------------------- action units

REST = landmarks({})


def moved(unit, name):
    return np.array(landmarks({unit: 1.0})[name]) - np.array(REST[name])


@pytest.mark.parametrize(
    ("unit", "name", "sign"),  # y grows downwards
    [
        (1, "brow_inner_y", -1),
        (2, "brow_outer_y", -1),
        (4, "brow_inner_y", +1),
        (4, "brow_inner_x", -1),
        (5, "lid_upper", +1),
        (6, "lid_lower", -1),
        (6, "cheek_y", -1),
        (7, "lid_upper", -1),
        (9, "nostril_y", -1),
        (9, "lip_up_y", -1),
        (12, "corner_y", -1),
        (12, "corner_x", +1),
        (14, "corner_x", +1),
        (15, "corner_y", +1),
        (16, "lip_low_y", +1),
        (17, "lip_low_y", -1),
        (20, "corner_x", +1),
        (23, "lip_upper", -1),
        (23, "corner_x", -1),
        (25, "lip_low_y", +1),
        (26, "lip_low_y", +1),
        (26, "chin_y", +1),
    ],
)
def test_action_units_move_what_facs_says(unit, name, sign):
    assert (sign * moved(unit, name) > 0.015).all()


@pytest.mark.parametrize("unit", UNITS)
def test_more_of_an_action_unit_changes_more_of_the_picture(unit):
    pictures = [draw({unit: level}, size=96).astype(float) for level in (0.0, 0.5, 1.0)]
    half, full = (np.abs(p - pictures[0]).mean() for p in pictures[1:])
    assert 0 < half < full


def test_one_sided_units_move_one_side():
    left = draw({"14L": 1.0}, size=96).astype(int) - draw({}, size=96)
    assert np.abs(left[:, 48:]).sum() > 20 * np.abs(left[:, :40]).sum()  # the person's left: the viewer's right
    assert np.array_equal(draw({"12L": 1, "12R": 1}), draw({12: 1}))
    assert action_units("contempt") == {"12L": 0.5, "14L": 1.0}


def test_prototypes_are_the_usual_ones():
    wanted = {
        "happiness": {6, 12},
        "sadness": {1, 4, 15},
        "surprise": {1, 2, 5, 26},
        "fear": {1, 2, 4, 5, 7, 20, 26},
        "anger": {4, 5, 7, 23},
        "disgust": {9, 15, 16},
        "contempt": {12, 14},
        "neutral": set(),
    }
    assert {name: set(units) for name, units in synthetic.PROTOTYPES.items()} == wanted


def test_intensity_zero_is_neutral():
    for expression in synthetic.PROTOTYPES:
        assert np.array_equal(draw(expression, intensity=0), draw("neutral"))


# --------------------------------------------------------------------------------------------------------------- knobs

TURNED = {
    "yaw": 20,
    "pitch": 15,
    "roll": 10,
    "shift": 0.1,
    "scale": 1.2,
    "light": 0.8,
    "brightness": 40,
    "contrast": 0.5,
    "blur": 1.5,
    "noise": 12,
    "salt_pepper": 0.05,
    "occlusion": 0.2,
    "sunglasses": 1.0,
    "mask": 1.0,
    "intensity": 0.4,
}


@pytest.mark.parametrize("knob", TURNED)
def test_each_knob_changes_the_picture_and_only_by_itself(knob):
    plain, turned = draw("happiness", identity=1), draw("happiness", identity=1, **{knob: TURNED[knob]})
    assert not np.array_equal(plain, turned)
    again = load(14, knobs=PLAIN, **{knob: TURNED[knob]})
    assert np.array_equal(again.labels, load(14, knobs=PLAIN).labels)


def test_every_knob_is_documented_with_its_unit():
    for name, (low, high, unit) in Knobs.units().items():
        assert low < high and unit and name in (Knobs.__doc__ or "")
    assert set(TURNED) | {"variety", "light_angle", "occluded"} == set(Knobs.units())


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2])
def test_salt_and_pepper_hits_the_share_asked_for(share):
    quiet, noisy = load(50, knobs=PLAIN).images, load(50, knobs=PLAIN, salt_pepper=share).images
    hit = quiet != noisy
    assert hit.mean() == pytest.approx(share, rel=0.05)
    assert set(np.unique(noisy[hit])) <= {0, 255}


@pytest.mark.parametrize("kind", ["bar", "disc", "hand"])
@pytest.mark.parametrize("share", [0.1, 0.3])
def test_occluders_cover_the_share_asked_for(kind, share):
    free = load(60, knobs=PLAIN).images
    hidden = load(60, knobs=PLAIN, occlusion=share, occluder=kind).images
    covered = (np.abs(free.astype(int) - hidden) > 1).mean(axis=(1, 2))
    assert (covered > 0).all()  # every face, since the share was asked for
    assert covered.mean() == pytest.approx(share, abs=0.1 * share + 0.01)


def test_only_some_faces_are_occluded_when_asked():
    free, some = load(400, knobs=PLAIN).images, load(400, knobs=PLAIN, occlusion=0.2, occluded=0.25).images
    assert (free != some).any(axis=(1, 2)).mean() == pytest.approx(0.25, abs=0.06)


def test_noise_has_the_deviation_asked_for():
    quiet, noisy = load(50, knobs=PLAIN, contrast=0.5).images, load(50, knobs=PLAIN, contrast=0.5, noise=10).images
    assert (noisy.astype(float) - quiet).std() == pytest.approx(10, rel=0.05)


def test_light_comes_from_where_it_is_said():
    for angle, bright, dark in ((90, np.s_[:, 30:], np.s_[:, :18]), (0, np.s_[:18], np.s_[30:])):
        gain = draw(light=0.8, light_angle=angle).astype(float) / np.maximum(draw(), 1)
        assert gain[bright].mean() > 1.3 * gain[dark].mean()


def test_size_changes_the_resolution_not_the_face():
    import cv2

    small, large = draw("fear", identity=2), draw("fear", identity=2, size=144)
    assert large.shape == (144, 144)
    shrunk = cv2.resize(large, (48, 48), interpolation=cv2.INTER_AREA)
    assert np.abs(shrunk.astype(float) - small).mean() < 6


# ---------------------------------------------------------------------------------------------------------- difficulty


def test_a_linear_classifier_does_better_than_chance_and_stays_well_below_all():
    from sklearn.linear_model import RidgeClassifier

    faces = load(2800)
    parts = [faces.part(split) for split in ("train", "test")]
    pixels = [p.images[:, ::2, ::2].reshape(len(p), -1) / 255.0 for p in parts]
    score = RidgeClassifier(alpha=100.0).fit(pixels[0], parts[0].labels).score(pixels[1], parts[1].labels)
    assert 0.28 < score < 0.60, f"linear classifier: {score:.3f}"


def test_apex_without_nuisances_is_clear_to_the_nearest_prototype():
    def sheet(**knobs):
        return np.stack([draw(e, **knobs).astype(float) for e in synthetic.PROTOTYPES])

    distance = np.abs(sheet(intensity=0.8)[:, None] - sheet()[None]).mean(axis=(2, 3))
    assert (distance.argmin(axis=1) == np.arange(len(distance))).all()


# ----------------------------------------------------------------------------------------------------------- bad inputs


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load(10, classes="affectnet"), "classes: wanted one of .*got 'affectnet'"),
        (lambda: load(0), "wanted n of at least 1"),
        (lambda: load(10, size=4), "size: wanted 16 to 1024 pixels, got 4"),
        (lambda: load(10, colour=3), "no knob 'colour'; there are intensity"),
        (lambda: load(10, yaw=80), r"yaw: wanted a number or a pair .* within -45..45 \(degrees\), got 80"),
        (lambda: load(10, blur=(2, 1)), r"blur: wanted .* got \(2, 1\)"),
        (lambda: load(10, occluder="cat"), "occluder: wanted some of .*got 'cat'"),
        (lambda: load(10, balance="real"), "balance: wanted 'uniform'.*got 'real'"),
        (lambda: load(10, balance={"anger": 1.0}), "weight above 0 for 'disgust', got None"),
        (lambda: load(10, sequences=0), "sequences: wanted True, False or 1 to 100 frames, got 0"),
        (lambda: draw("glee"), "expression: wanted one of anger.*got 'glee'"),
        (lambda: draw({3: 1.0}), "action unit: wanted one of .*got 3"),
        (lambda: draw({12: 1.5}), "action unit 12: wanted an intensity within 0..1, got 1.5"),
        (lambda: draw(traits={"nose": 1.0}), "no trait 'nose'; there are skin"),
        (lambda: draw(identity=-1), "identity: wanted a subject's number"),
    ],
)
def test_bad_inputs_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ------------------------------------------------------------------------------------------- which way a knob is turned


def test_brightness_adds_and_contrast_pulls_towards_mid_grey():
    plain = draw(identity=1).astype(float)
    brighter, flatter = (draw(identity=1, **knob).astype(float) for knob in ({"brightness": 20}, {"contrast": 0.5}))
    middle = (plain > 30) & (plain < 225)
    assert (brighter - plain)[middle] == pytest.approx(20, abs=1.01)
    np.testing.assert_allclose(flatter - 128, (plain - 128) * 0.5, atol=1.01)


def test_salt_is_as_frequent_as_pepper():
    noisy, quiet = (load(50, knobs=PLAIN, contrast=0.5, salt_pepper=s).images for s in (0.2, 0.0))
    hit = noisy != quiet
    assert (noisy[hit] == 255).mean() == pytest.approx(0.5, abs=0.03)


def test_blur_is_as_wide_in_face_widths_at_any_size():
    small, large = (
        draw(identity=1, blur=2.0, size=size).astype(float) - draw(identity=1, size=size) for size in (48, 144)
    )
    assert np.abs(large).mean() == pytest.approx(np.abs(small).mean(), rel=0.2)


def test_no_face_comes_twice_in_a_set_or_with_another_seed():
    one, other = (load(28, seed=seed, knobs=PLAIN) for seed in (0, 1))
    assert not (one.images == other.images).all(axis=(1, 2)).any()
    long = load(2100, seed=0, knobs=PLAIN, yaw=(-20, 20))
    assert len({image.tobytes() for image in long.images}) == 2100


def test_a_sequence_begins_at_rest():
    film, rest = (load(28, sequences=4, knobs=PLAIN, **more).images for more in ({}, {"intensity": 0}))
    assert np.array_equal(film[::4], rest[::4]) and not np.array_equal(film[1::4], rest[1::4])


def like(picture, other):
    """Return the correlation of two pictures' middles."""
    return np.corrcoef(picture[8:40, 8:40].ravel(), other[8:40, 8:40].ravel())[0, 1]


def moved_by(picture, angle=0.0, factor=1.0, right=0.0, down=0.0):
    """Return a picture turned clockwise by degrees, enlarged about its middle and shifted by pixels."""
    import cv2

    matrix = cv2.getRotationMatrix2D((23.5, 23.5), -angle, factor)
    matrix[:, 2] += right, down
    return cv2.warpAffine(picture, matrix, (48, 48), borderMode=cv2.BORDER_REPLICATE)


def test_a_head_rolls_clockwise_grows_and_shifts():
    plain = draw(identity=1)
    assert like(draw(identity=1, roll=15), moved_by(plain, 15)) > 0.9 > like(draw(identity=1, roll=15), plain)
    assert like(draw(identity=1, scale=1.3), moved_by(plain, factor=1.3)) > 0.9
    shifted = draw(identity=1, shift=0.1)
    assert like(shifted, moved_by(plain, right=4.8, down=4.8)) > 0.9


def test_a_head_turns_to_the_viewers_right_and_upwards():
    plain = draw(identity=1)
    for right, down, knob in (
        (2, 0, {"yaw": 15}),
        (-2, 0, {"yaw": -15}),
        (0, -2, {"pitch": 15}),
        (0, 2, {"pitch": -15}),
    ):
        turned = draw(identity=1, **knob)
        wanted, opposite = (like(turned, moved_by(plain, right=k * right, down=k * down)) for k in (1, -1))
        assert wanted > opposite + 0.1


def drawn_brightness(seed):
    """Return the brightness that each face of two blocks was given: middle greys rise by just that."""
    plain, lit = (
        load(2 * synthetic.BLOCK, seed=seed, knobs=PLAIN, contrast=0.4, **more).images
        for more in ({}, {"brightness": (-40, 40)})
    )
    return (lit.astype(float) - plain).mean(axis=(1, 2))


def test_dice_hang_on_the_seed_and_do_not_come_again_and_people_hang_on_it_too():
    one, other = drawn_brightness(0), drawn_brightness(1)
    first, second = np.split(one, 2)
    for a, b in ((one, other), (first, second)):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.25
    rest = [load(28, seed=seed, knobs=PLAIN, intensity=0).images for seed in (0, 1)]
    assert not (rest[0] == rest[1]).all(axis=(1, 2)).any()


def test_only_contempt_is_one_sided_and_on_either_side():
    labels = np.repeat(np.arange(8), 30)
    dice = np.random.default_rng(0).random((240, 3 * len(UNITS) + 2))
    units = synthetic._express(labels, synthetic.CLASSES["all"], np.ones(240), 0, dice)
    both = (units > 0).any(axis=1)  # (N, 2): viewer's left and right
    assert both[labels < 6].all() and not both[labels == 6].any()
    assert set(map(tuple, both[labels == 7].tolist())) == {(True, False), (False, True)}


def test_the_seed_and_the_place_decide_what_is_before_and_around_a_face():
    """Two blocks of a set, and two seeds, share neither backgrounds nor noise."""
    quiet, noisy = ([load(300, seed=s, knobs=PLAIN, salt_pepper=p).images for s in (1, 2)] for p in (0.0, 0.2))
    hit = [(a != b)[k] for a, b in zip(quiet, noisy, strict=True) for k in (0, 256)]
    around = [images[k : k + 40, 0, 0].tolist() for images in quiet for k in (0, 256)]
    for i, j in itertools.combinations(range(4), 2):
        assert (hit[i] & hit[j]).mean() < 0.07  # 0.04 by chance
        assert around[i] != around[j]


def test_faces_are_still_the_ones_that_committed_results_were_made_with():
    faces = load(6, seed=1).images.astype(float)
    means, rough = faces.mean((1, 2)), np.abs(np.diff(faces, axis=2)).mean((1, 2))
    np.testing.assert_allclose(means, [160.7, 128.6, 135.1, 88.0, 177.0, 84.1], atol=1.5)
    np.testing.assert_allclose(rough, [4.99, 10.2, 11.74, 14.33, 5.84, 12.19], atol=0.5)
    assert person(3, seed=7)["skin"] == pytest.approx(0.6755, abs=1e-4)
    assert (load(400).images != load(400, occluded=0).images).any((1, 2)).mean() == pytest.approx(0.1075, abs=0.01)


def test_nothing_but_the_expression_changes_within_a_sequence():
    film = load(8 * 4, sequences=4, knobs=PLAIN, variety=1, intensity=0).images.reshape(8, 4, -1)
    assert (film == film[:, :1]).all()


def test_intensity_and_variety_of_a_set_are_the_ones_asked_for():
    full, none, varied = (load(70, knobs=PLAIN, **k) for k in ({}, {"intensity": 0}, {"variety": 1.0}))
    changed = (full.images != none.images).any(axis=(1, 2))
    assert (changed == (full.labels != full.classes.index("neutral"))).all()
    assert (full.images != varied.images).any(axis=(1, 2)).all()


def test_each_face_has_one_of_the_occluders_asked_for():
    kinds = ("bar", "disc", "hand")
    alone = np.stack([load(60, knobs=PLAIN, occlusion=0.2, occluder=kind).images for kind in kinds])
    mixed = load(60, knobs=PLAIN, occlusion=0.2, occluder=kinds).images
    assert ((alone == mixed).all(axis=(2, 3)).sum(axis=1) > 10).all()
    assert (alone == mixed).all(axis=(2, 3)).any(axis=0).all()


def test_a_mask_hides_the_mouth_and_sunglasses_the_eyes():
    masked, dark = (np.abs(draw(**{worn: 1}).astype(int) - draw()) for worn in ("mask", "sunglasses"))
    assert not masked[:24].any() and masked[28:40, 16:32].mean() > 10
    assert not dark[32:].any() and dark[16:24].mean() > 10
