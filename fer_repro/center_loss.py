"""Center loss (Paper: Sec. III-B, Eqs 2-4), after Wen et al. 2016.

Each class keeps a center: a point in feature space that follows the features of that class. The loss pulls a
feature to its own center; the centers move by a rule of their own (Eq. 3), not by gradient descent.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Reduction = str  # "mean" or "sum"


def center_distance(
    features: Float[Tensor, "batch dim"],
    labels: Int[Tensor, " batch"],
    centers: Float[Tensor, "classes dim"],
    reduction: Reduction = "mean",
) -> Float[Tensor, ""]:
    """Half the squared distance of each feature to the center of its class.  Paper: Sec. III-B, Eq. 4, second term.

    Parameters
    ----------
    features : float (m, D)
        The deep features x_i.
    labels : int (m,)
        Their classes y_i.
    centers : float (C, D)
        The class centers C_j. They are held fixed here: the gradient to ``features`` is Eq. 2, x_i - C_{y_i}.
    reduction : {"mean", "sum"}
        Q4. ``"sum"`` is Eq. 4 as printed. ``"mean"`` divides by the mini-batch's size m, so that lambda does not
        change its meaning with m.
    """
    squared = (features - centers.detach()[labels]).square().sum()
    if reduction == "sum":
        return squared / 2
    return squared / (2 * max(len(labels), 1))


def center_step(
    features: Float[Tensor, "batch dim"],
    labels: Int[Tensor, " batch"],
    centers: Float[Tensor, "classes dim"],
) -> Float[Tensor, "classes dim"]:
    """Return Delta C_j, how far each center stands from its class in this mini-batch.  Paper: Sec. III-B, Eq. 3.

    The ``1 +`` below the line damps classes with few images; a class with none gets exactly zero.
    """
    count, total = class_sums(features.to(centers.dtype), labels, len(centers), by_product=labels.is_cuda)
    return (count[:, None] * centers - total) / (1 + count[:, None])


def class_sums(features: Tensor, labels: Tensor, classes: int, by_product: bool) -> tuple[Tensor, Tensor]:
    """Return of each class how many images are its own (C,) and the sum of their features (C, D): Eq. 3's two sums.

    On a GPU as one product, which reads nothing back from the device and adds up in a fixed order.
    """
    if by_product:
        delta = (labels[:, None] == torch.arange(classes, device=labels.device)).to(features.dtype)  # (m, C)
        return delta.sum(0), delta.T @ features
    count = torch.bincount(labels, minlength=classes).to(features.dtype)
    return count, features.new_zeros(classes, features.shape[1]).index_add_(0, labels, features)


class CenterLoss(nn.Module):
    """The center loss with its centers.

    Parameters
    ----------
    num_classes, num_features : int
        C and D.
    alpha : float in [0, 1]
        Q4: the rate at which centers follow their class (Sec. III-B's scalar, 0.5 as Wen et al. 2016).
    reduction : {"mean", "sum"}
        Q4, see :func:`center_distance`.

    Attributes
    ----------
    centers : float (C, D) buffer
        It is no parameter: no optimiser, momentum, weight decay or lambda can touch it.
    """

    centers: Tensor

    def __init__(self, num_classes: int, num_features: int, alpha: float = 0.5, reduction: Reduction = "mean") -> None:
        super().__init__()
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha: wanted a rate in [0, 1] (Sec. III-B), got {alpha}")
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction: wanted 'mean' or 'sum', got {reduction!r}")
        self.alpha, self.reduction = alpha, reduction
        self.register_buffer("centers", torch.zeros(num_classes, num_features))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, a scalar; the centers stay as they are."""
        self._check(features, labels)
        return center_distance(features, labels, self.centers, self.reduction)

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Move the centers once, C_j <- C_j - alpha * Delta C_j, only for classes present.

        The step is Eq. 3; how it is used, Wen et al. 2016.
        """
        self._check(features, labels)
        self.centers -= self.alpha * center_step(features.detach().to(self.centers.dtype), labels, self.centers)

    def _check(self, features: Tensor, labels: Tensor) -> None:
        if features.ndim != 2 or features.shape[1] != self.centers.shape[1] or labels.shape != features.shape[:1]:
            raise ValueError(
                f"wanted features (m, {self.centers.shape[1]}) and labels (m,), "
                f"got {tuple(features.shape)} and {tuple(labels.shape)}"
            )

    def extra_repr(self) -> str:
        """Say in a printed network what this is."""
        return f"classes={len(self.centers)}, features={self.centers.shape[1]}, alpha={self.alpha}"
