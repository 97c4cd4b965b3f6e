"""FER2013 in every form it is handed out in: three CSV forms, the image folder, and either as a zip or a tar.gz.

35,887 grey faces of 48×48 pixels, found by a search engine, seven expressions (Goodfellow et al. 2013).
Paper: Sec. IV-A. The official split is kept (Q12): Training is ``train``, PublicTest ``val``, PrivateTest ``test``.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import threading
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from . import cache, files
from .faces import FER_CLASSES, DataError, FaceDataset
from .files import Files

SIDE = 48
PIXELS = SIDE * SIDE
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}  # official names, and ours
FOLDERS = {  # the image folder's class names, and others in use
    **{name: name for name in FER_CLASSES},
    "angry": "anger",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
    "disgusted": "disgust",
    "fearful": "fear",
}
# Official counts (Goodfellow et al. 2013), in the order of FER_CLASSES; the audit compares with them.
OFFICIAL = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "val": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}
TEST_ROWS = sum(OFFICIAL["val"]) + sum(OFFICIAL["test"])  # of the challenge's test.csv: PublicTest, then PrivateTest
VALIDATION = {
    "val",
    "valid",
    "validation",
    "dev",
    "publictest",
    "privatetest",
}  # such a file beside it: split otherwise
WANTED = (
    "fer2013.csv, icml_face_data.csv, train.csv with test.csv, the image folder "
    "(train/<class>/Training_N.jpg, test/<class>/PublicTest_N.jpg and PrivateTest_N.jpg), or one of these as a zip"
)
VERSION = 2  # of what the cache holds; raise it when reading changes
BLOCK = 1 << 22  # bytes of CSV parsed as one piece of work
PIECE = 1 << 20  # bytes scanned at once: with fewer, calls cost more than passes; with more, they leave the cache


@dataclass
class Reading:
    """What was read, faults included: ``faults`` maps a position to what is wrong with it."""

    form: str
    place: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    split: NDArray[Any]
    names: Sequence[str]
    faults: list[tuple[str, str]] = field(default_factory=list)


def load(path: Path, cached: bool = True) -> FaceDataset:
    """Return FER2013 from ``path``: the data set's folder, a folder that holds ``fer2013/``, a CSV file or a zip.

    Images come in the order of the CSV, or sorted by path in the folder form; both are the same on every machine.

    Raises
    ------
    DataError
        If nothing is found, or any image, label, or split is missing or damaged: the first is named.
    """
    found = find(path)
    place = files.shown(found.files, found.names[0])

    def build() -> dict[str, np.ndarray]:
        reading = found.read()
        if reading.faults:
            where, what = reading.faults[0]
            more = f" {len(reading.faults) - 1} more have faults." if len(reading.faults) > 1 else ""
            raise DataError(f"{where}: {what}.{more} `fer-repro data check {path}` shows the faults.")
        return {"images": reading.images, "labels": reading.labels, "split": reading.split}

    if not cached:
        return FaceDataset(**build(), classes=FER_CLASSES, name="fer2013")  # type: ignore[arg-type]
    content = found.files.digest(found.names)
    arrays = cache.cached(f"fer2013-{cache.key(VERSION, cv2.__version__, found.form, content)}", build)
    assert len(arrays["images"]), place
    return FaceDataset(**arrays, classes=FER_CLASSES, name="fer2013")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ what is there


@dataclass
class Found:
    """One form of the data set at one place; ``read`` reads it."""

    form: str
    files: Files
    names: list[str]
    read: Callable[[], Reading]


def find(path: Path) -> Found:
    """Return the first form found at ``path``: CSV files before image folders, unpacked ones before zips."""
    roots = [path / d for d in ("fer2013", "FER2013") if (path / d).is_dir()] or [path]
    seen: list[str] = []
    for place in files.opened(roots[0]):
        for look in (_one_csv, _archived_csv, _csv_pair, _image_folder):
            if found := look(place):
                return found
        seen += place.names[:3]
    listed = ", ".join(seen[:4]) + (", ..." if len(seen) > 4 else "") if seen else "no files"
    raise DataError(f"{roots[0]}: no FER2013 here. Wanted: {WANTED}. Got: {listed}.")


def _one_csv(place: Files) -> Found | None:
    tables = [n for n in place.names if n[-4:].lower() == ".csv"]
    for wanted in ("fer2013.csv", "icml_face_data.csv"):
        for name in tables:
            if _base(name) == wanted:
                return Found(wanted, place, [name], partial(_read_csv, place, [(name, None)], wanted))
    alone = place.names[0] if len(place.names) == 1 else ""
    if alone.lower().endswith(".csv") and alone.lower() not in ("train.csv", "test.csv"):
        return Found("CSV", place, [alone], partial(_read_csv, place, [(alone, None)], "CSV"))
    return None


def _base(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _archived_csv(place: Files) -> Found | None:
    """Kaggle's challenge hands out fer2013.tar.gz, which holds fer2013/fer2013.csv."""
    for name in place.names:
        if name.lower().endswith((".tar.gz", ".tgz")) and "fer2013" in name.lower():
            return Found("fer2013.tar.gz", place, [name], partial(_read_tar, place, name))
    return None


