"""What is in a data set, and what is wrong with it: counts, blank and duplicate images, leaks, human agreement."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import ckplus, fer2013, splits
from .faces import CK_CLASSES, FER_CLASSES, SPLITS, DataError, FaceDataset

LISTED = 10  # undecodable images named in the text
BLANK = 1.0  # grey levels: an image whose standard deviation is below shows nothing


@dataclass
class Report:
    """What :func:`report` found. Positions are indices into the data set that was examined.

    ``counts`` and ``official`` map a split to images by class; ``official`` is None where nobody has set a count.
    ``duplicates`` holds, for each group of pixel-identical images, their positions; ``conflicting`` those groups that
    bear more than one label. ``across[a, b]`` is how many images of split ``b`` stand, pixel for pixel, in split
    ``a`` as well. ``blank`` images vary by less than one grey level (standard deviation); among them, ``constant`` ones
    have one grey value throughout, and ``black`` ones the value 0. ``undecodable`` holds names and reasons.
    """

    name: str
    classes: tuple[str, ...]
    images: int
    size: tuple[int, int]
    counts: dict[str, dict[str, int]]
    official: dict[str, dict[str, int]] | None
    blank: list[int]
    constant: list[int]
    black: list[int]
    duplicates: list[list[int]]
    conflicting: list[list[int]]
    across: dict[tuple[str, str], int]
    subjects: int
    sequences: int
    shared_subjects: dict[tuple[str, str], list[int]]
    form: str = "in memory"
    place: str = ""
    names: Sequence[str] = ()
    undecodable: list[tuple[str, str]] = field(default_factory=list)
    no_face: int = 0

    @property
    def duplicate_images(self) -> int:
        """How many images have at least one pixel-identical copy."""
        return sum(map(len, self.duplicates))

    @property
    def faults(self) -> list[str]:
        """What stands against training on it: images that cannot be read, official splits without an image."""
        unread = [f"{self.name}: {len(self.undecodable):,} images cannot be read"] if self.undecodable else []
        empty = [s for s, n in (self.official or {}).items() if sum(n.values()) and not sum(self.counts[s].values())]
        return unread + ([f"{self.name}: no image in {', '.join(empty)}"] if empty else [])

    @property
    def complete(self) -> bool:
        """Whether every image could be read and the counts are the official ones (where there are any)."""
        return not self.undecodable and (self.official is None or self.counts == self.official)

    def __str__(self) -> str:
        return "\n".join([*_heading(self), *_count_table(self), *_findings(self)])


def report(ds: FaceDataset) -> Report:
    """Return what is in a data set: counts by class and split beside the official ones, and what is wrong."""
    if not len(ds):
        raise DataError(f"{ds.name}: wanted images to examine, got none")
    flat = ds.images.reshape(len(ds), -1)
    constant = flat.min(axis=1) == flat.max(axis=1)
    ids = _identities(ds.images)
    groups = _groups(ids)
    return Report(
        name=ds.name,
        classes=ds.classes,
        images=len(ds),
        size=(ds.images.shape[2], ds.images.shape[1]),
        counts=ds.counts(),
        official=_official(ds),
        blank=np.flatnonzero(_deviation(flat) < BLANK).tolist(),
        constant=np.flatnonzero(constant).tolist(),
        black=np.flatnonzero(constant & (flat[:, 0] == 0)).tolist(),
        duplicates=groups,
        conflicting=[g for g in groups if len(set(ds.labels[g].tolist())) > 1],
        across=_across(ids, ds.split),
        subjects=len(np.unique(ds.subject[ds.subject >= 0])),
        sequences=len(np.unique(ds.sequence[ds.sequence >= 0])),
        shared_subjects=splits.shared_subjects(ds),
    )


def duplicates_of(ds: FaceDataset, wanted: str = "test", among: str = "train") -> NDArray[np.bool_]:
    """Tell, for each image of the split ``wanted``, whether ``among`` holds a pixel-identical one: bool (N_wanted,).

    The order is that of ``ds.part(wanted)``. Time and memory grow linearly with the number of images.
    """
    ids = _identities(ds.images)
    return np.isin(ids[ds.split == wanted], ids[ds.split == among])


def _groups(ids: NDArray[np.int64]) -> list[list[int]]:
    members = np.argsort(ids, kind="stable")
    borders = np.flatnonzero(np.diff(ids[members])) + 1
    groups = [g.tolist() for g in np.split(members, borders) if len(g) > 1]
    return sorted(groups)


def inspect(path: str | os.PathLike[str]) -> tuple[list[Report], list[str]]:
    """Return a report on every data set found at ``path``, and for any other one there what stands in its way.

    ``path`` is a folder with ``fer2013/`` or ``ckplus/``, or one of them. Images that cannot be read are listed in a
    report. Raises DataError if neither data set is there, or what is there cannot be examined at all (such as a damaged
    zip).
    """
    place = Path(os.path.expanduser(path))
    reports, refusals = [], []
    for look in (_inspect_fer2013, _inspect_ckplus):
        try:
            reports.append(look(place))
        except DataError as fault:
            refusals.append(str(fault))
    # say what stands in the way of the data set that is there, not that the other one is missing
    told = [r for r in refusals if ": no FER2013 here" not in r and ": no CK+ here" not in r]
    if not reports:
        raise DataError("\n".join(dict.fromkeys(told or refusals)))
    return reports, told


def _inspect_fer2013(place: Path) -> Report:
    reading = fer2013.find(place).read()
    _refuse_unless_some_were_read(len(reading.labels), reading.place, reading.faults)
    ds = FaceDataset(reading.images, reading.labels, FER_CLASSES, reading.split, name="fer2013")
    return _located(report(ds), reading)


def _refuse_unless_some_were_read(images: int, place: object, faults: Sequence[tuple[str, str]]) -> None:
    if not images:
        some = "; ".join(f"{where}: {what}" for where, what in faults[:LISTED])
        raise DataError(f"{place}: none of {len(faults):,} images can be read. The first: {some}")


def _inspect_ckplus(place: Path) -> Report:
    found = ckplus.find(place)
    if not found.form.startswith("CK+48"):  # the faces are in the last frames; the others need not be examined
        found = ckplus.find(place, 3)
    reading = ckplus.read(found)
    _refuse_unless_some_were_read(len(reading.images), found.files.path, reading.faults)
    located = _located(report(ckplus.dataset(reading.images, reading.frames)), reading)
    located.no_face = reading.uncut
    return located


def _located(result: Report, reading: fer2013.Reading | ckplus.Reading) -> Report:
    result.form, result.place, result.names = reading.form, reading.place, reading.names
    result.undecodable = reading.faults
    return result


# ----------------------------------------------------------------------------------------------------- comparisons


def _identities(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return a number for each image (N,), the same for two images exactly if their pixels are."""
    seen: dict[bytes, int] = {}
    hashes = (hashlib.blake2b(image.tobytes(), digest_size=20).digest() for image in images)
    return np.fromiter((seen.setdefault(h, len(seen)) for h in hashes), np.int64, len(images))


