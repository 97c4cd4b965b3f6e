"""Linear discriminant analysis (Paper: Sec. III-F, Eqs 8-12)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

FloatArray = NDArray[np.float64]
WITHIN = ("sum", "priors")


class ScatterMatrices(NamedTuple):
    """S_w and S_b, each (D, D)."""

    S_w: FloatArray
    S_b: FloatArray


def scatter_matrices(features: ArrayLike, labels: ArrayLike, within: str = "sum") -> ScatterMatrices:
    """Return the scatter within and between classes.  Paper: Sec. III-F, Eqs 8-12.

    Parameters
    ----------
    features : float (N, D)
    labels : int (N,)
    within : {"sum", "priors"}
        Q9. ``"sum"`` adds the classes' covariances, as Eq. 12 is printed. ``"priors"`` weighs each by p_i, the share
        of its class, as Eq. 11 does for the means and as the usual definition does for both.

    Returns
    -------
    S_w, S_b : float64 (D, D)
        Symmetric and positive semi-definite. Only classes with at least one sample count.
    """
    x, y = _checked(features, labels)
    _refuse_unknown(within)
    _, y = np.unique(y, return_inverse=True)
    n = np.bincount(y)  # N_i
    p = n / len(y)  # p_i
    means = np.zeros((len(n), x.shape[1]))
    for i in range(len(n)):
        means[i] = x[y == i].mean(0)  # Eq. 8, whose S_i is the mean that Eqs 9-11 call m_i              (C, D)
    m = p @ means  # Eq. 9                                                                               (D,)
    S_w = np.zeros((x.shape[1], x.shape[1]))
    for i in range(len(n)):
        centred = x[y == i] - means[i]
        covariance = centred.T @ centred / n[i]  # Eq. 10
        S_w += covariance if within == "sum" else p[i] * covariance  # Eq. 12
    between = (means - m) * np.sqrt(p)[:, None]
    return ScatterMatrices(S_w, between.T @ between)  # Eq. 11


def _checked(features: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, NDArray[Any]]:
    x, y = np.asarray(features, dtype=np.float64), np.asarray(labels)
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) == 0:
        raise ValueError(f"wanted features (N, D) and labels (N,) with N > 0, got {x.shape} and {y.shape}")
    if not np.isfinite(x).all():
        raise ValueError("features hold NaN or infinity: has training diverged?")
    return x, y


def _refuse_unknown(within: str) -> None:
    if within not in WITHIN:
        raise ValueError(f"within: wanted one of {WITHIN} (Q9), got {within!r}")


class LinearDiscriminantProjection:
    """Project on the directions that separate classes best: S_b v = e S_w v.  Paper: Sec. III-F, step 4.

    The eigenvectors of S_w^-1 S_b, found as those of the generalised symmetric problem; S_w is never inverted.

    Parameters
    ----------
    n_components : int or None
        Directions to keep; None for min(C - 1, D). S_b is a weighted sum of the outer products of C vectors, whose
        own weighted sum is zero, so its rank is at most C - 1, and no further direction exists: asking for more is an
        error (Q9; the paper asks for 7 of 7).
    shrinkage : float
        Q9: the share of S_w's mean eigenvalue put on its diagonal. It decides directions in which a singular S_w has no
        spread at all, damps those whose spread is about as small, and is negligible only well above it.
    within : {"sum", "priors"}
        Q9, see :func:`scatter_matrices`.

    Attributes
    ----------
    components_ : float64 (D, n_components)
        Directions, in falling order of eigenvalue, scaled so that v' S_w v = 1, S_w with its ridge.
    eigenvalues_ : float64 (n_components,)
        Spread between over spread within (with the ridge), along each direction.
    mean_ : float64 (D,)
    classes_ : (C,)
    """

    components_: FloatArray
    eigenvalues_: FloatArray
    mean_: FloatArray
    classes_: NDArray[Any]

    def __init__(self, n_components: int | None = None, shrinkage: float = 1e-6, within: str = "sum") -> None:
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.within = within

    def fit(self, X: ArrayLike, y: ArrayLike) -> LinearDiscriminantProjection:
        """Learn the directions from features (N, D) and labels (N,)."""
        x, labels = _checked(X, y)
        self.classes_ = np.unique(labels)
        n = self._number(len(self.classes_), x.shape[1])
        S_w, S_b = scatter_matrices(x, labels, self.within)
        D = len(S_w)
        level = np.trace(S_w) / D
        ridge = self.shrinkage * level if level > 0 else self.shrinkage * max(np.trace(S_b) / D, 1e-12)
        S_w.flat[:: D + 1] += ridge
        values, vectors = scipy.linalg.eigh(S_b, S_w, subset_by_index=(D - n, D - 1))
        order = np.argsort(values)[::-1]
        vectors = vectors[:, order]
        signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(n)])  # an eigenvector's sign is arbitrary: fix it
        self.components_ = vectors * np.where(signs == 0, 1, signs)
        self.eigenvalues_ = np.maximum(values[order], 0)
        self.mean_ = x.mean(0)
        return self

    def transform(self, X: ArrayLike) -> FloatArray:
        """Project features (N, D) to (N, n_components)."""
        if not hasattr(self, "components_"):
            raise RuntimeError("call fit before transform")
        x = np.asarray(X, dtype=np.float64)
        if x.ndim != 2 or x.shape[1] != len(self.mean_):
            raise ValueError(f"wanted features (N, {len(self.mean_)}), got {x.shape}")
        return (x - self.mean_) @ self.components_

    def fit_transform(self, X: ArrayLike, y: ArrayLike) -> FloatArray:
        """Fit, then project the same features."""
        return self.fit(X, y).transform(X)

    def _number(self, classes: int, width: int) -> int:
        most = min(classes - 1, width)
        n = most if self.n_components is None else self.n_components
        if classes < 2:
            raise ValueError("LDA needs at least two classes")
        if not 1 <= n <= most:
            why = f"the features have {width}"
            if most == classes - 1:
                why = f"{classes} class means, once their weighted mean is taken away, span at most {most} dimensions"
            raise ValueError(f"n_components: wanted 1..{most}, got {n}: {why}, so S_b has no further direction (Q9)")
        return n


class FittedOnce(nn.Module):
    """A module whose closed-form part is fitted at a stated moment and fixed afterwards.

    ``fitted`` is saved with the weights; ``ready`` says the same in Python, so that no step asks the GPU for it.
    """

    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.ready = False
        self.register_buffer("fitted", torch.tensor(False))

    def now_fitted(self) -> None:
        """Take note that the fit is done."""
        self.fitted.fill_(True)
        self.ready = True

    def _load_from_state_dict(self, *given: Any, **more: Any) -> None:
        super()._load_from_state_dict(*given, **more)
        self.ready = bool(self.fitted)


class ProjectionLayer(FittedOnce):
    """LDA inside the network: fitted on training features at a stated moment, fixed afterwards (Q9).

    Each step of the attended sequence has a projection of its own, since a row of the forehead and one of the mouth
    are told apart by different directions. Once fitted it is a fixed affine map: gradient passes through it to the
    features (it is the transposed map), and none into it.

    Parameters
    ----------
    num_steps, num_features, num_directions : int
        T, D and C - 1.
    shared : bool
        Q9: one projection for all steps instead, fitted on the steps pooled together.
    within : {"sum", "priors"}
        Q9, see :func:`scatter_matrices`.
    """

    weight: Tensor
    offset: Tensor
    eigenvalues: Tensor

    def __init__(
        self, num_steps: int, num_features: int, num_directions: int, shared: bool = False, within: str = "sum"
    ) -> None:
        super().__init__()
        _refuse_unknown(within)  # here and not in fit alone, which comes after hours of training
        if num_features < num_directions:
            raise ValueError(f"num_features: wanted at least the {num_directions} directions, got {num_features}")
        self.shared, self.within = shared, within
        n = 1 if shared else num_steps
        self.register_buffer("weight", torch.zeros(n, num_features, num_directions))
        self.register_buffer("offset", torch.zeros(n, num_directions))
        self.register_buffer("eigenvalues", torch.zeros(n, num_directions))

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor, first: int = 0) -> None:
        """Fit on attended features (N, T, D) and labels (N,), then stay fixed.

        The projected training features get unit variance in every direction, so that what follows starts well scaled.
        Where a class has no training image, the direction it would have given stays zero.

        Steps that have projections of their own may come in several calls, some steps in each and in order, to spare
        memory: ``first`` is the number of the first one given. The fit is done when the last has come.
        """
        y = labels.cpu().numpy()
        n = min(self.weight.shape[2], len(np.unique(y)) - 1)
        if first == 0:
            for learned in (self.weight, self.offset, self.eigenvalues):
                learned.zero_()
        if self.shared:
            steps = [(features.flatten(0, 1), np.repeat(y, features.shape[1]))]
        else:
            steps = [(features[:, t], y) for t in range(features.shape[1])]
        for t, (x, target) in enumerate(steps, first):
            array = x.double().cpu().numpy()
            lda = LinearDiscriminantProjection(n, within=self.within).fit(array, target)
            spread = lda.transform(array).std(0) + 1e-12
            W = lda.components_ / spread
            self.weight[t, :, :n] = torch.from_numpy(W).to(self.weight)
            self.offset[t, :n] = torch.from_numpy(-lda.mean_ @ W).to(self.offset)
            self.eigenvalues[t, :n] = torch.from_numpy(lda.eigenvalues_).to(self.eigenvalues)
        if first + len(steps) == len(self.weight):
            self.now_fitted()

    def forward(self, x: Tensor) -> Tensor:
        """Project (B, T, D) to (B, T, C - 1)."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            if self.shared:
                return x @ self.weight[0] + self.offset[0]
            return torch.einsum("btd,tdk->btk", x, self.weight) + self.offset
