"""The audit: counts, blank and duplicate images, leaks across splits, and how far people agree."""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from fer_repro import data
from fer_repro.cli import main
from fer_repro.data import DataError, FaceDataset, audit


def check(path):
    """Return the text of every report."""
    return "\n\n".join(map(str, audit.inspect(path)[0]))


@pytest.fixture
def flawed(tiny_fer):
    """Return 42 images with copies: 1 = 2 (other label), 5 = 20 = 30 (train, val, test), 7 = 8 in train."""
    images = tiny_fer.images.copy()
    labels = tiny_fer.labels.copy()
    images[2] = images[1]
    images[20] = images[30] = images[5]
    labels[20] = labels[30] = labels[5]
    images[8], labels[8] = images[7], labels[7]
    images[40] = 77
    return replace(tiny_fer, images=images, labels=labels)


def slow_duplicates(ds):
    """Return the pairs of identical images, each compared with each."""
    pairs = itertools.combinations(range(len(ds)), 2)
    return {(i, j) for i, j in pairs if (ds.images[i] == ds.images[j]).all()}


def test_duplicates_against_all_pairs(flawed):
    r = audit.report(flawed)
    assert r.duplicates == [[1, 2], [5, 20, 30], [7, 8]]
    assert {p for g in r.duplicates for p in itertools.combinations(g, 2)} == slow_duplicates(flawed)
    assert r.duplicate_images == 7
    assert r.conflicting == [[1, 2]]
    ones = dict.fromkeys(itertools.permutations(["train", "val", "test"], 2), 1)
    assert r.across == ones


def test_blank_images(flawed):
    r = audit.report(flawed)
    assert (r.black, r.constant, r.blank) == ([0], [0, 40], [0, 40])
    flawed.images[41] = 127
    flawed.images[41, 0, 0] = 130
    r = audit.report(flawed)
    assert (r.constant, r.blank) == ([0, 40], [0, 40, 41])  # nothing can be seen in the last
    flawed.images[41, ::2], flawed.images[41, 1::2] = 100, 102  # one grey level of deviation is not below it
    assert audit.report(flawed).blank == [0, 40]


def test_a_blank_image_is_found_far_down_a_large_set():
    images = np.random.default_rng(0).integers(0, 256, (2500, 4, 4), dtype=np.uint8)
    images[[0, 1023, 1024, 2499]] = 9
    ds = FaceDataset(images, np.zeros(2500, int), ("a",), np.full(2500, "train"))
    assert audit.report(ds).blank == [0, 1023, 1024, 2499]


def test_one_pixel_makes_another_image(tiny_fer):
    tiny_fer.images[30] = tiny_fer.images[31] = tiny_fer.images[1]
    for at in ((0, 0), (47, 47)):
        tiny_fer.images[31] = tiny_fer.images[1]
        tiny_fer.images[31][at] ^= 1
        assert audit.report(tiny_fer).duplicates == [[1, 30]]


def test_people_and_sequences_are_counted_without_those_unknown(tiny_fer):
    subject, sequence = np.arange(42) % 4 - 1, np.arange(42) % 7 - 1
    r = audit.report(replace(tiny_fer, subject=subject, sequence=sequence))
    assert (r.subjects, r.sequences) == (3, 6)


@pytest.mark.parametrize(("wanted", "among"), [("test", "train"), ("train", "test"), ("val", "train"), ("val", "val")])
def test_duplicates_of_against_a_slow_loop(flawed, wanted, among):
    slow = [any((a == b).all() for b in flawed.part(among).images) for a in flawed.part(wanted).images]
    assert audit.duplicates_of(flawed, wanted, among).tolist() == slow


def test_no_duplicates(tiny_fer):
    r = audit.report(tiny_fer)
    assert (r.duplicates, r.conflicting, r.across) == ([], [], {})
    assert not audit.duplicates_of(tiny_fer).any()
    assert "duplicates: none" in str(r)


def test_subjects_on_both_sides(tiny_fer):
    subject = np.arange(42) % 30
    r = audit.report(replace(tiny_fer, subject=subject))
    assert r.shared_subjects == {("train", "test"): list(range(12))}
    assert "subjects on both sides: 12 in train and in test" in str(r)


def test_counts_beside_the_official_ones(tiny_fer):
    r = audit.report(tiny_fer)
    assert r.counts["val"] == dict.fromkeys(tiny_fer.classes, 2)
    assert not r.complete
    assert "2 (official 3,995)" in str(r)
    assert "NOT the official ones" in str(r)
    fewer = replace(r, official={part: dict.fromkeys(tiny_fer.classes, 1) for part in data.SPLITS})
    assert "2 (official 1)" in str(fewer)  # too many are as wrong as too few
    many = replace(r, undecodable=[(f"{k}.jpg", "is empty") for k in range(12)])
    assert "9.jpg" in str(many) and "10.jpg" not in str(many) and "and 2 more" in str(many)
    assert audit.report(replace(tiny_fer, name="synthetic")).official is None


