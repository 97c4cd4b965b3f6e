"""FER2013 in its forms, its cache, and what is said about faulty files."""

from __future__ import annotations

import io
import logging
import os
import re
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_repro import data, results
from fer_repro.data import DataError, audit, cache, fer2013, files, synthetic

os_open = os.open

COLUMNS = {
    "fer2013.csv": ("emotion", "pixels", "Usage"),
    "icml_face_data.csv": ("emotion", " Usage", " pixels"),
}


def same(a, b):
    """Tell whether two data sets hold the same, in the same order."""
    return a.fingerprint() == b.fingerprint()


def by_pixels(ds):
    """Return a data set in an order that does not depend on the form it came in."""
    return ds[np.lexsort(ds.images.reshape(len(ds), -1).T)]


def slow_csv(path):
    """Read a CSV by the definition of the format, one value after another."""
    header, *rows = Path(path).read_text().splitlines()
    columns = [c.strip().lower() for c in header.split(",")]
    cells = [dict(zip(columns, (c.strip('" ') for c in row.split(",")), strict=True)) for row in rows]
    images = [[int(p) for p in c["pixels"].split(" ")] for c in cells]
    split = [{"Training": "train", "PublicTest": "val", "PrivateTest": "test"}[c["usage"]] for c in cells]
    return np.array(images).reshape(-1, 48, 48), [int(c["emotion"]) for c in cells], split


# ------------------------------------------------------------------------------------------------------ the forms


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_csv_equals_a_slow_reader(tiny_fer, write_csv, tmp_path, name, end, quote):
    path = write_csv(tiny_fer, tmp_path / name, COLUMNS[name], end, quote)
    ds = data.load("fer2013", path)
    images, labels, split = slow_csv(path)
    assert (ds.images == images).all()
    assert ds.labels.tolist() == labels
    assert ds.split.tolist() == split
    assert same(ds, tiny_fer)


def test_regular_lines_take_the_quick_way(tiny_fer, write_csv, tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013, "_parse_lines", None)
    path = write_csv(tiny_fer, tmp_path / "fer2013.csv")
    assert same(data.load("fer2013", path, cached=False), tiny_fer)


def test_quick_and_slow_way_agree(tiny_fer, write_csv, tmp_path, monkeypatch):
    path = write_csv(tiny_fer, tmp_path / "fer2013.csv", end="\r\n")
    monkeypatch.setattr(fer2013, "_parse_regular", lambda text, columns: None)
    assert same(data.load("fer2013", path, cached=False), tiny_fer)


@pytest.mark.parametrize("block", [9500, 12_345, 1 << 16])
@pytest.mark.parametrize("piece", [61, 1000, 1 << 17])
def test_blocks_and_pieces_may_end_anywhere(tiny_fer, write_csv, tmp_path, monkeypatch, block, piece):
    monkeypatch.setattr(fer2013, "BLOCK", block)
    monkeypatch.setattr(fer2013, "PIECE", piece)
    monkeypatch.setattr(fer2013, "_scratch", fer2013._Scratch())
    monkeypatch.setattr(fer2013, "_parse_lines", None)
    path = write_csv(tiny_fer, tmp_path / "fer2013.csv")
    assert same(data.load("fer2013", path, cached=False), tiny_fer)


def test_more_rows_than_fer2013_has(tiny_fer, write_csv, tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013, "OFFICIAL", {"train": (2, 1)})
    monkeypatch.setattr(fer2013, "BLOCK", 20_000)
    path = write_csv(tiny_fer, tmp_path / "fer2013.csv")
    assert same(data.load("fer2013", path, cached=False), tiny_fer)


def test_every_value_of_a_pixel(tmp_path, write_csv, tiny_fer):
    tiny_fer.images[3] = np.resize(np.arange(256), (48, 48))
    ds = data.load("fer2013", write_csv(tiny_fer, tmp_path / "fer2013.csv"))
    assert sorted(set(ds.images[3].ravel().tolist())) == list(range(256))


def test_unusual_but_sound_lines(tiny_fer, write_csv, tmp_path):
    path = write_csv(tiny_fer, tmp_path / "fer2013.csv")
    text = path.read_text().rstrip("\n").replace("\n3,", "\n\n03, ")  # empty lines, blanks, zeros, no last line end
    path.write_text("\ufeff" + text, encoding="utf-8")
    assert same(data.load("fer2013", path), tiny_fer)