def _deviation(flat: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return each image's standard deviation in grey levels (N,), a few images at a time to save memory."""
    return np.concatenate([flat[i : i + 1024].std(axis=1) for i in range(0, len(flat), 1024)])


def _across(ids: NDArray[np.int64], split: NDArray[Any]) -> dict[tuple[str, str], int]:
    parts = {s: ids[split == s] for s in SPLITS}
    pairs = [(a, b) for a in SPLITS for b in SPLITS if a != b]
    counts = {(a, b): int(np.isin(parts[b], parts[a]).sum()) for a, b in pairs}
    return {pair: n for pair, n in counts.items() if n}


def _official(ds: FaceDataset) -> dict[str, dict[str, int]] | None:
    if ds.name == "fer2013":
        return {s: dict(zip(FER_CLASSES, fer2013.OFFICIAL[s], strict=True)) for s in SPLITS}
    if ds.name == "ckplus":
        frames = len(ds) / max(1, len(np.unique(ds.sequence)))
        each = round(frames) or 1
        train = {c: n * each for c, n in zip(CK_CLASSES, ckplus.OFFICIAL, strict=True)}
        return {"train": train, "val": dict.fromkeys(CK_CLASSES, 0), "test": dict.fromkeys(CK_CLASSES, 0)}
    return None


# ------------------------------------------------------------------------------------------------------ as text


def _heading(r: Report) -> list[str]:
    title = {"fer2013": "FER2013", "ckplus": "CK+"}.get(r.name, r.name)
    lines = [f"{title}: {r.form}{f' ({r.place})' if r.place else ''}"]
    lines.append(f"  {r.images:,} images of {r.size[0]}×{r.size[1]} pixels, {len(r.classes)} classes")
    if r.subjects:
        lines.append(f"  {r.subjects:,} subjects, {r.sequences:,} sequences")
    return lines


def _count_table(r: Report) -> list[str]:
    """Return images by class and split; where the official count differs, it follows in brackets."""
    shown = [s for s in SPLITS if sum(r.counts[s].values()) or (r.official and sum(r.official[s].values()))]
    lines = ["  " + f"{'images':<12}" + "".join(f"{s:>26}" for s in shown)]
    for c in (*r.classes, "all"):
        cells = []
        for s in shown:
            n = sum(r.counts[s].values()) if c == "all" else r.counts[s][c]
            wanted = n
            if r.official:
                wanted = sum(r.official[s].values()) if c == "all" else r.official[s][c]
            cells.append(f"{n:,}" + (f" (official {wanted:,})" if n != wanted else ""))
        lines.append("  " + f"{c:<12}" + "".join(f"{cell:>26}" for cell in cells))
    if r.official:
        agree = r.counts == r.official
        lines.append(f"  counts by class and split: {'as official' if agree else 'NOT the official ones'}")
    return lines


def _findings(r: Report) -> list[str]:
    copies = f"{r.duplicate_images:,} in {len(r.duplicates):,} groups of pixel-identical images"
    lines = [
        f"  undecodable: {len(r.undecodable)}",
        *(f"    {name}: {what}" for name, what in r.undecodable[:LISTED]),
        *([f"    and {len(r.undecodable) - LISTED} more"] if len(r.undecodable) > LISTED else []),
        f"  blank: {len(r.blank)}, of these {len(r.constant)} of one grey value, {len(r.black)} entirely black"
        + _named(r, r.blank),
        f"  duplicates: {copies if r.duplicates else 'none'}",
    ]
    if r.duplicates:
        first = [g[0] for g in r.conflicting]
        lines.append(f"  conflicting labels: {len(r.conflicting)} of these groups{_named(r, first)}")
    for (a, b), n in r.across.items():
        lines.append(f"  across splits: {n:,} images of {b} also stand in {a}")
    for (a, b), people in r.shared_subjects.items():
        lines.append(f"  subjects on both sides: {len(people)} in {a} and in {b}")
    if r.subjects and not r.shared_subjects:
        lines.append("  subjects on both sides of a split: none")
    if r.no_face:
        lines.append(f"  no face found in {r.no_face} sequences: the frames' centre is used")
    return lines


def _named(r: Report, positions: list[int]) -> str:
    if not r.names or not positions:
        return ""
    listed = ", ".join(r.names[i] for i in positions[:3])
    return f" ({listed}{', ...' if len(positions) > 3 else ''})"


# ----------------------------------------------------------------------------------------------- human agreement


@dataclass(frozen=True)
class Agreement:
    """How far people agree on FER2013's expressions (fractions, averaged over images)."""

    images: int  # with two votes or more for the seven expressions
    pair: float  # two raters of one image agree
    majority: float  # a rater agrees with the majority, to which they belong
    others: float  # a rater agrees with the majority of the other raters


VOTED = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # FER+'s columns that count


def human_agreement(ferplus_csv: str | os.PathLike[str] | None = None) -> dict[str, Agreement]:
    """Return how far raters agree, by FER2013's split, from the ten votes an image of FER+ (Barsoum et al. 2016).

    Votes for anything but FER2013's seven expressions are left out, and images with fewer than two votes left.
    Where several expressions share the lead, agreeing with one of the leaders counts by its share.

    Parameters
    ----------
    ferplus_csv : path, optional
        FER+'s ``fer2013new.csv``; without it, ``ferplus/fer2013new.csv`` in FER_REPRO_DATA.

    Returns
    -------
    dict
        ``{"train": Agreement, "val": ..., "test": ...}``
    """
    given = ferplus_csv or Path(os.environ.get("FER_REPRO_DATA") or ".") / "ferplus" / "fer2013new.csv"
    path = Path(os.path.expanduser(given))
    usage, votes = _read_votes(path)
    results = {}
    for name, split in fer2013.USAGES.items():
        v = votes[usage == name]
        v = v[v.sum(axis=1) >= 2]
        if len(v):
            results[split] = _agreement(v)
    return results


def _agreement(v: NDArray[np.float64]) -> Agreement:
    """Return the agreement of raters whose votes are ``v`` (images, expressions), each row with two votes or more."""
    n = v.sum(axis=1)
    pair = (v * (v - 1)).sum(axis=1) / (n * (n - 1))
    others = np.zeros(len(v))
    for k in range(v.shape[1]):  # a rater who chose k, and what is left without them
        rest = v - np.eye(v.shape[1])[k]
        leads = rest == rest.max(axis=1, keepdims=True)
        others += v[:, k] / n * leads[:, k] / leads.sum(axis=1)
    return Agreement(len(v), float(pair.mean()), float((v.max(axis=1) / n).mean()), float(others.mean()))


def _read_votes(path: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Read FER+'s table: usage (N,), votes (N, 7)."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{path}: wanted FER+'s fer2013new.csv, which cannot be read ({fault})") from fault
    missing = {"Usage", *VOTED} - set(rows[0] if rows else ())
    if missing:
        raise DataError(f"{path}: wanted FER+'s columns, got none named {', '.join(sorted(missing))}")
    try:
        votes = np.array([[float(row[c]) for c in VOTED] for row in rows])
    except (TypeError, ValueError) as fault:
        raise DataError(f"{path}: wanted whole numbers of votes ({fault}); the file may be cut off") from fault
    return np.array([row["Usage"] for row in rows]), votes
