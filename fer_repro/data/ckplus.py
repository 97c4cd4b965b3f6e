"""CK+, the extended Cohn-Kanade set (Lucey et al. 2010): as CK+48, or as its authors hand it out.

327 labelled sequences of 118 subjects, each from a neutral face to the apex of one of seven expressions.
Paper: Sec. IV-B. "Invalid background is trimmed", and faces are brought to FER2013's 48×48. The labelled sequences
hold contempt and no neutral (Q13); which frames are used is not said (Q12).
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from . import cache, files
from .detection import SIDE, cut, find_face
from .faces import CK_CLASSES, DataError, FaceDataset
from .files import Files

log = logging.getLogger(__name__)


FOLDERS = {**{name: name for name in CK_CLASSES}, "angry": "anger", "happy": "happiness", "sad": "sadness"}
# Sequences by class, in the order of CK_CLASSES (Lucey et al. 2010, Table 3); the audit compares with them.
OFFICIAL = (45, 18, 59, 25, 69, 28, 83)
SUBJECTS = 118  # of these sequences, of the 123 people: computed from the file names of CK+48
WANTED = (
    "the CK+48 folder (CK+48/<class>/S010_004_00000017.png), the authors' own layout "
    "(cohn-kanade-images/S010/004/*.png with Emotion/S010/004/*_emotion.txt), or these as zips"
)
VERSION = 2  # of what the cache holds; raise it when reading changes


@dataclass(frozen=True)
class Frame:
    """One labelled frame: its file's name, label, subject, sequence within the subject, and number."""

    name: str
    label: int
    subject: int
    sequence: int
    number: int


@dataclass
class Reading:
    """What was read, faults included; ``uncut`` counts sequences in which no face was found."""

    form: str
    place: str
    images: NDArray[np.uint8]
    frames: list[Frame]
    names: Sequence[str]
    faults: list[tuple[str, str]] = field(default_factory=list)
    uncut: int = 0


def load(
    path: Path,
    frames: str | int = "last3",  # Q12
    margin: float = 0.0,
    cached: bool = True,
) -> FaceDataset:
    """Return CK+ from ``path``: the data set's folder, a folder that holds ``ckplus/``, or a zip.

    Frames come sorted by subject, sequence and number, so that both forms have one order. ``split`` is ``"train"``
    throughout: CK+ has no official one, see :func:`fer_repro.data.splits.protocol`.

    Parameters
    ----------
    path : Path
    frames : "last3", "last" or int
        The last frames of each sequence, at the apex of the expression; sequences with fewer give what they have.
        CK+48 holds the last three.
    margin : float
        Only in the authors' layout, whose frames show head and shoulders: the square that OpenCV's frontal-face
        detector finds is widened by this fraction of its side on each of its four sides. It is looked for in the
        last frame and, failing that, in the ones before; all frames of a sequence are cut alike. Where no face is
        found, the largest centred square of the frame is taken, and the log says in how many sequences. By default
        not at all: the detector's box is about as large as an image of FER2013 or CK+48, and `predict` takes it so.
    cached : bool
        Keep the faces, and take them from the cache next time, if the files' content is the same.

    Raises
    ------
    DataError
        If nothing is found, or any image or label is missing or damaged: the first is named.
    """
    count = _frame_count(frames)
    if not 0 <= margin <= 1:
        raise ValueError(f"margin: wanted a fraction 0..1 of the face's side, got {margin!r}")
    found = find(path, count)

    def build() -> dict[str, np.ndarray]:
        reading = read(found, margin)
        if reading.faults:
            where, what = reading.faults[0]
            more = f" {len(reading.faults) - 1} more have faults." if len(reading.faults) > 1 else ""
            raise DataError(f"{where}: {what}.{more} `fer-repro data check {path}` shows the faults.")
        if reading.uncut:
            log.warning("CK+: no face found in %d sequences; their frames' centre was taken", reading.uncut)
        return {"images": reading.images}

    if cached:
        content = found.files.digest([*(f.name for f in found.frames), *found.labels])
        parts = (VERSION, cv2.__version__, found.form, content, count, margin)
        images = cache.cached(f"ckplus-{cache.key(*parts)}", build)["images"]
    else:
        images = build()["images"]
    return dataset(images, found.frames)


