"""Point-multiplication attention (Paper: Sec. III-E, Algorithm 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

QUERIES = ("self", "learned", "last", "mean")


def point_multiplication_attention(
    query: Tensor, keys: Tensor, values: Tensor, scale: bool = False
) -> tuple[Tensor, Tensor]:
    """Weigh the values by how well each key answers the query.  Paper: Sec. III-E, Algorithm 1.

    ``d = softmax(q . K^T)`` and ``a = d . V``, the product read as a weighted sum (Q8).

    Parameters
    ----------
    query : float (B, D) or (B, Q, D)
        One query an image, or Q of them.
    keys : float (B, T, D)
    values : float (B, T, E)
    scale : bool
        Divide q.K^T by sqrt(D), which Algorithm 1 does not (Q8).

    Returns
    -------
    attended : float (B, E) or (B, Q, E)
    weights : float (B, T) or (B, Q, T)
        Non-negative, summing to one over the T steps.
    """
    if query.ndim not in (2, 3) or keys.ndim != 3 or values.ndim != 3:
        raise ValueError(
            "wanted query (B, D) or (B, Q, D), keys (B, T, D), values (B, T, E); "
            f"got {tuple(query.shape)}, {tuple(keys.shape)}, {tuple(values.shape)}"
        )
    if query.shape[-1] != keys.shape[-1] or keys.shape[1] != values.shape[1]:
        raise ValueError(
            f"query and keys must share D, keys and values T; got query {tuple(query.shape)}, "
            f"keys {tuple(keys.shape)}, values {tuple(values.shape)}"
        )
    q = query if query.ndim == 3 else query[:, None]  # (B, Q, D)
    score = q @ keys.transpose(1, 2)  # (B, Q, T)
    if scale:
        score = score / math.sqrt(keys.shape[-1])
    d = torch.softmax(score.float(), dim=-1).to(values.dtype)
    a = d @ values  # (B, Q, E)
    return (a, d) if query.ndim == 3 else (a[:, 0], d[:, 0])


class PointMultiplicationAttention(nn.Module):
    """Algorithm 1 with its learned key weight.

    Parameters
    ----------
    num_features : int
        D, the width of the BiLSTM's output, which serves as values V.
    query : {"self", "learned", "last", "mean"}
        Q8, where q comes from. ``"self"``: each step asks for itself ("for each hidden image sequence variation at
        moment n"), the result stays a sequence. ``"learned"``: one trained vector. ``"last"``: the final step.
        ``"mean"``: the steps' mean. These three attend once and spread the result back over the steps by its weights,
        ``a_t = T d_t V_t`` (the element-wise reading of ``d * V``), so that a map is left for Sec. III-F.
    scale : bool
        Q8, see :func:`point_multiplication_attention`.
    """

    def __init__(self, num_features: int, query: str = "self", scale: bool = False) -> None:
        super().__init__()
        if query not in QUERIES:
            raise ValueError(f"query: wanted one of {QUERIES} (Q8), got {query!r}")
        self.query, self.scale = query, scale
        self.key_weight = nn.Linear(num_features, num_features, bias=False)  # W^a
        # A query of tanh keys grows with D; 1/sqrt(D) at the start keeps the softmax out of saturation.
        self.learned = nn.Parameter(torch.randn(num_features) / math.sqrt(num_features)) if query == "learned" else None

    def forward(self, values: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Attend over ``values`` (B, T, D); return the attended map (B, T, D) and its parts."""
        keys = torch.tanh(self.key_weight(values))  # K = tanh(V W^a)                                   (B, T, D)
        query = self._query(values)
        attended, weights = point_multiplication_attention(query, keys, values, self.scale)
        if query.ndim == 2:  # one query: keep the sequence, each step weighted                           (B, T, D)
            attended = values.shape[1] * weights[..., None] * values
        return attended, {"query": query, "keys": keys, "weights": weights}

    def _query(self, values: Tensor) -> Tensor:
        if self.query == "self":
            return values  # (B, T, D)
        if self.query == "last":
            return values[:, -1]
        if self.query == "mean":
            return values.mean(1)
        assert self.learned is not None
        return self.learned.to(values.dtype).expand(len(values), -1)  # (B, D)