def test_train_and_test_with_labels(tiny_fer, write_csv, tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013, "TEST_ROWS", 28)
    write_csv(tiny_fer.part("train"), tmp_path / "fer2013/train.csv", ("emotion", "pixels"))
    write_csv(tiny_fer[tiny_fer.split != "train"], tmp_path / "fer2013/test.csv", ("emotion", "pixels"))
    for path in (tmp_path, tmp_path / "fer2013", tmp_path / "fer2013/train.csv", tmp_path / "fer2013/test.csv"):
        assert same(data.load("fer2013", path), tiny_fer)  # the first half of test.csv is PublicTest


@pytest.mark.parametrize("block", [20_000, fer2013.BLOCK])
def test_a_faulty_row_moves_no_other_between_the_halves(tiny_fer, write_csv, tmp_path, monkeypatch, block):
    monkeypatch.setattr(fer2013, "BLOCK", block)
    monkeypatch.setattr(fer2013, "TEST_ROWS", 28)
    write_csv(tiny_fer.part("train"), tmp_path / "train.csv", ("emotion", "pixels"))
    path = write_csv(tiny_fer[tiny_fer.split != "train"], tmp_path / "test.csv", ("emotion", "pixels"))
    lines = path.read_text().split("\n")
    for row in (1, 2, 28):
        lines[row] = "9" + lines[row][1:]
    path.write_text("\n".join(lines))
    (report,), _ = audit.inspect(tmp_path)
    assert {part: sum(report.counts[part].values()) for part in ("val", "test")} == {"val": 12, "test": 13}
    lines = [int(name.rpartition(" ")[2]) for name in report.names if "test.csv" in name]
    assert lines == [*range(4, 29)]  # below the header and the two faulty ones, above the last


@pytest.mark.parametrize(
    "third", ["val.csv", "valid.csv", "validation.csv", "dev.csv", "PublicTest.csv", "PrivateTest.csv"]
)
def test_train_and_test_split_anew_are_refused(tiny_fer, write_csv, tmp_path, third):
    write_csv(tiny_fer.part("train"), tmp_path / "train.csv", ("emotion", "pixels"))
    write_csv(tiny_fer.part("test"), tmp_path / "test.csv", ("emotion", "pixels"))
    with pytest.raises(DataError, match=r"test\.csv: wanted the 7,178 rows of PublicTest and PrivateTest, got 14"):
        data.load("fer2013", tmp_path)
    write_csv(tiny_fer.part("val"), tmp_path / third, ("emotion", "pixels"))
    with pytest.raises(DataError, match=f"{third}: the official split is not known"):
        data.load("fer2013", tmp_path)


def test_test_without_labels_says_what_is_missing(tiny_fer, write_csv, tmp_path):
    write_csv(tiny_fer, tmp_path / "train.csv", ("emotion", "pixels"))
    write_csv(tiny_fer, tmp_path / "test.csv", ("pixels",))
    with pytest.raises(DataError, match=r"test\.csv: has no column 'emotion'.*icml_face_data\.csv"):
        data.load("fer2013", tmp_path)
    write_csv(tiny_fer, tmp_path / "icml_face_data.csv", COLUMNS["icml_face_data.csv"])
    assert same(data.load("fer2013", tmp_path), tiny_fer)
    assert same(data.load("fer2013", tmp_path / "train.csv"), tiny_fer)


def test_half_of_the_pair(tiny_fer, write_csv, tmp_path):
    write_csv(tiny_fer, tmp_path / "train.csv", ("emotion", "pixels"))
    with pytest.raises(DataError, match=r"test\.csv is missing"):
        data.load("fer2013", tmp_path)
    with pytest.raises(DataError, match=r"test\.csv is missing"):
        data.load("fer2013", tmp_path / "train.csv")


def test_two_halves_of_two_copies_are_no_pair(tiny_fer, write_csv, tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013, "TEST_ROWS", 28)
    train, test = tiny_fer.part("train"), tiny_fer[tiny_fer.split != "train"]
    write_csv(train, tmp_path / "a/train.csv", ("emotion", "pixels"))
    write_csv(test, tmp_path / "b/test.csv", ("emotion", "pixels"))
    with pytest.raises(DataError, match=r"is missing\. Wanted train\.csv and test\.csv side by side"):
        data.load("fer2013", tmp_path)
    write_csv(test, tmp_path / "a/test.csv", ("emotion", "pixels"))
    with pytest.raises(DataError, match=r"in 2 folders\. Wanted one copy"):
        data.load("fer2013", tmp_path)
    assert same(data.load("fer2013", tmp_path / "a"), tiny_fer)


