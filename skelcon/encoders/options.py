"""The representations, and the options of the paper's networks; nothing here imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from skelcon.config import Config
from skelcon.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

REPRESENTATIONS = ("img", "stg", "seq")

COORDINATES = "coordinates"
"""What an evaluation calls the coordinates themselves, in place of an encoder's representation."""


def _reserved() -> Sequence[str]:
    """Representations name submodules of an ``nn.ModuleDict`` and must not hide its attributes."""
    from torch import nn

    return ("frames", "orientation", "custom", COORDINATES, *dir(nn.ModuleDict()))


REGISTERED: Registry[Callable[[Tensor], Tensor]] = Registry(
    "representation", ("view",), REPRESENTATIONS, reserved=_reserved
)
"""The representations that plugins have registered, in addition to :data:`REPRESENTATIONS`."""

Representation = Annotated[str, AfterValidator(REGISTERED.known)]

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


class AGCNConfig(Config):
    """The graph encoder; the feature has the last unit's channels."""

    channels: tuple[int, ...] = Field(
        (64, 64, 64, 64, 128, 128, 128, 256, 256, 256), description="output channels of each unit"
    )
    strides: tuple[int, ...] = Field(
        (1, 1, 1, 1, 2, 1, 1, 2, 1, 1), description="temporal stride of each unit"
    )
    kernel: int = Field(9, ge=1, description="temporal kernel size (odd)")
    input_norm: bool = Field(default=True, description="batch norm of the input")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.channels or len(self.channels) != len(self.strides):
            raise ValueError("channels and strides must have one entry per unit")
        if self.kernel % 2 == 0:
            raise ValueError("the temporal kernel must be odd")
        if any(c % 4 for c in self.channels):
            raise ValueError("channels must be multiples of 4 (the attention uses a quarter)")
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
