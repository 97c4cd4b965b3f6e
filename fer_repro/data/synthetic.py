"""Synthetic faces: expressions drawn from action units, with subjects, sequences and a knob for every nuisance.

FER2013 and CK+ may not be handed on, so this data set stands in for both: it is drawn, not collected, and shows nobody.
Because every nuisance is a knob of known size, it also answers what photographs cannot: accuracy against occlusion,
pose, light and noise. It says nothing about how well a network reads people.

Everything random comes from numpy's Generator, in blocks numbered by position: the same seed gives the same pixels in
any process, a longer data set begins with the shorter one, and turning one knob leaves all else as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_repro.data import portrait
from fer_repro.data.faces import CK_CLASSES, FER_CLASSES, FaceDataset
from fer_repro.data.portrait import TRAITS, UNITS

__all__ = ["CLASSES", "COMPANIONS", "PROTOTYPES", "Knobs", "action_units", "draw", "landmarks", "load", "person"]

Number = int | float
Range = int | float | tuple[int | float, int | float]

CLASSES = {"fer2013": FER_CLASSES, "ckplus": CK_CLASSES, "all": (*FER_CLASSES, "contempt")}

# Which action units make an expression, and how far each goes at its apex (0..1). The sets are the usual prototypes of
# FACS; the shares are ours: fear's jaw drops less than surprise's, its brows are drawn together as they rise.
PROTOTYPES: dict[str, dict[int, float]] = {
    "anger": {4: 1.0, 5: 0.5, 7: 0.7, 23: 1.0},
    "disgust": {9: 1.0, 15: 0.5, 16: 0.7},
    "fear": {1: 1.0, 2: 0.5, 4: 0.5, 5: 0.9, 7: 0.2, 20: 1.0, 26: 0.45},
    "happiness": {6: 0.9, 12: 1.0},
    "sadness": {1: 1.0, 4: 0.45, 15: 1.0},
    "surprise": {1: 1.0, 2: 1.0, 5: 0.8, 26: 1.0},
    "neutral": {},
    "contempt": {12: 0.5, 14: 1.0},  # on one side
}
# What often goes along: expression -> (action unit, its share at the apex, how often)
COMPANIONS: dict[str, tuple[tuple[int, float, float], ...]] = {
    "anger": ((17, 0.6, 0.3), (25, 0.6, 0.2), (9, 0.4, 0.2)),
    "disgust": ((4, 0.7, 0.5), (25, 0.6, 0.4), (17, 0.6, 0.3), (7, 0.5, 0.3)),
    "fear": ((25, 0.5, 0.4),),
    "happiness": ((25, 1.0, 0.6), (26, 0.45, 0.25)),
    "sadness": ((17, 0.7, 0.4), (7, 0.3, 0.3), (25, 0.3, 0.1)),
    "surprise": ((25, 0.5, 0.3), (20, 0.3, 0.15)),
    "neutral": ((25, 0.5, 0.12), (4, 0.25, 0.1), (12, 0.2, 0.1)),
    "contempt": ((4, 0.3, 0.2), (2, 0.4, 0.2)),
}
BALANCE = {  # images by class; FER2013: official counts; CK+: labelled sequences (Lucey et al. 2010)
    "fer2013": dict(zip(FER_CLASSES, (4953, 547, 5121, 8989, 6077, 4002, 6198))),
    "ckplus": dict(zip(CK_CLASSES, (45, 18, 59, 25, 69, 28, 83))),
}
SUBJECT_SPLIT = ("train", "val", "test", *["train"] * 5, "val", "test", *["train"] * 5, "val", "test", *["train"] * 3)
FACES_A_SUBJECT = 14
BLOCK = 256  # faces drawn from one random stream


def _knob(default: Any, low: Number, high: Number, unit: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "unit": unit})


@dataclass(frozen=True)
class Knobs:
    """What makes one picture of a face differ from another.

    A number holds for every face; a pair ``(low, high)`` is drawn uniformly for each. ``Knobs.units()`` lists ranges.

    Attributes
    ----------
    intensity : how far the expression goes, 0 (neutral) to 1 (apex)
    variety : how much faces of one expression differ in their action units, 0 to 1
    yaw, pitch, roll : degrees; the face turns to the viewer's right, upwards, clockwise
    shift, scale : the head's displacement as a share of the image, and its size as a factor
    light : share of the light that has a direction, 0 (even) to 1 (hard)
    light_angle : degrees, where it comes from: 0 above, 90 the viewer's right
    brightness, contrast : grey levels added; factor about mid-grey
    blur : standard deviation of a Gaussian, in pixels of a 48-pixel image
    noise : standard deviation of Gaussian noise, in grey levels
    salt_pepper : share of pixels set to 0 or 255
    occluded : share of faces that have something before them
    occlusion : share of the picture which that covers; where you set it yourself, every face is occluded
    occluder : what it may be: "bar", "disc", "hand"
    sunglasses, mask : share of faces that wear them
    """

    intensity: Range = _knob((0.35, 1.0), 0, 1, "share of the apex")
    variety: Number = _knob(0.45, 0, 1, "share")
    yaw: Range = _knob((-18.0, 18.0), -45, 45, "degrees")
    pitch: Range = _knob((-10.0, 10.0), -30, 30, "degrees")
    roll: Range = _knob((-8.0, 8.0), -180, 180, "degrees")
    shift: Range = _knob((-0.03, 0.03), -0.5, 0.5, "share of the image")
    scale: Range = _knob((0.93, 1.08), 0.3, 3, "factor")
    light: Range = _knob((0.0, 0.7), 0, 1, "share")
    light_angle: Range = _knob((-180.0, 180.0), -360, 360, "degrees")
    brightness: Range = _knob((-25.0, 25.0), -255, 255, "grey levels")
    contrast: Range = _knob((0.7, 1.15), 0, 3, "factor")
    blur: Range = _knob((0.0, 0.8), 0, 8, "pixels")
    noise: Range = _knob((0.0, 7.0), 0, 128, "grey levels")
    salt_pepper: Range = _knob((0.0, 0.008), 0, 1, "share of pixels")
    occluded: Number = _knob(0.10, 0, 1, "share of faces")
    occlusion: Range = _knob((0.06, 0.20), 0, 0.75, "share of the picture")
    occluder: str | tuple[str, ...] = ("bar", "disc", "hand")
    sunglasses: Number = _knob(0.02, 0, 1, "share of faces")
    mask: Number = _knob(0.02, 0, 1, "share of faces")

    def __post_init__(self) -> None:
        for f in fields(self):
            if f.metadata:
                _check_knob(f.name, getattr(self, f.name), **f.metadata)
        kinds = (self.occluder,) if isinstance(self.occluder, str) else tuple(self.occluder)
        if not kinds or set(kinds) - set(_OCCLUDERS):
            raise ValueError(f"occluder: wanted some of {tuple(_OCCLUDERS)}, got {self.occluder!r}")
        object.__setattr__(self, "occluder", kinds)

    @classmethod
    def units(cls) -> dict[str, tuple[Number, Number, str]]:
        """Return each knob's lowest and highest value, and its unit."""
        return {f.name: (f.metadata["low"], f.metadata["high"], f.metadata["unit"]) for f in fields(cls) if f.metadata}

    @classmethod
    def clean(cls, **knobs: Any) -> Knobs:
        """Return knobs for a plain portrait (apex, frontal, even light, nothing added), except those named."""
        return cls(**{**_CLEAN, **knobs})


