"""CK+ in both layouts: labels, frames, subjects, and the face that is cut out."""

from __future__ import annotations

import logging
import shutil
import zipfile

import cv2
import numpy as np
import pytest

from fer_repro import data
from fer_repro.data import DataError, audit, ckplus, synthetic

CODES = {"S010/001": 3, "S010/002": 5, "S011/001": 7, "S012/004": 1}  # disgust, happiness, surprise, anger


@pytest.fixture
def original(tmp_path):
    """Write the authors' layout: four labelled sequences of five grey frames 64×80, and one without a label."""
    rng = np.random.default_rng(3)
    for key in [*CODES, "S012/009"]:
        subject, sequence = key.split("/")
        for frame in range(1, 6):
            folder = tmp_path / "cohn-kanade-images" / key
            folder.mkdir(parents=True, exist_ok=True)
            image = np.repeat(np.repeat(rng.integers(0, 256, (8, 10), dtype=np.uint8), 8, 0), 8, 1)
            if frame == 5:  # colour, as some of the authors' frames are
                image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
            cv2.imwrite(str(folder / f"{subject}_{sequence}_{frame:08}.png"), image)
        labels = tmp_path / "Emotion" / key
        labels.mkdir(parents=True)
        if key in CODES:
            (labels / f"{subject}_{sequence}_00000005_emotion.txt").write_text(f"   {CODES[key]:.7e}\n")
    return tmp_path


def test_ck48(write_ck48, tmp_path):
    folder = write_ck48(tmp_path / "ck", subjects=3)
    ds = data.load("ckplus", tmp_path)
    assert (len(ds), ds.classes, ds.name) == (63, data.CK_CLASSES, "ckplus")
    assert np.bincount(ds.labels).tolist() == [9] * 7
    assert sorted(set(ds.subject.tolist())) == [10, 11, 12]
    assert len(set(ds.sequence.tolist())) == 21
    assert (np.diff(ds.subject) >= 0).all() and (np.diff(ds.sequence) >= 0).all()  # though classes come first on disk
    assert set(ds.split.tolist()) == {"train"}
    i = int(np.flatnonzero(ds.sequence == 11_004)[1])  # fear is written as each subject's fourth sequence
    assert (ds.classes[ds.labels[i]], ds.subject[i]) == ("fear", 11)
    assert (ds.images[i] == cv2.imread(str(folder / "fear/S011_004_00000010.png"), 0)).all()


def test_ck48_places_agree(write_ck48, zipped, tmp_path):
    folder = write_ck48(tmp_path / "DIR/ckplus", subjects=2)
    first = data.load("ckplus", tmp_path / "DIR").fingerprint()
    packed = zipped(folder, tmp_path / "CK+48.zip", under="ck/CK+48/")
    (tmp_path / "other/ckplus").mkdir(parents=True)
    shutil.copy(packed, tmp_path / "other/ckplus")
    for path in (folder, folder.parent, packed, tmp_path / "other"):
        assert data.load("ckplus", path).fingerprint() == first


@pytest.mark.parametrize(
    ("frames", "numbers"), [("last", [11]), (2, [10, 11]), ("last3", [9, 10, 11]), (3, [9, 10, 11])]
)
def test_last_frames(write_ck48, tmp_path, frames, numbers):
    folder = write_ck48(tmp_path, subjects=1)
    ds = data.load("ckplus", tmp_path, frames=frames)
    shown = ds[ds.labels == 0].images
    wanted = [cv2.imread(str(folder / f"anger/S010_001_{n:08}.png"), 0) for n in numbers]
    assert (shown == wanted).all()


def test_authors_layout(original, caplog):
    with caplog.at_level(logging.WARNING):
        ds = data.load("ckplus", original)
    assert ds.sequence.tolist() == [10_001] * 3 + [10_002] * 3 + [11_001] * 3 + [12_004] * 3  # not 12_009
    assert [ds.classes[k] for k in ds.labels[::3]] == ["disgust", "happiness", "surprise", "anger"]
    assert ds.subject[::3].tolist() == [10, 10, 11, 12]
    assert "no face found in 4 sequences" in caplog.text  # noise: the centre is taken
    path = original / "cohn-kanade-images/S010/001/S010_001_00000003.png"
    centre = cv2.imread(str(path), 0)[:, 8:72]
    assert (ds.images[0] == cv2.resize(centre, (48, 48), interpolation=cv2.INTER_AREA)).all()
    assert len(data.load("ckplus", original, frames="last")) == 4
    assert len(data.load("ckplus", original, frames=5)) == 20


