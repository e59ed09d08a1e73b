"""Skeleton-contrastive 3D action representation learning (Thoker, Doughty, Snoek, ACM MM 2021).

Data flows one way through the subpackages: data -> augment -> encoders -> contrast -> pretrain
-> downstream. Nothing in here knows of Ray, of studies or of tables; that is ``ablation``.

What a trained encoder is used with stands here: :func:`load_encoder` and :func:`embed`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skelcon.downstream import embed
    from skelcon.plugins import register_augmentation, register_encoder, register_representation
    from skelcon.pretrain import load_encoder

__all__ = [
    "embed",
    "load_encoder",
    "register_augmentation",
    "register_encoder",
    "register_representation",
]

_HOME = {"embed": "skelcon.downstream", "load_encoder": "skelcon.pretrain"}


def __getattr__(name: str) -> Any:
    """Import what is public here when it is first asked for: it brings torch along."""
    if name not in __all__:
        raise AttributeError(f"module 'skelcon' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME.get(name, "skelcon.plugins")), name)
