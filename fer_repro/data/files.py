"""The files of a folder or a zip, by name and in sorted order; and their images, decoded on all cores."""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BufferedIOBase
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from .faces import DataError

BLOCK = 1 << 24  # bytes hashed as one piece of work
SMALL = 1 << 16  # bytes read at once: more than a face takes
CHUNK = 256  # files read or decoded as one piece of work
KEPT = 1 << 28  # bytes of a folder's files that wait in memory, once hashed, to be read

T = TypeVar("T")
R = TypeVar("R")


class Files(ABC):
    """What the loaders need of a folder or a zip: names relative to it, sorted, and each file's bytes."""

    path: Path
    names: list[str]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return a file's bytes."""

    @abstractmethod
    def open(self, name: str) -> BufferedIOBase:
        """Open a file for reading."""

    @abstractmethod
    def digest(self, names: Sequence[str]) -> str:
        """Return hex digits that change with the names and contents of ``names``."""


class Folder(Files):
    """A folder's files at any depth. Hidden files and what macOS adds are left out."""

    def __init__(self, path: Path) -> None:
        self.path, self._root = path, str(path)
        self._kept: dict[str, bytes] = {}
        self._room = KEPT
        names = []
        seen = set()
        for folder, inner, files in os.walk(path, onerror=_refuse, followlinks=True):
            if (place := os.path.realpath(folder)) in seen:  # a link back to where we were
                inner[:] = []
                continue
            seen.add(place)
            inner[:] = [d for d in inner if not _ignored(d)]
            prefix = Path(folder).relative_to(path).as_posix()
            names += [f if prefix == "." else f"{prefix}/{f}" for f in files if not _ignored(f)]
        self.names = sorted(names)

    def read(self, name: str) -> bytes:
        """Return a file's bytes. Bare system calls: for a small image ``open`` costs more than decoding it."""
        kept = self._kept.pop(name, None)
        if kept is not None:
            return kept
        path = f"{self._root}/{name}"
        try:
            number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                parts = [os.read(number, SMALL)]
                while len(parts[-1]) == SMALL:  # it may go on; a call fewer for all that are smaller
                    parts.append(os.read(number, SMALL))
            finally:
                os.close(number)
        except OSError as fault:
            raise DataError(f"{path}: cannot be read ({fault.strerror or fault})") from fault
        return b"".join(parts)

    def open(self, name: str) -> BufferedIOBase:
        """Open a file for reading."""
        try:
            return open(self.path / name, "rb")
        except OSError as fault:
            raise DataError(f"{self.path / name}: cannot be read ({fault.strerror or fault})") from fault

    def digest(self, names: Sequence[str]) -> str:
        """Return a SHA-256 over the names and contents of ``names``; contents are kept for the first :meth:`read`."""
        if len(names) == 1:
            return digest_of(self.path / names[0])

        def one(chunk: Sequence[str]) -> bytes:
            contents = [self.read(name) for name in chunk]
            size = sum(map(len, contents))
            if size <= self._room:
                self._room -= size
                self._kept.update(zip(chunk, contents, strict=True))
            heads = [os.fsencode(f"{name}\0{len(c)}\0") for name, c in zip(chunk, contents, strict=True)]
            return hashlib.sha256(
                b"".join(part for pair in zip(heads, contents, strict=True) for part in pair)
            ).digest()

        return hashlib.sha256(b"".join(parallel(one, chunks(names, CHUNK)))).hexdigest()


class Zip(Files):
    """A zip's files, read in place by any number of threads.

    ``zipfile`` reads the directory; members are cut from the mapped file, since ``ZipFile.read`` holds one lock
    and costs more than decoding a 48×48 image.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = zipfile.ZipFile(path)
            with open(path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError, zipfile.BadZipFile) as fault:
            raise DataError(
                f"{path}: wanted a zip, got something that cannot be opened as one ({fault}). "
                "It may be cut off; copy or download it again."
            ) from fault
        entries = [e for e in self._file.infolist() if not e.is_dir()]
        self._entries = {e.filename: e for e in entries if not any(_ignored(p) for p in e.filename.split("/"))}
        self.names = sorted(self._entries)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        entry = self._entries[name]
        try:
            start = entry.header_offset
            name_size, extra_size = struct.unpack("<HH", self._bytes[start + 26 : start + 30])
            start += 30 + name_size + extra_size
            content = self._bytes[start : start + entry.compress_size]
            if entry.flag_bits & 1:
                raise DataError(f"{self.path}, {name}: is encrypted; unpack the zip with its password first")
            if entry.compress_type == zipfile.ZIP_DEFLATED:
                content = zlib.decompress(content, -15, entry.file_size)
            elif entry.compress_type != zipfile.ZIP_STORED:
                content = self._file.read(entry)
            if len(content) != entry.file_size or zlib.crc32(content) != entry.CRC:
                raise ValueError("its checksum does not hold")
            return content
        except DataError:
            raise
        except (OSError, ValueError, struct.error, zlib.error, zipfile.BadZipFile, NotImplementedError) as fault:
            raise DataError(f"{self.path}, {name}: cannot be read ({fault}); copy or download the zip again") from fault

    def open(self, name: str) -> BufferedIOBase:
        """Open a file for reading."""
        try:
            return self._file.open(self._entries[name])  # type: ignore[return-value]
        except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as fault:
            raise DataError(f"{self.path}, {name}: cannot be read ({fault}); copy or download the zip again") from fault

    def digest(self, names: Sequence[str]) -> str:
        """Return a SHA-256 over the whole zip, and which of its files are meant."""
        listed = hashlib.sha256("\0".join(names).encode()).hexdigest()
        return hashlib.sha256((digest_of(self.path) + listed).encode()).hexdigest()


class Several(Files):
    """Several folders or zips seen as one; each name starts with the name of the file it stands in."""

    def __init__(self, path: Path, members: Iterable[Files]) -> None:
        self.path = path
        self._members = {m.path.name: m for m in members}
        self.names = sorted(f"{first}/{n}" for first, m in self._members.items() for n in m.names)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        first, rest = name.split("/", 1)
        return self._members[first].read(rest)

    def open(self, name: str) -> BufferedIOBase:
        """Open a file for reading."""
        first, rest = name.split("/", 1)
        return self._members[first].open(rest)

    def digest(self, names: Sequence[str]) -> str:
        """Return a SHA-256 over each member's own."""
        parts = []
        for first, member in sorted(self._members.items()):
            inner = [n.split("/", 1)[1] for n in names if n.split("/", 1)[0] == first]
            if inner:
                parts.append(first + member.digest(inner))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


