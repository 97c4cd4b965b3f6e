"""Faces from three sources in one form: ``load("synthetic" | "fer2013" | "ckplus")``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .faces import CK_CLASSES, FER_CLASSES, SPLITS, DataError, FaceDataset

__all__ = ["CK_CLASSES", "FER_CLASSES", "NAMES", "SPLITS", "DataError", "FaceDataset", "load", "where"]

NAMES = ("synthetic", "fer2013", "ckplus")


def load(name: str, path: str | os.PathLike[str] | None = None, **options: Any) -> FaceDataset:
    """Return a data set by name.

    Parameters
    ----------
    name : {"synthetic", "fer2013", "ckplus"}
    path : str or Path, optional
        For the real data sets: a folder that holds ``fer2013/`` and ``ckplus/``, or the data set's own folder,
        CSV file or zip. Without it, the environment's FER_REPRO_DATA. Synthetic faces need none and ignore it.
    **options
        Passed on: see :func:`fer_repro.data.synthetic.load`, :func:`fer_repro.data.fer2013.load` and
        :func:`fer_repro.data.ckplus.load`.

    Returns
    -------
    FaceDataset
        FER2013 carries its official split; CK+ and what else has none is all ``"train"`` until
        :func:`fer_repro.data.splits.protocol` divides it.

    Raises
    ------
    DataError
        If the name is unknown, or the files are missing or faulty: which one, what was wanted, what came.
    """
    if name == "synthetic":
        from .synthetic import load as draw

        return draw(**options)
    if name == "fer2013":
        from .fer2013 import load as read_fer2013

        return read_fer2013(where(name, path), **options)
    if name == "ckplus":
        from .ckplus import load as read_ckplus

        return read_ckplus(where(name, path), **options)
    raise DataError(f"data set: wanted one of {', '.join(NAMES)}, got {name!r}")


def where(name: str, path: str | os.PathLike[str] | None = None) -> Path:
    """Return the place to look for a real data set: ``path``, or FER_REPRO_DATA. Raises DataError if there is none."""
    place = path or os.environ.get("FER_REPRO_DATA")
    if not place:
        raise DataError(
            f"{name} may not be shipped with the project: bring your own copy. Get it from Kaggle (or, for CK+, from "
            f"its authors), put the file as it is into DIR/{name}/, and name DIR: set FER_REPRO_DATA=DIR, or give "
            "data.load(..., path=DIR) or --data-dir DIR. Without it, data.load('synthetic') needs no files."
        )
    found = Path(os.path.expanduser(place))
    if not found.exists():
        raise DataError(f"{place}: there is no such file or folder; wanted the place of {name}")
    return found