def test_folder_and_zip(tiny_fer, write_folder, zipped, tmp_path):
    folder = write_folder(tiny_fer, tmp_path / "DIR/fer2013")
    ds = data.load("fer2013", folder)
    assert same(by_pixels(ds), by_pixels(tiny_fer))
    assert same(data.load("fer2013", tmp_path / "DIR"), ds)
    stored = zipped(folder, tmp_path / "archive.zip", method=zipfile.ZIP_STORED)
    deflated = zipped(folder, tmp_path / "more.zip", under="fer2013-images/")
    other = zipped(folder, tmp_path / "other.zip", method=zipfile.ZIP_BZIP2)
    for path in (stored, deflated, other):
        assert same(data.load("fer2013", path), ds)
    inside = tmp_path / "packed/fer2013"
    inside.mkdir(parents=True)
    stored.rename(inside / "archive.zip")
    assert same(data.load("fer2013", tmp_path / "packed"), ds)


def test_a_broken_zip_beside_good_files_is_not_opened(tiny_fer, write_csv, tmp_path):
    write_csv(tiny_fer, tmp_path / "fer2013.csv")
    (tmp_path / "archive.zip").write_bytes(b"PK half a download")
    assert same(data.load("fer2013", tmp_path), tiny_fer)


def test_linked_folders_are_followed_and_circles_are_not(tiny_fer, write_folder, tmp_path):
    folder = write_folder(tiny_fer, tmp_path / "elsewhere")
    (tmp_path / "fer2013").mkdir()
    for split in ("train", "test"):
        (tmp_path / "fer2013" / split).symlink_to(folder / split)
    (tmp_path / "fer2013" / "train" / "back").symlink_to(tmp_path / "fer2013")
    assert same(data.load("fer2013", tmp_path / "fer2013"), data.load("fer2013", folder / "."))


def test_folder_with_a_top_folder_and_litter(tiny_fer, write_folder, zipped, tmp_path):
    write_folder(tiny_fer, tmp_path / "archive")
    for litter in (
        "archive/train/angry/._Training_0000.jpg",
        "archive/.DS_Store",
        "__MACOSX/train/angry/Training_1.jpg",
    ):
        (tmp_path / litter).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / litter).write_bytes(b"litter")
    assert same(by_pixels(data.load("fer2013", tmp_path)), by_pixels(tiny_fer))
    packed = zipped(tmp_path, tmp_path / "all.zip")
    assert same(by_pixels(data.load("fer2013", packed)), by_pixels(tiny_fer))


def test_every_name_of_a_class_means_it_and_a_split_may_stand_in_the_folders(tiny_fer, tmp_path):
    content = cv2.imencode(".png", tiny_fer.images[1])[1].tobytes()
    for part in ("Training", "PublicTest", "PrivateTest"):
        for name in fer2013.FOLDERS:
            (tmp_path / part / name).mkdir(parents=True)
            (tmp_path / part / name / "im0.png").write_bytes(content)
    ds = data.load("fer2013", tmp_path, cached=False)
    part, folder = np.array(
        [(p, f) for p in ("PrivateTest", "PublicTest", "Training") for f in sorted(fer2013.FOLDERS)]
    ).T
    assert ds.split.tolist() == [{"Training": "train", "PublicTest": "val", "PrivateTest": "test"}[p] for p in part]
    assert [ds.classes[k][:3] for k in ds.labels] == [f[:3] for f in folder]  # happy, happiness


def test_a_csv_goes_before_an_image_folder(tiny_fer, write_csv, write_folder, tmp_path):
    write_folder(tiny_fer[::-1][:20], tmp_path / "images")
    write_csv(tiny_fer, tmp_path / "fer2013.csv")
    assert same(data.load("fer2013", tmp_path), tiny_fer)


def test_official_counts_are_those_of_the_challenge_and_of_committed_predictions():
    assert [sum(fer2013.OFFICIAL[part]) for part in data.SPLITS] == [28_709, 3_589, 3_589]
    whole = np.sum([fer2013.OFFICIAL[part] for part in data.SPLITS], axis=0)
    assert whole.tolist() == list(synthetic.BALANCE["fer2013"].values()) == [4953, 547, 5121, 8989, 6077, 4002, 6198]
    record = next(r for r in results.load_all(dataset="fer2013") if r["complete"])
    assert np.bincount(record["predictions"]["label"]).tolist() == list(fer2013.OFFICIAL["test"])


