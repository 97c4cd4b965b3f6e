"""What tests share: few threads, a cache of their own, small data sets in every form, and real data where it is."""

# ruff: noqa: E402 (the number of threads must be set before numpy and torch are imported)
from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:  # the package itself is imported inside the fixtures, after pytest has set up the checks of shapes
    from matplotlib.axes import Axes

    from fer_repro.data import FaceDataset

cv2.setNumThreads(1)

FER_FOLDERS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # by label
CK_FOLDERS = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
USAGES = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}


def denormals_count() -> bool:
    """Say whether this thread tells the smallest numbers, below 1.2e-38, from zero."""
    import torch

    return float(torch.full((), 1e-40) * 1) > 0


def row_labels(axes: Axes) -> dict[int, str]:
    """Return the labels of a picture's y axis by their places."""
    return {int(y): label.get_text() for y, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)}


@pytest.fixture
def styled() -> Iterator[None]:
    """Let a test draw in the book's style, and close what it drew."""
    import matplotlib.pyplot as plt

    from fer_repro import figures

    with figures.style("light"):
        yield
    plt.close("all")


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """Keep torch to one thread: several workers run tests side by side."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point the cache to a temporary folder: tests neither see nor change the user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FER_REPRO_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder that holds fer2013/ and ckplus/, or skip the test and say so."""
    place = os.environ.get("FER_REPRO_DATA")
    if not place:
        reason = "set FER_REPRO_DATA to a folder with fer2013/ and ckplus/ to run the tests on real data"
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.warn(f"SKIPPED: {reason}", stacklevel=1)
        pytest.skip(reason)
    return Path(place)


@pytest.fixture
def tiny_fer() -> FaceDataset:
    """Return 42 noise images, two of each class and split, in the order of the image folder."""
    from fer_repro.data import FER_CLASSES, FaceDataset

    rng = np.random.default_rng(7)
    labels = np.tile(np.arange(7), 6)
    split = np.repeat(["train", "val", "test"], 14)
    images = rng.integers(0, 256, (42, 48, 48), dtype=np.uint8)
    images[0] = 0  # a black image
    images[1, 0, :5] = (0, 9, 10, 99, 255)
    return FaceDataset(images, labels, FER_CLASSES, split, name="fer2013")


@pytest.fixture
def write_csv() -> Callable[..., Path]:
    """Return a function that writes a data set as a CSV: ``write_csv(ds, path, columns=..., end=..., quote=...)``."""

    def write(
        ds: FaceDataset,
        path: Path,
        columns: tuple[str, ...] = ("emotion", "pixels", "Usage"),
        end: str = "\n",
        quote: str = "",
    ) -> Path:
        lines = [",".join(columns)]
        for image, label, split in zip(ds.images, ds.labels, ds.split, strict=True):
            pixels = quote + " ".join(map(str, image.ravel())) + quote
            row = {"emotion": str(label), "pixels": pixels, "usage": quote + USAGES[str(split)] + quote}
            lines.append(",".join(row[c.strip().lower()] for c in columns))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((end.join(lines) + end).encode())
        return path

    return write


@pytest.fixture
def write_folder() -> Callable[..., Path]:
    """Return a function that writes a data set as FER2013's image folder (PNG content keeps the pixels exact)."""

    def write(ds: FaceDataset, root: Path) -> Path:
        for i, (image, label, split) in enumerate(zip(ds.images, ds.labels, ds.split, strict=True)):
            part = "train" if split == "train" else "test"
            folder = root / part / FER_FOLDERS[label]
            folder.mkdir(parents=True, exist_ok=True)
            ok, content = cv2.imencode(".png", image)
            assert ok
            (folder / f"{USAGES[str(split)]}_{i:04}.jpg").write_bytes(content.tobytes())
        return root

    return write


@pytest.fixture
def write_ck48() -> Callable[..., Path]:
    """Return a function that writes a small CK+48: one sequence of three noise frames a class and subject."""

    def write(root: Path, subjects: int = 12, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        for s in range(subjects):
            for q, name in enumerate(CK_FOLDERS, start=1):
                folder = root / "CK+48" / name
                folder.mkdir(parents=True, exist_ok=True)
                for frame in (9, 10, 11):
                    image = rng.integers(0, 256, (48, 48), dtype=np.uint8)
                    cv2.imwrite(str(folder / f"S{s + 10:03}_{q:03}_{frame:08}.png"), image)
        return root / "CK+48"

    return write


@pytest.fixture
def zipped() -> Callable[..., Path]:
    """Return a function that packs a folder: ``zipped(folder, path, under="")``."""

    def write(folder: Path, path: Path, under: str = "", method: int = zipfile.ZIP_DEFLATED) -> Path:
        with zipfile.ZipFile(path, "w", method) as file:
            for f in sorted(folder.rglob("*"), reverse=True):  # not in sorted order, as archives are
                if f.is_file() and f != path:  # a zip within the folder would be packed into itself without end
                    file.write(f, under + f.relative_to(folder).as_posix())
        return path

    return write