_CLEAN: dict[str, Any] = dict.fromkeys(("variety", "yaw", "pitch", "roll", "shift", "light", "light_angle"), 0.0)
_CLEAN |= dict.fromkeys(("brightness", "blur", "noise", "salt_pepper", "occluded", "sunglasses", "mask"), 0.0)
_CLEAN |= {"intensity": 1.0, "scale": 1.0, "contrast": 1.0}


_SINGLE = ("variety", "occluded", "sunglasses", "mask")  # shares: a number, never a pair


def _check_knob(name: str, value: Any, low: Number, high: Number, unit: str) -> None:
    single = name in _SINGLE
    pair = value if isinstance(value, (tuple, list)) and not single else (value, value)
    numbers = all(isinstance(v, (int, float, np.number)) and not isinstance(v, bool) for v in pair)
    if not (len(pair) == 2 and numbers and low <= pair[0] <= pair[1] <= high):
        wanted = "a number" if single else "a number or a pair (low, high)"
        raise ValueError(f"{name}: wanted {wanted} within {low}..{high} ({unit}), got {value!r}")


def _knobs(start: dict[str, Any], given: dict[str, Any]) -> Knobs:
    """Return the starting knobs with those given put in their place."""
    known = [f.name for f in fields(Knobs)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"synthetic faces have no knob {unknown[0]!r}; there are {', '.join(known)}")
    if "occlusion" in given and "occluded" not in given:
        given = {**given, "occluded": 1.0}
    return Knobs(**{**start, **given})


