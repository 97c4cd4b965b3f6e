"""Resize, median filter and global contrast normalisation (Sec. III-A, Eq. 1).

The paper brings every face to 128×128 pixels, removes salt-and-pepper noise with a median filter, and normalises
contrast so that light and camera count less. OpenCV does the pixel work; what the paper leaves unsaid is a named
default argument with its question's id (Q1, Q2, Q3) beside it.

Images are numpy arrays: one image ``(H, W)`` or a batch ``(N, H, W)`` in grey, ``(H, W, 3)`` or ``(N, H, W, 3)`` in
colour. A last axis of length 3 is read as colour, so ``(5, 48, 3)`` is *one* colour image and not five images three
pixels wide; pass ``color=False`` to say otherwise. Batches are shared among as many threads as OpenCV may use
(``cv2.setNumThreads`` bounds them).
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from filelock import FileLock
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from fer_repro.data import cache
from fer_repro.data.faces import FaceDataset

Array = NDArray[Any]
STEPS = ("resize", "median", "normalize")  # Q2: the order of Sec. III-A
INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
}
SUM = 4  # bytes of a CRC-32
_GREY_LEVELS = np.arange(256, dtype=np.float64)
_IMAGES_A_THREAD = 64  # with fewer images a thread costs more than it saves


# ---------------------------------------------------------------------------------------------------- the three steps


def resize(
    images: ArrayLike,
    size: int | tuple[int, int] = 128,
    interpolation: str = "auto",  # Q3: "auto" = linear to enlarge, area to reduce
    fit: str = "stretch",  # Q3: "crop" = trim the edges to the target's shape first
    color: bool | None = None,
) -> Array:
    """Bring every image to ``size`` pixels (Sec. III-A).

    Parameters
    ----------
    images : (H, W), (N, H, W), (H, W, 3) or (N, H, W, 3)
        uint8 stays uint8 (rounded); any other real type becomes float32. The value range is kept, but for
        ``"cubic"``, which overshoots at edges.
    size : int or (height, width)
        Pixels of the result.
    interpolation : {"auto", "linear", "area", "cubic", "nearest"}
        Q3. ``"auto"`` interpolates linearly to enlarge and averages over areas to reduce, which does not alias.
    fit : {"stretch", "crop"}
        Q3. ``"crop"`` cuts the largest centred window of the target's aspect ratio before resizing (the paper speaks
        of reducing "through cropping"). For a square image and a square target they are the same.
    color : bool, optional
        Whether the last axis holds channels; by default it does when its length is 3.

    Returns
    -------
    array of the same layout, H and W replaced by ``size``

    Raises
    ------
    ValueError
        For a shape, size or option that is not one of the above.
    """
    batch, one = _as_batch(images, color)
    return _run([_resize_step(batch.shape[1:], batch.dtype, size, interpolation, fit)], batch, one)


def median_filter(images: ArrayLike, kernel: int = 3, color: bool | None = None) -> Array:
    """Replace each pixel by the median of its ``kernel × kernel`` neighbourhood (Sec. III-A).

    Salt-and-pepper noise goes, edges stay. Beyond the border the outermost pixels are repeated.

    Parameters
    ----------
    images : (H, W), (N, H, W), (H, W, 3) or (N, H, W, 3)
        uint8 stays uint8; any other real type becomes float32. Channels are filtered one by one.
    kernel : int
        Q2: odd; 1 changes nothing. The paper names no size; 3 is the smallest that filters.
    color : bool, optional
        Whether the last axis holds channels; by default it does when its length is 3.

    Returns
    -------
    array of the same shape

    Raises
    ------
    ValueError
        For an even or non-positive kernel, or a shape that is not one of the above.
    """
    batch, one = _as_batch(images, color)
    return _run([_median_step(batch.shape[1:], batch.dtype, kernel)], batch, one)


def global_contrast_normalize(
    images: ArrayLike,
    scale: float = 1.0,  # Q1: s
    lam: float = 0.0,  # Q1: λ
    eps: float = 1e-8,  # Q1: ε
    color: bool | None = None,
) -> NDArray[np.float32]:
    """Subtract each image's mean and divide by its contrast (Sec. III-A, Eq. 1).

    ``X' = s (X - X̄) / max(ε, sqrt(λ + mean((X - X̄)²)))``. Both means run over rows, columns *and* channels of one
    image: the equation's 1/(3rc) for three channels becomes 1/(rc) for one (Q1).

    Parameters
    ----------
    images : (H, W), (N, H, W), (H, W, 3) or (N, H, W, 3)
        Any real type and range. Sums are exact for uint8 and taken in float64 otherwise.
    scale : float
        s: the standard deviation of the result while λ = 0 (Q1).
    lam : float
        λ ≥ 0, in squared grey values: keeps nearly flat images from being blown up (Q1).
    eps : float
        ε > 0, the smallest divisor; a constant image becomes all zeros (Q1).
    color : bool, optional
        Whether the last axis holds channels; by default it does when its length is 3.

    Returns
    -------
    float32 array of the same shape

    Raises
    ------
    ValueError
        For a shape or parameter out of range, or an image with a value that is not finite.
    """
    batch, one = _as_batch(images, color, real=np.float64)
    return _run([_normalize_step(batch.shape[1:], batch.dtype, scale, lam, eps)], batch, one)


def normalize_batch(x: torch.Tensor, scale: float = 1.0, lam: float = 0.0, eps: float = 1e-8) -> torch.Tensor:
    """Eq. 1 on a batch that is already on its device, equal to :func:`global_contrast_normalize`.

    Parameters
    ----------
    x : Tensor (B, C, H, W)
        uint8 or floating point, any range; C is 1 for grey and 3 for colour.
    scale, lam, eps : float
        s, λ and ε of Eq. 1 (Q1).

    Returns
    -------
    float32 Tensor (B, C, H, W) on the same device

    Raises
    ------
    ValueError
        If ``x`` is not four-dimensional, or a parameter is out of range.
    """
    if x.ndim != 4:
        raise ValueError(f"normalize_batch: wanted (B, C, H, W), got {tuple(x.shape)}")
    _check_equation(scale, lam, eps)
    flat = x.flatten(1).float()  # (B, C·H·W)
    # Eq. 1 does not feel a shift, and this one makes constant images exact
    flat = flat - flat[:, :1]
    # Paper: Sec. III-A, Eq. 1
    d = flat - flat.mean(dim=1, keepdim=True)
    variance = d.square().mean(dim=1, keepdim=True)
    # max(ε, √·), with a finite gradient at 0
    contrast = (lam + variance).clamp_min(max(eps**2, torch.finfo(torch.float32).tiny)).sqrt()
    return (d * (scale / contrast)).reshape(x.shape)


# ------------------------------------------------------------------------------------------------------- all together


def preprocess(
    images: ArrayLike,
    size: int | tuple[int, int] = 128,
    kernel: int = 3,  # Q2
    steps: Sequence[str] = STEPS,  # Q2: their order; leave one out to switch it off
    interpolation: str = "auto",  # Q3
    fit: str = "stretch",  # Q3
    scale: float = 1.0,  # Q1
    lam: float = 0.0,  # Q1
    eps: float = 1e-8,  # Q1
    color: bool | None = None,
) -> NDArray[np.float32]:
    """Resize, median-filter and contrast-normalise, in that order (Sec. III-A).

    Parameters
    ----------
    images : (H, W), (N, H, W), (H, W, 3) or (N, H, W, 3)
        uint8 images stay uint8, rounded, until the normalisation; other real types are computed in float32.
    size, interpolation, fit
        See :func:`resize`.
    kernel
        See :func:`median_filter`.
    scale, lam, eps
        See :func:`global_contrast_normalize`.
    steps : sequence of {"resize", "median", "normalize"}
        What is done, in this order, each at most once; ``("resize",)`` only resizes.
    color : bool, optional
        Whether the last axis holds channels; by default it does when its length is 3.

    Returns
    -------
    float32 array of the same layout, H and W replaced by ``size`` if ``"resize"`` is among the steps

    Raises
    ------
    ValueError
        For an unknown or repeated step, or as the single steps do.
    """
    batch, one = _as_batch(images, color)
    if isinstance(steps, str) or not set(steps) <= set(STEPS) or len(set(steps)) < len(steps):
        raise ValueError(f"steps: wanted each of {STEPS} at most once, as a tuple, got {steps!r}")
    shape, dtype = batch.shape[1:], batch.dtype
    chain: list[_Step] = []
    for name in steps:
        if name == "resize":
            chain.append(_resize_step(shape, dtype, size, interpolation, fit))
        elif name == "median":
            chain.append(_median_step(shape, dtype, kernel))
        else:
            chain.append(_normalize_step(shape, dtype, scale, lam, eps))
        shape, dtype = chain[-1].shape, chain[-1].dtype
    if dtype != np.float32 or not chain:
        chain.append(_Step(_copy, shape, np.dtype(np.float32)))
    return _run(chain, batch, one)


def prepare_uint8(
    images: ArrayLike,
    size: int | tuple[int, int] = 128,
    kernel: int = 3,  # Q2
    interpolation: str = "auto",  # Q3
) -> NDArray[np.uint8]:
    """Resize and median-filter grey uint8 images; what is left is Eq. 1, done on the batch.

    ``normalize_batch(torch.from_numpy(prepare_uint8(x))[:, None])`` equals ``preprocess(x)`` and takes a quarter of
    its memory while the data wait.

    Parameters
    ----------
    images : uint8 (N, H, W)
    size, interpolation
        See :func:`resize`.
    kernel
        See :func:`median_filter`.

    Returns
    -------
    uint8 (N, size, size)

    Raises
    ------
    ValueError
        If the images are not grey uint8, or an option is unknown.
    """
    given = np.asarray(images)
    if given.dtype != np.uint8 or given.ndim != 3:
        raise ValueError(f"prepare_uint8: wanted uint8 (N, H, W), got {given.dtype} {given.shape}")
    batch, _ = _as_batch(given, color=False)
    enlarge = _resize_step(batch.shape[1:], batch.dtype, size, interpolation, "stretch")
    return _run([enlarge, _median_step(enlarge.shape, enlarge.dtype, kernel)], batch, one=False)


# ---------------------------------------------------------------------------------------------------------- the cache


def prepared(
    dataset: FaceDataset,
    size: int = 128,
    kernel: int = 3,  # Q2
    interpolation: str = "auto",  # Q3
    cache_dir: str | os.PathLike[str] | None = None,
) -> NDArray[np.uint8]:
    """Return :func:`prepare_uint8` of a data set's images, computed once on this machine and shared by all runs.

    The result lies in a file named after the pixels' SHA-256, the options, this module's text and OpenCV's version;
    processes map it into memory and so share it. The same images under another split use the same file. A damaged
    file is made anew; where none can be written, a warning says so and the images are computed in memory.

    Parameters
    ----------
    dataset : FaceDataset
    size, kernel, interpolation
        See :func:`prepare_uint8`.
    cache_dir : path, optional
        By default the environment's ``FER_REPRO_CACHE``, else the user's cache folder.

    Returns
    -------
    uint8 (N, size, size)
        A private mapping: writing into it changes neither the file nor another process.

    Warns
    -----
    RuntimeWarning
        If the cache cannot be used.
    """

    def make(part: FaceDataset | Array) -> NDArray[np.uint8]:
        images = part.images if isinstance(part, FaceDataset) else part
        return prepare_uint8(images, size, kernel, interpolation)

    if len(dataset) == 0:
        return make(dataset)
    path = _cache_path(dataset.images, (size, kernel, interpolation), cache_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            found = _read_cached(path, (len(dataset), size, size))
            if found is None:
                made = make(dataset)
                _write_atomically(path, made)
                found = _read_cached(path, made.shape)
        return made if found is None else found
    except (OSError, NotImplementedError) as error:  # full, read-only or without locks
        warnings.warn(f"prepared images are not kept in {path.parent}: {error}", RuntimeWarning, stacklevel=2)
        return make(dataset)


def _cache_path(images: Array, options: tuple[Any, ...], cache_dir: str | os.PathLike[str] | None) -> Path:
    digest = hashlib.sha256(repr((images.shape, options, cv2.__version__)).encode())
    digest.update(Path(__file__).read_bytes())  # other steps, other pixels
    digest.update(np.ascontiguousarray(images).data)
    return Path(cache_dir or cache.directory()) / f"prepared-{digest.hexdigest()[:32]}.npy"


def _read_cached(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Map the file, or return None if it is missing or not what was written."""
    try:
        found = np.load(path, mmap_mode="c", allow_pickle=False)
        with path.open("rb") as file:
            file.seek(-SUM, os.SEEK_END)
            told = file.read()
    except Exception:  # what numpy's reader of a damaged header raises is not foreseeable
        return None
    good = found.dtype == np.uint8 and found.shape == shape and told == _sum(found)
    return found if good else None


