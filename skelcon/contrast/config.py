"""The settings of the contrastive task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from skelcon.config import Config


class ContrastConfig(Config):
    """The contrastive task."""

    dim: int = Field(128, ge=1, description="size of the embedding")
    head_hidden: int | None = Field(
        None, ge=1, description="hidden units of the projection head; the feature size if not set"
    )
    temperature: float = Field(0.07, gt=0, description="tau of eq. 5")
    queue: int = Field(16384, ge=1, description="number of negatives kept for each representation")
    momentum: float = Field(
        0.999, ge=0, le=1, description="of the key encoder's moving average (the authors' code)"
    )
    extra: Literal["infonce", "distribution"] = Field(
        "infonce",
        description="what views.extra are compared with: infonce: the keys (eq. 5); distribution: "
        "the query's similarities to them (AimCLR)",
    )