# ---------------------------------------------------------------------------------------------- people and expressions


def _people(seed: int, count: int) -> dict[str, NDArray[np.float64]]:
    """Draw the traits of subjects 0..count-1: trait -> (count,). Subject k is the same for any count."""
    u = np.random.default_rng([seed, 0]).random((count, len(TRAITS)))
    return {name: low + (high - low) * u[:, k] for k, (name, (low, high)) in enumerate(TRAITS.items())}


def person(identity: int | None = None, seed: int = 0, **traits: Number) -> dict[str, Number]:
    """Return what a subject looks like: trait -> value (``portrait.TRAITS`` lists names and ranges).

    ``identity`` is a subject's number in ``load(seed=seed)``; None is a person of middle traits. Traits given by name
    replace theirs.
    """
    unknown = sorted(set(traits) - set(TRAITS))
    if unknown:
        raise ValueError(f"a person has no trait {unknown[0]!r}; there are {', '.join(TRAITS)}")
    if identity is None:
        plain = {name: (low + high) / 2 for name, (low, high) in TRAITS.items()}
        plain |= {
            "beard": 0.0,
            "glasses": 0.0,
            "age": 0.15,
            "hair": 0.22,
            "skin": 0.72,
            "hair_style": 0.3,
            "hair_part": 0.35,
        }
        return {**plain, **traits}
    if identity < 0:
        raise ValueError(f"identity: wanted a subject's number, 0 or above, or None, got {identity}")
    return {**{name: float(v[-1]) for name, v in _people(seed, identity + 1).items()}, **traits}


def action_units(expression: str, intensity: Number = 1.0, side: str = "L") -> dict[int | str, float]:
    """Return an expression's prototype: action unit -> intensity 0..1, e.g. ``{6: 0.9, 12: 1.0}`` for happiness.

    Contempt is one-sided, on the person's left ("L") or right ("R"), as FACS writes it: ``{"12L": 0.5, "14L": 1.0}``.
    """
    if expression not in PROTOTYPES:
        raise ValueError(f"expression: wanted one of {', '.join(PROTOTYPES)}, got {expression!r}")
    shares = PROTOTYPES[expression].items()
    if expression == "contempt":
        return {f"{unit}{side}": intensity * share for unit, share in shares}
    return {unit: intensity * share for unit, share in shares}


def _unit_array(units: Mapping[Any, Number]) -> NDArray[np.float64]:
    """Turn ``{1: 0.5, "14L": 1.0}`` into intensities (1, 16, 2), the viewer's left first."""
    array = np.zeros((1, len(UNITS), 2))
    for key, value in units.items():
        text = str(key).upper().removeprefix("AU")
        sides = {"R": [0], "L": [1]}.get(text[-1:], [0, 1])
        number = text.rstrip("LR")
        if not number.isdigit() or int(number) not in UNITS:
            raise ValueError(f"action unit: wanted one of {UNITS}, with L or R for one side, got {key!r}")
        if not 0 <= value <= 1:
            raise ValueError(f"action unit {key}: wanted an intensity within 0..1, got {value}")
        array[0, UNITS.index(int(number)), sides] = value
    return array


def landmarks(units: Mapping[Any, Number], traits: Mapping[str, Number] | None = None) -> dict[str, tuple[float, ...]]:
    """Say where action units bring a face's movable parts, in face units (x right, y down; eyes 0.8 apart).

    Returns the names of :func:`fer_repro.data.portrait.landmarks`, each with two values (viewer's left, right) or one.
    """
    who = {name: np.array([value]) for name, value in person(**(traits or {})).items()}  # type: ignore[arg-type]
    return {name: tuple(v[0].tolist()) for name, v in portrait.landmarks(_unit_array(units), who).items()}