def _csv_pair(place: Files) -> Found | None:
    if isinstance(place, files.One) and place.names[0].lower() in ("train.csv", "test.csv"):
        return next(f for f in (_one_csv(p) or _csv_pair(p) for p in files.opened(place.path)) if f)
    folders: dict[str, dict[str, str]] = {}
    for name in place.names:
        if _base(name) in ("train.csv", "test.csv"):
            folders.setdefault(name.rpartition("/")[0], {})[_base(name)] = name
    if not folders:
        return None
    halves = max(folders.values(), key=len)
    train, test = halves.get("train.csv"), halves.get("test.csv")
    if train is None or test is None:
        missing = "test.csv" if test is None else "train.csv"
        raise DataError(
            f"{place.path}: {missing} is missing. Wanted train.csv and test.csv side by side, or "
            "icml_face_data.csv or fer2013.csv, which hold all three parts."
        )
    if len(folders) > 1:
        raise DataError(
            f"{place.path}: train.csv or test.csv is in {len(folders)} folders. Wanted one copy: images of one copy's "
            "training part may be in another's test part. Name the folder that you mean."
        )
    parts = ((n, *_base(n).rpartition(".")[::2]) for n in place.names)
    if other := next((n for n, part, ending in parts if ending == "csv" and part in VALIDATION), None):
        raise DataError(
            f"{files.shown(place, other)}: the official split is not known. Wanted train.csv and test.csv alone, the "
            "latter with PublicTest and PrivateTest; got a third part. This copy may have been split anew: use "
            "fer2013.csv or icml_face_data.csv."
        )
    pair = [(train, "Training"), (test, "")]
    return Found("train.csv + test.csv", place, [train, test], partial(_read_csv, place, pair, "train.csv + test.csv"))


_IMAGE = re.compile(r"(?:.*/)?([^/]+)/([^/]+)/([^/]+)\.(?:jpe?g|png|bmp)", re.IGNORECASE)


def _image_folder(place: Files) -> Found | None:
    matches = [(n, m) for n in place.names if (m := _IMAGE.fullmatch(n)) and m[2].lower() in FOLDERS]
    if not any(_usage(m) for _, m in matches):
        if matches and any(m[1].lower() in ("train", "test", "val", "validation") for _, m in matches):
            raise DataError(
                f"{files.shown(place, matches[0][0])}: the official split is not known. Wanted file names that begin "
                "with Training_, PublicTest_ or PrivateTest_, or folders of these names; got neither. This copy may "
                "have been split anew, and its results could not be compared: use fer2013.csv or icml_face_data.csv."
            )
        return None
    names = [n for n, _ in matches]
    return Found("image folder", place, names, partial(_read_images, place, [m for _, m in matches]))


_USAGE_OF = {usage.lower(): usage for usage in USAGES}


def _usage(match: re.Match[str]) -> str | None:
    """Return the official split that an image's file name carries, or its folder's."""
    return _USAGE_OF.get(match[3].partition("_")[0].lower()) or _USAGE_OF.get(match[1].lower())


# -------------------------------------------------------------------------------------------------- image folders


