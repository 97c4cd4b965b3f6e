"""Frozen recipes: every hyper-parameter the paper leaves unsaid (Q11), with the reason beside it.

A recipe is fixed before its full runs. ``quick`` is for synthetic faces and can never give a verdict; ``native48``
trains on real faces at their own 48x48 (declared as a deviation from the paper's 128x128); ``paper128`` at the paper's
size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

ADDED = {"last_frames": 0}  # fields younger than some records, and what these runs did
SMALL = 5000  # training images below which a data set counts as small
LAST_SEED = 2**32 - 1  # the most that all generators take, scikit-learn's among them
LARGEST = 4096  # pixels a side: six times the width of CK+'s films


@dataclass(frozen=True)
class Recipe:
    """Everything that training needs beside the network, the data and a seed."""

    name: str
    size: int  # image height and width, pixels (Sec. III-A: 128)
    epochs: tuple[int, int]  # before and after LDA is fitted (Q9, Q11); the baselines train as long, alike
    small_epochs: tuple[int, int] = (20, 40)  # Q11: the same where training images are few (CK+: 6 steps an epoch)
    batch_size: int = 128  # Q11: a power of two, as Sec. III-B asks
    learning_rate: float = 5e-3  # Q11: peak of a one-cycle schedule, anew in each stage (Smith and Topin 2019)
    second_peak: float = 0.5  # Q11: the second stage's peak, as a share: it refines what the first stage found
    weight_decay: float = 0.02  # Q11: AdamW's, decoupled (Loshchilov and Hutter 2019)
    clip: float = 1.0  # Q11: largest norm of a gradient; a recurrence needs one
    dropout: float = 0.2  # Q11
    center_weight: float = 0.003  # Q4: lambda, Wen et al.'s choice, on the mean over the batch
    center_rate: float = 0.5  # Q4: alpha, Wen et al.'s choice
    median_kernel: int = 3  # Q2: the smallest that removes a lone pixel
    gcn_scale: float = 1.0  # Q1: s
    gcn_lambda: float = 0.0  # Q1: lambda
    gcn_epsilon: float = 1e-8  # Q1: epsilon
    rotate: float = 10.0  # Q14: degrees either way
    flip: float = 0.5  # Q14: share of images mirrored
    brightness: float = 0.2  # Q14: in standard deviations of an image, after Eq. 1 (before it, Eq. 1 undoes it)
    last_frames: int = 0  # Q12: of each sequence, this many alone, in training and test; 0 for all that were loaded

    def __post_init__(self) -> None:
        """Refuse, with a ValueError, a value that cannot be trained with."""
        for name in ("learning_rate", "second_peak", "clip", "gcn_scale", "gcn_epsilon"):
            if getattr(self, name) <= 0:
                raise ValueError(f"recipe: {name}: wanted more than 0, got {getattr(self, name)!r}")
        for name in ("weight_decay", "center_weight", "gcn_lambda", "rotate", "brightness"):
            if getattr(self, name) < 0:
                raise ValueError(f"recipe: {name}: wanted 0 or more, got {getattr(self, name)!r}")
        for name in ("dropout", "center_rate", "flip"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"recipe: {name}: wanted a share from 0 to 1, got {getattr(self, name)!r}")
        if not 8 <= self.size <= LARGEST or self.rotate > 180:
            raise ValueError(
                f"recipe: wanted a size of 8 to {LARGEST} and to rotate by at most 180, got {self.size}, {self.rotate}"
            )
        if self.last_frames < 0:
            raise ValueError(f"recipe: last_frames: wanted 0 (all) or more, got {self.last_frames!r}")
        if not 1 <= self.median_kernel < 256 or self.median_kernel % 2 == 0:
            raise ValueError(f"recipe: median_kernel: wanted an odd number of 1 to 255, got {self.median_kernel!r}")

    def course(self, images: int) -> tuple[int, int]:
        """Return the epochs of both stages for a training set of so many images."""
        return self.small_epochs if images < SMALL else self.epochs

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, as a record holds them (lists for tuples)."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def completed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's recipe with the fields that are younger than it."""
    return ADDED | dict(given)


def changed(given: Mapping[str, Any], wanted: Recipe) -> list[str]:
    """Return the names of the fields in which a record's recipe differs from another."""
    one, other = completed(given), wanted.to_dict()
    return sorted(k for k in one.keys() | other.keys() if one.get(k) != other.get(k))


RECIPES = {
    # Synthetic faces, in about a minute on a laptop; smaller steps than FER2013 bears, since images are few.
    "quick": Recipe("quick", 48, (6, 8), (6, 8), batch_size=64, learning_rate=2e-3, second_peak=1.0),
    # Real faces at their own size.
    "native48": Recipe("native48", size=48, epochs=(8, 16)),
    # The paper's size: 7.1 times the pixels, and nothing in them that 48x48 did not hold.
    "paper128": Recipe("paper128", size=128, epochs=(8, 16)),
}


def get(name: str) -> Recipe:
    """Return a recipe by name; a ValueError lists the names there are."""
    try:
        return RECIPES[name]
    except KeyError:
        raise ValueError(f"no recipe is named {name!r}; wanted one of {', '.join(RECIPES)}") from None