_PROTOTYPE_TABLE = np.array([[PROTOTYPES[c].get(u, 0.0) for u in UNITS] for c in PROTOTYPES])
_COMPANION_SHARE = np.zeros_like(_PROTOTYPE_TABLE)
_COMPANION_RATE = np.zeros_like(_PROTOTYPE_TABLE)
for _row, _name in enumerate(PROTOTYPES):
    for _unit, _share, _rate in COMPANIONS[_name]:
        _COMPANION_SHARE[_row, UNITS.index(_unit)] = _share
        _COMPANION_RATE[_row, UNITS.index(_unit)] = _rate


def _express(
    labels: NDArray[np.int64], classes: tuple[str, ...], intensity: NDArray[np.float64], variety: Number, u: Any
) -> NDArray[np.float64]:
    """Draw action units (N, 16, 2) for labels (N,): the prototype, varied, with companions and idle movement."""
    row = np.array([list(PROTOTYPES).index(c) for c in classes])[labels]
    k = len(UNITS)
    stray, often, idle, lean = u[:, :k], u[:, k : 2 * k], u[:, 2 * k : 3 * k], u[:, 3 * k :]
    share = _PROTOTYPE_TABLE[row] * (1 + variety * 0.9 * (stray - 0.6))
    share = np.where(often < variety * _COMPANION_RATE[row] * 1.5, np.maximum(share, _COMPANION_SHARE[row]), share)
    neutral = row == list(PROTOTYPES).index("neutral")
    level = np.where(neutral, 1.0, intensity)[:, None] * share + variety * 0.24 * np.maximum(idle - 0.5, 0)
    both = level[:, :, None] * (1 + variety * 0.3 * (lean[:, :1, None] - 0.5) * portrait.SIDE)
    one_sided = row == list(PROTOTYPES).index("contempt")
    side = np.where(lean[:, 1:] < 0.5, [[1.0, 0.0]], [[0.0, 1.0]])[:, None, :]
    acting = (_PROTOTYPE_TABLE[row] > 0)[:, :, None]
    return np.clip(np.where(one_sided[:, None, None] & acting, both * side, both), 0, 1)


# ---------------------------------------------------------------------------------------------------------- the picture

# What is drawn at random for each picture, a column each: new ones go to the end, or all faces change.
_EXTRA = ("occluder", "shift_y", "place", "place_y", "occluder_tone", "occluder_turn", "background", "gaze", "gaze_y")
_COLUMNS = (*Knobs.units(), *_EXTRA)


