"""Skeleton-contrastive 3D action representation learning (Thoker, Doughty, Snoek, ACM MM 2021).

Data flows one way through the subpackages: data -> augment -> encoders -> contrast -> pretrain
-> downstream. Studies, tables and the scheduling on Ray are in ``ablation``.

Most used are :func:`load_encoder` and :func:`embed`, for a trained encoder, and :func:`preset`, the
settings to train one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelcon.lazy import lazy_exports

if TYPE_CHECKING:
    from skelcon.downstream import embed
    from skelcon.plugins import (
        register_augmentation,
        register_encoder,
        register_importer,
        register_layout,
        register_objective,
        register_protocol,
        register_representation,
        register_stream,
        register_task,
    )
    from skelcon.presets import preset
    from skelcon.pretrain import load_encoder

__all__ = [
    "embed",
    "load_encoder",
    "preset",
    "register_augmentation",
    "register_encoder",
    "register_importer",
    "register_layout",
    "register_objective",
    "register_protocol",
    "register_representation",
    "register_stream",
    "register_task",
]

__getattr__ = lazy_exports(
    __name__,
    {
        **dict.fromkeys(__all__, "skelcon.plugins"),
        "embed": "skelcon.downstream",
        "load_encoder": "skelcon.pretrain",
        "preset": "skelcon.presets",
    },
)
