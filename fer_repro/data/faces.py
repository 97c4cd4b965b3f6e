"""The one container all data sets come in: a batch of grey faces and what is known about each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FER_CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")  # FER2013's labels 0..6
CK_CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")  # CK+'s codes 1..7 (Q13)
SPLITS = ("train", "val", "test")


class DataError(ValueError):
    """A fault in a user's files: which file, which row, what was wanted and what came."""


@dataclass(frozen=True)
class FaceDataset:
    """Grey face images with labels, split and, where known, subject and sequence.

    Attributes
    ----------
    images : uint8 (N, H, W)
        Grey values, 0 black to 255 white.
    labels : int64 (N,)
        Index into ``classes``.
    classes : tuple of str
        Class names, in label order.
    split : str (N,)
        ``"train"``, ``"val"`` or ``"test"``.
    subject, sequence : int64 (N,)
        Person, and image sequence (unique over the data set); -1 where unknown.
    name : str
        The data set's name as :func:`fer_repro.data.load` knows it.

    Raises
    ------
    DataError
        If shapes, types, labels or splits do not fit together.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    split: NDArray[Any]  # text: a type checker sees "<U5", not numpy.str_
    subject: NDArray[np.int64] = None  # type: ignore[assignment]  # filled in __post_init__
    sequence: NDArray[np.int64] = None  # type: ignore[assignment]
    name: str = "faces"
    _fingerprint: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        n = len(self.images)
        unknown = np.full(n, -1, dtype=np.int64)
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise DataError(f"images: wanted uint8 (N, H, W), got {self.images.dtype} {self.images.shape}")
        if not np.array_equal(labels := np.asarray(self.labels, dtype=np.int64), self.labels):
            raise DataError("labels: wanted whole numbers")
        if odd := set(np.asarray(self.split, dtype=str).ravel().tolist()) - set(SPLITS):
            raise DataError(f"split: wanted one of {SPLITS}, got {sorted(odd)}")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "split", np.asarray(self.split, dtype="U5"))
        for name in ("subject", "sequence"):
            given = getattr(self, name)
            object.__setattr__(self, name, unknown if given is None else np.asarray(given, dtype=np.int64))
        for name in ("labels", "split", "subject", "sequence"):
            if getattr(self, name).shape != (n,):
                raise DataError(f"{name}: wanted one value for each of {n} images, got {getattr(self, name).shape}")
        if n and not (self.labels.min() >= 0 and self.labels.max() < len(self.classes)):
            bad = int(np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))[0])
            raise DataError(f"label of image {bad}: wanted 0..{len(self.classes) - 1}, got {self.labels[bad]}")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: ArrayLike | slice) -> FaceDataset:
        """Return the faces chosen by a boolean mask, a slice or indices."""
        if isinstance(index, (int, np.integer)):
            index = [int(index)]
        i = index if isinstance(index, slice) else np.asarray(index)
        if not isinstance(i, slice) and i.size == 0:
            i = i.astype(np.int64)
        return replace(
            self,
            images=self.images[i],
            labels=self.labels[i],
            split=self.split[i],
            subject=self.subject[i],
            sequence=self.sequence[i],
        )

    def part(self, split: str) -> FaceDataset:
        """Return the images of one split: ``"train"``, ``"val"`` or ``"test"``."""
        if split not in SPLITS:
            raise ValueError(f"split: wanted one of {SPLITS}, got {split!r}")
        return self[self.split == split]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return images by split and class: ``{"train": {"anger": 3995, ...}, ...}``."""
        return {
            split: {c: int(((self.labels == k) & (self.split == split)).sum()) for k, c in enumerate(self.classes)}
            for split in SPLITS
        }

    def fingerprint(self) -> str:
        """Return a SHA-256 over pixels, labels, split, subjects, sequences and class names (64 hex digits)."""
        if not self._fingerprint:
            digest = hashlib.sha256(repr((self.images.shape, self.classes)).encode())
            for array in (self.images, self.labels, self.subject, self.sequence):
                digest.update(np.ascontiguousarray(array).data)
            digest.update("".join(f"{s:5}" for s in self.split.tolist()).encode())
            self._fingerprint.append(digest.hexdigest())
        return self._fingerprint[0]