def test_check_lists_every_undecodable_image(flawed, write_folder, tmp_path):
    write_folder(flawed, tmp_path)
    for name in ("train/sad/Training_9998.jpg", "test/happy/PublicTest_9999.jpg"):
        (tmp_path / name).write_bytes(b"no image")
    (r,), _ = audit.inspect(tmp_path)
    assert (r.images, r.form) == (42, "image folder")
    assert len(r.names) == 42 and not set(r.names) & {name for name, _ in r.undecodable}
    assert [what for _, what in r.undecodable] == ["cannot be decoded as an image"] * 2
    text = check(tmp_path)
    for wanted in (
        "undecodable: 2",
        "train/sad/Training_9998.jpg: cannot be decoded",
        "test/happy/PublicTest_9999.jpg: cannot be decoded",
        "blank: 2, of these 2 of one grey value, 1 entirely black",
        "duplicates: 7 in 3 groups",
        "conflicting labels: 1 of these groups",
        "across splits: 1 images of test also stand in train",
    ):
        assert wanted in text


def test_check_lists_every_faulty_row(flawed, write_csv, tmp_path):
    path = write_csv(flawed, tmp_path / "fer2013.csv")
    text = path.read_text().replace("\n6,", "\n9,", 1).replace(" ", " x", 1)
    path.write_text(text[:-2000])
    (r,), _ = audit.inspect(path)
    assert r.images == 39
    assert [name.split(", ")[1] for name, _ in r.undecodable] == ["line 2", "line 8", "line 43"]
    assert "the file may be cut off" in check(path)


def test_check_finds_both_data_sets(flawed, write_csv, write_ck48, tmp_path):
    write_csv(flawed, tmp_path / "fer2013/fer2013.csv")
    write_ck48(tmp_path / "ckplus", subjects=2)
    text = check(tmp_path)
    assert text.index("FER2013: fer2013.csv") < text.index("CK+: CK+48")
    assert "2 subjects, 14 sequences" in text


def test_check_names_the_data_set_that_it_cannot_examine(flawed, write_csv, write_ck48, zipped, tmp_path):
    write_csv(flawed, tmp_path / "fer2013/fer2013.csv")
    (tmp_path / "ckplus").mkdir()
    whole = zipped(write_ck48(tmp_path / "made", subjects=2), tmp_path / "ckplus/CK+48.zip")
    whole.write_bytes(whole.read_bytes()[:2000])
    (r,), (refusal,) = audit.inspect(tmp_path)
    assert r.name == "fer2013" and "CK+48.zip: " in refusal
    shown = CliRunner().invoke(main, ["data", "check", str(tmp_path)])
    assert shown.exit_code == 1 and "FER2013: fer2013.csv" in shown.output and "CK+48.zip: " in shown.output


def test_check_lists_the_faults_where_every_row_has_one(flawed, write_csv, tmp_path):
    path = write_csv(flawed[:3], tmp_path / "fer2013.csv")
    text = path.read_text().replace("\n", "\nx", 3)
    path.write_text(text)
    with pytest.raises(DataError, match=r"none of 3 images can be read.*line 2: .*line 4: "):
        check(path)


def test_check_says_why_no_image_of_ckplus_can_be_read(write_ck48, tmp_path):
    root = write_ck48(tmp_path, subjects=1)
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"none of 21 images can be read. The first: .*cannot be decoded"):
        check(root)


def test_check_of_nothing(tmp_path):
    with pytest.raises(DataError, match=r"no FER2013 here(.|\n)*no CK\+ here"):
        check(tmp_path)
    (tmp_path / "archive.zip").write_bytes(b"PK half a zip")
    with pytest.raises(DataError, match=r"\A\S*archive\.zip: wanted a zip"):
        check(tmp_path)
    empty = FaceDataset(np.zeros((0, 4, 4), np.uint8), np.zeros(0, np.int64), ("a",), np.zeros(0, "U5"))
    with pytest.raises(DataError, match="wanted images to examine, got none"):
        audit.report(empty)


def slow_agreement(votes):
    """Return the three agreements of one image, rater by rater."""
    raters = [k for k, n in enumerate(votes) for _ in range(n)]
    pairs = [a == b for a, b in itertools.permutations(raters, 2)]  # by position: every pair of raters
    most = max(raters.count(k) for k in raters)
    others = []
    for i, mine in enumerate(raters):
        rest = raters[:i] + raters[i + 1 :]
        top = max(rest.count(k) for k in rest)
        leaders = {k for k in rest if rest.count(k) == top}
        others.append((mine in leaders) / len(leaders))
    return np.mean(pairs), most / len(raters), np.mean(others)


def test_human_agreement_against_a_slow_loop(tmp_path):
    rng = np.random.default_rng(2)
    votes = rng.multinomial(8, [0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05], 60)
    votes[0] = 0  # nobody voted for one of the seven
    votes[1] = [1, 0, 0, 0, 0, 0, 0]  # one rater alone agrees with nobody
    usage = np.repeat(["Training", "PublicTest", "PrivateTest"], 20)
    columns = ["Usage", "Image name", "contempt", *audit.VOTED]
    lines = [",".join(columns)] + [f"{u},x.png,2," + ",".join(map(str, v)) for u, v in zip(usage, votes, strict=True)]
    path = tmp_path / "fer2013new.csv"
    path.write_text("\n".join(lines))
    found = audit.human_agreement(path)
    assert set(found) == {"train", "val", "test"}
    for split, rows in found.items():
        name = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}[split]
        counted = votes[(usage == name) & (votes.sum(axis=1) >= 2)]
        assert rows.images == len(counted)
        slow = np.mean([slow_agreement(v) for v in counted], axis=0)
        assert np.allclose([rows.pair, rows.majority, rows.others], slow)


