"""Random rotation, flip and brightness of training images, on the batch and on its device (Sec. IV-B, Q14).

The paper says that "the images are rotated and flipped, their brightness and saturation are adjusted when required" and
gives neither ranges nor probabilities. Our reading:

* **Rotation** by an angle drawn evenly from ±10 degrees, about the image's middle.
* **Flip** left to right for half of the images; a face upside down does not occur.
* **Brightness** is a shift *after* Eq. 1. Before it, any change ``a·X + b`` with ``a > 0`` is undone exactly while
  λ = 0: the equation subtracts the mean and divides by the standard deviation (only clipping at 0 and 255 survives).
* **Saturation** of a grey image does not exist; ``contrast``, a factor after Eq. 1, is the nearest thing and off.

``shift`` and ``zoom`` are not in the paper; they cost nothing beside the rotation and are off, too.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_DRAWS = 7  # random numbers an image, always drawn, so that switching one change off leaves the others as they were


def augment(
    x: Tensor,
    generator: torch.Generator | None = None,
    rotate: float = 10.0,  # Q14: degrees
    flip: float = 0.5,  # Q14: probability
    brightness: float = 0.2,  # Q14: in standard deviations of the image
    contrast: float = 0.0,  # Q14: stands for "saturation"
    shift: float = 0.0,  # not in the paper
    zoom: float = 0.0,  # not in the paper
) -> Tensor:
    """Return randomly rotated, flipped and brightened copies of a batch that Eq. 1 has normalised (Sec. IV-B).

    Parameters
    ----------
    x : float Tensor (B, C, H, W)
        Normalised images (mean 0, standard deviation 1); left unchanged.
    generator : torch.Generator, optional
        Source of the random numbers; a CPU generator gives the same numbers whatever device ``x`` is on.
    rotate : float
        Largest angle in degrees; angles are drawn evenly from ``±rotate``.
    flip : float
        Probability of a left-right flip, 0 to 1.
    brightness : float
        A shift drawn evenly from ``±brightness`` is added to each image.
    contrast : float
        Each image is multiplied by a factor drawn evenly from ``1 ± contrast``.
    shift : float
        Largest shift in either direction, as a fraction of the image's side.
    zoom : float
        Each image is enlarged by a factor drawn evenly from ``1 ± zoom``.

    Returns
    -------
    Tensor (B, C, H, W) of the same type, on the same device
        Beyond the border the outermost pixels are repeated.

    Raises
    ------
    ValueError
        If ``x`` is not a float tensor (B, C, H, W), or an amount is out of range.
    """
    _check(x, rotate, flip, brightness, contrast, shift, zoom)
    device = None if generator is None else generator.device
    draws = torch.rand(_DRAWS, len(x), generator=generator, device=device).to(x.device, non_blocking=True)
    flipped = draws[0] < flip  # (B,)
    angle, dx, dy, larger, light, factor = draws[1:] * 2 - 1  # each (B,), even in ±1
    if rotate or shift or zoom:
        x = _warp(x, flipped, angle * math.radians(rotate), dx * shift, dy * shift, 1 + larger * zoom)
    elif flip:
        x = torch.where(flipped[:, None, None, None], x.flip(-1), x)
    if brightness or contrast:
        gain, offset = (1 + factor * contrast).to(x.dtype), (light * brightness).to(x.dtype)
        x = torch.addcmul(offset[:, None, None, None], x, gain[:, None, None, None])
    return x


def _warp(x: Tensor, flipped: Tensor, angle: Tensor, dx: Tensor, dy: Tensor, factor: Tensor) -> Tensor:
    """Flip, then enlarge and rotate about the middle, then shift; every amount is (B,), shifts in image sides.

    All at once and by bilinear interpolation: for each pixel of the result, where in ``x`` it comes from.
    Coordinates run from -1 at the outer edge of the first pixel to +1 at that of the last (``align_corners=False``),
    so that the middle of the image is the middle of the rotation at any size.
    """
    height, width = x.shape[-2:]
    column = (torch.arange(width, device=x.device) * 2 + 1) / width - 1  # (W,) pixel centres
    row = (torch.arange(height, device=x.device) * 2 + 1) / height - 1  # (H,)
    cos, sin, mirror = angle.cos() / factor, angle.sin() / factor, 1 - 2 * flipped.float()
    aspect = height / width  # a rotation turns pixels, and they are square even where the image is not

    u = (column - 2 * dx[:, None])[:, None, :]  # (B, 1, W)
    v = (row - 2 * dy[:, None])[:, :, None]  # (B, H, 1)
    cos, sin, mirror = cos[:, None, None], sin[:, None, None], mirror[:, None, None]
    source = torch.empty(len(x), 2, height, width, device=x.device)  # in planes: many times faster to fill
    torch.add(mirror * cos * u, -mirror * sin * aspect * v, out=source[:, 0])  # counter-clockwise as one looks at it
    torch.add(sin / aspect * u, cos * v, out=source[:, 1])
    image = x if x.dtype == torch.float64 else x.float()  # half precision cannot tell neighbouring pixels apart
    grid = source.permute(0, 2, 3, 1).to(image.dtype)  # (B, H, W, 2)
    if x.device.type == "mps":  # has no border before torch 2.13; a grid that ends within the image needs none
        return F.grid_sample(image, _within(grid, height, width), align_corners=False).to(x.dtype)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=False).to(x.dtype)


def _within(grid: Tensor, height: int, width: int) -> Tensor:
    """Return places (B, H, W, 2) brought to the nearest that is no further out than the outermost pixels' centres."""
    edge = grid.new_tensor([1 - 1 / width, 1 - 1 / height])
    return torch.maximum(torch.minimum(grid, edge), -edge)


def _check(
    x: Tensor, rotate: float, flip: float, brightness: float, contrast: float, shift: float, zoom: float
) -> None:
    if x.ndim != 4 or not x.is_floating_point():
        raise ValueError(f"augment: wanted a float tensor (B, C, H, W), got {x.dtype} {tuple(x.shape)}")
    amounts: tuple[tuple[str, float, float], ...] = (
        ("rotate", rotate, 180.0),
        ("flip", flip, 1.0),
        ("brightness", brightness, math.inf),
        ("contrast", contrast, 1.0),
        ("shift", shift, 1.0),
        ("zoom", zoom, 0.9),
    )
    for name, amount, most in amounts:
        if not 0 <= amount <= most:
            raise ValueError(f"augment: wanted {name} between 0 and {most}, got {amount}")