def _sum(array: Array) -> bytes:
    return zlib.crc32(np.ascontiguousarray(array).data).to_bytes(SUM, "big")


def _write_atomically(path: Path, array: Array) -> None:
    """Write the array and, behind it where numpy does not look, its checksum."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, array)
            file.write(_sum(array))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


# --------------------------------------------------------------------------------- one image at a time, on all threads


class _Step(NamedTuple):
    """What is done to one image: ``apply(image, out)`` fills ``out``, which has this shape and type."""

    apply: Callable[[Array, Array], object]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _as_batch(images: ArrayLike, color: bool | None, real: Any = np.float32) -> tuple[Array, bool]:
    """Return the images as a contiguous (N, H, W) or (N, H, W, 3) array, and whether it was one image."""
    array = np.asarray(images)
    if array.dtype.kind not in "buif":
        raise ValueError(f"images: wanted real numbers, got {array.dtype}")
    if color is None:
        color = array.ndim in (3, 4) and array.shape[-1] == 3
    axes = array.ndim - 2 - color  # 0: one image, 1: a batch
    if axes not in (0, 1) or (color and array.shape[-1] != 3) or 0 in array.shape[axes:]:
        wanted = "(H, W, 3) or (N, H, W, 3)" if color else "(H, W), (N, H, W), (H, W, 3) or (N, H, W, 3)"
        raise ValueError(f"images: wanted {wanted} with at least one pixel, got {array.shape}")
    if array.dtype != np.uint8 and not (array.dtype == np.float32 and real == np.float64):
        array = array.astype(real, copy=False)
    return np.ascontiguousarray(array if axes else array[None]), axes == 0


def _run(steps: list[_Step], batch: Array, one: bool) -> Array:
    """Apply the steps to every image, image by image so that each stays in the processor's cache."""
    last = steps[-1]
    out = np.empty((len(batch), *last.shape), last.dtype)

    def work(begin: int, end: int) -> None:
        between = [np.empty(s.shape, s.dtype) for s in steps[:-1]]
        for i in range(begin, end):
            image = batch[i]
            for step, result in zip(steps, [*between, out[i]], strict=True):
                step.apply(image, result)
                image = result

    threads = max(1, min(cv2.getNumThreads(), len(batch) // _IMAGES_A_THREAD))
    if threads == 1:
        work(0, len(batch))
    else:  # OpenCV lets go of the interpreter's lock
        cuts = np.linspace(0, len(batch), threads + 1).astype(int).tolist()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, cuts[:-1], cuts[1:]))
    return out[0] if one else out


