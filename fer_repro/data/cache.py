"""Arrays kept between runs: keyed by content, written whole or not at all, rebuilt when damaged."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

log = logging.getLogger(__name__)

NAMES = "_names"  # which arrays a file holds: a damaged list of contents can leave one out
STALE_SECONDS = 3600.0  # an unfinished file older than this was left by a process that died


def directory() -> Path:
    """Return the cache's folder: FER_REPRO_CACHE, or the user's cache folder."""
    return Path(os.path.expanduser(os.environ.get("FER_REPRO_CACHE", "")) or platformdirs.user_cache_dir("fer_repro"))


def key(*parts: object) -> str:
    """Return 32 hex digits that change with any of ``parts`` (by their repr)."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def cached(name: str, build: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays kept under ``name``, or build and keep them.

    ``name`` must contain a :func:`key` of everything the arrays depend on. A damaged file is built anew. A full
    disk or a folder that cannot be written to costs a warning in the log, never the arrays.
    """
    kept = load(name)
    if kept is None:
        kept = build()
        store(name, kept)
    return kept


def load(name: str) -> dict[str, np.ndarray] | None:
    """Return the arrays kept under ``name``, or None where there are none or the file is damaged."""
    path = directory() / f"{name}.npz"
    try:
        # an npz is a zip: every array's CRC-32 is verified here
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {k: file[k] for k in file.files}
        names = arrays.pop(NAMES).tolist()
        if sorted(arrays) != names:
            raise ValueError(f"wanted the arrays {', '.join(names)}, got {', '.join(arrays)}")
        return arrays
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as fault:  # what zipfile and numpy raise for a damaged header is not foreseeable
        log.warning("%s is damaged (%s): reading the original files again", path, fault)
        return None


def store(name: str, arrays: dict[str, Any]) -> bool:
    """Keep arrays under ``name``; the file appears complete or not at all. Return whether it could be written."""
    folder = directory()
    temporary = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_stale(folder)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{name}-", suffix=".part", delete=False) as file:
            temporary = Path(file.name)
            np.savez(file, **{**arrays, NAMES: np.array(sorted(arrays))})
        os.replace(temporary, folder / f"{name}.npz")
        return True
    except OSError as fault:
        log.warning("cannot keep data in %s (%s): going on without, the next load will be slower", folder, fault)
        return False
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _remove_stale(folder: Path) -> None:
    for path in folder.glob("*.part"):
        with contextlib.suppress(OSError):  # another process may have been quicker
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
