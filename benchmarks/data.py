"""Loading FER2013 side by side with what a user would write: the CSV by pandas, folder and zip by plain loops.

    python benchmarks/data.py [--images 35887] [--repeats 3] [--json [OUT]]

The files are written from drawn faces, of FER2013's number and size, so no real one is needed; every way of reading
must give the same pixels. All run in turn and the fastest turn counts: wall time in ``seconds``, and processor time
(of all threads) in ``processor_seconds``, which a busy machine disturbs less. ``times_faster`` is wall over wall; peak
memory is a fresh process's, above what it held once everything was imported.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import PIL
from _common import high_water, in_fresh_process, in_turns, parser, report, risen
from PIL import Image

from fer_repro import data
from fer_repro.data import FER_CLASSES, FaceDataset, fer2013, files

FOLDERS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGES = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}


# ------------------------------------------------------------------------------------------- what a user would write


def pandas_int(path: Path) -> np.ndarray:
    """Read as most public notebooks do: default integers, row by row."""
    table = pd.read_csv(path)
    rows = [np.fromstring(p, dtype=int, sep=" ").reshape(48, 48) for p in table["pixels"]]
    return np.stack(rows).astype(np.uint8)


def pandas_uint8(path: Path) -> np.ndarray:
    """Read the same way, with the smallest type that holds a pixel."""
    table = pd.read_csv(path)
    return np.stack([np.fromstring(p, dtype=np.uint8, sep=" ").reshape(48, 48) for p in table["pixels"]])


def pillow_folder(path: Path) -> np.ndarray:
    """Open one image after another with Pillow."""
    return np.stack([np.asarray(Image.open(p)) for p in sorted(path.rglob("*.jpg"))])


def opencv_folder(path: Path) -> np.ndarray:
    """Read one image after another with OpenCV."""
    return np.stack([np.asarray(cv2.imread(str(p), cv2.IMREAD_GRAYSCALE)) for p in sorted(path.rglob("*.jpg"))])


def opencv_zip(path: Path) -> np.ndarray:
    """Read one member after another, and decode it with OpenCV."""
    with zipfile.ZipFile(path) as file:
        contents = (file.read(n) for n in sorted(file.namelist()))
        return np.stack([decoded(c) for c in contents])


def decoded(content: bytes) -> np.ndarray:
    """Decode one JPEG."""
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_GRAYSCALE))


def decode_only(path: Path) -> np.ndarray:
    """Decode in memory on all cores, the limit for folder and zip: their reading and checking left out."""
    with zipfile.ZipFile(path) as file:
        contents = [file.read(n) for n in sorted(file.namelist())]
    started = time.perf_counter(), time.process_time()

    def some(chunk: Sequence[bytes]) -> list[np.ndarray]:
        return [decoded(c) for c in chunk]

    files.parallel(some, files.chunks(contents, files.CHUNK))
    return np.array([time.perf_counter() - started[0], time.process_time() - started[1]])


def ours(path: Path) -> np.ndarray:
    """Read with the project, without the cache."""
    return fer2013.load(path, cached=False).images


def ours_cached(path: Path) -> np.ndarray:
    """Read with the project once the cache is filled."""
    return fer2013.load(path).images


WAYS: dict[str, dict[str, Callable[[Path], np.ndarray]]] = {
    "csv": {"ours": ours, "ours, second load": ours_cached, "pandas, int": pandas_int, "pandas, uint8": pandas_uint8},
    "folder": {"ours": ours, "ours, second load": ours_cached, "Pillow": pillow_folder, "OpenCV": opencv_folder},
    "zip": {"ours": ours, "ours, second load": ours_cached, "OpenCV": opencv_zip},
}


# ------------------------------------------------------------------------------------------------------- the files


def faces(count: int) -> FaceDataset:
    """Return drawn faces, each some times with other noise, in FER2013's proportions of splits."""
    drawn = data.load("synthetic", n=2100).images
    rng = np.random.default_rng(0)
    images = np.concatenate([drawn] * (-(-count // len(drawn))))[:count].copy()
    for i in range(0, count, 1000):
        images[i : i + 1000] ^= rng.integers(0, 4, images[i : i + 1000].shape, dtype=np.uint8)
    split = np.full(count, "train")
    split[int(0.8 * count) :] = "val"
    split[int(0.9 * count) :] = "test"
    return FaceDataset(images, rng.integers(0, 7, count), FER_CLASSES, split, name="fer2013")


def write_csv(ds: FaceDataset, path: Path) -> Path:
    """Write a data set as fer2013.csv."""
    with open(path, "w", newline="") as file:
        file.write("emotion,pixels,Usage\n")
        for image, label, split in zip(ds.images, ds.labels, ds.split, strict=True):
            file.write(f"{label},{' '.join(map(str, image.ravel().tolist()))},{USAGES[str(split)]}\n")
    return path


def write_images(ds: FaceDataset, folder: Path, packed: Path) -> None:
    """Write a data set as the image folder, and as its zip."""
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for i, (image, label, split) in enumerate(zip(ds.images, ds.labels, ds.split, strict=True)):
            part = "train" if split == "train" else "test"
            path = folder / part / FOLDERS[label] / f"{USAGES[str(split)]}_{i:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
            file.write(path, path.relative_to(folder).as_posix())


# ---------------------------------------------------------------------------------------------------- measurements


def times(ways: dict[str, Callable[[Path], np.ndarray]], path: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Return each way's least wall and processor time; refuse ways that do not give the same pixels."""
    pixels = ours_cached(path)  # fills the cache, too
    for name, way in ways.items():
        if not np.array_equal(way(path), pixels):
            raise SystemExit(f"{path.name}: {name} gives other pixels than ours")
    processor = dict.fromkeys(ways, np.inf)

    def run(name: str) -> None:
        started = time.process_time()
        ways[name](path)
        processor[name] = min(processor[name], time.process_time() - started)

    wall = in_turns({name: partial(run, name) for name in ways}, repeats)
    return {name: {"seconds": wall[name], "processor_seconds": processor[name]} for name in ways}


def peak(kind: str, way: str, path: str) -> float:
    """Return what this process needs at most for one way of reading, above its imports, MiB."""
    before = high_water()
    WAYS[kind][way](Path(path))
    return risen(before)


def measure(count: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Write the files into ``folder``, read them in every way, and return times, ratios and memory."""
    ds = faces(count)
    (folder / "images").mkdir()
    write_images(ds, folder / "images", folder / "archive.zip")
    paths = {
        "csv": write_csv(ds, folder / "fer2013.csv"),
        "folder": folder / "images",
        "zip": folder / "archive.zip",
    }
    result: dict[str, Any] = {"images": count, "pixels_megabytes": ds.images.nbytes / 2**20}
    for kind, path in paths.items():
        took = times(WAYS[kind], path, repeats)
        peaks = {w: in_fresh_process(__file__, "--peak", kind, w, str(path)) for w in took}
        others = [w for w in took if not w.startswith("ours")]
        result[kind] = {
            "ways": {w: {**t, "peak_megabytes": peaks[w]} for w, t in took.items()},
            "times_faster": {w: took[w]["seconds"] / took["ours"]["seconds"] for w in others},
            "times_less_processor": {
                w: took[w]["processor_seconds"] / took["ours"]["processor_seconds"] for w in others
            },
        }
    least = np.min([decode_only(paths["zip"]) for _ in range(repeats)], axis=0)
    result["decoding_alone"] = {"seconds": least[0], "processor_seconds": least[1]}
    result["cores"] = files.cores()
    result["others"] = {m.__name__: m.__version__ for m in (pd, PIL)}
    return result


def main() -> None:
    """Print the comparison, and write it where asked."""
    asked: argparse.ArgumentParser = parser(__doc__, "data")
    asked.add_argument("--images", type=int, default=35_887)
    asked.add_argument("--repeats", type=int, default=3)
    asked.add_argument("--peak", nargs=3, metavar=("KIND", "WAY", "PATH"), help="measure one way's memory here")
    wanted = asked.parse_args()
    if wanted.peak:
        print(json.dumps(peak(*wanted.peak)))
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FER_REPRO_CACHE"] = str(Path(folder) / "cache")
        report(measure(wanted.images, wanted.repeats, Path(folder)), wanted.json)


if __name__ == "__main__":
    main()
