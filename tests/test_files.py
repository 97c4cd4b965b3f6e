"""Folders and zips as the loaders see them: names, bytes, digests."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from fer_repro.data import files


@pytest.fixture
def folder(tmp_path):
    """Write a folder of a short, an empty and a long file, with what macOS leaves beside them."""
    root = tmp_path / "in"
    for name, content in (
        ("a.png", b"a"),
        ("b/c.png", b""),
        ("b/long.png", b"0123456789" * 40_000),  # several pieces
        ("__MACOSX/a.png", b"no"),
        ("b/._c.png", b"no"),
        (".DS_Store", b"no"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@pytest.mark.parametrize("method", [None, *METHODS])
def test_names_and_bytes_are_the_same_in_a_folder_and_in_a_zip(folder, zipped, tmp_path, method):
    path = folder if method is None else zipped(folder, tmp_path / "in.zip", method=method)
    (place,) = files.opened(path)
    assert place.names == ["a.png", "b/c.png", "b/long.png"]
    for name in place.names:
        assert place.read(name) == (folder / name).read_bytes()
        with place.open(name) as file:
            assert file.read() == (folder / name).read_bytes()


def test_a_digest_changes_with_names_contents_and_what_is_meant(tmp_path):
    def digest(first: bytes, second: bytes, names=("a", "b"), called="in") -> str:
        root = tmp_path / called
        root.mkdir(exist_ok=True)
        for name, content in zip(names, (first, second), strict=True):
            (root / name).write_bytes(content)
        return files.Folder(root).digest(names)

    found = [
        digest(b"1", b"2"),
        digest(b"2", b"1"),
        digest(b"12", b""),
        digest(b"", b"12"),
        digest(b"1", b"2", ("a", "c")),
        digest(b"1", b"2", ("c", "b")),
    ]
    assert len(set(found)) == len(found)
    assert digest(b"1", b"2", called="elsewhere") == found[0]


def test_a_zips_digest_changes_with_its_content_and_with_what_is_meant(folder, zipped, tmp_path):
    path = zipped(folder, tmp_path / "in.zip")
    before, less = (files.Zip(path).digest(names) for names in (["a.png", "b/c.png"], ["a.png"]))
    (folder / "a.png").write_bytes(b"b")
    assert len({before, less, files.Zip(zipped(folder, path)).digest(["a.png", "b/c.png"])}) == 3


def test_the_digest_of_several_looks_into_each(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "d.png").write_bytes(b"d")
    names = ["in/a.png", "in/b/c.png", "other/d.png"]

    def digest(names=names) -> str:
        return files.Several(tmp_path, [files.Folder(folder), files.Folder(other)]).digest(names)

    found = [digest(), digest(names[:2])]
    (other / "d.png").write_bytes(b"e")
    found.append(digest())
    (folder / "a.png").write_bytes(b"f")
    found.append(digest())
    assert len(set(found)) == 4


def test_no_part_of_a_large_file_goes_unhashed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BLOCK", 2 << 20)
    content, path = bytearray(5 << 20), tmp_path / "large.csv"
    found = set()
    for at in range(0, len(content), 1 << 20):
        path.write_bytes(content)
        found.add(files.digest_of(path))
        content[at + 1000] = 1
    path.write_bytes(content)
    assert len(found | {files.digest_of(path)}) == 6


@pytest.mark.parametrize("size", [0, 1, files.SMALL, files.SMALL + 1, 3 * files.SMALL + 5])
def test_a_file_of_any_size_is_read_whole(zipped, tmp_path, size):
    content = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8).tobytes()
    (tmp_path / "x").mkdir()
    (tmp_path / "x/one.bin").write_bytes(content)
    places = files.Folder(tmp_path / "x"), files.Zip(zipped(tmp_path / "x", tmp_path / "a.zip"))
    for place, name in ((places[0], "one.bin"), (places[1], "one.bin"), (files.Several(tmp_path, places), "x/one.bin")):
        assert place.read(name) == content
        with place.open(name) as file:
            assert file.read() == content


def test_faults_come_in_the_order_of_the_files(tmp_path, monkeypatch):
    for name in "abcde":
        (tmp_path / name).write_bytes(b"no image")
    monkeypatch.setattr(files, "CHUNK", 1)
    monkeypatch.setattr(files, "parallel", lambda work, items: [work(i) for i in list(items)[::-1]])
    _, faults = files.decode_all(files.Folder(tmp_path), list("abcde"), 48)
    assert list(faults) == [0, 1, 2, 3, 4]