def test_authors_layout_in_its_two_zips(original, zipped, tmp_path):
    ds = data.load("ckplus", original)
    folder = tmp_path / "zips/ckplus"
    folder.mkdir(parents=True)
    zipped(original / "cohn-kanade-images", folder / "extended-cohn-kanade-images.zip", under="cohn-kanade-images/")
    zipped(original / "Emotion", folder / "Emotion_labels.zip", under="Emotion/")
    assert data.load("ckplus", folder.parent).fingerprint() == ds.fingerprint()


def test_cut_against_a_slow_mean():
    image = np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8)
    face = ckplus.cut(image, (100, 50, 96, 96), 0.0)
    slow = [[image[50 + 2 * r : 52 + 2 * r, 100 + 2 * c : 102 + 2 * c].mean() for c in range(48)] for r in range(48)]
    assert np.abs(face - np.array(slow)).max() <= 0.5
    assert (ckplus.cut(image, (112, 62, 72, 72), 1 / 6) == face).all()  # 72 pixels and 12 on each side
    assert ckplus.cut(image, (350, 250, 96, 96), 0.5).shape == (48, 48)  # a margin past the frame's edge


def test_face_found_decides_the_cut(original, monkeypatch):
    """One face box a sequence, from the last frame in which there is one."""
    asked = []

    def found(image):
        asked.append(image)
        return (16, 8, 48, 48) if len(asked) % 2 == 0 else None

    monkeypatch.setattr(ckplus, "find_face", found)
    monkeypatch.setattr(ckplus.files, "cores", lambda: 1)
    ds = data.load("ckplus", original, margin=0.0, cached=False)
    frames = sorted((original / "cohn-kanade-images/S010/001").iterdir())[-3:]
    grey = [cv2.imread(str(f), 0) for f in frames]
    assert (ds.images[:3] == [g[8:56, 16:64] for g in grey]).all()
    assert len(asked) == 8  # the last frame of each, and the one before it
    assert (asked[0] == grey[2]).all()
    assert (asked[1] == grey[1]).all()


def test_frame_without_a_face():
    assert ckplus.find_face(np.full((240, 320), 90, np.uint8)) is None


@pytest.mark.parametrize("text", ["0.0000000e+00", "8", "3.5", "happy", ""])
def test_label_out_of_range(original, text):
    (original / "Emotion/S010/002/S010_002_00000005_emotion.txt").write_text(text)
    with pytest.raises(DataError, match=r"S010_002_00000005_emotion\.txt: wanted a label 1\.\.7 .*got"):
        data.load("ckplus", original)


def test_incomplete_authors_layout(original):
    shutil.rmtree(original / "cohn-kanade-images/S011")
    with pytest.raises(DataError, match="1 labelled sequences have no images, the first is S011/001"):
        data.load("ckplus", original)
    shutil.rmtree(original / "Emotion")
    with pytest.raises(DataError, match=r"wanted both images and labels, Emotion/.* are missing"):
        data.load("ckplus", original)