def _read_images(place: Files, matches: list[re.Match[str]]) -> Reading:
    names = [m.string for m in matches]
    usages = [_usage(m) for m in matches]
    if None in usages:
        raise DataError(
            f"{files.shown(place, names[usages.index(None)])}: wanted a file name that begins with Training_, "
            "PublicTest_ or PrivateTest_, since the official split stands in it"
        )
    images, faults = files.decode_all(place, names, SIDE)
    labels = np.array([FER_CLASSES.index(FOLDERS[m[2].lower()]) for m in matches], np.int64)
    split = np.array([USAGES[u] for u in usages if u], "U5")
    good = np.ones(len(names), bool)
    good[list(faults)] = False
    return Reading(
        f"image folder{' in a zip' if not isinstance(place, files.Folder) else ''}",
        str(place.path),
        images if good.all() else images[good],
        labels[good],
        split[good],
        [files.shown(place, n) for n, g in zip(names, good, strict=True) if g],
        [(files.shown(place, names[i]), what) for i, what in faults.items()],
    )


# ------------------------------------------------------------------------------------------------------ CSV files


@dataclass
class Rows:
    """Rows of a CSV file. ``label`` and ``usage`` (index into USAGES) are -1 where the file has no such column."""

    pixels: NDArray[np.uint8]  # (n, 2304)
    label: NDArray[np.int64]
    usage: NDArray[np.int64]
    line: NDArray[np.int64]  # counted from 1 within the block
    faults: list[tuple[int, str]]
    lines: int  # in the block, faulty ones and empty ones included


def _read_csv(place: Files, parts: Sequence[tuple[str, str | None]], form: str) -> Reading:
    """Read one CSV, or a train/test pair (in which a part's usage is given: "" means that it must be worked out)."""
    read, names, faults = [], [], []
    for name, usage in parts:
        where = files.shown(place, name)
        with place.open(name) as file:
            rows, columns = parse(file, where)
        read.append(_with_usage(rows, columns, usage, where))
        names += [f"{where}, line {i}" for i in rows.line.tolist()]
        faults += [(f"{where}, line {i}", what) for i, what in rows.faults]
    if not (names or faults):
        raise DataError(f"{files.shown(place, parts[0][0])}: wanted rows of faces, got none")
    pixels = read[0].pixels if len(read) == 1 else np.concatenate([r.pixels for r in read])
    usage_codes = np.concatenate([r.usage for r in read])
    return Reading(
        form,
        str(place.path),
        pixels.reshape(-1, SIDE, SIDE),
        np.concatenate([r.label for r in read]),
        np.array([*USAGES.values()], "U5")[usage_codes],
        names,
        faults,
    )


