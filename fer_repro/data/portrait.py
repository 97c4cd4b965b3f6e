"""A drawn face: the shapes of a head, moved by FACS action units, seen from a direction, painted in greys.

The face lives in *face units*: x to the viewer's right, y down, z towards the viewer, the eyes 0.8 apart, the chin
about 1.1 below the centre. :func:`landmarks` says where action units bring brows, lids and lips; :func:`paint` draws
any number of faces. Everything is computed for all faces at once; only OpenCV's strokes are drawn face by face.
Action units are those of Ekman & Friesen's Facial Action Coding System (1978; manual of 2002).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

UNITS = (1, 2, 4, 5, 6, 7, 9, 12, 14, 15, 16, 17, 20, 23, 25, 26)
UNIT_NAMES = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    16: "lower lip depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    25: "lips part",
    26: "jaw drop",
}
SIDE = np.array([-1.0, 1.0])  # the viewer's left (the person's right), the viewer's right (the person's left)

# What a person looks like: trait -> (lowest, highest); greys 0..1, lengths in face units, shares 0..1
TRAITS: dict[str, tuple[float, float]] = {
    "skin": (0.44, 0.87),
    "hair": (0.06, 0.62),
    "hair_style": (0.0, 1.0),
    "hair_part": (-1.0, 1.0),
    "hairline": (-0.96, -0.76),
    "head_width": (0.84, 0.98),
    "jaw": (0.22, 0.46),
    "chin": (1.06, 1.20),
    "eye_gap": (0.365, 0.425),
    "eye_size": (0.85, 1.15),
    "eye_open": (0.85, 1.15),
    "eye_tilt": (-0.03, 0.05),
    "eye_height": (-0.17, -0.09),
    "iris": (0.10, 0.50),
    "brow_height": (-0.04, 0.05),
    "brow_thick": (0.030, 0.062),
    "brow_arch": (0.02, 0.09),
    "brow_tilt": (-0.03, 0.03),
    "nose_length": (0.27, 0.37),
    "nose_width": (0.13, 0.20),
    "mouth_height": (0.58, 0.68),
    "mouth_width": (0.29, 0.37),
    "mouth_rest": (-0.025, 0.030),
    "lip_upper": (0.050, 0.085),
    "lip_lower": (0.065, 0.110),
    "lip_tone": (0.62, 0.84),
    "age": (0.0, 1.0),
    "beard": (0.0, 1.0),
    "glasses": (0.0, 1.0),
    "cloth": (0.1, 0.9),
    "neck": (0.44, 0.60),
}


@dataclass(frozen=True)
class View:
    """How N faces are seen: angles in degrees (N,), scale as a factor (N,), shift as a share of the image (N,)."""

    yaw: Array
    pitch: Array
    roll: Array
    scale: Array
    shift_x: Array
    shift_y: Array


def landmarks(units: Array, person: dict[str, Array]) -> dict[str, Array]:
    """Say where action units bring the movable parts of N faces, in face units.

    Parameters
    ----------
    units : float (N, 16, 2)
        Intensity 0..1 of each of ``UNITS``, on the viewer's left and right side of the face.
    person : dict of float (N,)
        The traits of ``TRAITS``.

    Returns
    -------
    dict of float (N, 2), one value a side, or (N, 1) for what the sides share
        ``brow_inner_y``, ``brow_middle_y``, ``brow_outer_y``, ``brow_inner_x``, ``lid_upper``, ``lid_lower`` (heights
        of the lids above and below the eye's axis), ``corner_x`` (distance from the midline), ``corner_y``,
        ``lip_up_y``, ``lip_low_y`` (inner edges of the lips at the midline), ``lip_upper``, ``lip_lower``
        (thickness), ``chin_y``, ``cheek_y``, ``nostril_y``.
    """
    au = {unit: units[:, k] for k, unit in enumerate(UNITS)}  # each (N, 2)
    p = {name: value[:, None] for name, value in person.items()}  # each (N, 1)
    mid = {unit: value.mean(axis=1, keepdims=True) for unit, value in au.items()}  # each (N, 1)
    brow = p["eye_height"] - 0.31 - p["brow_height"]
    mouth = p["mouth_height"]
    gap = 0.40 * mid[26] + 0.10 * mid[25] + 0.10 * mid[16] + 0.05 * mid[20] * mid[26]
    thin = 1 - 0.62 * mid[23] - 0.20 * mid[20] - 0.15 * mid[12]
    return {
        "brow_inner_x": 0.17 - 0.06 * au[4],
        "brow_inner_y": brow + 0.02 - p["brow_tilt"] - 0.17 * au[1] - 0.02 * au[2] + 0.13 * au[4] + 0.07 * au[9],
        "brow_middle_y": brow - p["brow_arch"] - 0.08 * au[1] - 0.11 * au[2] + 0.10 * au[4] + 0.05 * au[9],
        "brow_outer_y": brow + 0.02 + p["brow_tilt"] - 0.13 * au[2] + 0.03 * au[4] + 0.02 * au[6],
        "lid_upper": np.maximum(
            p["eye_open"] * (0.098 + 0.075 * au[5] - 0.040 * au[7] - 0.014 * au[4] - 0.030 * au[9] - 0.012 * au[6]),
            0.02,
        ),
        "lid_lower": np.maximum(
            p["eye_open"] * (0.078 + 0.012 * au[5] - 0.030 * au[7] - 0.050 * au[6] - 0.020 * au[9]), -0.01
        ),
        "corner_x": p["mouth_width"]
        + 0.10 * au[12]
        + 0.04 * au[14]
        + 0.12 * au[20]
        - 0.02 * au[15]
        - 0.07 * au[23]
        - 0.06 * au[26] * (1 - au[20]) * (1 - au[12]),
        "corner_y": mouth
        + p["mouth_rest"]
        - 0.15 * au[12]
        - 0.045 * au[14]
        + 0.13 * au[15]
        + 0.03 * au[20]
        + 0.10 * mid[26],
        "lip_up_y": mouth - 0.18 * gap - 0.055 * mid[9] - 0.03 * mid[12] - 0.03 * mid[17],
        "lip_low_y": mouth + 0.82 * gap - 0.03 * mid[12] - 0.05 * mid[17] - 0.04 * mid[9],
        "lip_upper": p["lip_upper"] * thin,
        "lip_lower": p["lip_lower"] * thin * (1 + 0.25 * mid[16]),
        "chin_y": p["chin"] + 0.16 * mid[26] - 0.03 * mid[17],
        "cheek_y": 0.24 - 0.06 * au[6] - 0.03 * au[12],
        "nostril_y": p["eye_height"] + 0.12 + p["nose_length"] - 0.05 * au[9],
    }


def _depth(x: Array, y: Array) -> Array:
    """Return z of the head's front at (x, y): an ellipsoid."""
    return 0.78 * np.sqrt(np.clip(1 - (x / 1.08) ** 2 - (y / 1.5) ** 2, 0.02, None))


_FILL, _BLUR, _FACE, _JOIN = 0, -1, -2, -3  # kinds of strokes; a line's kind is its width


class _Sketch:
    """Strokes for N faces, collected in the order in which they are painted."""

    def __init__(self, view: View, size: int) -> None:
        self.n, self.size = len(view.yaw), size
        self.strokes: list[tuple[int, Any, Any, Any]] = []
        turn = np.deg2rad(np.stack([view.yaw, view.pitch, view.roll]))[:, :, None, None]
        self.cos, self.sin = np.cos(turn), np.sin(turn)
        self.unit = (0.40 * view.scale * size)[:, None, None]  # pixels of the finished image
        self.at = (np.stack([0.5 + view.shift_x, 0.5 + view.shift_y]) * size)[:, :, None, None]

    def project(self, x: Array, y: Array, z: Array | float | None, rigid: bool = True) -> NDArray[np.int32]:
        """Turn points (N, K, P) by yaw, pitch and roll and return 1/16 pixels (N, K, P, 2) of a doubled image."""
        z = _depth(x, y) if z is None else z
        squeeze = (self.cos[0], self.cos[1]) if rigid else (1.0, 1.0)  # an outline keeps its width when it turns
        u, v = x * squeeze[0] + z * self.sin[0], y * squeeze[1] - z * self.sin[1]
        u, v = u * self.cos[2] - v * self.sin[2], u * self.sin[2] + v * self.cos[2]
        points = np.stack([self.at[0] + self.unit * u, self.at[1] + self.unit * v], axis=-1)
        return np.round(points * 32 - 8).astype(np.int32)  # 2 (doubled) x 16, pixel centres at integers

    def fill(self, x: Array, y: Array, grey: Array, z: Any = None, where: Any = None, rigid: bool = True) -> None:
        """Fill polygons (N, K, P) in grey 0..1 (N,)."""
        self._add(_FILL, x, y, grey, z, where, rigid)

    def line(self, x: Array, y: Array, grey: Array, width: int = 1, z: Any = None, where: Any = None) -> None:
        """Draw open curves (N, K, P), `width` in pixels of a doubled 48-pixel image."""
        self._add(max(1, round(width * self.size / 48)), x, y, grey, z, where, True)

    def fold(self, x: Array, y: Array, strength: Array, skin: Array, width: int = 1) -> None:
        """Draw curves (N, K, P) as dark as their strength 0..1 (N, K, 1) makes the skin's grey (N,)."""
        x, y, strength = np.broadcast_arrays(x, y, strength)
        for k in range(x.shape[1]):
            force = np.clip(strength[:, k, 0], 0, 1)
            self.line(x[:, k : k + 1], y[:, k : k + 1], skin * (1 - 0.42 * force), width, where=force > 0.06)

    def face(self, outline: tuple[Array, Array], z: float, grey: Array) -> None:
        """Begin a layer of grey (N,) for what lies on the face; what is painted next goes onto it, until `join`."""
        x, y, _ = np.broadcast_arrays(*outline, np.empty((self.n, 1, 1)))
        tones = np.clip(np.round(grey * 255), 0, 255).astype(int).tolist()
        self.strokes.append((_FACE, list(self.project(x, y, z, rigid=False)), tones, None))

    def join(self) -> None:
        """Lay the face over what is behind it, cut along its outline."""
        self.strokes.append((_JOIN, None, None, None))

    def soften(self, sigma: float) -> None:
        """Blur what has been painted on this layer, `sigma` in pixels of a doubled 48-pixel image."""
        width = np.sqrt(6 * (sigma * self.size / 48) ** 2 + 1)  # two boxes of width w have variance (w^2 - 1) / 6
        self.strokes.append((_BLUR, 2 * int(width / 2) + 1, None, None))

    def _add(self, kind: int, x: Array, y: Array, grey: Array, z: Any, where: Any, rigid: bool) -> None:
        x, y, _ = np.broadcast_arrays(x, y, np.empty((self.n, 1, 1)))
        tones = np.clip(np.round(np.broadcast_to(grey, (self.n,)) * 255), 0, 255).astype(int).tolist()
        shown = [True] * self.n if where is None else np.broadcast_to(where, (self.n,)).tolist()
        self.strokes.append((kind, list(self.project(x, y, z, rigid)), tones, shown))

    def render(self, background: Array) -> NDArray[np.uint8]:
        """Paint all faces at twice their size and bring them down: uint8 (N, size, size)."""
        behind, front, mask = (np.empty((2 * self.size, 2 * self.size), np.uint8) for _ in range(3))
        images = np.empty((self.n, self.size, self.size), np.uint8)
        tones = np.clip(np.round(background * 255), 0, 255).astype(np.uint8)
        for i in range(self.n):
            canvas = behind
            canvas[:] = tones[i]
            for kind, points, greys, shown in self.strokes:
                if kind == _FILL:
                    if shown[i]:
                        cv2.fillPoly(canvas, points[i], greys[i], cv2.LINE_AA, 4)
                elif kind > 0:
                    if shown[i]:
                        cv2.polylines(canvas, points[i], False, greys[i], kind, cv2.LINE_AA, 4)
                elif kind == _BLUR:
                    for _ in range(2):  # two box filters come near a Gaussian, at a tenth of its price
                        cv2.blur(canvas, (points, points), dst=canvas)
                elif kind == _FACE:
                    mask[:] = 0
                    cv2.fillPoly(mask, points[i], 255, cv2.LINE_8, 4)
                    canvas = front
                    canvas[:] = greys[i]
                else:
                    cv2.copyTo(front, mask, dst=behind)
                    canvas = behind
            cv2.resize(canvas, (self.size, self.size), dst=images[i], interpolation=cv2.INTER_AREA)
        return images


def paint(
    units: Array,
    person: dict[str, Array],
    view: View,
    background: Array,
    gaze: Array,
    sunglasses: NDArray[np.bool_],
    mask: NDArray[np.bool_],
    size: int = 48,
) -> NDArray[np.uint8]:
    """Paint N faces without light, noise or occluders: uint8 (N, size, size).

    ``units`` (N, 16, 2) as :func:`landmarks`; ``background`` grey 0..1 (N,); ``gaze`` (N, 2) from -1 to 1, right and
    down; ``sunglasses`` and ``mask`` say who wears them.
    """
    sketch = _Sketch(view, size)
    p = {name: value[:, None, None] for name, value in person.items()}  # each (N, 1, 1)
    au = {unit: units[:, k, :, None] for k, unit in enumerate(UNITS)}  # each (N, 2, 1)
    m = {name: value[:, :, None] for name, value in landmarks(units, person).items()}  # (N, 2, 1) or (N, 1, 1)
    skin = person["skin"]
    _body(sketch, p, m, person)
    _soft_parts(sketch, p, m, au, skin)
    _upper_folds(sketch, p, au, skin)
    _lower_folds(sketch, p, m, au, skin)
    _nose(sketch, p, m, skin)
    sketch.soften(0.8)
    sketch.join()
    _eyes(sketch, p, m, au, person, gaze)
    _mouth(sketch, p, m, au, person)
    _brows(sketch, p, m, person)
    _hair(sketch, p, person)
    _worn(sketch, p, m, person, sunglasses, mask)
    return sketch.render(background)


_ROUND = np.linspace(0, 2 * np.pi, 29)[:-1]
_T = np.linspace(-1, 1, 13)
SIDES = SIDE[:, None]  # (2, 1): against curves of P points, (2, P)


def _ellipse(cx: Any, cy: Any, rx: Any, ry: Any) -> tuple[Array, Array]:
    return cx + rx * np.cos(_ROUND[::2]), cy + ry * np.sin(_ROUND[::2])


def _band(x: Array, top: Array, bottom: Array) -> tuple[Array, Array]:
    """Return the polygon between two curves over the same x."""
    x, top, bottom = np.broadcast_arrays(x, top, bottom)
    return np.concatenate([x, x[..., ::-1]], -1), np.concatenate([top, bottom[..., ::-1]], -1)


def _outline(p: dict[str, Array], chin: Array, grow: float = 1.0) -> tuple[Array, Array]:
    """Return the head's outline (N, 1, 28): an ellipse above, tapering to the chin below."""
    c, s = np.cos(_ROUND), np.sin(_ROUND)
    low = np.maximum(s, 0)
    x = p["head_width"] * np.sign(c) * np.abs(c) ** 0.88 * (1 - p["jaw"] * low**2.2)
    y = np.where(s > 0, s * chin, s * 1.26)
    return grow * x, grow * y


def _hair_tone(person: dict[str, Array]) -> Array:
    """Return the hair's grey (N,): darker than the skin, or white."""
    return np.where(person["hair"] > 0.56, 0.80, np.minimum(person["hair"], 0.66 * person["skin"]))


def _hair_styles(person: dict[str, Array]) -> dict[str, NDArray[np.bool_]]:
    style = person["hair_style"]
    return {"bald": style < 0.08, "long": (style > 0.55) & (style < 0.88), "curly": style > 0.88}


def _body(sketch: _Sketch, p: dict[str, Array], m: dict[str, Array], person: dict[str, Array]) -> None:
    """Paint what is behind the face: long hair, neck, clothes, ears, then the head itself."""
    skin, style = person["skin"], _hair_styles(person)
    c, s = np.cos(_ROUND), np.sin(_ROUND)
    long = np.where(s > 0, 1.35 * s, 1.36 * s)
    sketch.fill(
        (p["head_width"] + 0.22) * np.sign(c) * np.abs(c) ** 0.6, long, 0.85 * _hair_tone(person), -0.2, style["long"]
    )
    neck = np.array([-1.0, 1.0, 1.1, -1.1])
    sketch.fill(p["neck"] * neck, np.array([0.5, 0.5, 1.8, 1.8]) + 0 * p["neck"], skin * 0.74, -0.2)
    cloth = np.array([-1.6, -0.55, 0.0, 0.55, 1.6, 1.6, -1.6])
    sketch.fill(cloth + 0 * p["neck"], np.array([1.32, 1.16, 1.32, 1.16, 1.32, 2.2, 2.2]), person["cloth"], -0.2)
    x, y = _ellipse(SIDES * (p["head_width"] + 0.02), 0.04, 0.11, 0.21)
    sketch.fill(x, y, skin * 0.86, -0.15, ~style["long"])
    sketch.face(_outline(p, m["chin_y"]), 0.05, skin * 0.72)
    sketch.fill(*_outline(p, m["chin_y"], 0.92), skin * 0.92, 0.08, rigid=False)
    sketch.fill(*_outline(p, m["chin_y"], 0.82), skin, 0.12, rigid=False)


def _soft_parts(sketch: _Sketch, p: dict[str, Array], m: dict[str, Array], au: dict[int, Array], skin: Array) -> None:
    """Paint what has no edge: eye sockets, cheeks, the nose's flank, the shadow under the lip, stubble."""
    style = _beard(p)
    x, y = _ellipse(SIDES * (p["eye_gap"] - 0.02), p["eye_height"] - 0.06, 0.24, 0.17)
    sketch.fill(x, y, skin * 0.88)
    x, y = _ellipse(SIDES * 0.52, m["cheek_y"], 0.22, 0.17 + 0.03 * au[6])
    sketch.fill(x, y, np.minimum(skin * (1.06 + 0.04 * au[6].mean(axis=(1, 2))), 0.97))
    x, y = _ellipse(0.0 * p["jaw"], -0.66, 0.42, 0.16)
    sketch.fill(x, y, np.minimum(skin * 1.05, 0.97))
    x, y = _ellipse(0.0 * p["jaw"], m["lip_low_y"] + m["lip_lower"] + 0.10, 0.17, 0.045)
    sketch.fill(x, y, skin * 0.84)
    c, s = np.cos(_ROUND[::2]), np.sin(_ROUND[::2])
    wide = (p["head_width"] - 0.10) * c * (1 - p["jaw"] * np.maximum(s, 0) ** 2.2)
    low = np.where(s > 0, s * (m["chin_y"] - 0.55), 0.15 - 0.12 * np.abs(c)) + 0.52
    tone = np.where(style["full"], skin * (0.45 + 0.35 * p["hair"][:, 0, 0]), skin * 0.84)
    sketch.fill(wide, low, np.minimum(tone, 0.8 * skin), where=style["full"] | style["stubble"])
    sketch.soften(3.0)
    x, y = _ellipse(0.05, m["nostril_y"] - 0.03, p["nose_width"] * 0.5, 0.055)
    sketch.fill(x, y, np.minimum(skin * 1.10, 0.98), z=_depth(x, y) + 0.22)


def _beard(p: dict[str, Array]) -> dict[str, NDArray[np.bool_]]:
    beard = p["beard"][:, 0, 0]
    return {
        "full": (beard > 0.60) & (beard < 0.70),
        "stubble": (beard >= 0.70) & (beard < 0.80),
        "moustache": (beard > 0.64) & (beard < 0.70) | (beard > 0.94),
    }


def _upper_folds(sketch: _Sketch, p: dict[str, Array], au: dict[int, Array], skin: Array) -> None:
    """Press folds into forehead, glabella, nose root and the corners of the eyes."""
    age, t = p["age"], np.linspace(0, 1, 6)
    raised = np.maximum(au[1], au[2])  # forehead lines: short ones where only the inner brow rises
    bend = 0.05 * t**2 * (1 - 2 * au[2] * (1 - au[4]))
    for level, power in ((-0.62, 0.75), (-0.72, 0.6)):
        x = SIDES * (0.02 + 0.5 * t * (0.45 + 0.55 * au[2]))
        sketch.fold(x, level - 0.05 * raised + bend, power * raised**1.5 + 0.2 * age, skin)
    y = np.linspace(-0.10, 0.10, 4) + p["eye_height"] - 0.24 + 0.05 * au[4]  # the frown's two furrows
    sketch.fold(SIDES * (0.07 - 0.02 * au[4]), y, 0.95 * au[4] - 0.35 * au[2], skin, 2)
    for level in (0.0, 0.07):  # the wrinkled nose
        sketch.fold(SIDES * (0.02 + 0.14 * t), p["eye_height"] + 0.02 + level - 0.06 * t, 0.9 * au[9], skin)
    for slope in (-0.10, 0.0, 0.10):  # crow's feet
        x, y = p["eye_gap"] + 0.25 + 0.12 * t, p["eye_height"] + 0.02 + slope * (0.5 + t)
        sketch.fold(SIDES * x, y, 0.6 * au[6] + 0.25 * (age - 0.4), skin)
    u = np.linspace(-1, 1, 6)  # the bag under the eye
    sag = p["eye_height"] + 0.13 - 0.03 * au[6] + 0.05 * np.cos(u * np.pi / 2)
    sketch.fold(SIDES * (p["eye_gap"] + 0.2 * u), sag, 0.55 * au[6] + 0.35 * au[7] + 0.15 + 0.2 * age, skin)


def _lower_folds(sketch: _Sketch, p: dict[str, Array], m: dict[str, Array], au: dict[int, Array], skin: Array) -> None:
    """Press folds around the mouth: nasolabial fold, dimple, lowered corner, chin."""
    t = np.linspace(0, 1, 6)
    arc = np.sin(np.pi * t)
    x0, y0, y1 = p["nose_width"] + 0.05, m["nostril_y"] - 0.02, m["corner_y"] + 0.02
    x = x0 + (m["corner_x"] + 0.08 - x0) * t + (0.03 + 0.05 * au[12] + 0.01 * au[9]) * arc
    strength = 0.75 * au[12] + 0.7 * au[9] + 0.35 * au[15] + 0.3 * p["age"]
    sketch.fold(SIDES * x, y0 + (y1 - y0) * t, strength, skin, 2)
    x, y = m["corner_x"] + 0.07 + 0.035 * arc, m["corner_y"] - 0.11 + 0.20 * t  # beside a tightened corner
    sketch.fold(SIDES * x, y, 1.0 * au[14] + 0.25 * au[12], skin, 2)
    x, y = m["corner_x"] + 0.03 + 0.05 * t, m["corner_y"] + 0.04 + 0.13 * t  # below a lowered or stretched one
    sketch.fold(SIDES * x, y, 0.8 * au[15] + 0.4 * au[20], skin)
    u = np.linspace(-1, 1, 6)
    strength = (0.9 * au[17] + 0.5 * au[15] + 0.2 * au[23]).mean(axis=1, keepdims=True)
    sketch.fold(0.17 * u, m["lip_low_y"] + m["lip_lower"] + 0.13 + 0.04 * u**2, strength, skin)


def _nose(sketch: _Sketch, p: dict[str, Array], m: dict[str, Array], skin: Array) -> None:
    """Draw the nose: flanks, wings, nostrils; it stands out of the head, so that it leads when the head turns."""
    t = np.linspace(0, 1, 6)
    base = m["nostril_y"]
    x = SIDES * (0.085 + 0.03 * t**2)
    y = p["eye_height"] + 0.02 + (base - p["eye_height"] - 0.10) * t
    sketch.line(x, y, skin * 0.86, 2, z=_depth(x, y) + 0.16 * t)
    a = np.linspace(-0.6, 1.0, 6) * np.pi / 2  # the wing's arc
    x, y = SIDES * (p["nose_width"] * (0.55 + 0.45 * np.cos(a))), base - 0.02 + 0.07 * np.sin(a)
    sketch.line(x, y, skin * 0.62, 1, z=_depth(x, y) + 0.10)
    x, y = _ellipse(SIDES * p["nose_width"] * 0.48, base + 0.035, 0.055, 0.026)
    sketch.fill(x, y, skin * 0.38, z=_depth(x, y) + 0.14)
    x = np.linspace(-0.06, 0.06, 4) + 0 * base.mean(axis=1, keepdims=True)
    y = base.mean(axis=1, keepdims=True) + 0.06 - 8 * x**2
    sketch.line(x, y, skin * 0.62, 1, z=_depth(x, y) + 0.2)


def _eyes(
    sketch: _Sketch,
    p: dict[str, Array],
    m: dict[str, Array],
    au: dict[int, Array],
    person: dict[str, Array],
    gaze: Array,
) -> None:
    """Draw both eyes; iris and pupil are cut where the lids cover them."""
    skin, t = person["skin"], _T
    wide, cx, cy = 0.205 * p["eye_size"], SIDES * p["eye_gap"], p["eye_height"]

    def upper(u: Array) -> Array:
        return cy - p["eye_tilt"] * u * SIDES - m["lid_upper"] * np.clip(1 - u**2, 0, 1) ** 0.75

    def lower(u: Array) -> Array:
        return cy - p["eye_tilt"] * u * SIDES + m["lid_lower"] * np.clip(1 - u**2, 0, 1)

    def inside(rx: float, dy: float = 0.0, dx: float = 0.0) -> tuple[Array, Array]:
        x, y = _ellipse(
            cx + dx + 0.05 * gaze[:, 0, None, None], cy - 0.008 + dy + 0.02 * gaze[:, 1, None, None], rx, rx
        )
        u = (x - cx) / wide
        return x, np.clip(y, upper(u), np.maximum(lower(u), upper(u)))

    sketch.fill(*_band(cx + wide * t, upper(t), lower(t)), np.minimum(0.42 * skin + 0.56, 0.97))
    sketch.fill(*inside(0.098), person["iris"])
    sketch.fill(*inside(0.045), 0.04 + 0 * skin)
    sketch.fill(*inside(0.026, -0.035, 0.035), 0.95 + 0 * skin)
    sketch.line(cx + wide * t, lower(t), skin * 0.62, 1)
    lash = 1.06 * t
    sketch.line(cx + wide * lash, upper(t) - 0.004, skin * 0.26, 2)
    crease = cy - p["eye_tilt"] * t * SIDES - (m["lid_upper"] + 0.055 - 0.02 * au[5]) * (1 - 0.8 * t**2)
    sketch.line(cx + wide * 1.02 * t, crease, skin * 0.66, 1)


def _brows(sketch: _Sketch, p: dict[str, Array], m: dict[str, Array], person: dict[str, Array]) -> None:
    """Fill the brows: a bent band through an inner, a middle and an outer point, thinning outwards."""
    t = np.linspace(0, 1, 9)
    inner, middle, outer = m["brow_inner_y"], m["brow_middle_y"], m["brow_outer_y"]
    bend = 2 * (1 - t) * (0.5 - t) * inner + 4 * t * (1 - t) * middle + 2 * t * (t - 0.5) * outer
    x = m["brow_inner_x"] + (p["eye_gap"] + 0.27 - m["brow_inner_x"]) * t
    thick = p["brow_thick"] * (1.05 - 0.75 * t**1.5) * np.minimum(1, 0.7 + 3 * t)
    tone = np.minimum(0.75 * person["hair"], 0.62 * person["skin"])
    sketch.fill(*_band(SIDES * x, bend - thick, bend + thick), tone)


def _mouth(
    sketch: _Sketch, p: dict[str, Array], m: dict[str, Array], au: dict[int, Array], person: dict[str, Array]
) -> None:
    """Draw lips, opening, teeth and, where the mouth is shut, the line between the lips."""
    t, skin = _T, person["skin"]
    left, right = (t < 0) * 1.0, (t >= 0) * 1.0
    reach = m["corner_x"][:, :1] * left + m["corner_x"][:, 1:] * right
    corner = m["corner_y"][:, :1] * left + m["corner_y"][:, 1:] * right
    x = t * reach  # (N, 1, 13)
    open_ = m["lip_low_y"] - m["lip_up_y"]
    shape = np.abs(t) ** 1.7
    up = m["lip_up_y"] + (corner - m["lip_up_y"]) * shape
    low = m["lip_low_y"] + (corner - m["lip_low_y"]) * np.abs(t) ** (1.9 + 1.0 * np.clip(open_ / 0.3, 0, 1))
    low = np.maximum(low, up)
    bow = (1 - t**2) * (1 - 0.30 * np.exp(-((t / 0.18) ** 2)))
    top, bottom = up - m["lip_upper"] * bow, low + m["lip_lower"] * (1 - np.abs(t) ** 2.4)
    style, gap = _beard(p), open_[:, 0, 0]
    hair = np.minimum(0.9 * person["hair"], 0.7 * skin)
    sketch.fill(*_band(1.1 * x, top - 0.085 * (1 - 0.6 * t**2), top), hair, where=style["moustache"])
    tone = skin * person["lip_tone"]
    sketch.fill(*_band(x, top, up), tone * 0.90)
    sketch.fill(*_band(x, low, bottom), tone)
    sketch.fill(*_band(x, up, low), 0.10 + 0.08 * skin, where=gap > 0.025)
    x, up, low = x[..., 1:-1], up[..., 1:-1], low[..., 1:-1]
    teeth = up + 0.065 + 0.05 * au[12].mean(axis=1, keepdims=True)
    sketch.fill(*_band(x, up, np.minimum(teeth, low)), 0.90 + 0 * skin, where=gap > 0.04)
    bare = np.maximum(au[16], 0.5 * au[20]).mean(axis=1, keepdims=True)  # the lower teeth
    shown = (gap > 0.04) & (bare[:, 0, 0] > 0.2)
    sketch.fill(*_band(x, np.maximum(low - 0.07 * bare, up), low), 0.80 + 0 * skin, where=shown)
    sketch.line(x, up, skin * 0.30, 1, where=gap <= 0.10)


def _hair(sketch: _Sketch, p: dict[str, Array], person: dict[str, Array]) -> None:
    """Fill the hair over the forehead: a cap from temple to temple, its hairline parted or even."""
    style = _hair_styles(person)
    a = np.linspace(np.pi, 2 * np.pi, 17)
    ripple = 0.05 * np.cos(8 * a) * style["curly"][:, None, None]
    fuller = 0.12 * style["curly"][:, None, None] + 0.05 * style["long"][:, None, None] + ripple
    grow = 1.04 + fuller * np.sqrt(np.abs(np.sin(a)))
    x0 = (p["head_width"] + 0.02) * np.cos(a) * grow
    y0 = -0.12 + (1.18 * np.sin(a)) * grow
    t = np.linspace(1, -1, 13)
    line = p["hairline"] + 0.16 * p["hair_part"] * t + 0.55 * np.abs(t) ** 3.5
    x1 = (p["head_width"] - 0.04) * t
    x = np.concatenate([x0, np.broadcast_to(x1, (sketch.n, 1, 13))], -1)
    y = np.concatenate([y0, line], -1)
    tone = _hair_tone(person)
    sketch.fill(x, y, tone, 0.12, ~style["bald"], rigid=False)
    t = np.linspace(-0.7, 0.25, 8)
    shine = p["hairline"] - 0.17 + 0.16 * p["hair_part"] * t + 0.30 * t**2
    sketch.line(p["head_width"] * t, shine, np.minimum(1.12 * tone + 0.015, 0.9), 3, 0.12, ~style["bald"])


def _worn(
    sketch: _Sketch,
    p: dict[str, Array],
    m: dict[str, Array],
    person: dict[str, Array],
    sunglasses: NDArray[np.bool_],
    mask: NDArray[np.bool_],
) -> None:
    """Draw what is worn: glasses, sunglasses, a mask over nose, mouth and chin."""
    glasses = person["glasses"]
    rims = (glasses > 0.82) & ~sunglasses
    x, y = _ellipse(SIDES * p["eye_gap"], p["eye_height"] + 0.02, 0.27, 0.21)
    dark = np.where(glasses > 0.91, 0.12, 0.45 * person["skin"])
    z = _depth(x, y) + 0.08
    closed = np.concatenate([x, x[..., :1]], -1), np.concatenate([y, y[..., :1]], -1)
    sketch.line(*closed, dark, 1, np.concatenate([z, z[..., :1]], -1), rims)
    x = np.linspace(-1, 1, 4) * (p["eye_gap"] - 0.26)
    bridge = p["eye_height"] - 0.02 + 0 * x
    sketch.line(x, bridge, np.where(sunglasses, 0.08, dark), 2, _depth(x, bridge) + 0.1, rims | sunglasses)
    x, y = _ellipse(SIDES * p["eye_gap"], p["eye_height"] + 0.03, 0.31, 0.23)
    sketch.fill(x, y, 0.10 + 0 * dark, _depth(x, y) + 0.08, sunglasses)
    c, s = np.cos(_ROUND[::2]), np.sin(_ROUND[::2])
    x = (p["head_width"] - 0.06) * np.sign(c) * np.abs(c) ** 0.8 * (1 - p["jaw"] * np.maximum(s, 0) ** 2.2)
    y = np.where(s > 0, s * (m["chin_y"] - 0.5), 0.32 * s) + 0.5
    sketch.fill(x, y, 0.86 - 0.35 * person["cloth"], _depth(x, y) + 0.05, mask)
    x = np.linspace(-0.7, 0.7, 7) + 0 * p["jaw"]
    sketch.line(x, 0.62 + 0.1 * x**2, 0.66 - 0.35 * person["cloth"], 1, None, mask)
