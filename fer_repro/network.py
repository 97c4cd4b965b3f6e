"""The network, assembled (Paper: Fig. 2), and Table I's versions of it with one module removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fer_repro.attention import PointMultiplicationAttention
from fer_repro.baselines import BASELINES
from fer_repro.bilstm import BiLSTM, serialise, step_grid
from fer_repro.cnn import POOL_AFTER, SevenLayerCNN
from fer_repro.densenet import FullyConnected, Reconstruction
from fer_repro.lda import ProjectionLayer

ABLATIONS = ("no_feature_extraction", "no_attention", "no_reconstruction")
NAMES = ("proposed", *ABLATIONS, *BASELINES)


class ProposedNetwork(nn.Module):
    """CNN, serialisation, BiLSTM, attention, LDA, dense reconstruction, softmax (Paper: Sec. III, Fig. 2).

    Until LDA is fitted (``fit_stage``) a linear layer on the attended features stands in for what follows it: the
    warm-up head, dropped from the finished network. ``features`` in the parts is always the input of the last linear
    layer (the warm-up head's before its dropout), that is Eq. 4's x_i.

    Parameters
    ----------
    num_classes : int
        C.
    size : int
        Image height and width, pixels.
    feature_extraction, attention, reconstruction : bool
        Table I's modules. What stands in for a removed one (Q16): the image's own pixel rows for the CNN's map, the
        BiLSTM's output for the attended one, the projected vector for the reconstructed map.
    recurrence : bool
        Q16: without the BiLSTM, too, the sequence itself goes on: the attention module as Sec. III-C lists it.
    serialisation : {"rows", "columns", "patches"}
        Q6.
    hidden : int
        Q7, units of the BiLSTM in each direction.
    cell, merge : str
        Q7, see :class:`fer_repro.bilstm.BiLSTM`.
    query, scale
        Q8, see :class:`fer_repro.attention.PointMultiplicationAttention`.
    lda_shared, lda_within
        Q9, see :class:`fer_repro.lda.ProjectionLayer`.
    growth_rate, num_layers, connections
        Q10, see :class:`fer_repro.densenet.DenseBlock`.
    pool_after, padding, norm
        Q5, see :class:`fer_repro.cnn.SevenLayerCNN`.
    num_features, dropout
        Q11, width of and dropout before the layer before the softmax's.
    fast : bool
        The first block's algebraic form, see :class:`fer_repro.cnn.PointwiseBlock`.
    """

    stages = 2  # warm-up, then with LDA fitted
    center_loss = True  # trained jointly with center loss (Sec. III-B); the baselines are not (Q17)

    def __init__(
        self,
        num_classes: int = 7,
        size: int = 128,
        *,
        feature_extraction: bool = True,
        attention: bool = True,
        reconstruction: bool = True,
        recurrence: bool = True,
        serialisation: str = "rows",
        hidden: int = 128,
        cell: str = "lstm",
        merge: str = "concatenate",
        query: str = "self",
        scale: bool = False,
        lda_shared: bool = False,
        lda_within: str = "sum",
        growth_rate: int = 12,
        num_layers: int = 4,
        connections: str = "dense",
        pool_after: Sequence[int] = POOL_AFTER,
        padding: str = "same",
        norm: str = "before",
        num_features: int = 64,
        dropout: float = 0.2,
        fast: bool = True,
    ) -> None:
        super().__init__()
        self.num_classes, self.size, self.serialisation = num_classes, size, serialisation
        self.cnn = SevenLayerCNN(pool_after, padding, norm, fast=fast) if feature_extraction else None
        side, channels = (self.cnn.output_size(size), self.cnn.channels) if self.cnn else (size, 1)
        steps, width = serialise(torch.empty(1, channels, side, side, device="meta"), serialisation).shape[1:]
        self.bilstm = BiLSTM(width, hidden, cell, merge) if recurrence else None
        D = self.bilstm.num_features if self.bilstm else width
        self.attention = PointMultiplicationAttention(D, query, scale) if attention else None
        self.grid = step_grid(side, side, serialisation)
        self.warmup = nn.Sequential(nn.Dropout(dropout), nn.Linear(steps * D, num_classes))
        self.lda = ProjectionLayer(steps, D, num_classes - 1, lda_shared, lda_within)
        self.reconstruction: Reconstruction | FullyConnected
        if reconstruction:
            self.reconstruction = Reconstruction(
                num_classes - 1, self.grid, growth_rate, num_layers, connections, num_features, dropout
            )
        else:
            self.reconstruction = FullyConnected((num_classes - 1) * steps, num_features, dropout)
        self.classifier = nn.Linear(num_features, num_classes)  # the softmax layer's W and b, Eq. 4

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Map images (B, 1, S, S), normalised by Eq. 1, to logits (B, C) and every intermediate by name."""
        feature_map, parts = self.cnn(x) if self.cnn else (x, {})  # (B, 64, H, W)
        sequence = serialise(feature_map, self.serialisation)  # (B, T, D)
        hidden = self.bilstm(sequence) if self.bilstm else sequence  # (B, T, 2h)
        parts |= {"feature_map": feature_map, "sequence": sequence, "hidden": hidden}
        attended = hidden
        if self.attention is not None:
            attended, how = self.attention(hidden)  # (B, T, 2h)
            parts |= how
        parts["attended"] = attended
        if not self.lda.ready:  # stage one: Eq. 4 on the attended features themselves
            parts["features"] = attended.flatten(1)  # (B, T 2h)
            return self.warmup(parts["features"]), parts
        projected = self.lda(attended)  # (B, T, C - 1)
        parts["projected"] = projected.transpose(1, 2).unflatten(2, self.grid)  # (B, C - 1, H', W')
        if isinstance(self.reconstruction, Reconstruction):
            parts["reconstructed"], features = self.reconstruction(parts["projected"])
        else:
            features = self.reconstruction(parts["projected"].flatten(1))
        parts["features"] = features  # (B, F)
        return self.classifier(features), parts

    def fit_stage(self, attended: Tensor, labels: Tensor, first: int = 0) -> None:
        """Fit LDA on the training set's attended features (N, T, 2h) and labels (N,): the second stage begins.

        Where ``fits_by_step``, some steps at a time will do, ``first`` the first one's number.
        """
        self.lda.fit(attended, labels, first)

    fits_on = "attended"  # the part fit_stage wants

    @property
    def fits_by_step(self) -> bool:
        """Say whether ``fit_stage`` takes some steps of the sequence at a time: each has its own projection (Q9)."""
        return not self.lda.shared

    def fit_is_due(self, stage: int, finished: bool) -> bool:
        """Say whether ``fit_stage`` is wanted now: once, after the first stage (Q9)."""
        return stage == 1 and finished and not self.lda.ready

    def deployed_parameters(self) -> int:
        """Count what the finished network holds: trained weights and LDA's fixed ones, not the warm-up head."""
        trained = sum(p.numel() for p in self.parameters()) - sum(p.numel() for p in self.warmup.parameters())
        return trained + self.lda.weight.numel() + self.lda.offset.numel()


def build(name: str, num_classes: int = 7, size: int = 128, **options: Any) -> nn.Module:
    """Build a network by name.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`: "proposed", Table I's ablations, or a baseline of Tables II and III.
    num_classes : int
        C, at least 2.
    size : int
        Image height and width, pixels.
    **options
        The network's own, named after the open questions they answer.

    Returns
    -------
    nn.Module
        ``forward(x float (B, 1, S, S)) -> (logits (B, C), parts)``; the probabilities are softmax(logits).

    Raises
    ------
    ValueError
        For an unknown name or option, or a value that it cannot have.
    """
    if num_classes < 2:
        raise ValueError(f"num_classes: wanted at least 2, got {num_classes}")
    for width in ("hidden", "growth_rate", "num_layers", "num_features"):
        if width in options and not (isinstance(options[width], int) and options[width] >= 1):
            raise ValueError(f"{width}: wanted a whole number of at least 1, got {options[width]!r}")
    removed = {
        "no_feature_extraction": {"feature_extraction": False},
        "no_attention": {"attention": False},
        "no_reconstruction": {"reconstruction": False},
    }
    try:
        if name == "proposed" or name in removed:
            return ProposedNetwork(num_classes, size, **{**removed.get(name, {}), **options})
        if name in BASELINES:
            return BASELINES[name](num_classes, size, **options)
    except TypeError as error:
        raise ValueError(f"{name}: unknown option, or a value of the wrong kind: {error}") from error
    raise ValueError(f"no network is named {name!r}; wanted one of {', '.join(NAMES)}")