def test_csv_in_a_zip_and_a_tar(tiny_fer, write_csv, zipped, tmp_path):
    write_csv(tiny_fer, tmp_path / "x/fer2013/fer2013.csv")
    assert same(data.load("fer2013", zipped(tmp_path / "x", tmp_path / "fer.zip")), tiny_fer)
    with tarfile.open(tmp_path / "fer2013.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "x/fer2013/fer2013.csv", "fer2013/fer2013.csv")
    assert same(data.load("fer2013", tmp_path / "fer2013.tar.gz"), tiny_fer)


def test_a_damaged_tar_gives_no_pixels(tiny_fer, write_csv, tmp_path):
    write_csv(tiny_fer, tmp_path / "fer2013.csv")
    path = tmp_path / "fer2013.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "fer2013.csv", "fer2013/fer2013.csv")
    content = path.read_bytes()
    for at in (*range(40, len(content), len(content) // 20), len(content) - 8, len(content) - 1):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(DataError, match=r"fer2013\.tar\.gz"):
            data.load("fer2013", path, cached=False)


def test_a_faulty_row_in_a_tar_is_named(tiny_fer, write_csv, tmp_path):
    path = write_csv(tiny_fer, tmp_path / "x/fer2013.csv")
    path.write_text(path.read_text().replace("\n6,", "\n7,", 1))
    with tarfile.open(tmp_path / "fer2013.tar.gz", "w:gz") as tar:
        tar.add(path, "fer2013/fer2013.csv")
    with pytest.raises(DataError, match=r"fer2013\.tar\.gz, line 8: emotion: wanted 0\.\.6"):
        data.load("fer2013", tmp_path / "fer2013.tar.gz")


def test_order_does_not_depend_on_the_file_system(tiny_fer, write_folder, tmp_path, monkeypatch):
    first = data.load("fer2013", write_folder(tiny_fer, tmp_path / "a"), cached=False)
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda *a, **k: ((d, s, f[::-1]) for d, s, f in walk(*a, **k)))
    assert same(data.load("fer2013", tmp_path / "a", cached=False), first)


# ------------------------------------------------------------------------------------------------------ the cache


@pytest.fixture
def csv(tiny_fer, write_csv, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "cache"))
    return write_csv(tiny_fer, tmp_path / "fer2013.csv")


def test_second_load_does_not_parse(csv, tiny_fer, monkeypatch):
    data.load("fer2013", csv)
    monkeypatch.setattr(fer2013, "parse", None)
    os.utime(csv, (1, 1))
    csv = csv.rename(csv.with_name("FER2013.csv"))
    assert same(data.load("fer2013", csv), tiny_fer)


def test_cache_follows_the_content(csv, tiny_fer):
    data.load("fer2013", csv)
    text = csv.read_text()
    stamp = csv.stat().st_mtime_ns
    csv.write_text(text.replace("\n1,", "\n5,", 1))
    os.utime(csv, ns=(stamp, stamp))
    assert data.load("fer2013", csv).labels[1] == 5


def test_cache_follows_the_names(tiny_fer, write_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "cache"))
    folder = write_folder(tiny_fer[:7], tmp_path / "fer2013")  # one image a class
    assert set(data.load("fer2013", folder).split) == {"train"}
    (folder / "train/sad/Training_0004.jpg").rename(folder / "train/sad/PublicTest_0004.jpg")
    ds = data.load("fer2013", folder)
    assert [ds.classes[k] for k in ds.labels[ds.split == "val"]] == ["sadness"]


def test_cache_follows_each_of_several_zips(tiny_fer, write_folder, zipped, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "fer2013").mkdir()
    other = data.FaceDataset(255 - tiny_fer.images, tiny_fer.labels, tiny_fer.classes, tiny_fer.split)
    for ds, name in ((tiny_fer, "first"), (other, "second")):
        folder = write_folder(ds, tmp_path / name)
        for part in ("train", "test"):
            zipped(folder / part, tmp_path / "fer2013" / f"{part}.zip", under=f"{part}/")
        assert same(data.load("fer2013", tmp_path), data.load("fer2013", folder, cached=False))
        (tmp_path / "fer2013/test.zip").unlink()  # and with the second train.zip still beside it
        zipped(write_folder(other, tmp_path / "other") / "test", tmp_path / "fer2013/test.zip", under="test/")
        assert same(data.load("fer2013", tmp_path), data.load("fer2013", tmp_path, cached=False))