def _copy(image: Array, out: Array) -> None:
    np.copyto(out, image)


def _resize_step(shape: tuple[int, ...], dtype: Any, size: int | tuple[int, int], method: str, fit: str) -> _Step:
    height, width = _height_and_width(size)
    if method != "auto" and method not in INTERPOLATIONS:
        raise ValueError(f"interpolation: wanted 'auto' or one of {tuple(INTERPOLATIONS)}, got {method!r}")
    if fit not in ("stretch", "crop"):
        raise ValueError(f"fit: wanted 'stretch' or 'crop', got {fit!r}")
    h, w = shape[:2]
    if fit == "crop":  # Q3: the largest centred window of the target's aspect ratio
        h, w = min(h, max(1, round(w * height / width))), min(w, max(1, round(h * width / height)))
    top, left = (shape[0] - h) // 2, (shape[1] - w) // 2
    reduces = height <= h and width <= w
    flag = INTERPOLATIONS[("area" if reduces else "linear") if method == "auto" else method]  # Q3

    def apply(image: Array, out: Array) -> None:
        cv2.resize(image[top : top + h, left : left + w], (width, height), dst=out, interpolation=flag)

    result = (height, width, *shape[2:])
    return _Step(apply if (h, w) != (height, width) or shape[:2] != (h, w) else _copy, result, dtype)


