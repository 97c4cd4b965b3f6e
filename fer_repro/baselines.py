"""The methods of Tables II and III that the paper compares with, and never specifies (Q17).

Each is the least that its name says, built of the proposed network's own parts, so that only the named difference
differs: the same seven-layer CNN, the same sequence of rows, the same width, the same last two layers, one recipe.
None has center loss, LDA or reconstruction, which the paper counts as its own.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_repro.bilstm import BiLSTM, serialise
from fer_repro.cnn import POOL_AFTER, SevenLayerCNN
from fer_repro.densenet import FullyConnected
from fer_repro.lda import FittedOnce


class RecurrentBaseline(nn.Module):
    """A CNN and an LSTM over the rows of its feature map; features of all steps go to the fully connected layer.

    Parameters
    ----------
    num_classes, size : int
    bidirectional : bool
        BiLSTM (CNN-BiLSTM), or an LSTM of twice the units (CNN-LSTM, DSCNN-LSTM, ACNN-LSTM).
    separable : bool
        Depthwise-separable convolutions: DSCNN read so (Q17).
    spatial_attention : bool
        Weigh the places of the feature map before the LSTM, a softmax over places from a 1x1 convolution: ACNN, after
        the attention-based CNN the paper cites as [9] (Q17).
    pool_after
        Q5, as in the proposed network, see :class:`fer_repro.cnn.SevenLayerCNN`.
    """

    stages = 2
    center_loss = False

    def __init__(
        self,
        num_classes: int = 7,
        size: int = 128,
        *,
        bidirectional: bool = False,
        separable: bool = False,
        spatial_attention: bool = False,
        pool_after: Sequence[int] = POOL_AFTER,
        hidden: int = 128,
        num_features: int = 64,
        dropout: float = 0.2,
        fast: bool = True,
    ) -> None:
        super().__init__()
        self.cnn = SevenLayerCNN(pool_after, separable=separable, fast=fast)
        side, channels = self.cnn.output_size(size), self.cnn.channels
        self.place = nn.Conv2d(channels, 1, 1) if spatial_attention else None
        self.lstm = BiLSTM(channels * side, hidden, bidirectional=bidirectional)
        self.head = FullyConnected(side * self.lstm.num_features, num_features, dropout)
        self.classifier = nn.Linear(num_features, num_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Map images (B, 1, S, S) to logits (B, C) and intermediates."""
        feature_map, parts = self.cnn(x)  # (B, 64, H, W)
        parts["feature_map"] = feature_map
        if self.place is not None:
            score = self.place(feature_map)  # (B, 1, H, W)
            weights = torch.softmax(score.float().flatten(1), 1).view_as(score).to(feature_map.dtype)
            feature_map = feature_map * weights * weights[0, 0].numel()  # mean weight one keeps the scale
            parts["weights"] = weights
        parts["sequence"] = serialise(feature_map, "rows")  # (B, H, 64 W)
        parts["hidden"] = self.lstm(parts["sequence"])  # (B, H, 2h)
        parts["features"] = self.head(parts["hidden"].flatten(1))  # (B, F)
        return self.classifier(parts["features"]), parts

    def fit_is_due(self, stage: int, finished: bool) -> bool:
        """Nothing here is fitted in closed form."""
        return False

    def deployed_parameters(self) -> int:
        """Count the trained weights."""
        return sum(p.numel() for p in self.parameters())


