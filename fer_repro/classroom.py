"""What several chapters set up alike: clear faces, images ready for a network, a training that takes seconds.

Only for showing: the runs that count are :mod:`fer_repro.training`'s. Synthetic faces stand in clear expressions and
nearly frontal here, since a network is to learn something from a few hundred of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fer_repro import data
from fer_repro.data import splits
from fer_repro.data.faces import FaceDataset
from fer_repro.preprocessing import normalize_batch, prepare_uint8

CLEAR: dict[str, Any] = {  # knobs of synthetic faces, see fer_repro.data.synthetic.Knobs
    "intensity": (0.7, 1.0),
    "variety": 0.3,
    "yaw": (-6.0, 6.0),
    "pitch": (-4.0, 4.0),
    "roll": (-3.0, 3.0),
    "noise": (0.0, 4.0),
    "light": (0.0, 0.3),
    "occluded": 0.0,
    "sunglasses": 0.0,
    "mask": 0.0,
}
VERY_CLEAR: dict[str, Any] = CLEAR | {  # for networks of two features
    "intensity": (0.9, 1.0),
    "variety": 0.1,
    "yaw": (-3.0, 3.0),
    "pitch": (-2.0, 2.0),
    "roll": (-2.0, 2.0),
    "shift": (-0.01, 0.01),
    "scale": (0.98, 1.02),
    "brightness": (-10.0, 10.0),
    "contrast": (0.9, 1.1),
    "noise": (0.0, 3.0),
    "light": (0.0, 0.2),
    "blur": (0.0, 0.4),
    "salt_pepper": 0.0,
}
Network = TypeVar("Network", bound=nn.Module)


def faces(
    dataset: str,
    data_dir: str | os.PathLike[str] | None = None,
    n: int = 1200,
    seed: int = 0,
    knobs: Mapping[str, Any] = CLEAR,
) -> FaceDataset:
    """Load a data set, divided by its own protocol; of synthetic ones draw ``n`` clear faces.

    Parameters
    ----------
    dataset, data_dir
        As :func:`fer_repro.data.load` takes them.
    n, seed, knobs
        Of synthetic faces only: how many, which, and how clear.
    """
    drawn = {"n": n, "seed": seed, **knobs} if dataset == "synthetic" else {}
    return splits.protocol(data.load(dataset, data_dir, **drawn), splits.DEFAULT_PROTOCOL[dataset])


def device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``"auto"`` is a GPU where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def some(part: FaceDataset, most: int, seed: int = 0) -> FaceDataset:
    """Return at most ``most`` faces of a part, drawn by ``seed``, in random order."""
    return part[np.random.default_rng(seed).permutation(len(part))[:most]]


def prepared(images: NDArray[np.uint8], pixels: int, where: torch.device | str = "cpu") -> Tensor:
    """Return images (N, H, W) as Sec. III-A prepares them: float32 (N, 1, pixels, pixels)."""
    return normalize_batch(torch.from_numpy(prepare_uint8(images, pixels))[:, None]).to(where)


def ready(part: FaceDataset, pixels: int, where: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Return faces, :func:`prepared`, and their labels int64 (N,)."""
    return prepared(part.images, pixels, where), torch.from_numpy(part.labels).to(where)


def fit(
    network: Network,
    x: Tensor,
    y: Tensor,
    epochs: int,
    seed: int | None = None,
    rate: float = 3e-3,
    batch: int = 32,
) -> Network:
    """Train a classifier for a moment: AdamW and a one-cycle learning rate, as in the chapter on the CNN, unmirrored.

    Parameters
    ----------
    network : Module
        From x to logits (B, C); trained in place and returned in evaluation mode.
    x : Tensor (N, ...)
    y : int64 Tensor (N,)
    seed : int, optional
        Of the order of images; None goes on with torch's generator as it is.
    """
    if seed is not None:
        torch.manual_seed(seed)
    steps = len(x) // batch * epochs
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(x))[: len(x) // batch * batch].split(batch):
            loss = F.cross_entropy(network.train()(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return network.eval()
