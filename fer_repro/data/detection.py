"""Finding a face with OpenCV's Haar cascade, and cutting it out as FER2013's faces are."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # x, y, width, height; pixels
MARGIN = 0.0  # the cascade's box, brow to chin, is about as tight as FER2013's crops


@lru_cache(maxsize=1)
def _detector() -> cv2.CascadeClassifier:
    folder = Path(cv2.__file__).parent / "data"
    return cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))


def find_faces(grey: NDArray[np.uint8], smallest: float = 0.1) -> list[Box]:
    """Find frontal faces in a grey picture uint8 (H, W), the largest first (Viola and Jones 2001).

    Parameters
    ----------
    grey : uint8 (H, W)
    smallest : float
        Least width of a face as a share of the picture's shorter side.
    """
    if grey.ndim != 2 or grey.dtype != np.uint8:
        raise ValueError(f"wanted a grey picture uint8 (H, W), got {grey.dtype} {grey.shape}")
    least = max(24, int(smallest * min(grey.shape)))
    even = cv2.equalizeHist(grey)
    found = _detector().detectMultiScale(even, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
    boxes: list[Box] = [(int(x), int(y), int(w), int(h)) for x, y, w, h in found]
    return sorted(boxes, key=lambda b: -b[2] * b[3])


def crop(grey: NDArray[np.uint8], box: Box, size: int = 48, margin: float = MARGIN) -> NDArray[np.uint8]:
    """Cut a box, widened by ``margin`` of its width on each side, out of a grey picture; return uint8 (size, size)."""
    x, y, w, h = box
    grow = round(margin * w)
    top, left = max(0, y - grow), max(0, x - grow)
    cut = grey[top : y + h + grow, left : x + w + grow]
    method = cv2.INTER_AREA if min(cut.shape) > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(cut, (size, size), interpolation=method), dtype=np.uint8)
