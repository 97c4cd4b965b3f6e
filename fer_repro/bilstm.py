"""Serialisation and the bidirectional LSTM (Paper: Sec. III-C, III-D, Eqs 5-7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SERIALISATIONS = ("rows", "columns", "patches")


def serialise(feature_map: Tensor, by: str = "rows") -> Tensor:
    """Turn a feature map into a sequence.  Paper: Sec. III-C ("generates and serializes the feature vector"), Q6.

    Parameters
    ----------
    feature_map : (B, C, H, W)
    by : {"rows", "columns", "patches"}
        Q6: one step a row (T = H), a column (T = W), or a place (T = H W).

    Returns
    -------
    (B, T, D), D = C W, C H or C.
    """
    if by not in SERIALISATIONS:
        raise ValueError(f"serialisation: wanted one of {SERIALISATIONS} (Q6), got {by!r}")
    if by == "rows":
        return feature_map.permute(0, 2, 1, 3).flatten(2)  # (B, H, C W)
    if by == "columns":
        return feature_map.permute(0, 3, 1, 2).flatten(2)  # (B, W, C H)
    return feature_map.flatten(2).transpose(1, 2)  # (B, H W, C)


def step_grid(height: int, width: int, by: str = "rows") -> tuple[int, int]:
    """Return the (H', W') grid that the steps of :func:`serialise` stand on: (H, 1), (1, W) or (H, W)."""
    return {"rows": (height, 1), "columns": (1, width), "patches": (height, width)}[by]


class UngatedBiRNN(nn.Module):
    """The recurrence that Eqs 5-7 literally are: linear, without a gate (Q7).

    ``h_t = w1 x_t + w2 h_{t-1}``, ``h'_t = w3 x_t + w5 h'_{t+1}``, ``O_t = g(w4 h_t + w6 h'_t)``.

    Parameters
    ----------
    num_features, hidden : int
        D and the width of h; the output is 2 x hidden wide, as the BiLSTM's.
    activation : str
        Q7: the g that the paper does not name, a function of :mod:`torch` ("tanh").
    """

    def __init__(self, num_features: int, hidden: int, activation: str = "tanh") -> None:
        super().__init__()
        self.w1 = nn.Linear(num_features, hidden, bias=False)
        self.w2 = nn.Linear(hidden, hidden, bias=False)
        self.w3 = nn.Linear(num_features, hidden, bias=False)
        self.w4 = nn.Linear(hidden, 2 * hidden, bias=False)
        self.w5 = nn.Linear(hidden, hidden, bias=False)
        self.w6 = nn.Linear(hidden, 2 * hidden, bias=False)
        self.activation = activation
        for recurrent in (self.w2, self.w5):  # a linear recurrence explodes unless its matrix shrinks
            nn.init.orthogonal_(recurrent.weight, gain=0.9)

    def forward(self, x: Tensor) -> Tensor:
        """Map a sequence (B, T, D) to (B, T, 2 hidden)."""
        forward, backward = self.w1(x), self.w3(x)  # (B, T, h)
        h = [forward[:, 0]]
        for t in range(1, x.shape[1]):
            h.append(forward[:, t] + self.w2(h[-1]))  # Eq. 5
        k = [backward[:, -1]]
        for t in range(x.shape[1] - 2, -1, -1):
            k.append(backward[:, t] + self.w5(k[-1]))  # Eq. 6
        g = getattr(torch, self.activation)
        return g(self.w4(torch.stack(h, 1)) + self.w6(torch.stack(k[::-1], 1)))  # Eq. 7


class BiLSTM(nn.Module):
    """A bidirectional LSTM over the steps of a sequence (Paper: Sec. III-D, Fig. 3).

    Parameters
    ----------
    num_features : int
        D, the width of a step.
    hidden : int
        Q7: units in each direction.
    cell : {"lstm", "ungated"}
        Q7: a gated LSTM, as the text describes, or Eqs 5-7 to the letter (:class:`UngatedBiRNN`).
    merge : {"concatenate", "equation"}
        Q7: the two directions side by side, or joined as Eq. 7 has it, O_t = tanh(w4 h_t + w6 h'_t).
    bidirectional : bool
        False for the baselines' plain LSTM (Q17); it then has 2 x hidden units, to keep the width.
    """

    def __init__(
        self,
        num_features: int,
        hidden: int = 128,
        cell: str = "lstm",
        merge: str = "concatenate",
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        if cell not in ("lstm", "ungated") or merge not in ("concatenate", "equation"):
            raise ValueError(
                f"Q7: wanted cell 'lstm' or 'ungated' and merge 'concatenate' or 'equation', got {cell!r}, {merge!r}"
            )
        self.recurrence: nn.Module
        if cell == "ungated":
            self.recurrence = UngatedBiRNN(num_features, hidden)
        elif bidirectional:
            self.recurrence = nn.LSTM(num_features, hidden, batch_first=True, bidirectional=True)
        else:
            self.recurrence = nn.LSTM(num_features, 2 * hidden, batch_first=True)
        self.merge = nn.Linear(2 * hidden, 2 * hidden, bias=False) if merge == "equation" else None  # [w4 w6]
        self.num_features = 2 * hidden

    def forward(self, sequence: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, 2 hidden)."""
        out = self.recurrence(sequence)
        out = out[0] if isinstance(out, tuple) else out
        return torch.tanh(self.merge(out)) if self.merge is not None else out
