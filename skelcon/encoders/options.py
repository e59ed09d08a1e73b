"""The representations, and the options of the built-in networks; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from skelcon.config import Config
from skelcon.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from skelcon.data.layouts import SkeletonLayout

REPRESENTATIONS = ("img", "stg", "seq")

COORDINATES = "coordinates"
"""What an evaluation calls the coordinates themselves, in place of an encoder's representation."""


def _reserved() -> Sequence[str]:
    """Names that no representation may have.

    Representations name submodules of an ``nn.ModuleDict``, whose attributes they must not hide,
    and are keys beside ``frames`` and others. (An encoder may have a representation's name: its
    settings are ``encoders.stgcn``, and the representation's are ``encoders.custom.stgcn``.)
    """
    from torch import nn

    return ("frames", "orientation", "custom", COORDINATES, *dir(nn.ModuleDict()))


REPRESENTATION_PLUGINS: Registry[Callable[[Tensor], Tensor]] = Registry(
    "representation", ("view",), REPRESENTATIONS, reserved=_reserved
)
"""The representations that plugins have registered, in addition to :data:`REPRESENTATIONS`."""

Representation = Annotated[str, AfterValidator(REPRESENTATION_PLUGINS.known)]

STREAMS: Registry[Callable[[Tensor, SkeletonLayout], Tensor]] = Registry(
    "stream", ("view", "layout"), ("joint", "bone", "motion", "angle")
)
"""The streams that plugins have registered, in addition to the four."""

Stream = Annotated[str, AfterValidator(STREAMS.known)]

Orientation = Literal["as_recorded", "first_frame", "median"]
"""As `skelcon.data.Orientation`, which imports numpy."""


class HCNConfig(Config):
    """The image encoder; the feature has 4 * channels * (frames / 16) * (cooccurrence / 16)."""

    channels: int = Field(64, ge=2, description="width of the first layer; later ones follow it")
    cooccurrence: int = Field(
        64, ge=16, multiple_of=16, description="channels that become an image axis after conv2"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="after conv4, conv5 and conv6")
    batch_norm: bool = Field(
        default=False, description="after conv2 to conv6 (not in the paper): learns in fewer steps"
    )
    input_norm: bool = Field(
        default=False, description="batch norm of the input (not in the paper)"
    )


class GraphConfig(Config):
    """Units of a graph encoder; the feature has the last unit's channels."""

    channels: tuple[int, ...] = Field(
        (64, 64, 64, 64, 128, 128, 128, 256, 256, 256), description="output channels of each unit"
    )
    strides: tuple[int, ...] = Field(
        (1, 1, 1, 1, 2, 1, 1, 2, 1, 1), description="temporal stride of each unit"
    )
    kernel: int = Field(9, ge=1, description="temporal kernel size (odd)")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.channels or len(self.channels) != len(self.strides):
            raise ValueError("channels and strides must have one entry per unit")
        if self.kernel % 2 == 0:
            raise ValueError("the temporal kernel must be odd")
        return self


class AGCNConfig(GraphConfig):
    """The graph encoder; the feature has the last unit's channels."""

    input_norm: bool = Field(default=True, description="batch norm of the input")

    @model_validator(mode="after")
    def _quarters(self) -> Self:
        if any(c % 4 for c in self.channels):
            raise ValueError("channels must be multiples of 4 (the attention uses a quarter)")
        return self


Partition = Literal["paper", "code"]


class STGCNConfig(GraphConfig):
    """ST-GCN; the default is the published size."""

    dropout: float = Field(
        0.5, ge=0, lt=1, description="after each unit but the first; 0 computes absent bodies once"
    )
    partition: Partition = Field(
        "paper",
        description="of links, into those towards the root and away from it; `code`: as ST-GCN's "
        "public code, which separates them near the root only",
    )

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``partition`` where it is the paper's, as keys have been made of it."""
        values: dict[str, Any] = write(self)
        if self.partition == "paper":
            values.pop("partition", None)
        return values


class CTRGCNConfig(GraphConfig):
    """CTR-GCN; the default is the published size."""

    kernel: int = Field(5, ge=1, description="temporal kernel size of the dilated branches (odd)")
    dilations: tuple[int, ...] = Field(
        (1, 2), description="temporal dilation of each branch; two more pool and pass on"
    )
    reduction: int = Field(
        8, ge=1, description="a unit's topologies come from 1 / reduction of its input channels"
    )

    @model_validator(mode="after")
    def _branches(self) -> Self:
        branches = len(self.dilations) + 2
        if any(c % branches for c in self.channels):
            raise ValueError(f"channels must be multiples of {branches}, the temporal branches")
        if any(d < 1 for d in self.dilations):
            raise ValueError("dilations must be 1 or more")
        return self


class TransformerConfig(Config):
    """The spatio-temporal transformer; the default is the size of MAMP's encoder."""

    dim: int = Field(256, ge=1, description="channels of a token")
    depth: int = Field(8, ge=1, description="number of blocks")
    heads: int = Field(8, ge=1, description="attention heads of a block; a divisor of dim")
    mlp_ratio: int = Field(4, ge=1, description="hidden units of a block's MLP, in dims")
    segment: int = Field(4, ge=1, description="frames of a token; a divisor of encoders.frames")

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not a multiple of heads, {self.heads}")
        return self


class BiGRUConfig(Config):
    """The sequence encoder."""

    hidden: int = Field(1024, ge=1, description="H, units of each layer and direction")
    layers: int = Field(3, ge=1, description="number of layers")
    stepwise: bool = Field(
        default=False,
        description="both directions run forward in time, as the authors' code has it",
    )
    input_norm: bool = Field(
        default=False, description="batch norm of the input (not in the paper)"
    )