@pytest.mark.parametrize(("of", "name"), [(fer2013, "VERSION"), (cv2, "__version__")])
def test_what_another_version_read_is_read_again(csv, monkeypatch, of, name):
    data.load("fer2013", csv)
    monkeypatch.setattr(of, name, "another")
    data.load("fer2013", csv)
    assert len(list(cache.directory().glob("*.npz"))) == 2


def test_a_key_tells_its_parts_apart():
    keys = [cache.key(*parts) for parts in (("ab", "c"), ("a", "bc"), ("abc",), (1, 23), (12, 3), (123,), ("123",), ())]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch("[0-9a-f]{32}", k) for k in keys)


@pytest.mark.parametrize("kept", ["all", "some", "none"])
def test_a_folder_that_is_not_in_the_cache_is_read_once_as_far_as_memory_allows(
    tiny_fer, write_folder, tmp_path, monkeypatch, kept
):
    folder = write_folder(tiny_fer, tmp_path / "fer2013")
    expected = data.load("fer2013", folder, cached=False)
    sizes = [p.stat().st_size for p in folder.rglob("*.jpg")]
    room = {"all": sum(sizes), "some": sum(sizes) // 2, "none": 0}[kept]
    opened = []
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "KEPT", room)
    monkeypatch.setattr(files, "CHUNK", 3)
    monkeypatch.setattr(files.os, "open", lambda path, *how: opened.append(path) or os_open(path, *how))
    assert same(data.load("fer2013", folder), expected)
    images = [path for path in opened if str(path).endswith(".jpg")]
    again = len(images) - len(sizes)
    assert set(images) == {str(p) for p in folder.rglob("*.jpg")}
    assert {"all": again == 0, "some": 0 < again < len(sizes), "none": again == len(sizes)}[kept]


@pytest.mark.parametrize("damage", ["cut", "bit", "text", "empty", "header", "an array left out"])
def test_damaged_cache_is_rebuilt(csv, tiny_fer, damage, caplog):
    data.load("fer2013", csv)
    (file,) = cache.directory().glob("*.npz")
    content = file.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    damaged = {"cut": content[:middle], "bit": flipped, "text": b"no", "empty": b""}
    damaged["header"] = content.replace(b"}", b"|")
    with np.load(file) as arrays:
        np.savez(file.with_name("other"), **{name: arrays[name] for name in arrays.files if name != "split"})
    damaged["an array left out"] = file.with_name("other.npz").read_bytes()
    file.with_name("other.npz").unlink()
    file.write_bytes(damaged[damage])
    with caplog.at_level(logging.WARNING):
        assert same(data.load("fer2013", csv), tiny_fer)
    assert "is damaged" in caplog.text
    assert file.read_bytes() == content


