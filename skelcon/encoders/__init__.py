"""Encoders: from a representation to a feature, and the projection head behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.encoders.config import ENCODERS, CustomEncoder, EncodersConfig
from skelcon.encoders.options import (
    COORDINATES,
    REGISTERED,
    REPRESENTATIONS,
    AGCNConfig,
    BiGRUConfig,
    HCNConfig,
    Representation,
)
from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.encoders.agcn import AGCN
    from skelcon.encoders.bigru import BiGRU
    from skelcon.encoders.encoder import Encoder, ProjectionHead
    from skelcon.encoders.hcn import HCN
    from skelcon.encoders.representations import represent

__all__ = [
    "AGCN",
    "COORDINATES",
    "ENCODERS",
    "HCN",
    "REGISTERED",
    "REPRESENTATIONS",
    "AGCNConfig",
    "BiGRU",
    "BiGRUConfig",
    "CustomEncoder",
    "Encoder",
    "EncodersConfig",
    "HCNConfig",
    "ProjectionHead",
    "Representation",
    "represent",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "AGCN": "skelcon.encoders.agcn",
        "BiGRU": "skelcon.encoders.bigru",
        "Encoder": "skelcon.encoders.encoder",
        "HCN": "skelcon.encoders.hcn",
        "ProjectionHead": "skelcon.encoders.encoder",
        "represent": "skelcon.encoders.representations",
    },
)