class One(Folder):
    """A single file, seen as a folder that holds only it."""

    def __init__(self, path: Path) -> None:
        self.path, self._root = path.parent, str(path.parent)
        self.names = [path.name]


def opened(path: Path) -> Iterator[Files]:
    """Yield what stands at ``path``, in the order in which to look at it.

    A file alone; a zip; a folder, and after it the zips that stand in it, which are opened only if it comes to them.
    Raises DataError if there is nothing.
    """
    if path.is_dir():
        yield (folder := Folder(path))
        zips = [path / n for n in folder.names if n.lower().endswith(".zip") and "/" not in n]
        if zips:
            yield Several(path, [Zip(z) for z in zips])
    elif not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    elif path.suffix.lower() == ".zip" or (path.suffix.lower() != ".csv" and zipfile.is_zipfile(path)):
        yield Zip(path)
    else:
        yield One(path)


def shown(files: Files, name: str) -> str:
    """Return ``name`` as a message should give it."""
    return f"{files.path.name}/{name}"


def digest_of(path: Path) -> str:
    """Return a SHA-256 over the SHA-256 of each 16 MiB block of a file, computed on all cores."""
    try:
        size = path.stat().st_size

        def one(start: int) -> bytes:
            digest = hashlib.sha256()
            with open(path, "rb") as file:
                file.seek(start)
                for _ in range(BLOCK >> 20):
                    digest.update(file.read(1 << 20))
            return digest.digest()

        return hashlib.sha256(b"".join(parallel(one, range(0, size, BLOCK)))).hexdigest()
    except OSError as fault:
        raise DataError(f"{path}: cannot be read ({fault.strerror or fault})") from fault


def decode(content: bytes) -> NDArray[np.uint8] | str:
    """Return a JPEG or PNG as grey values uint8 (H, W), or what is wrong with it."""
    if not content:
        return "is empty"
    # libjpeg and libpng fill a cut-off image with grey and only print a remark: look for the end mark instead
    if content[:2] == b"\xff\xd8" and b"\xff\xd9" not in content.rstrip(b"\0")[-16:]:
        return "is a JPEG that is cut off"
    if content[:4] == b"\x89PNG" and b"IEND" not in content[-16:]:
        return "is a PNG that is cut off"
    try:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:
        image = None
    return "cannot be decoded as an image" if image is None else np.asarray(image, np.uint8)


def content(files: Files, name: str) -> bytes | str:
    """Return a file's bytes, or what is wrong with it."""
    try:
        return files.read(name)
    except DataError as fault:
        return str(fault)


def decode_all(files: Files, names: Sequence[str], side: int) -> tuple[NDArray[np.uint8], dict[int, str]]:
    """Decode images of ``side`` × ``side`` on all cores.

    Returns
    -------
    images : uint8 (len(names), side, side)
        Zero where an image could not be decoded.
    faults : dict
        Position of each image that could not be decoded, and why.
    """
    images = np.zeros((len(names), side, side), np.uint8)
    faults: dict[int, str] = {}

    def one(positions: Sequence[int]) -> None:
        # first all reading, then all decoding: the interpreter's lock changes hands less often than by turns
        contents = [content(files, names[i]) for i in positions]
        for i, found in zip(positions, contents, strict=True):
            image = found if isinstance(found, str) else decode(found)
            if isinstance(image, str):
                faults[i] = image
            elif image.shape != (side, side):
                faults[i] = f"wanted {side}×{side} pixels, got {image.shape[1]}×{image.shape[0]}"
            else:
                images[i] = image

    parallel(one, chunks(range(len(names)), CHUNK))
    return images, dict(sorted(faults.items()))


def parallel(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return ``[work(i) for i in items]``, worked on by one thread a core."""
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(work, items))


def chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Return ``items`` in pieces of at most ``size``."""
    return [items[i : i + size] for i in range(0, len(items), size)]


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _ignored(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _refuse(fault: OSError) -> None:
    raise DataError(f"{fault.filename}: cannot be read ({fault.strerror})") from fault