def test_full_disk_only_warns(csv, tiny_fer, monkeypatch, caplog):
    def full(file, **arrays):
        file.write(b"a part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert same(data.load("fer2013", csv), tiny_fer)
    assert "No space left" in caplog.text
    assert list(cache.directory().iterdir()) == []


def test_cache_that_cannot_be_a_folder_only_warns(csv, tiny_fer, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FER_REPRO_CACHE", str(tmp_path / "file" / "cache"))
    assert same(data.load("fer2013", csv), tiny_fer)
    assert "cannot keep data" in caplog.text


def test_what_a_killed_process_left_is_removed(csv):
    left = cache.directory() / "fer2013-x.part"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    unfinished = left.with_name("fer2013-y.part")
    unfinished.write_bytes(b"another process is at it")
    data.load("fer2013", csv)
    assert not left.exists()
    assert unfinished.exists()


# ------------------------------------------------------------------------------------------------------ bad input

FAULTS = {
    "label too large": (lambda t: t.replace("\n6,", "\n7,", 1), r"line 8: emotion: wanted 0\.\.6, got '7'"),
    "label negative": (lambda t: t.replace("\n6,", "\n-1,", 1), r"line 8: emotion: wanted 0\.\.6, got '-1'"),
    "label no number": (lambda t: t.replace("\n6,", "\nangry,", 1), r"line 8: emotion: .* got 'angry'"),
    "pixel too large": (lambda t: t.replace(" 99 255 ", " 99 256 ", 1), r"line 3: pixels: .*255, got '256'"),
    "pixel far too large": (lambda t: t.replace(" 99 255 ", " 99 1255 ", 1), r"line 3: pixels: .* got '1255'"),
    "pixel negative": (lambda t: t.replace(" 99 255 ", " 99 -25 ", 1), r"line 3: pixels: .* got '-25'"),
    "pixel a fraction": (lambda t: t.replace(" 99 255 ", " 9.5 255 ", 1), r"line 3: pixels: .* got '9\.5'"),
    "pixel a word": (lambda t: t.replace(" 99 255 ", " nan 255 ", 1), r"line 3: pixels: .* got 'nan'"),
    "pixel missing": (lambda t: t.replace(" 99 255 ", " 99 ", 1), r"line 3: wanted 2304 pixels \(48×48\), got 2303"),
    "pixel moved to the next row": (
        lambda t: t.replace(" 99 255 ", " 255 ", 1).replace("\n2,", "\n2,7 ", 1),
        r"line 3: wanted 2304 pixels \(48×48\), got 2303\. 1 more have faults",
    ),
    "usage unknown": (
        lambda t: t.replace("Training", "Trainng", 1),
        r"line 2: Usage: wanted Training, .* got 'Trainng'",
    ),
    "column missing": (lambda t: t.replace("\n1,", "\n", 1), r"line 3: wanted 3 columns .* got 2"),
    "cut off in a row": (lambda t: t[:-5000], r"line 43: .*this is the last line: the file may be cut off"),
    "cut off in the last word": (lambda t: t[:-5], r"line 43: Usage: .*the file may be cut off"),
    "no rows": (lambda t: t.split("\n")[0] + "\n", "wanted rows of faces"),
    "empty": (lambda t: "", r"wanted a header with the columns emotion, pixels, Usage; got 'an empty line'"),
    "no header": (lambda t: t.split("\n", 1)[1], "wanted a header"),
    "no usage": (lambda t: t.replace("Usage", "Use", 1), "has no column 'Usage'"),
    "one endless line": (
        lambda t: t.split("\n")[0] + "\n" + "1 " * (fer2013.BLOCK // 2 + 1),
        "bytes without a line end",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_csv(csv, fault):
    damage, message = FAULTS[fault]
    csv.write_text(damage(csv.read_text()))
    with pytest.raises(DataError, match=message) as refusal:
        data.load("fer2013", csv)
    assert "fer2013.csv" in str(refusal.value)
    assert not list(cache.directory().glob("*.npz"))


def test_faults_do_not_hide_behind_each_other(csv):
    text = csv.read_text().replace("\n6,", "\n8,", 1).replace("\n2,", "\n9,", 1)
    csv.write_text(text)
    with pytest.raises(DataError, match=r"line 4: emotion.* 1 more have faults.*data check"):
        data.load("fer2013", csv)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not an image", "cannot be decoded"),
        (
            cv2.imencode(".jpg", np.arange(48 * 48, dtype=np.uint8).reshape(48, 48))[1].tobytes()[:-300],
            "JPEG that is cut",
        ),
        (cv2.imencode(".png", np.zeros((48, 48), np.uint8))[1].tobytes()[:-20], "PNG that is cut off"),
        (cv2.imencode(".png", np.zeros((40, 64), np.uint8))[1].tobytes(), "wanted 48×48 pixels, got 64×40"),
    ],
)
def test_faulty_image(tiny_fer, write_folder, tmp_path, content, message):
    write_folder(tiny_fer, tmp_path)
    (tmp_path / "train/sad/Training_9999.jpg").write_bytes(content)
    with pytest.raises(DataError, match=rf"train/sad/Training_9999\.jpg: .*{message}"):
        data.load("fer2013", tmp_path)


def test_damaged_zip(tiny_fer, write_folder, zipped, tmp_path):
    path = zipped(write_folder(tiny_fer, tmp_path / "x"), tmp_path / "archive.zip", method=zipfile.ZIP_STORED)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"archive\.zip: wanted a zip, .*may be cut off"):
        data.load("fer2013", path)
    middle = len(content) // 4
    path.write_bytes(content[:middle] + bytes(8) + content[middle + 8 :])
    with pytest.raises(DataError, match="cannot be read"):
        data.load("fer2013", path)


@pytest.mark.parametrize("at", [0, 3000])
def test_damaged_csv_in_a_zip(tiny_fer, write_csv, tmp_path, at):
    text = write_csv(tiny_fer, tmp_path / "fer2013.csv").read_bytes()
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("fer2013.csv", text)
    content = bytearray(path.read_bytes())
    at += 30 + len("fer2013.csv")  # behind the member's own header
    content[at : at + 20] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"fer2013\.csv: cannot be read"):
        data.load("fer2013", path)


def test_an_encrypted_zip_is_said_to_be_one(tiny_fer, write_folder, zipped, tmp_path):
    path = zipped(write_folder(tiny_fer[:7], tmp_path / "x"), tmp_path / "archive.zip")
    content = path.read_bytes()
    path.write_bytes(re.sub(rb"(PK\x01\x02.{4}).", b"\\1\x01", content, flags=re.DOTALL))  # each member's first flag
    with pytest.raises(DataError, match=r"Training_0000\.jpg: is encrypted; unpack the zip"):
        data.load("fer2013", path)


def test_a_folder_that_cannot_be_entered_is_named(tiny_fer, write_folder, tmp_path, monkeypatch):
    write_folder(tiny_fer, tmp_path)
    scandir = os.scandir

    def scan(path):
        if str(path).endswith("sad"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(DataError, match=r"sad: cannot be read \(Permission denied\)"):
        data.load("fer2013", tmp_path)


def test_split_that_is_not_in_the_names(tmp_path):
    ok = cv2.imencode(".png", np.zeros((48, 48), np.uint8))[1].tobytes()
    for part in ("train", "test"):
        (tmp_path / part / "happy").mkdir(parents=True)
        (tmp_path / part / "happy" / "im0.png").write_bytes(ok)
    with pytest.raises(DataError, match="the official split is not known"):
        data.load("fer2013", tmp_path)
    (tmp_path / "train/happy/Training_1.png").write_bytes(ok)
    with pytest.raises(DataError, match=r"im0\.png: wanted a file name that begins with Training_"):
        data.load("fer2013", tmp_path)


def test_wrong_places(tmp_path, monkeypatch, write_ck48):
    with pytest.raises(DataError, match="no such file or folder"):
        data.load("fer2013", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no FER2013 here\. Wanted: fer2013\.csv.* Got: no files"):
        data.load("fer2013", tmp_path)
    write_ck48(tmp_path, subjects=1)
    with pytest.raises(DataError, match=r"no FER2013 here\..* Got: CK\+48/anger/"):
        data.load("fer2013", tmp_path)
    monkeypatch.delenv("FER_REPRO_DATA", raising=False)
    with pytest.raises(DataError, match=r"bring your own copy.*FER_REPRO_DATA=DIR.*--data-dir"):
        data.load("fer2013")
    with pytest.raises(DataError, match="data set: wanted one of synthetic, fer2013, ckplus, got 'FER'"):
        data.load("FER")


def test_environment_names_the_place(csv, tiny_fer, monkeypatch):
    monkeypatch.setenv("FER_REPRO_DATA", str(csv.parent))
    assert same(data.load("fer2013"), tiny_fer)


@pytest.mark.parametrize("piece", [*range(1, 12), 1 << 19])
def test_numbers_against_a_slow_reader(monkeypatch, piece):
    monkeypatch.setattr(fer2013, "PIECE", piece)
    monkeypatch.setattr(fer2013, "_scratch", fer2013._Scratch())
    numbers = [*range(256), *np.random.default_rng(0).integers(0, 256, 500).tolist()]
    text = "\n\n\n" + " ".join(map(str, numbers)) + ",abc\n1,\n"
    scan = fer2013._scan(np.frombuffer(text.encode(), np.uint8))
    assert scan.sound
    assert scan.numbers.tolist() == [*numbers, 1]
    assert (scan.lines.tolist(), scan.commas.tolist()) == (
        [len(text) - 4, len(text) - 1],
        [len(text) - 8, len(text) - 2],
    )
    assert (scan.before_line.tolist(), scan.before_comma.tolist()) == (
        [len(numbers), len(numbers) + 1],
        [len(numbers), len(numbers) + 1],
    )
    assert scan.letters == 3
    for bad in (256, 299, 300, 999, 1000, 12345, "0000", "0012"):
        for before in range(9):
            text = "\n\n\n" + "1 " * before + f"{bad} 2\n"
            assert not fer2013._scan(np.frombuffer(text.encode(), np.uint8)).sound
    for between in ('"', '""', "\r", "\r\r", '"\r', '\r"', '" "', " \r "):
        assert not fer2013._scan(np.frombuffer(f"\n\n\n12{between}13\n".encode(), np.uint8)).sound


def test_the_quick_way_never_differs_from_the_slow_one(tiny_fer, write_csv, tmp_path):
    columns = ["emotion", "pixels", "usage"]
    sound = write_csv(tiny_fer[:3], tmp_path / "x.csv").read_bytes().split(b"\n", 1)[1]
    rng = np.random.default_rng(0)
    taken = 0
    for _ in range(300):
        text = bytearray(sound)
        kind, where = rng.integers(3), int(rng.integers(len(text)))
        where = where if rng.integers(2) else text.find(b",", where)  # where most can go wrong
        byte = int(rng.choice(list(b'0123456789 ,\n\r"-.aT')))
        text[where : where + int(kind < 2)] = bytes([byte]) * int(kind > 0)  # remove, replace, insert
        if not text.endswith(b"\n"):
            text += b"\n"
        slow = fer2013._parse_lines(bytes(text), columns)
        quick = fer2013._parse_regular(np.frombuffer(b"\n\n\n" + text, np.uint8), columns)
        if quick is None:
            continue
        taken += 1
        assert not slow.faults
        assert (quick.pixels == slow.pixels).all()
        assert [quick.label.tolist(), quick.usage.tolist()] == [slow.label.tolist(), slow.usage.tolist()]
        assert [quick.line.tolist(), quick.lines] == [slow.line.tolist(), slow.lines]
    assert 20 < taken < 280


def test_real_archive(real_data):
    ds = data.load("fer2013", real_data)
    assert len(ds) == 35_887
    assert {s: int((ds.split == s).sum()) for s in data.SPLITS} == {"train": 28_709, "val": 3_589, "test": 3_589}
    assert same(data.load("fer2013", real_data), ds)


def test_fetch_without_its_package(monkeypatch, tmp_path):
    import sys

    from fer_repro.data.fetch import fetch

    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(DataError, match=r"wanted the package kagglehub.*by hand from https"):
        fetch("fer2013", tmp_path)
    with pytest.raises(DataError, match="wanted one of fer2013, ckplus"):
        fetch("faces", tmp_path)


def test_fetch_without_a_network_leaves_nothing(monkeypatch, tmp_path):
    import sys
    import types

    from fer_repro.data.fetch import fetch

    def download(handle):
        raise ConnectionError("name resolution failed")

    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=download))
    with pytest.raises(DataError, match=r"could not be downloaded .name resolution failed.*Is there a network"):
        fetch("fer2013", tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "got").mkdir()
    (tmp_path / "got/fer2013.csv").write_text("x")
    monkeypatch.setitem(
        sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=lambda handle: str(tmp_path / "got"))
    )
    assert (fetch("fer2013", tmp_path) / "fer2013.csv").read_text() == "x"