def test_human_agreement_of_one_mind(tmp_path, monkeypatch):
    (tmp_path / "ferplus").mkdir()
    (tmp_path / "ferplus/fer2013new.csv").write_text("Usage," + ",".join(audit.VOTED) + "\nTraining,0,0,9,0,0,0,0\n")
    monkeypatch.setenv("FER_REPRO_DATA", str(tmp_path))
    assert audit.human_agreement() == {"train": audit.Agreement(1, 1.0, 1.0, 1.0)}


def test_human_agreement_bad_input(tmp_path):
    with pytest.raises(DataError, match=r"wanted FER\+'s fer2013new\.csv, which cannot be read"):
        audit.human_agreement(tmp_path / "none.csv")
    path = tmp_path / "x.csv"
    path.write_text("Usage,anger\nTraining,1\n")
    with pytest.raises(DataError, match="got none named disgust, fear"):
        audit.human_agreement(path)
    path.write_text("Usage," + ",".join(audit.VOTED) + "\nTraining,1,2\n")
    with pytest.raises(DataError, match="the file may be cut off"):
        audit.human_agreement(path)


def test_real_data(real_data):
    (fer, ck), _ = audit.inspect(real_data)
    assert fer.complete
    assert ck.complete
    assert (fer.images, len(fer.black), len(fer.blank)) == (35_887, 12, 13)
    assert (len(fer.duplicates), fer.duplicate_images, len(fer.conflicting)) == (1_516, 3_369, 57)
    assert fer.across["train", "test"] == 288
    assert audit.duplicates_of(data.load("fer2013", real_data)).sum() == 288
    assert (ck.images, ck.subjects, ck.sequences, ck.shared_subjects) == (981, 118, 327, {})


def test_real_votes(real_data):
    path = real_data / "ferplus" / "fer2013new.csv"
    if not path.exists():
        pytest.skip(f"no {path.name} in FER_REPRO_DATA/ferplus")
    test = audit.human_agreement(path)["test"]
    assert round(test.pair, 3) == 0.672
    assert round(test.majority, 3) == 0.786
    assert test.pair < test.others < test.majority


def test_two_votes_are_enough_and_one_is_not(tmp_path):
    path = tmp_path / "fer2013new.csv"
    rows = ["1,1,0,0,0,0,0", "2,0,0,0,0,0,0", "1,0,0,0,0,0,0"]
    path.write_text("Usage," + ",".join(audit.VOTED) + "\n" + "".join(f"Training,{r}\n" for r in rows))
    assert audit.human_agreement(path)["train"] == audit.Agreement(2, 0.5, 0.75, 0.5)


def test_a_report_with_unread_images_is_not_complete_whatever_it_counts(tiny_fer):
    r = audit.report(replace(tiny_fer, name="synthetic"))
    assert r.complete
    assert not replace(r, undecodable=[("a.jpg", "cannot be decoded")]).complete


def test_a_size_is_said_as_width_by_height():
    ds = FaceDataset(np.zeros((2, 4, 6), np.uint8), np.array([0, 1]), ("a", "b"), np.array(["train", "train"]))
    assert audit.report(ds).size == (6, 4) and "6×4 pixels" in str(audit.report(ds))


def test_a_missing_frame_does_not_change_what_is_official():
    sequence = np.repeat(np.arange(20), 3)[:-1]
    images, split = np.zeros((59, 4, 4), np.uint8), np.full(59, "train")
    ds = FaceDataset(images, sequence % 7, data.CK_CLASSES, split, sequence // 2, name="ckplus", sequence=sequence)
    r = audit.report(ds)
    assert r.official["train"]["anger"] == 3 * 45


def test_the_check_of_the_authors_layout_looks_at_last_frames_and_counts_sequences_without_a_face(tmp_path):
    rng = np.random.default_rng(0)
    for sequence in ("001", "002", "003"):
        images, labels = tmp_path / f"cohn-kanade-images/S010/{sequence}", tmp_path / f"Emotion/S010/{sequence}"
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        (labels / f"S010_{sequence}_00000005_emotion.txt").write_text("3.0")
        for frame in range(1, 6):
            path = images / f"S010_{sequence}_{frame:08}.png"
            cv2.imwrite(str(path), rng.integers(0, 256, (64, 64), dtype=np.uint8))
            if sequence == "002" and frame > 2:
                path.write_bytes(b"no image")
    (r,), _ = audit.inspect(tmp_path)
    assert (r.images, len(r.undecodable)) == (6, 3)
    assert r.no_face == 2 and "no face found in 2 sequences" in str(r)  # of one nothing could be seen
