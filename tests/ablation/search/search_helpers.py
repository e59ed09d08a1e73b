"""A search that takes a moment."""

from __future__ import annotations

from typing import Any

SPACE: dict[str, Any] = {
    "title": "A tiny search",
    "protocols": ["xsub"],
    "task": "retrieval",
    "downstream": ["seq"],
    "base": {
        "pretrain.epochs": 4,
        "pretrain.batch": 4,
        "pretrain.contrast": {"queue": 16, "dim": 8, "head_hidden": 8, "momentum": 0.9},
        "pretrain.encoders.frames": 16,
        "pretrain.encoders.seq": {"hidden": 4, "layers": 1},
        "pretrain.optimiser": {"name": "adamw", "lr": 0.01, "schedule": "cosine"},
    },
    "space": {
        "pretrain.optimiser.lr": {"loguniform": [0.0001, 0.1]},
        "pretrain.contrast.temperature": {"uniform": [0.02, 0.5]},
    },
    "evaluate_every": 2,
    "scheduler": {"name": "fifo"},
    "algorithm": "random",
}