def test_fetch_asks_once_leaves_what_is_there_and_clears_half_a_copy(monkeypatch, tmp_path):
    import sys
    import types

    from fer_repro.data.fetch import fetch

    asked, target = [], tmp_path / "target"
    (tmp_path / "got").mkdir()
    (tmp_path / "got/images.zip").write_text("whole")
    client = types.SimpleNamespace(dataset_download=lambda handle: asked.append(handle) or str(tmp_path / "got"))
    monkeypatch.setitem(sys.modules, "kagglehub", client)
    (target / "ckplus.part").mkdir(parents=True)
    (target / "ckplus.part/half.zip").write_text("half")
    (target / "fer2013").mkdir()  # empty: nothing stands there yet
    for name in ("fer2013", "ckplus"):
        folder = fetch(name, target)
        assert [p.name for p in folder.iterdir()] == ["images.zip"]
        (folder / "images.zip").write_text("the user's own")
        assert (fetch(name, target) / "images.zip").read_text() == "the user's own"
    assert ["fer2013" in asked[0], "ckplus" in asked[1], len(asked)] == [True, True, 2]


def test_streams_that_break(tiny_fer, write_csv, tmp_path):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        tar.add(write_csv(tiny_fer, tmp_path / "x/fer2013.csv"), "fer2013/fer2013.csv")
    (tmp_path / "fer2013.tar.gz").write_bytes(content.getvalue()[:-40_000])
    with pytest.raises(DataError, match="cannot be read"):
        data.load("fer2013", tmp_path / "fer2013.tar.gz")