def _height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and n >= 1 for n in pair):
        raise ValueError(f"size: wanted a positive whole number or (height, width), got {size!r}")
    return int(pair[0]), int(pair[1])


def _median_step(shape: tuple[int, ...], dtype: Any, kernel: int) -> _Step:
    if not isinstance(kernel, (int, np.integer)) or kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel: wanted an odd whole number, 1 or more, got {kernel!r}")

    def apply(image: Array, out: Array) -> None:
        cv2.medianBlur(image, kernel, dst=out)

    def apply_large(image: Array, out: Array) -> None:  # OpenCV has no float32 median beyond 5×5
        ndimage.median_filter(image, size=(kernel, kernel, 1)[: image.ndim], output=out, mode="nearest")

    known = dtype == np.uint8 or kernel <= 5
    return _Step(_copy if kernel == 1 else apply if known else apply_large, shape, dtype)


def _check_equation(scale: float, lam: float, eps: float) -> None:
    if not (math.isfinite(scale) and math.isfinite(lam) and lam >= 0 and math.isfinite(eps) and eps > 0):
        raise ValueError(f"Eq. 1: wanted a finite scale, lam >= 0 and eps > 0, got scale={scale}, lam={lam}, eps={eps}")


def _normalize_step(shape: tuple[int, ...], dtype: Any, s: float, lam: float, eps: float) -> _Step:
    _check_equation(s, lam, eps)
    rows = shape[0]

    def grey_levels(X: Array, out: Array) -> None:
        """Eq. 1 for uint8: sums of whole numbers are exact, and 256 levels make a table."""
        X, out = X.reshape(rows, -1), out.reshape(rows, -1)  # (H, W) or (H, 3W)
        n, total = X.size, round(cv2.sumElems(X)[0])
        squares = round(cv2.norm(X, cv2.NORM_L2SQR))
        variance = (n * squares - total * total) / (n * n)
        # Paper: Sec. III-A, Eq. 1
        table = s * (_GREY_LEVELS - total / n) / max(eps, math.sqrt(lam + variance))
        cv2.LUT(X, table.astype(np.float32), dst=out)

    def any_range(X: Array, out: Array) -> None:
        with np.errstate(invalid="ignore"):  # infinities get their own message
            # Eq. 1 does not feel a shift, and this one makes constant images exact
            d = X.astype(np.float64) - np.float64(X.flat[0])
            d -= d.mean()
            variance = np.square(d).mean()
        if not math.isfinite(variance):
            raise ValueError("images: wanted finite values, got NaN or infinity; clean them first")
        # Paper: Sec. III-A, Eq. 1
        np.multiply(d, s / max(eps, math.sqrt(lam + variance)), out=out, casting="same_kind")

    return _Step(grey_levels if dtype == np.uint8 else any_range, shape, np.dtype(np.float32))