def _value(knob: Range, u: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = knob if isinstance(knob, (tuple, list)) else (knob, knob)
    return low + (high - low) * u


def _picture(
    units: NDArray[np.float64],
    who: dict[str, NDArray[np.float64]],
    knobs: Knobs,
    u: dict[str, NDArray[np.float64]],
    rng: tuple[np.random.Generator, np.random.Generator],
    size: int,
) -> NDArray[np.uint8]:
    """Paint N faces and put before and over them what the knobs say: uint8 (N, size, size)."""
    yaw, pitch, roll, scale = (_value(getattr(knobs, name), u[name]) for name in ("yaw", "pitch", "roll", "scale"))
    shift_x, shift_y = _value(knobs.shift, u["shift"]), _value(knobs.shift, u["shift_y"]) + 0.02
    view = portrait.View(yaw, pitch, roll, scale, shift_x, shift_y)
    gaze = 2 * np.stack([u["gaze"], u["gaze_y"]], axis=1) - 1
    worn = u["sunglasses"] < knobs.sunglasses, u["mask"] < knobs.mask
    images = portrait.paint(units, who, view, 0.1 + 0.8 * u["background"], gaze, *worn, size=size)
    images = _light(images, _value(knobs.light, u["light"]), _value(knobs.light_angle, u["light_angle"]), view)
    _occlude(images, knobs, u)
    tone = 128 + (images.astype(np.float32) - 128) * _column(_value(knobs.contrast, u["contrast"]))
    tone += _column(_value(knobs.brightness, u["brightness"]))
    images = np.clip(np.round(tone), 0, 255).astype(np.uint8)
    _blur(images, _value(knobs.blur, u["blur"]) * size / 48)
    return _noise(images, _value(knobs.noise, u["noise"]), _value(knobs.salt_pepper, u["salt_pepper"]), rng)


def _column(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)[:, None, None]


def _light(
    images: NDArray[np.uint8], strength: NDArray[np.float64], angle: NDArray[np.float64], view: portrait.View
) -> NDArray[np.uint8]:
    """Shade N images as an ellipsoid lit from one side: Lambert's cosine law, mixed with even light."""
    if not strength.any():
        return images
    size = images.shape[1]
    grid = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x = (grid[None, None, :] - _column(view.shift_x)) / 0.46
    y = (grid[None, :, None] - _column(view.shift_y)) / 0.58
    z = np.sqrt(np.maximum(1 - x * x - y * y, np.float32(0.08)))
    turn = np.deg2rad(angle)
    shade = x * _column(0.8 * np.sin(turn)) + y * _column(-0.8 * np.cos(turn)) + z * np.float32(0.6)
    gain = 1 + _column(strength) * (np.maximum(shade, 0) * np.float32(1.25) - np.float32(0.9))
    return np.clip(np.round(images * gain), 0, 255).astype(np.uint8)


def _bar(image: NDArray[np.uint8], share: float, x: float, y: float, turn: float, grey: int) -> None:
    size = image.shape[0]
    thick = share * size  # of a bar across the whole image
    if turn < 0.5:
        start = y * (size - thick)
        image[round(start) : round(start + thick)] = grey
    else:
        start = x * (size - thick)
        image[:, round(start) : round(start + thick)] = grey


def _disc(image: NDArray[np.uint8], share: float, x: float, y: float, turn: float, grey: int) -> None:
    size = image.shape[0]
    radius = min(size * float(np.sqrt(share / np.pi)), size / 2)
    at = tuple(round((radius + v * (size - 2 * radius) - 0.5) * 16) for v in (x, y))
    cv2.circle(image, at, round(max(radius - 0.9, 1) * 16), grey, -1, cv2.LINE_AA, 4)


def _hand(image: NDArray[np.uint8], share: float, x: float, y: float, turn: float, grey: int) -> None:
    """Lay a palm and four fingers over the face, coming up from a lower corner."""
    size, flip = image.shape[0], 1 if turn < 0.5 else -1
    unit = size * float(np.sqrt(share / 1.10))
    lean = flip * (0.15 + 0.5 * (turn * 2 % 1))
    along, across = np.array([np.sin(lean), -np.cos(lean)]), np.array([np.cos(lean), np.sin(lean)])
    reach = max(0.0, size - 1.5 * unit)
    middle = np.array([0.5 * unit + x * max(0.0, size - unit), 0.9 * unit + y * reach])

    def stroke(a: float, b: float, c: float, d: float, width: float, tone: int) -> None:
        ends = [middle + unit * (a * across + b * along), middle + unit * (c * across + d * along)]
        p, q = (tuple(np.round((e - 0.5) * 16).astype(int).tolist()) for e in ends)
        cv2.line(image, p, q, tone, max(1, round(width * unit - 0.8)), cv2.LINE_AA, 4)

    stroke(0.0, 0.1, 0.0, -0.55, 0.62, grey)
    for k, length in enumerate((0.62, 0.76, 0.72, 0.56)):
        stroke(0.17 * (k - 1.5), 0.2, 0.19 * (k - 1.5), length, 0.15, grey)
    for k in range(3):
        stroke(0.17 * (k - 1), 0.25, 0.19 * (k - 1), 0.5, 0.02, int(0.7 * grey))


_OCCLUDERS = {"bar": _bar, "disc": _disc, "hand": _hand}


def _occlude(images: NDArray[np.uint8], knobs: Knobs, u: dict[str, NDArray[np.float64]]) -> None:
    """Cover a share of some images with a bar, a disc or a hand, in place."""
    share = _value(knobs.occlusion, u["occlusion"])
    kinds = np.minimum((u["occluder"] * len(knobs.occluder)).astype(int), len(knobs.occluder) - 1)
    for i in np.flatnonzero((u["occluded"] < knobs.occluded) & (share > 0)):
        hide = _OCCLUDERS[knobs.occluder[kinds[i]]]
        place = float(u["place"][i]), float(u["place_y"][i]), float(u["occluder_turn"][i])
        hide(images[i], float(share[i]), *place, int(20 + 200 * u["occluder_tone"][i]))


def _blur(images: NDArray[np.uint8], sigma: NDArray[np.float64]) -> None:
    for i in np.flatnonzero(sigma > 0.15):
        cv2.GaussianBlur(images[i], (0, 0), float(sigma[i]), dst=images[i])


def _noise(
    images: NDArray[np.uint8],
    sigma: NDArray[np.float64],
    share: NDArray[np.float64],
    rng: tuple[np.random.Generator, np.random.Generator],
) -> NDArray[np.uint8]:
    """Add Gaussian noise, then set a share of pixels to black or white, half and half."""
    if sigma.any():
        grain = rng[0].standard_normal(images.shape, dtype=np.float32) * _column(sigma)
        images = np.clip(np.round(images + grain), 0, 255).astype(np.uint8)
    if share.any():
        dice, half = rng[1].random(images.shape, dtype=np.float32), _column(share / 2)
        images = np.where(dice < half, np.uint8(0), np.where(dice >= 1 - half, np.uint8(255), images))
    return images


def draw(
    expression: str | Mapping[Any, Number] = "neutral",
    identity: int | None = None,
    size: int = 48,
    seed: int = 0,
    traits: Mapping[str, Number] | None = None,
    **knobs: Any,
) -> NDArray[np.uint8]:
    """Draw one face: uint8 (size, size).

    Parameters
    ----------
    expression : str or mapping
        An expression's name, or action units with intensities 0..1: ``{1: 0.5, 12: 1, "14L": 1}`` ("L": the person's
        left side, on the viewer's right).
    identity : int, optional
        Which subject of ``load(seed=seed)``; None is a person of middle traits, changed by ``traits``.
    size : int
        Height and width in pixels, at least 16.
    knobs
        As :class:`Knobs`, starting from ``Knobs.clean()``; ``intensity`` scales an expression given by name.

    Raises
    ------
    ValueError
        For an unknown expression, action unit, trait or knob, or a value outside its range.
    """
    set_ = _knobs(_CLEAN, knobs)
    _check_size(size)
    u = dict(zip(_COLUMNS, np.random.default_rng([seed, 4]).random((len(_COLUMNS), 1))))
    u |= {name: np.array([0.5]) for name in ("shift_y", "gaze", "gaze_y", "background")}
    level = float(_value(set_.intensity, u["intensity"])[0])
    units = action_units(expression, level) if isinstance(expression, str) else expression
    who = {name: np.array([value]) for name, value in person(identity, seed, **(traits or {})).items()}
    rng = np.random.default_rng([seed, 5]), np.random.default_rng([seed, 6])
    return _picture(_unit_array(units), who, set_, u, rng, size)[0]


# --------------------------------------------------------------------------------------------------------- the data set


def load(
    n: int = 4200,
    size: int = 48,
    seed: int = 0,
    classes: str = "fer2013",
    balance: str | Mapping[str, Number] = "uniform",
    sequences: bool | int = False,
    knobs: Knobs | None = None,
    **settings: Any,
) -> FaceDataset:
    """Draw a data set of `n` faces, split by subject into about 70 % train, 15 % val and 15 % test.

    Parameters
    ----------
    n : int
        Images. Every class is in every split from ``n = 36`` on (36 sequences, with sequences).
    size : int
        Height and width in pixels, at least 16.
    seed : int
        The same seed gives the same pixels everywhere; a larger `n` continues a smaller one.
    classes : str
        ``"fer2013"`` (with neutral), ``"ckplus"`` (with contempt, Q13) or ``"all"`` (eight).
    balance : str or mapping
        ``"uniform"``, ``"fer2013"`` or ``"ckplus"`` (as imbalanced as those), or weights by class.
    sequences : bool or int
        True draws sequences of 6 frames from neutral to apex (an int: that many frames), each labelled with the
        sequence's expression as in CK+; otherwise each image is a sequence of its own.
    knobs, settings
        A :class:`Knobs`, and single knobs by name; the defaults are moderate.

    Raises
    ------
    ValueError
        For an unknown knob or class set, or a value outside its range.
    """
    set_ = _knobs({} if knobs is None else asdict(knobs), settings)
    if classes not in CLASSES:
        raise ValueError(f"classes: wanted one of {tuple(CLASSES)}, got {classes!r}")
    if n < 1 or seed < 0:
        raise ValueError(f"n and seed: wanted n of at least 1 and a seed of at least 0, got {n} and {seed}")
    _check_size(size)
    frames = _frames(sequences)
    names, total = CLASSES[classes], -(-n // frames)
    subject = np.arange(total) // FACES_A_SUBJECT
    split = np.array(SUBJECT_SPLIT)[subject % len(SUBJECT_SPLIT)]
    labels = _labels(split, _weights(balance, names))
    ramp = np.ones(1) if frames == 1 else np.linspace(0, 1, frames)
    people = _people(seed, int(subject[-1]) + 1)
    images = np.empty((total * frames, size, size), np.uint8)
    for block, start in enumerate(range(0, total, BLOCK)):
        part = slice(start, min(start + BLOCK, total))
        who = {name: np.repeat(trait[subject[part]], frames) for name, trait in people.items()}
        images[start * frames : part.stop * frames] = _block(block, labels[part], names, who, set_, ramp, seed, size)
    which = np.repeat(np.arange(total), frames)[:n]
    return FaceDataset(images[:n], labels[which], names, split[which], subject[which], which, "synthetic")


def _check_size(size: int) -> None:
    if not 16 <= size <= 1024:
        raise ValueError(f"size: wanted 16 to 1024 pixels, got {size}")


def _frames(sequences: bool | int) -> int:
    frames = {True: 6, False: 1}[sequences] if isinstance(sequences, bool) else sequences
    if not 1 <= frames <= 100:
        raise ValueError(f"sequences: wanted True, False or 1 to 100 frames, got {sequences}")
    return frames


def _weights(balance: str | Mapping[str, Number], classes: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the share of each class (C,)."""
    if isinstance(balance, str) and balance != "uniform" and balance not in BALANCE:
        raise ValueError(f"balance: wanted 'uniform', 'fer2013', 'ckplus' or weights by class, got {balance!r}")
    presets: dict[str, Mapping[str, Number]] = {"uniform": dict.fromkeys(classes, 1.0), **BALANCE}
    given = presets[balance] if isinstance(balance, str) else balance
    weights = np.array([float(given.get(c, 0.0)) for c in classes])
    if not (weights > 0).all():
        missing = classes[int(np.argmin(weights > 0))]
        raise ValueError(f"balance: wanted a weight above 0 for {missing!r}, got {given.get(missing)}")
    return weights / weights.sum()


def _labels(split: NDArray[Any], share: NDArray[np.float64]) -> NDArray[np.int64]:
    """Deal out classes within each split, always the one that lags furthest behind its share."""
    labels = np.zeros(len(split), dtype=np.int64)
    for name in np.unique(split):
        places = np.flatnonzero(split == name)
        dealt = np.zeros(len(share))
        for k, place in enumerate(places):
            labels[place] = np.argmax(share * (k + 1) - dealt + 9 * (dealt == 0))  # each class once, to begin with
            dealt[labels[place]] += 1
    return labels


def _block(
    block: int,
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    who: dict[str, NDArray[np.float64]],
    knobs: Knobs,
    ramp: NDArray[np.float64],
    seed: int,
    size: int,
) -> NDArray[np.uint8]:
    """Draw one block of stills or sequences: uint8 (len(labels) * frames, size, size), each from its own streams."""
    count, frames = len(labels), len(ramp)
    stream = [np.random.default_rng([seed, kind, block]) for kind in (1, 2, 3, 7)]
    table = stream[0].random((count, len(_COLUMNS)))
    u = {name: np.repeat(table[:, k], frames) for k, name in enumerate(_COLUMNS)}
    dice = np.repeat(stream[1].random((count, 3 * len(UNITS) + 2)), frames, axis=0)
    reached = _value(knobs.intensity, u["intensity"]) * np.tile(ramp, count)
    units = _express(np.repeat(labels, frames), classes, reached, knobs.variety, dice)
    return _picture(units, who, knobs, u, (stream[2], stream[3]), size)