def dataset(images: NDArray[np.uint8], frames: Sequence[Frame]) -> FaceDataset:
    """Return images (N, 48, 48) and what is known of each as a data set; sequence S010_004 gets the number 10004."""
    return FaceDataset(
        images=images,
        labels=np.array([f.label for f in frames], np.int64),
        classes=CK_CLASSES,
        split=np.full(len(frames), "train"),
        subject=np.array([f.subject for f in frames], np.int64),
        sequence=np.array([1000 * f.subject + f.sequence for f in frames], np.int64),
        name="ckplus",
    )


# ------------------------------------------------------------------------------------------------ what is there


@dataclass
class Found:
    """One form of the data set at one place: its chosen frames, and the files that label them."""

    form: str
    files: Files
    frames: list[Frame]
    labels: list[str] = field(default_factory=list)


def find(path: Path, count: int | None = None) -> Found:
    """Return the first form found at ``path``, unpacked ones before zips, with the last ``count`` frames (or all)."""
    names = ("ckplus", "CKPLUS", "CK+", "ck+", "ckplus48", "CK+48")
    root = next((path / d for d in names if (path / d).is_dir()), path)
    seen: list[str] = []
    for place in files.opened(root):
        if found := _ck48(place) or _original(place):
            found.frames = _last(found, count)
            return found
        seen += place.names[:3]
    listed = ", ".join(seen[:4]) + (", ..." if len(seen) > 4 else "") if seen else "no files"
    raise DataError(f"{root}: no CK+ here. Wanted: {WANTED}. Got: {listed}.")


_CK48_NAME = re.compile(r"(?:.*/)?([^/]+)/S(\d+)_(\d+)_(\d+)\.(?:png|jpe?g)", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"(?:.*/)?S(\d+)/(\d+)/S(\d+)_(\d+)_(\d+)\.(?:png|jpe?g)", re.IGNORECASE)
_LABEL_NAME = re.compile(r"(?:.*/)?S(\d+)/(\d+)/[^/]*_emotion\.txt", re.IGNORECASE)


def _ck48(place: Files) -> Found | None:
    frames = []
    for name in place.names:
        m = _CK48_NAME.fullmatch(name)
        if m and m[1].lower() in FOLDERS:
            label = CK_CLASSES.index(FOLDERS[m[1].lower()])
            frames.append(Frame(name, label, int(m[2]), int(m[3]), int(m[4])))
    return Found("CK+48" + _packed(place), place, frames) if frames else None


def _original(place: Files) -> Found | None:
    """Find the authors' layout; sequences without a label (266 of 593) are not part of the task."""
    images = [m for n in place.names if (m := _IMAGE_NAME.fullmatch(n))]
    labels = {(int(m[1]), int(m[2])): n for n in place.names if (m := _LABEL_NAME.fullmatch(n))}
    if not images and not labels:
        return None
    if not images or not labels:
        missing = "Emotion/Sxxx/yyy/*_emotion.txt" if images else "cohn-kanade-images/Sxxx/yyy/*.png"
        raise DataError(f"{place.path}: wanted both images and labels, {missing} are missing; put them side by side")
    codes = {key: _code(place, name) for key, name in labels.items()}
    frames = [
        Frame(m.string, codes[key], key[0], key[1], int(m[5]))
        for m in images
        if (key := (int(m[1]), int(m[2]))) in codes
    ]
    if without := sorted(set(codes) - {(f.subject, f.sequence) for f in frames}):
        subject, sequence = without[0]
        raise DataError(
            f"{place.path}: {len(without)} labelled sequences have no images, the first is "
            f"S{subject:03}/{sequence:03}. Unpack cohn-kanade-images whole."
        )
    return Found("authors' layout" + _packed(place), place, frames, sorted(labels.values()))


