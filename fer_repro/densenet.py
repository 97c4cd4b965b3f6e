"""Reconstruction with dense connections (Paper: Sec. III-F), after Huang et al. 2017.

``x_l = H_l([x_0, x_1, ..., x_{l-1}])``: each layer reads all maps before it, side by side, and adds a few of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CONNECTIONS = ("dense", "sum")


class DenseLayer(nn.Module):
    """H_l: batch norm, ReLU, 1x1 bottleneck, batch norm, ReLU, 3x3 convolution.

    Parameters
    ----------
    in_channels : int
    growth_rate : int
        Maps it adds.
    bottleneck : int
        Width of the 1x1 bottleneck, in growth rates.
    """

    def __init__(self, in_channels: int, growth_rate: int, bottleneck: int = 4) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, bottleneck * growth_rate, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bottleneck * growth_rate)
        self.conv2 = nn.Conv2d(bottleneck * growth_rate, growth_rate, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, growth_rate, H, W)."""
        return self.conv2(F.relu(self.norm2(self.conv1(F.relu(self.norm1(x))))))


class DenseBlock(nn.Module):
    """A run of densely connected layers.  Paper: Sec. III-F, x_l = H_l([x_0, ..., x_{l-1}]).

    Parameters
    ----------
    in_channels : int
    growth_rate : int
        Q10: maps each layer adds.
    num_layers : int
        Q10: depth.
    bottleneck : int
    connections : {"dense", "sum"}
        ``"sum"`` adds a layer's output to its input, as ResNet does: the paper's foil. The sum needs maps of one
        width, so the input is first widened to what the dense block would end with.
    """

    def __init__(
        self,
        in_channels: int,
        growth_rate: int = 12,
        num_layers: int = 4,
        bottleneck: int = 4,
        connections: str = "dense",
    ) -> None:
        super().__init__()
        if connections not in CONNECTIONS:
            raise ValueError(f"connections: wanted one of {CONNECTIONS}, got {connections!r}")
        self.connections = connections
        self.out_channels = in_channels + num_layers * growth_rate
        self.layers = nn.ModuleList()
        self.widen: nn.Module = nn.Identity()
        if connections == "sum":
            self.widen = nn.Conv2d(in_channels, self.out_channels, 1, bias=False)
            for _ in range(num_layers):
                self.layers.append(SumLayer(self.out_channels, growth_rate, bottleneck))
        else:
            for layer in range(num_layers):
                self.layers.append(DenseLayer(in_channels + layer * growth_rate, growth_rate, bottleneck))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C + num_layers * growth_rate, H, W)."""
        if self.connections == "sum":
            x = self.widen(x)
            for layer in self.layers:
                x = x + layer(x)
            return x
        maps = [x]  # x_0
        for H in self.layers:
            maps.append(H(torch.cat(maps, 1)))  # x_l = H_l([x_0, ..., x_{l-1}])
        return torch.cat(maps, 1)


class SumLayer(DenseLayer):
    """The same H_l with an output as wide as its input, to be summed."""

    def __init__(self, channels: int, growth_rate: int, bottleneck: int = 4) -> None:
        super().__init__(channels, growth_rate, bottleneck)
        self.conv2 = nn.Conv2d(bottleneck * growth_rate, channels, 3, padding=1, bias=False)


class Reconstruction(nn.Module):
    """Projected steps back to a map, a dense block, and a fully connected layer (Paper: Sec. III-F).

    Parameters
    ----------
    in_channels : int
        Directions of the projection: each becomes a channel (Q10).
    grid : (int, int)
        Q10: H', W', where the steps stand; (T, 1) for rows.
    growth_rate, num_layers, connections
        Q10, see :class:`DenseBlock`.
    num_features : int
        Width of the fully connected layer before the softmax's.
    dropout : float
        Q11: share of features dropped before the fully connected layer.
    """

    def __init__(
        self,
        in_channels: int,
        grid: tuple[int, int],
        growth_rate: int = 12,
        num_layers: int = 4,
        connections: str = "dense",
        num_features: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.block = DenseBlock(in_channels, growth_rate, num_layers, connections=connections)
        self.norm = nn.BatchNorm2d(self.block.out_channels)
        self.head = FullyConnected(self.block.out_channels * grid[0] * grid[1], num_features, dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map the projected map (B, C - 1, H', W') to enhanced maps (B, K, H', W') and features (B, F)."""
        maps = F.relu(self.norm(self.block(x)))
        return maps, self.head(maps.flatten(1))


class FullyConnected(nn.Sequential):
    """Dropout, a fully connected layer, batch norm and ReLU: the layer before the softmax's, alike in all networks."""

    def __init__(self, in_features: int, out_features: int = 64, dropout: float = 0.0) -> None:
        super().__init__(
            nn.Dropout(dropout),
            nn.Linear(in_features, out_features, bias=False),
            nn.BatchNorm1d(out_features),
            nn.ReLU(),
        )
