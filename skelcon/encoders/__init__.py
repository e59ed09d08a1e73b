"""Encoders: from a representation to a feature, and the projection head behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.encoders.config import ENCODERS, CustomEncoder, EncodersConfig
from skelcon.encoders.options import (
    COORDINATES,
    REPRESENTATION_PLUGINS,
    REPRESENTATIONS,
    STREAMS,
    AGCNConfig,
    BiGRUConfig,
    CTRGCNConfig,
    HCNConfig,
    Representation,
    STGCNConfig,
    TransformerConfig,
)
from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.encoders.agcn import AGCN
    from skelcon.encoders.bigru import BiGRU
    from skelcon.encoders.ctrgcn import CTRGCN
    from skelcon.encoders.encoder import Encoder, GivesTokens, ProjectionHead
    from skelcon.encoders.hcn import HCN
    from skelcon.encoders.representations import represent
    from skelcon.encoders.stgcn import STGCN
    from skelcon.encoders.streams import streamed
    from skelcon.encoders.transformer import TokenDecoder, Transformer

__all__ = [
    "AGCN",
    "COORDINATES",
    "CTRGCN",
    "ENCODERS",
    "HCN",
    "REPRESENTATIONS",
    "REPRESENTATION_PLUGINS",
    "STGCN",
    "STREAMS",
    "AGCNConfig",
    "BiGRU",
    "BiGRUConfig",
    "CTRGCNConfig",
    "CustomEncoder",
    "Encoder",
    "EncodersConfig",
    "GivesTokens",
    "HCNConfig",
    "ProjectionHead",
    "Representation",
    "STGCNConfig",
    "TokenDecoder",
    "Transformer",
    "TransformerConfig",
    "represent",
    "streamed",
]

__getattr__ = lazy_exports(
    __name__,
    {
        "AGCN": "skelcon.encoders.agcn",
        "BiGRU": "skelcon.encoders.bigru",
        "CTRGCN": "skelcon.encoders.ctrgcn",
        "Encoder": "skelcon.encoders.encoder",
        "GivesTokens": "skelcon.encoders.encoder",
        "HCN": "skelcon.encoders.hcn",
        "ProjectionHead": "skelcon.encoders.encoder",
        "STGCN": "skelcon.encoders.stgcn",
        "TokenDecoder": "skelcon.encoders.transformer",
        "Transformer": "skelcon.encoders.transformer",
        "represent": "skelcon.encoders.representations",
        "streamed": "skelcon.encoders.streams",
    },
)
