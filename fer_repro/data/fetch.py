"""Fetch a data set through Kaggle's own client (an optional extra; needs an account and agreement to its terms)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .faces import DataError

HANDLES = {"fer2013": "msambare/fer2013", "ckplus": "shawon10/ckplus"}


def fetch(name: str, target: str | os.PathLike[str]) -> Path:
    """Download a data set into ``target/NAME`` and return that folder; what stands there already is left alone.

    Raises
    ------
    DataError
        If the name is unknown, kagglehub is not installed, or the download fails: with what to do instead.
    """
    if name not in HANDLES:
        raise DataError(f"fetch: wanted one of {', '.join(HANDLES)}, got {name!r}")
    by_hand = f"Or download it by hand from https://www.kaggle.com/datasets/{HANDLES[name]} into {Path(target) / name}."
    folder = Path(os.path.expanduser(target)) / name
    if folder.is_dir() and any(folder.iterdir()):
        return folder
    try:
        import kagglehub
    except ImportError as fault:
        raise DataError(f"fetch: wanted the package kagglehub: pip install 'fer-repro[fetch]'. {by_hand}") from fault
    try:
        fetched = Path(kagglehub.dataset_download(HANDLES[name]))
        partial = folder.with_name(f"{name}.part")  # a killed copy leaves this, never half a data set
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(fetched, partial)
        if folder.is_dir():
            folder.rmdir()
        partial.rename(folder)
    except Exception as fault:  # kagglehub raises errors of its own and of its HTTP client
        raise DataError(f"fetch: {name} could not be downloaded ({fault}). Is there a network? {by_hand}") from fault
    return folder
