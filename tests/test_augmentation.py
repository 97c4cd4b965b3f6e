"""Sec. IV-B: rotation, flip and brightness of training batches (Q14)."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from fer_repro.augmentation import _warp, _within, augment
from fer_repro.preprocessing import global_contrast_normalize, normalize_batch

OFF = {"rotate": 0.0, "flip": 0.0, "brightness": 0.0}


def batch(b: int = 4, h: int = 9, w: int = 9, seed: int = 0) -> torch.Tensor:
    return torch.randn(b, 1, h, w, generator=torch.Generator().manual_seed(seed))


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slow_warp(image: np.ndarray, flip: bool, angle: float, dx: float, dy: float, factor: float) -> np.ndarray:
    """Pixel by pixel: undo shift, rotation and zoom about the middle, undo the flip, interpolate, border continued."""
    h, w = image.shape
    result = np.empty((h, w))
    for i, j in itertools.product(range(h), range(w)):
        x, y = j - (w - 1) / 2 - dx * w, i - (h - 1) / 2 - dy * h  # rows run downwards
        # a counter-clockwise turn of the picture looks for each pixel's origin clockwise
        x, y = (
            (math.cos(angle) * x - math.sin(angle) * y) / factor,
            (math.sin(angle) * x + math.cos(angle) * y) / factor,
        )
        x = min(max((-x if flip else x) + (w - 1) / 2, 0), w - 1)
        y = min(max(y + (h - 1) / 2, 0), h - 1)
        s, t = int(x), int(y)
        r, b = min(s + 1, w - 1), min(t + 1, h - 1)
        top = image[t, s] * (1 - x + s) + image[t, r] * (x - s)
        result[i, j] = top * (1 - y + t) + (image[b, s] * (1 - x + s) + image[b, r] * (x - s)) * (y - t)
    return result


@pytest.mark.parametrize(("h", "w"), [(9, 9), (8, 8), (6, 11)])
def test_warp_equals_the_loops(h: int, w: int) -> None:
    x = batch(5, h, w)
    flipped = torch.tensor([False, True, False, True, True])
    angle, dx, dy = torch.tensor([[0.3, -0.2, 3.0, 0.7, 0.0], [0.1, 0, -0.2, 0.05, 0], [0, 0.1, 0.3, -0.1, 0]])
    factor = torch.tensor([1.0, 1.2, 0.8, 1.0, 1.0])
    result = _warp(x, flipped, angle, dx, dy, factor)
    for k in range(5):
        amounts = (bool(flipped[k]), *(float(a[k]) for a in (angle, dx, dy, factor)))
        np.testing.assert_allclose(result[k, 0], slow_warp(x[k, 0].numpy(), *amounts), atol=2e-5)


def test_a_quarter_turn_is_numpys() -> None:
    x, zero = batch(1), torch.zeros(1)
    turned = _warp(x, torch.tensor([False]), torch.full((1,), math.pi / 2), zero, zero, zero + 1)
    np.testing.assert_allclose(turned[0, 0], np.rot90(x[0, 0]), atol=1e-5)


def test_a_grid_kept_within_the_image_needs_no_border() -> None:
    generator = torch.Generator().manual_seed(0)
    image, grid = torch.rand(3, 1, 12, 20, generator=generator), 3 * torch.rand(3, 12, 20, 2, generator=generator) - 1.5
    plain = torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    kept = torch.nn.functional.grid_sample(image, _within(grid, 12, 20), align_corners=False)
    torch.testing.assert_close(kept, plain)


def test_nothing_asked_nothing_done() -> None:
    x = batch()
    assert torch.equal(augment(x, seeded(), **OFF), x)


def test_a_certain_flip_is_exact() -> None:
    x = batch()
    assert torch.equal(augment(x, seeded(), **OFF | {"flip": 1.0}), x.flip(-1))


def test_half_of_the_faces_are_flipped_and_none_stands_on_its_head() -> None:
    x = batch(400, 5, 5)
    y = augment(x, seeded(), **OFF | {"flip": 0.5})
    flipped = (y == x.flip(-1)).flatten(1).all(1)
    assert (flipped | (y == x).flatten(1).all(1)).all()
    assert 140 < int(flipped.sum()) < 260


def test_angles_stay_within_their_bound_and_fill_it() -> None:
    x = torch.zeros(200, 1, 65, 65)
    x[:, :, 31:34, 56:59] = 1  # a dot to the right of the middle
    y = augment(x, seeded(), **OFF | {"rotate": 20.0}).clamp_min(0)
    mass = y.sum((1, 2, 3))
    rows = (y.sum((1, 3)) * torch.arange(65)).sum(1) / mass - 32
    columns = (y.sum((1, 2)) * torch.arange(65)).sum(1) / mass - 32
    angle = torch.atan2(-rows, columns).rad2deg()
    assert angle.abs().max() < 20.5
    assert angle.min() < -17
    assert angle.max() > 17


def test_brightness_shifts_and_contrast_scales() -> None:
    x = batch(100)
    shift = augment(x, seeded(), **OFF | {"brightness": 0.3}) - x
    assert shift.flatten(1).std(1).max() < 1e-6
    assert shift.abs().max() <= 0.3
    assert shift.min() < -0.25
    assert shift.max() > 0.25
    factor = augment(x, seeded(), **OFF, contrast=0.5) / x
    assert factor.flatten(1).std(1).max() < 1e-4
    assert 0.5 <= factor.min() < 0.6
    assert 1.4 < factor.max() <= 1.5 + 1e-5


def test_before_eq1_brightness_and_contrast_are_undone_and_after_it_they_are_not() -> None:
    faces = np.random.default_rng(0).integers(60, 180, (6, 16, 16)).astype(np.float64)  # room for no clipping
    changed = 1.3 * faces + 12
    np.testing.assert_allclose(global_contrast_normalize(changed), global_contrast_normalize(faces), atol=1e-6)
    x = torch.from_numpy(faces)[:, None]
    torch.testing.assert_close(normalize_batch(1.3 * x + 12), normalize_batch(x), atol=1e-5, rtol=0)
    after = augment(normalize_batch(x), seeded(), **OFF | {"brightness": 0.2})
    assert (after - normalize_batch(x)).abs().max() > 0.05
    clipped = np.clip(2 * faces, 0, 255)
    assert np.abs(global_contrast_normalize(clipped) - global_contrast_normalize(faces)).max() > 0.1


def test_the_same_generator_the_same_batch_and_no_other_randomness() -> None:
    x = batch()
    torch.manual_seed(0)
    first = augment(x, seeded())
    torch.manual_seed(1)
    assert torch.equal(augment(x, seeded()), first)
    assert not torch.equal(augment(x, seeded(4)), first)


def test_switching_one_change_off_leaves_the_others_as_they_were() -> None:
    x = batch(16, 13, 13)
    both = augment(x, seeded())
    dark = augment(x, seeded(), brightness=0.0)
    assert (both - dark).flatten(1).std(1).max() < 1e-6
    a, b = seeded(), seeded()
    augment(x, a)
    augment(x, b, **OFF)
    assert torch.equal(a.get_state(), b.get_state())


def test_the_input_is_left_alone_and_a_flat_image_stays_flat() -> None:
    x = batch()
    before = x.clone()
    augment(x, seeded(), contrast=0.2, shift=0.1, zoom=0.1)
    assert torch.equal(x, before)
    flat = torch.full((3, 1, 12, 12), 0.7)
    torch.testing.assert_close(augment(flat, seeded(), brightness=0.0, shift=0.1, zoom=0.2), flat)  # no black corners


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_type_and_shape_stay(dtype: torch.dtype) -> None:
    x = torch.randn(2, 3, 10, 7).to(dtype)
    y = augment(x, seeded())
    assert y.dtype == dtype
    assert y.shape == x.shape
    reference = augment(x.double(), seeded())
    assert (y.double() - reference).abs().max() < (0.05 if dtype == torch.bfloat16 else 1e-4)


def test_without_a_generator_torchs_own_is_used() -> None:
    torch.manual_seed(5)
    first = augment(batch())
    torch.manual_seed(5)
    assert torch.equal(augment(batch()), first)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (torch.zeros(3, 4, 4), {}, r"wanted a float tensor \(B, C, H, W\), got torch.float32 \(3, 4, 4\)"),
        (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), {}, "got torch.uint8"),
        (batch(), {"flip": 1.5}, "wanted flip between 0 and 1.0, got 1.5"),
        (batch(), {"rotate": -1.0}, "wanted rotate between 0 and 180.0, got -1.0"),
        (batch(), {"zoom": 1.0}, "wanted zoom between 0 and 0.9, got 1.0"),
    ],
)
def test_bad_input(x: torch.Tensor, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augment(x, **options)  # type: ignore[arg-type]


def test_brightness_and_contrast_are_drawn_apart() -> None:
    x = torch.randn(400, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = augment(x, torch.Generator().manual_seed(3), **OFF | {"brightness": 0.3}, contrast=0.5).flatten(1)
    x = x.flatten(1)
    gain = (y[:, 0] - y[:, 1]) / (x[:, 0] - x[:, 1])
    assert abs(np.corrcoef(gain, y[:, 0] - gain * x[:, 0])[0, 1]) < 0.2


def test_shifts_fill_the_square_of_both_directions() -> None:
    x = torch.zeros(300, 1, 41, 41)
    x[:, :, 19:22, 19:22] = 1
    y = augment(x, torch.Generator().manual_seed(3), **OFF, shift=0.2).clamp_min(0)
    places = torch.arange(41) - 20.0
    rows, columns = ((y.sum(axes) * places).sum(1) / y.sum((1, 2, 3)) for axes in ((1, 3), (1, 2)))
    for moved in (rows, columns):
        assert 7.5 < moved.abs().max() < 8.5 and moved.min() < -7 and moved.max() > 7
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.2


def test_the_amounts_of_q14_are_those_that_are_stated() -> None:
    x = batch(4, 13, 13)
    assert torch.equal(augment(x, seeded()), augment(x, seeded(), rotate=10.0, flip=0.5, brightness=0.2))


def test_zoom_alone_enlarges_and_shrinks_within_its_bound() -> None:
    ramp = torch.linspace(-1, 1, 41).expand(200, 1, 41, 41)
    zoomed = augment(ramp, seeded(), **OFF, zoom=0.3)
    slope = (zoomed[:, 0, 20, 21] - zoomed[:, 0, 20, 19]) / (ramp[:, 0, 20, 21] - ramp[:, 0, 20, 19])
    factor = 1 / slope
    assert 0.7 - 1e-3 <= factor.min() < 0.73 and 1.27 < factor.max() <= 1.3 + 1e-3
    torch.testing.assert_close(zoomed[:, 0, 20, 20], ramp[:, 0, 20, 20], atol=1e-5, rtol=0)  # about the middle


def test_the_same_faces_are_flipped_whether_they_are_rotated_or_not() -> None:
    ramp = torch.linspace(-1, 1, 21).expand(64, 1, 21, 21)
    alone, turned = (augment(ramp, seeded(), **OFF | {"flip": 0.5, "rotate": r}) for r in (0.0, 5.0))
    flipped = alone[:, 0, 10, 0] > 0
    assert 0 < flipped.sum() < 64
    assert torch.equal(turned[:, 0, 10, 0] > 0, flipped)


def test_a_contrast_that_would_turn_grey_values_over_is_refused() -> None:
    with pytest.raises(ValueError, match=r"wanted contrast between 0 and 1\.0, got 1\.1"):
        augment(batch(), contrast=1.1)