def _code(place: Files, name: str) -> int:
    """Read a label file, such as ``   3.0000000e+00``: 1..7 are the classes in order."""
    text = place.read(name).decode("latin-1").strip()
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if value not in range(1, len(CK_CLASSES) + 1):
        raise DataError(
            f"{files.shown(place, name)}: wanted a label 1..{len(CK_CLASSES)} ({', '.join(CK_CLASSES)}), "
            f"got {text[:20]!r}"
        )
    return int(value) - 1


def _packed(place: Files) -> str:
    return "" if isinstance(place, files.Folder) else " in a zip"


def _frame_count(frames: str | int) -> int:
    """Return how many last frames are meant."""
    known = {"last": 1, "last3": 3}
    count = known.get(frames, 0) if isinstance(frames, str) else frames
    if isinstance(count, bool) or count < 1:
        raise ValueError(f'frames: wanted "last", "last3" or a number of last frames from 1, got {frames!r}')
    return count


def _last(found: Found, count: int | None) -> list[Frame]:
    """Return the last ``count`` frames of each sequence, sorted by subject, sequence and number."""
    sequences: dict[tuple[int, int], list[Frame]] = defaultdict(list)
    for frame in sorted(found.frames, key=lambda f: (f.subject, f.sequence, f.number, f.name)):
        sequences[frame.subject, frame.sequence].append(frame)
    for (subject, sequence), members in sequences.items():
        labels = {CK_CLASSES[f.label] for f in members}
        numbers = [f.number for f in members]
        which = f"{found.files.path}: sequence S{subject:03}_{sequence:03}"
        if len(labels) > 1:
            raise DataError(f"{which}: wanted one class, got {' and '.join(sorted(labels))}")
        if len(set(numbers)) < len(numbers):
            raise DataError(f"{which}: a frame stands there twice; wanted one copy of the data set")
    longest = max(map(len, sequences.values()))
    if count is not None and count > longest:
        raise DataError(f"frames: wanted the last {count} of each sequence, but the longest here has {longest}")
    return [f for members in sequences.values() for f in (members[-count:] if count else members)]


# ------------------------------------------------------------------------------------------------ reading the faces


def read(found: Found, margin: float = 0.0) -> Reading:
    """Decode (CK+48) or decode and cut out (authors' layout) the frames found; faulty ones are left out and listed."""
    names = [f.name for f in found.frames]
    if found.form.startswith("CK+48"):
        images, faults = files.decode_all(found.files, names, SIDE)
        uncut = 0
    else:
        images, faults, uncut = _cut_all(found, margin)
    good = np.ones(len(names), bool)
    good[list(faults)] = False
    return Reading(
        found.form,
        str(found.files.path),
        images[good],
        [f for f, g in zip(found.frames, good, strict=True) if g],
        [files.shown(found.files, n) for n, g in zip(names, good, strict=True) if g],
        [(files.shown(found.files, names[i]), what) for i, what in faults.items()],
        uncut,
    )


def _cut_all(found: Found, margin: float) -> tuple[NDArray[np.uint8], dict[int, str], int]:
    """Cut the face out of every frame, sequence by sequence on all cores."""
    sequences: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, frame in enumerate(found.frames):
        sequences[frame.subject, frame.sequence].append(i)
    images = np.zeros((len(found.frames), SIDE, SIDE), np.uint8)
    faults: dict[int, str] = {}

    def one(positions: list[int]) -> bool:
        contents = {i: files.content(found.files, found.frames[i].name) for i in positions}
        decoded = {i: c if isinstance(c, str) else files.decode(c) for i, c in contents.items()}
        faults.update({i: what for i, what in decoded.items() if isinstance(what, str)})
        whole = {i: image for i, image in decoded.items() if not isinstance(image, str)}
        box = next((b for image in reversed(whole.values()) if (b := find_face(image)) is not None), None)
        for i, image in whole.items():
            images[i] = cut(image, box, margin)
        return box is not None or not whole

    uncut = files.parallel(one, sequences.values()).count(False)
    return images, dict(sorted(faults.items())), uncut