def _with_usage(rows: Rows, columns: list[str], usage: str | None, where: str) -> Rows:
    """Fill in the official split where the file itself does not say it."""
    if "emotion" not in columns:
        raise DataError(
            f"{where}: has no column 'emotion'. The challenge's test.csv came without labels: "
            "put icml_face_data.csv (from the same download) or fer2013.csv beside it, which hold them."
        )
    if "usage" in columns:
        return rows
    if usage is None:
        raise DataError(
            f"{where}: has no column 'Usage', so the official split is not known. Wanted the columns emotion, "
            f"pixels, Usage; got {', '.join(columns)}"
        )
    if usage:
        rows.usage[:] = list(USAGES).index(usage)
    elif (there := len(rows.usage) + len(rows.faults)) != TEST_ROWS:
        raise DataError(
            f"{where}: wanted the {TEST_ROWS:,} rows of PublicTest and PrivateTest, got {there:,}; the file "
            "may be cut off, or split anew, and the official split is not known. fer2013.csv and icml_face_data.csv "
            "hold it."
        )
    else:  # the challenge's order: all of PublicTest, then as many of PrivateTest; faulty rows have a place there, too
        lines = np.sort(np.array([*rows.line.tolist(), *(line for line, _ in rows.faults)]))
        rows.usage[:] = np.where(np.searchsorted(lines, rows.line) < TEST_ROWS // 2, 1, 2)
    return rows


def _read_tar(place: Files, name: str) -> Reading:
    where = files.shown(place, name)
    try:
        with (
            place.open(name) as packed,
            gzip.GzipFile(fileobj=packed) as whole,
            tarfile.open(fileobj=whole, mode="r|") as tar,
        ):
            for member in tar:
                if member.name.endswith("fer2013.csv") and (file := tar.extractfile(member)):
                    rows, columns = parse(file, f"{where}/{member.name}")  # type: ignore[arg-type]
                    while whole.read(1 << 20):  # to the end, where gzip's checksum stands
                        pass
                    _with_usage(rows, columns, None, where)
                    split = np.array([*USAGES.values()], "U5")[rows.usage]
                    lines = [f"{where}, line {i}" for i in rows.line.tolist()]
                    faults = [(f"{where}, line {i}", what) for i, what in rows.faults]
                    images = rows.pixels.reshape(-1, SIDE, SIDE)
                    return Reading("fer2013.tar.gz", str(place.path), images, rows.label, split, lines, faults)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as fault:
        raise DataError(f"{where}: cannot be read ({fault}); it may be cut off, download it again") from fault
    raise DataError(f"{where}: wanted a fer2013.csv inside, found none")


def parse(file: BufferedIOBase, where: str) -> tuple[Rows, list[str]]:
    """Read a CSV of faces and return its rows and its columns' names in lower case.

    Blocks of whole lines are parsed by one thread a core, each with a few passes of whole-array arithmetic
    (:func:`_parse_regular`). A block in which anything at all is out of the ordinary is read again line by
    line (:func:`_parse_lines`), which knows what to say about it.
    """
    with _told(where):
        header = file.readline(1 << 16)
    columns = [c.strip(' "\r\n\t').lower() for c in header.decode("utf-8-sig", "replace").split(",")]
    if "pixels" not in columns:
        got = header[:60].decode("latin-1").strip() or "an empty line"
        raise DataError(f"{where}: wanted a header with the columns emotion, pixels, Usage; got {got!r}")

    def work(text: NDArray[np.uint8]) -> Rows:
        return _parse_regular(text, columns) or _parse_lines(text[3:].tobytes(), columns)

    pixels, parts = _Pixels(), []
    for part in _pipelined(work, file, where):
        pixels.add(part.pixels)
        parts.append(replace(part, pixels=_NONE))  # its memory goes to the next block
    if not parts:
        raise DataError(f"{where}: wanted rows of faces below the header, got none")
    starts = 2 + np.cumsum([0, *(p.lines for p in parts)])  # the header is line 1
    faults = [(i + s - 1, what) for p, s in zip(parts, starts.tolist(), strict=False) for i, what in p.faults]
    if faults and faults[-1][0] == starts[-1] - 1:
        what = f"{faults[-1][1]} (this is the last line: the file may be cut off; copy or download it again)"
        faults[-1] = (faults[-1][0], what)
    rows = Rows(
        pixels.all(),
        np.concatenate([p.label for p in parts]),
        np.concatenate([p.usage for p in parts]),
        np.concatenate([p.line + s - 1 for p, s in zip(parts, starts, strict=False)]),
        faults,
        int(starts[-1]) - 2,
    )
    return rows, columns


_NONE = np.empty((0, PIXELS), np.uint8)


class _Pixels:
    """All rows' pixels in one array. It begins with room for FER2013, since memory not yet written to costs nothing."""

    def __init__(self) -> None:
        self.held = np.empty((sum(map(sum, OFFICIAL.values())), PIXELS), np.uint8)
        self.count = 0

    def add(self, pixels: NDArray[np.uint8]) -> None:
        """Append rows (n, 2304)."""
        end = self.count + len(pixels)
        if end > len(self.held):
            more = np.empty((len(self.held) // 2 + len(pixels), PIXELS), np.uint8)
            self.held = np.concatenate([self.all(), more])
        self.held[self.count : end] = pixels
        self.count = end

    def all(self) -> NDArray[np.uint8]:
        """Return the rows so far."""
        return self.held[: self.count]


def _pipelined(work: Callable[[NDArray[np.uint8]], Rows], file: BufferedIOBase, where: str) -> Iterator[Rows]:
    """Yield ``work`` of each block of whole lines, in order, worked on by one thread a core.

    A block stands in a buffer behind three line ends, since a number looks back three bytes. The few buffers are
    used over and over: glibc would give arrays of this size back to the kernel when they are freed, and getting
    them anew costs more than the arithmetic.
    """
    free = [bytearray(b"\n" * (BLOCK + 4)) for _ in range(files.cores() + 2)]
    ahead: deque[tuple[Future[Rows], bytearray]] = deque()
    rest = b""
    with ThreadPoolExecutor(files.cores()) as pool:
        while True:
            if not free:
                task, buffer = ahead.popleft()
                yield task.result()
                free.append(buffer)
            buffer = free.pop()
            end, rest = _fill(buffer, rest, file, where)
            if end == 3:
                break
            ahead.append((pool.submit(work, np.frombuffer(buffer, np.uint8, end)), buffer))
        for task, _ in ahead:
            yield task.result()


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Say of what cannot be read, or unpacked, where it stands."""
    try:
        yield
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError) as fault:
        raise DataError(f"{where}: cannot be read ({fault}); copy or download it again") from fault


def _fill(buffer: bytearray, rest: bytes, file: BufferedIOBase, where: str) -> tuple[int, bytes]:
    """Fill a buffer with ``rest`` and what follows in the file; return the end of its last line, and what is left."""
    size = 3 + len(rest)
    buffer[3:size] = rest
    space = memoryview(buffer)
    while size < BLOCK + 3:
        with _told(where):
            count = file.readinto(space[size : BLOCK + 3])
        if not count:  # the end, where a line end may be missing
            if buffer[size - 1] != ord("\n"):
                buffer[size] = ord("\n")
                size += 1
            return size, b""
        size += count
    end = buffer.rfind(b"\n", 3, size) + 1
    if not end:
        raise DataError(f"{where}: wanted lines of text, got {BLOCK} bytes without a line end")
    return end, bytes(space[end:size])


def _parse_regular(text: NDArray[np.uint8], columns: list[str]) -> Rows | None:
    """Parse whole lines by array arithmetic, or return None if they are in any way irregular.

    Every byte is accounted for: digits in numbers of at most three digits and at most 255, one number a
    pixel, spaces, commas, line ends, quotes, and the three names of the official split.

    Parameters
    ----------
    text : uint8 (bytes,)
        Three line ends, then whole lines.
    columns : list of str
        The header's, in lower case.
    """
    if not set(columns) <= {"emotion", "pixels", "usage"} or len(set(columns)) != len(columns):
        return None
    scan = _scan(text)
    count = {"emotion": 1, "pixels": PIXELS, "usage": 0}  # numbers in each column
    n, per_row = len(scan.lines), sum(count[c] for c in columns)
    if not scan.sound or len(scan.numbers) != n * per_row or len(scan.commas) != n * (len(columns) - 1):
        return None
    # the fields' borders, and how many numbers end before each (n, columns + 1): line end before, commas, line end
    borders, before = (
        np.column_stack([np.r_[first, lines[:-1]], commas.reshape(n, -1), lines])
        for first, lines, commas in ((2, scan.lines, scan.commas), (0, scan.before_line, scan.before_comma))
    )
    if not (borders[:, :-1] < borders[:, 1:]).all() or (np.diff(before) != [count[c] for c in columns]).any():
        return None
    numbers = scan.numbers.reshape(n, per_row)
    first = {c: sum(count[d] for d in columns[:k]) for k, c in enumerate(columns)}
    label = numbers[:, first["emotion"]].astype(np.int64) if "emotion" in columns else np.full(n, -1)
    usage, letters = _usages(text, borders, columns.index("usage") if "usage" in columns else None)
    if usage is None or label.max() >= len(FER_CLASSES) or letters != scan.letters:
        return None
    pixels = numbers[:, first["pixels"] : first["pixels"] + PIXELS]
    return Rows(pixels, label, usage, np.arange(1, n + 1), [], n)


def _usages(
    text: NDArray[np.uint8], borders: NDArray[np.int64], column: int | None
) -> tuple[NDArray[np.int64] | None, int]:
    """Return each row's index into USAGES (-1 without such a column; None if one is unknown), and all letters."""
    n = len(borders)
    if column is None:
        return np.full(n, -1), 0
    first, end = borders[:, column] + 1, borders[:, column + 1]
    end = end - (text[end - 1] == ord("\r"))
    first, end = first + (text[first] == ord('"')), end - (text[end - 1] == ord('"'))
    usage = np.full(n, -1)
    for k, name in enumerate(USAGES):  # the three names differ in length
        rows = np.flatnonzero(end - first == len(name))
        spelt = text[first[rows, None] + np.arange(len(name))] == np.frombuffer(name.encode(), np.uint8)
        usage[rows[spelt.all(axis=1)]] = k
    return (None if (usage < 0).any() else usage), int((end - first).sum())


@dataclass
class _Scan:
    """What a block of text holds."""

    numbers: NDArray[np.uint8]
    lines: NDArray[np.int64]  # where the line ends stand
    commas: NDArray[np.int64]
    before_line: NDArray[np.int64]  # how many numbers end before each line end
    before_comma: NDArray[np.int64]
    letters: int  # bytes that are neither digits, spaces nor marks
    sound: bool  # all numbers are 0..255, in at most three digits; quotes and carriage returns are at fields' borders


_BORDER, _MARK = np.zeros((2, 256), bool)  # by byte
_BORDER[list(b"\n,\r")] = _MARK[list(b'\n,\r"')] = True


def _scan(text: NDArray[np.uint8]) -> _Scan:
    """Find the numbers and marks in a block of whole lines behind three line ends."""
    starts = range(0, len(text) - 3, PIECE)
    # the pieces overlap by three bytes: any four bytes in a row stand together in one
    pieces = [_scan_piece(text[start : start + PIECE + 3]) for start in starts]
    earlier = np.cumsum([0, *(len(p.numbers) for p in pieces)]).tolist()
    marks = np.concatenate([p.marks + start for p, start in zip(pieces, starts, strict=True)])
    before = np.concatenate([p.before + count for p, count in zip(pieces, earlier, strict=False)])
    line, comma, carriage, quote = (text[marks] == ord(mark) for mark in '\n,\r"')
    in_place = text[marks[carriage] + 1] == ord("\n")  # anywhere else, these two would part a number
    beside = _BORDER[text[marks[quote] - 1]] | _BORDER[text[marks[quote] + 1]]
    return _Scan(
        np.concatenate([p.numbers for p in pieces]),
        *(marks[line], marks[comma], before[line], before[comma]),
        sum(p.letters for p in pieces),
        all(p.sound for p in pieces) and bool(in_place.all() and beside.all()),
    )


class _Piece(NamedTuple):
    """What a piece of a block holds."""

    numbers: NDArray[np.uint8]  # those that end at its bytes 2 .. n-2
    marks: NDArray[np.int64]  # where its bytes 3 .. n-1 are line ends, commas, carriage returns or quotes
    before: NDArray[np.int64]  # how many of the numbers end before each mark
    letters: int  # among bytes 3 .. n-1
    sound: bool


class _Scratch(threading.local):
    """A thread's own working arrays, used again for each piece."""

    def __init__(self) -> None:
        self.arrays = np.empty((6, -(-(PIECE + 3) // 8) * 8), np.uint8)


_scratch = _Scratch()


def _scan_piece(text: NDArray[np.uint8]) -> _Piece:
    """Find the numbers and marks in a piece of text, in a few passes over its bytes. Truth is 1 and 0."""
    n = len(text)
    digit, is_digit, pair, low, number, flag = _scratch.arrays
    digit, is_digit, pair = digit[:n], is_digit[:n], pair[:n]
    last = slice(2, n - 1)  # bytes that may be a number's last
    np.subtract(text, np.uint8(ord("0")), out=digit)  # wraps: all but digits become 10 or more
    np.less(digit, 10, out=is_digit.view(bool))
    np.multiply(digit, is_digit, out=digit)
    np.bitwise_and(is_digit[1:], is_digit[:-1], out=pair[1:])  # a digit, and one before it
    sound = not np.bitwise_and(pair[3:], pair[1:-2], out=flag[3:n]).max()  # four digits in a row

    # a number that ends at byte i is digit[i] + 10·digit[i-1] + 100·digit[i-2], as far as these belong to it
    np.multiply(digit[1:-2], 10, out=low[last])
    np.add(digit[last], low[last], out=low[last])
    np.multiply(digit[:-3], pair[last], out=number[last])
    sound = sound and int(number[last].max()) <= 2
    np.multiply(number[last], 100, out=number[last])
    np.add(number[last], low[last], out=number[last])
    sound = sound and not np.less(number[last], low[last], out=flag[last].view(bool)).any()  # past 255 it has wrapped

    np.not_equal(text[3:], ord(" "), out=flag[3:n].view(bool))
    np.bitwise_xor(flag[3:n], is_digit[3:], out=flag[3:n])  # a digit is no space
    others = _few_nonzero(flag, 3, n)
    marks = others[_MARK[text[others]]]

    np.bitwise_xor(is_digit[last], pair[3:], out=flag[last])  # a digit, and none after it
    np.multiply(number[last], flag[last], out=number[last])
    # a number and the byte after it are two bytes, so of each two bytes at most one is a last digit: of half as many
    # places, find those that hold one, and add its number to the other's zero
    even = n + n % 2
    flag[:2] = flag[n - 1 : even] = number[n - 1 : even] = 0
    ends = np.flatnonzero(flag[:even].view(np.uint16) > 0)
    two = number[:even].view(np.uint16).take(ends)
    numbers = (two | two >> 8).astype(np.uint8)
    return _Piece(numbers, marks, np.searchsorted(ends, (marks + 1) // 2), len(others) - len(marks), sound)


def _few_nonzero(flags: NDArray[np.uint8], start: int, end: int) -> NDArray[np.int64]:
    """Return where ``flags[start:end]`` is not zero, looking at eight bytes at once; clears those around."""
    flags = flags[: -(-end // 8) * 8]
    flags[:start] = flags[end:] = 0
    eights = np.flatnonzero(flags.view(np.uint64) > 0)
    which, place = np.nonzero(flags.reshape(-1, 8)[eights])
    return 8 * eights[which] + place


def _parse_lines(block: bytes, columns: list[str]) -> Rows:
    """Parse lines one by one; a faulty line is left out and described."""
    good: list[tuple[NDArray[np.uint8], int, int, int]] = []
    faults: list[tuple[int, str]] = []
    lines = block.split(b"\n")[:-1]
    for i, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            good.append((*_parse_line(line, columns), i))
        except ValueError as fault:  # a DataError, or a number of more digits than Python reads
            faults.append((i, str(fault)))
    pixels = np.array([g[0] for g in good], np.uint8).reshape(-1, PIXELS)
    label, usage, line_number = (np.array([g[k] for g in good], np.int64) for k in (1, 2, 3))
    return Rows(pixels, label, usage, line_number, faults, len(lines))


def _parse_line(line: bytes, columns: list[str]) -> tuple[NDArray[np.uint8], int, int]:
    fields = [f.strip(' "\r\t') for f in line.decode("latin-1").split(",")]
    if len(fields) != len(columns):
        raise DataError(f"wanted {len(columns)} columns ({', '.join(columns)}), got {len(fields)}")
    row = dict(zip(columns, fields, strict=True))
    label = usage = -1
    if "emotion" in row:
        if not re.fullmatch("0*[0-6]", row["emotion"]):
            raise DataError(f"emotion: wanted 0..{len(FER_CLASSES) - 1}, got {row['emotion'][:20]!r}")
        label = int(row["emotion"])
    if "usage" in row:
        if row["usage"] not in USAGES:
            raise DataError(f"Usage: wanted {', '.join(USAGES)}, got {row['usage'][:20]!r}")
        usage = list(USAGES).index(row["usage"])
    return _parse_pixels(row["pixels"]), label, usage


def _parse_pixels(text: str) -> NDArray[np.uint8]:
    words = text.split()
    if len(words) != PIXELS:
        raise DataError(f"wanted {PIXELS} pixels ({SIDE}×{SIDE}), got {len(words)}")
    if not re.fullmatch(r"[0-9\s]+", text, re.ASCII) or max(map(int, words)) > 255:
        bad = next(w for w in words if not re.fullmatch("[0-9]+", w) or int(w) > 255)
        raise DataError(f"pixels: wanted whole numbers 0..255, got {bad[:20]!r}")
    return np.array(list(map(int, words)), np.uint8)
