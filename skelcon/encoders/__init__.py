"""Encoders: from a representation to a feature, and the projection head behind it."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from skelcon.config import Config
from skelcon.data.layouts import SkeletonLayout
from skelcon.encoders.agcn import AGCN, AGCNConfig
from skelcon.encoders.bigru import BiGRU, BiGRUConfig
from skelcon.encoders.hcn import HCN, HCNConfig
from skelcon.encoders.representations import REPRESENTATIONS, Representation, represent

__all__ = [
    "AGCN",
    "HCN",
    "REPRESENTATIONS",
    "AGCNConfig",
    "BiGRU",
    "BiGRUConfig",
    "Encoder",
    "EncodersConfig",
    "HCNConfig",
    "ProjectionHead",
    "Representation",
    "represent",
]


class EncodersConfig(Config):
    """One encoder a representation."""

    img: HCNConfig = HCNConfig()
    stg: AGCNConfig = AGCNConfig()
    seq: BiGRUConfig = BiGRUConfig()
    frames: int = Field(64, ge=16, description="T, the frames of a view")


class Encoder(nn.Module):
    """A view's representation and its network: (B, M, T, V, C) -> features (B, feature_size).

    Attributes:
        representation: ``img``, ``stg`` or ``seq``.
        frames: T, the frames that its views must have.
        layout: their skeleton, of V joints.
        bodies: M.
        feature_size: the size of a feature.
    """

    def __init__(
        self,
        representation: Representation,
        config: EncodersConfig,
        layout: SkeletonLayout,
        bodies: int,
    ) -> None:
        super().__init__()
        self.representation = representation
        self.frames = config.frames
        self.layout = layout
        self.bodies = bodies
        self.network: HCN | AGCN | BiGRU
        if representation == "img":
            self.network = HCN(config.img, bodies, layout.num_joints, config.frames)
        elif representation == "stg":
            self.network = AGCN(config.stg, bodies, layout)
        else:
            self.network = BiGRU(config.seq, bodies, layout.num_joints)
        self.feature_size = self.network.feature_size

    def forward(self, view: Tensor) -> Tensor:
        """Features of a view, before the projection head."""
        features: Tensor = self.network(represent(view, self.representation))
        return features


class ProjectionHead(nn.Module):
    """The MLP behind an encoder (section 4.2): Linear-ReLU-Linear to an L2-normalised embedding."""

    def __init__(self, inputs: int, hidden: int | None, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden or inputs)
        self.out = nn.Linear(hidden or inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """(B, inputs) -> unit vectors (B, outputs)."""
        return functional.normalize(self.out(functional.relu(self.hidden(features))), dim=1)
