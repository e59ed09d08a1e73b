"""A plug-in with one of each component, and settings that are quickly trained."""

from typing import Any

from skelcon.augment import AUGMENTATIONS
from skelcon.encoders import ENCODERS, REPRESENTATION_PLUGINS
from skelcon.pretrain import PretrainConfig

REGISTRIES = (AUGMENTATIONS, ENCODERS, REPRESENTATION_PLUGINS)
BUILT_IN = ("hcn", "agcn", "bigru", "stgcn", "ctrgcn", "transformer")

PLUGIN = """
from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import nn

from skelcon import register_augmentation, register_encoder, register_representation

if TYPE_CHECKING:
    from torch import Tensor


@register_augmentation("mirror", version="3")
def mirror(view: torch.Tensor, generator: torch.Generator, p: float = 0.5) -> torch.Tensor:
    flipped = torch.rand(len(view), generator=generator) < p
    sign = torch.ones(len(view), 3)
    sign[flipped, 0] = -1
    return view * sign[:, None, None, None].to(view)


@register_augmentation("noise", version=1)
def noise(view: Tensor, generator, *, std=0.01, joints: list[int] | None = None):
    return view + std * torch.randn(view.shape, generator=generator)


@register_encoder("mean-net", version="2")
class MeanNet(nn.Module):
    def __init__(
        self, layout, bodies: int, frames: int, width: Annotated[int, Field(ge=1)] = 4
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(bodies * layout.num_joints * 3, width)
        self.norm = nn.BatchNorm1d(width)
        self.feature_size = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.linear(x).mean(dim=1))


@register_representation("motion", version="1", encoder="mean-net")
def motion(view: torch.Tensor) -> torch.Tensor:
    steps = view[:, :, 1:] - view[:, :, :-1]
    return steps.permute(0, 2, 3, 4, 1).flatten(2)


@register_representation("bone", version="1")
def bone(view: torch.Tensor) -> torch.Tensor:
    return (view - view[..., :1, :]).permute(0, 2, 3, 4, 1).flatten(2)
"""

SMALL: dict[str, Any] = {
    "encoders": {
        "img": {"channels": 4, "cooccurrence": 16},
        "stg": {"channels": (8,), "strides": (2,)},
        "seq": {"hidden": 8, "layers": 1},
        "frames": 16,
    },
    "contrast": {"dim": 8, "head_hidden": 8, "queue": 20, "momentum": 0.9},
    "optimiser": {"milestones": (2,), "lr": 0.05},
    "epochs": 2,
    "batch": 6,
}


def pretrain(**changes: object) -> PretrainConfig:
    return PretrainConfig.model_validate({**SMALL, **changes})
