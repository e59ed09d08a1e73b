"""Skeleton-contrastive 3D action representation learning (Thoker, Doughty, Snoek, ACM MM 2021).

Data flows one way through the subpackages: data -> augment -> encoders -> contrast -> pretrain
-> downstream. Nothing in here knows of Ray, of studies or of tables; that is ``ablation``.

What a trained encoder is used with stands here: :func:`load_encoder` and :func:`embed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skelcon.downstream import embed
    from skelcon.pretrain import load_encoder
else:

    def __getattr__(name: str) -> object:
        """Both on first use, so that importing the package does not import torch."""
        if name == "embed":
            from skelcon.downstream import embed

            return embed
        if name == "load_encoder":
            from skelcon.pretrain import load_encoder

            return load_encoder
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


__all__ = ["embed", "load_encoder"]