def test_undecodable_frame(original, write_ck48, tmp_path):
    (original / "cohn-kanade-images/S010/001/S010_001_00000004.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"S010_001_00000004\.png: cannot be decoded"):
        data.load("ckplus", original)
    folder = write_ck48(tmp_path / "x", subjects=1)
    cv2.imwrite(str(folder / "fear/S010_004_00000010.png"), np.zeros((64, 48), np.uint8))
    with pytest.raises(DataError, match=r"fear/S010_004_00000010\.png: wanted 48×48 pixels, got 48×64"):
        data.load("ckplus", tmp_path / "x")


def test_check_lists_a_frame_that_cannot_be_read_in_either_form(original, write_ck48, zipped, tmp_path_factory):
    for folder in (original, write_ck48(tmp_path_factory.mktemp("ck48"), subjects=1)):
        path = zipped(folder, tmp_path_factory.mktemp("packed") / "ck.zip", method=zipfile.ZIP_STORED)
        with zipfile.ZipFile(path) as file:
            frames = [e for e in file.infolist() if e.filename.endswith(".png") and "S012/009" not in e.filename]
            last = max(frames, key=lambda e: e.filename)
        content = bytearray(path.read_bytes())
        content[last.header_offset + 30 + len(last.filename) + last.file_size // 2] ^= 255
        path.write_bytes(content)
        (report,), _ = audit.inspect(path)
        ((name, what),) = report.undecodable
        assert last.filename in name and "checksum does not hold" in what


def test_one_sequence_in_two_classes(write_ck48, tmp_path):
    folder = write_ck48(tmp_path, subjects=1)
    shutil.move(folder / "fear/S010_004_00000010.png", folder / "anger/S010_004_00000010.png")
    with pytest.raises(DataError, match="sequence S010_004: wanted one class, got anger and fear"):
        data.load("ckplus", tmp_path)


def test_a_frame_twice(write_ck48, tmp_path):
    folder = write_ck48(tmp_path, subjects=1)
    shutil.copytree(folder / "fear", folder / "copy" / "fear")
    with pytest.raises(DataError, match="a frame stands there twice"):
        data.load("ckplus", tmp_path)


@pytest.mark.parametrize("frames", ["first", 0, -1, "3", True])
def test_unknown_frames(write_ck48, tmp_path, frames):
    write_ck48(tmp_path, subjects=1)
    with pytest.raises(ValueError, match="frames: wanted"):
        data.load("ckplus", tmp_path, frames=frames)


def test_more_frames_than_there_are(write_ck48, tmp_path):
    write_ck48(tmp_path, subjects=1)
    with pytest.raises(DataError, match="wanted the last 4 of each sequence, but the longest here has 3"):
        data.load("ckplus", tmp_path, frames=4)


def test_wrong_folder(tmp_path, tiny_fer, write_folder):
    write_folder(tiny_fer, tmp_path)
    with pytest.raises(DataError, match=r"no CK\+ here\. Wanted: the CK\+48 folder.* Got: test/angry"):
        data.load("ckplus", tmp_path)


@pytest.mark.parametrize("margin", [3.0, 1.01, -0.01])
def test_margin_out_of_range(tmp_path, margin):
    with pytest.raises(ValueError, match="margin: wanted a fraction"):
        data.load("ckplus", tmp_path, margin=margin)


def test_real_data(real_data):
    ds = data.load("ckplus", real_data)
    assert (len(ds), len(set(ds.sequence.tolist())), len(set(ds.subject.tolist()))) == (981, 327, 118)
    assert np.bincount(ds.labels).tolist() == [3 * n for n in ckplus.OFFICIAL]
    assert len(data.load("ckplus", real_data, frames="last")) == 327


def test_a_margin_decides_the_cut_and_what_the_cache_holds(original, monkeypatch, tmp_path):
    monkeypatch.setattr(ckplus, "find_face", lambda image: (24, 16, 24, 24))
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "cache"))
    tight, wide, again = (data.load("ckplus", original, margin=m) for m in (0.0, 0.5, 0.0))
    assert tight.fingerprint() == again.fingerprint() != wide.fingerprint()
    assert data.load("ckplus", original).fingerprint() == tight.fingerprint()  # no margin unless asked for


@pytest.mark.parametrize(("of", "name"), [(ckplus, "VERSION"), (cv2, "__version__")])
def test_what_another_version_cut_is_cut_again(write_ck48, tmp_path, monkeypatch, of, name):
    write_ck48(tmp_path, subjects=1)
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "cache"))
    data.load("ckplus", tmp_path)
    monkeypatch.setattr(of, name, "another")
    data.load("ckplus", tmp_path)
    assert len(list((tmp_path / "cache").glob("*.npz"))) == 2


def test_frames_are_ordered_by_their_numbers_not_their_names(write_ck48, tmp_path):
    folder = write_ck48(tmp_path, subjects=1)
    for path in folder.rglob("*.png"):
        path.rename(path.with_name(path.name.replace("_000000", "_").replace("_09", "_9")))
    ds = data.load("ckplus", tmp_path, frames=2)
    wanted = [cv2.imread(str(folder / f"anger/S010_001_{n}.png"), 0) for n in (10, 11)]
    assert (ds[ds.labels == 0].images == wanted).all()


def test_official_counts_are_those_that_synthetic_faces_are_dealt_by():
    assert list(ckplus.OFFICIAL) == list(synthetic.BALANCE["ckplus"].values()) == [45, 18, 59, 25, 69, 28, 83]
