"""Skeleton-contrastive 3D action representation learning (Thoker, Doughty, Snoek, ACM MM 2021).

Data flows one way through the subpackages: data -> augment -> encoders -> contrast -> pretrain
-> downstream. Nothing in here knows of Ray, of studies or of tables; that is ``ablation``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skelcon.plugins import register_augmentation, register_encoder, register_representation

__all__ = ["register_augmentation", "register_encoder", "register_representation"]

_HOME = dict.fromkeys(__all__, "skelcon.plugins")


def __getattr__(name: str) -> Any:
    """Import what is public here when it is first asked for: it brings torch along."""
    if name not in _HOME:
        raise AttributeError(f"module 'skelcon' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)
