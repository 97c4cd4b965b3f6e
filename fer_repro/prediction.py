"""From any photograph to seven probabilities: find the face, cut it out as the training images are, run the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_repro import training
from fer_repro.data.detection import SIDE, cut, find_faces
from fer_repro.data.faces import FaceDataset


class PredictionError(ValueError):
    """A picture that cannot be read, or that shows no face."""


def read_grey(path: Path | str) -> NDArray[np.uint8]:
    """Read a picture as grey uint8 (H, W).

    Raises
    ------
    PredictionError
        If there is no such file, or it is no picture OpenCV can decode.
    """
    try:
        content = np.frombuffer(Path(path).read_bytes(), np.uint8)  # cv2.imread says nothing about why it fails
    except OSError as error:
        raise PredictionError(f"{path}: {error.strerror or error}") from None
    try:
        image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    except cv2.error:  # such as a size beyond what OpenCV takes
        image = None
    if image is None:
        raise PredictionError(f"{path}: not a picture that OpenCV can decode")
    return np.asarray(image, dtype=np.uint8)


class Predictor:
    """A trained network with what it needs to look at photographs.

    Parameters
    ----------
    checkpoint : Path
        A ``best.pt`` of ``fer-repro train``.
    """

    def __init__(self, checkpoint: Path | str) -> None:
        self.model, self.about = training.load_model(checkpoint)
        self.recipe = training.recipe_of(self.about)
        self.classes = tuple(self.about["classes"])

    def __call__(self, path: Path | str, whole: bool = False) -> list[dict[str, Any]]:
        """Return one dict a face: ``image``, ``box`` (x, y, width, height; pixels), ``expression``, ``probabilities``.

        With ``whole`` the image is taken as a face already cut out. A :class:`PredictionError` says when the picture
        shows no face.
        """
        grey = read_grey(path)
        boxes = [(0, 0, grey.shape[1], grey.shape[0])] if whole else find_faces(grey)
        if not boxes:
            raise PredictionError(
                f"{path}: no face found in {grey.shape[1]}x{grey.shape[0]} pixels; if it is a face already cut out, "
                "use --whole"
            )
        cuts = [cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA) if whole else cut(grey, b) for b in boxes]
        n = len(cuts)
        faces = FaceDataset(np.stack(cuts), np.zeros(n, np.int64), self.classes, np.full(n, "test"))
        found = training.probabilities(self.model, self.recipe, faces)
        return [self._face(path, box, p) for box, p in zip(boxes, found, strict=True)]

    def _face(self, path: Path | str, box: tuple[int, int, int, int], p: NDArray[np.float32]) -> dict[str, Any]:
        return {
            "image": str(path),
            "box": [int(v) for v in box],
            "expression": self.classes[int(p.argmax())],
            "probabilities": {c: round(float(v), 4) for c, v in zip(self.classes, p, strict=True)},
        }


def as_text(face: dict[str, Any]) -> str:
    """Return a face's probabilities as lines, the likeliest first, with a bar for each."""
    x, y, width, height = face["box"]
    lines = [f"{face['image']}: {face['expression']} (face at {x}, {y}, {width}x{height} pixels)"]
    ordered = sorted(face["probabilities"].items(), key=lambda item: -item[1])
    lines += [f"  {name:10} {p:6.1%}  {'#' * round(30 * p)}" for name, p in ordered]
    return "\n".join(lines)
