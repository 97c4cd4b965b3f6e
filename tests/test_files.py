"""Folders and zips as the loaders see them: names, bytes, digests."""

from __future__ import annotations

import zipfile

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
