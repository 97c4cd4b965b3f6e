"""Finding a face with OpenCV's Haar cascade (Viola and Jones 2001), and cutting it out as FER2013's faces are."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # left, top, width, height; pixels
SIDE = 48  # FER2013's faces, and CK+'s as Sec. IV-B has them


class _Detector(threading.local):
    """A thread's own detector: OpenCV's may not be shared."""

    def __init__(self) -> None:
        folder = Path(cv2.__file__).parent / "data"  # OpenCV 4; 5 has no cascades
        self.cascade = cv2.CascadeClassifier(str(folder / "haarcascade_frontalface_default.xml"))


_detector = _Detector()


def find_faces(image: NDArray[np.uint8], smallest: float = 0.1) -> list[Box]:
    """Return the frontal faces in a grey image uint8 (H, W), the largest first.

    Parameters
    ----------
    image : uint8 (H, W)
    smallest : float
        Least width of a face as a share of the image's shorter side; never under 24 pixels, the cascade's own size.
    """
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"wanted a grey image uint8 (H, W), got {image.dtype} {image.shape}")
    least = max(24, int(smallest * min(image.shape)))
    boxes = _detector.cascade.detectMultiScale(image, 1.1, 5, minSize=(least, least))
    found: list[Box] = [(int(x), int(y), int(w), int(h)) for x, y, w, h in boxes]
    return sorted(found, key=lambda b: (b[2] * b[3], b), reverse=True)


def find_face(image: NDArray[np.uint8]) -> Box | None:
    """Return the largest frontal face of an image whose subject fills a good part of it, or None."""
    return next(iter(find_faces(image, smallest=0.25)), None)


def cut(image: NDArray[np.uint8], box: Box | None, margin: float = 0.0) -> NDArray[np.uint8]:
    """Cut ``box``, widened by ``margin``, from a grey image (or its largest centred square) and bring it to 48x48."""
    height, width = image.shape
    if box is None:
        side = min(height, width)
        left, top, right, bottom = (width - side) // 2, (height - side) // 2, (width + side) // 2, (height + side) // 2
    else:
        x, y, w, h = box
        left, top = max(0, round(x - margin * w)), max(0, round(y - margin * h))
        right, bottom = min(width, round(x + w + margin * w)), min(height, round(y + h + margin * h))
    face = image[top:bottom, left:right]
    return np.asarray(cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