def support_vector_machine(
    features: NDArray[np.float64], member: NDArray[np.bool_], C: float
) -> tuple[NDArray[np.float64], float]:
    """Return weight (F,) and bias of the linear support vector machine that tells members from the rest.

    It minimises |w|^2 / 2 + b^2 / 2 + C sum_i max(0, 1 - s_i (w x_i + b))^2 with s = +1 for members and -1 for others:
    the squared hinge, scikit-learn's ``LinearSVC``, whose solver needs more passes the more images there are. Newton's
    method within a trust region (Nocedal and Wright 2006, Algorithm 4.3) takes a handful whatever their number, because
    the objective is quadratic between margins: each costs N F^2, and the result is the closer one.

    Parameters
    ----------
    features : float64 (N, F)
        Of about unit scale.
    member : bool (N,)
    C : float
        The penalty of a margin violation.

    Raises
    ------
    ValueError
        If a feature is not finite.
    """
    from scipy.optimize import minimize  # late: CNN-SVM alone wants it, once a run

    if not np.isfinite(features).all():
        raise ValueError("SVM: wanted finite features, got NaN or infinity")
    X = np.column_stack([features, np.ones(len(features))])
    s = np.where(member, 1.0, -1.0)

    def objective(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        missing = np.maximum(0.0, 1 - s * (X @ w))
        return float(w @ w / 2 + C * missing @ missing), w - 2 * C * (X.T @ (s * missing))

    def hessian(w: NDArray[np.float64]) -> NDArray[np.float64]:
        active = X[s * (X @ w) < 1]
        return np.eye(len(w)) + 2 * C * (active.T @ active)

    start = np.zeros(X.shape[1])
    enough = 1e-10 * float(np.linalg.norm(objective(start)[1]))  # the last step is exact, so this costs none
    region = {"initial_trust_radius": 10.0, "max_trust_radius": 1e4, "gtol": enough}
    found = minimize(objective, start, jac=True, hess=hessian, method="trust-exact", options=region)
    if not found.success:
        warnings.warn(f"SVM: the minimum was not reached: {found.message}", RuntimeWarning, stacklevel=2)
    return found.x[:-1], float(found.x[-1])


class SupportVectorBaseline(FittedOnce):
    """CNN-SVM: the CNN trained with softmax, whose features a linear support vector machine then classifies (Q17).

    ``fit_stage`` fits one machine for each class against the rest (:func:`support_vector_machine`) on standardised
    training features and keeps them as a fixed affine map, so that the network still runs in one piece; its "logits"
    are the machines' scores w x + b. Training cost is linear in images.

    Parameters
    ----------
    num_classes, size : int
    C : float
        Q17: the penalty of a margin violation.
    """

    stages = 2
    center_loss = False
    fits_on = "features"
    fits_by_step = False
    svm_weight: Tensor
    svm_bias: Tensor

    def __init__(
        self,
        num_classes: int = 7,
        size: int = 128,
        *,
        C: float = 0.01,
        num_features: int = 64,
        dropout: float = 0.2,
        fast: bool = True,
    ) -> None:
        super().__init__()
        if not 0 < C < math.inf:  # a TypeError where it is no number
            raise ValueError(f"C: wanted a number above 0, got {C!r}")
        self.cnn = SevenLayerCNN(fast=fast)
        side = self.cnn.output_size(size)
        self.head = FullyConnected(self.cnn.channels * side * side, num_features, dropout)
        self.classifier = nn.Linear(num_features, num_classes)
        self.penalty = C
        self.register_buffer("svm_weight", torch.zeros(num_classes, num_features))
        self.register_buffer("svm_bias", torch.zeros(num_classes))

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Map images (B, 1, S, S) to softmax logits, or to the SVM's once it is fitted, (B, C)."""
        feature_map, parts = self.cnn(x)
        parts["feature_map"] = feature_map
        parts["features"] = features = self.head(feature_map.flatten(1))  # (B, F)
        if self.ready:
            return nn.functional.linear(features.float(), self.svm_weight, self.svm_bias), parts
        return self.classifier(features), parts

    def fit_is_due(self, stage: int, finished: bool) -> bool:
        """Say whether the SVM is to be fitted: once, when all training is over."""
        return stage == self.stages and finished and not self.ready

    @torch.no_grad()
    def fit_stage(self, features: Tensor, labels: Tensor) -> None:
        """Fit the SVM on the training set's features (N, F) and labels (N,)."""
        from sklearn.preprocessing import StandardScaler

        y = labels.cpu().numpy()
        scaler = StandardScaler()
        x = scaler.fit_transform(features.double().cpu().numpy())
        self.svm_bias.fill_(-1e4)  # a class never seen is never predicted
        for c in np.unique(y).tolist():
            weight, bias = support_vector_machine(x, y == c, self.penalty)
            weight = weight / scaler.scale_
            self.svm_weight[c] = torch.from_numpy(weight)
            self.svm_bias[c] = bias - float(weight @ scaler.mean_)
        self.now_fitted()

    def deployed_parameters(self) -> int:
        """Count the trained weights with the SVM in place of the softmax layer, which is as large."""
        return sum(p.numel() for p in self.parameters())


BASELINES: dict[str, Callable[..., nn.Module]] = {
    "cnn-lstm": RecurrentBaseline,
    "dscnn-lstm": partial(RecurrentBaseline, separable=True),
    "cnn-bilstm": partial(RecurrentBaseline, bidirectional=True),
    "acnn-lstm": partial(RecurrentBaseline, spatial_attention=True),
    "cnn-svm": SupportVectorBaseline,
}
