"""How large what a unit writes will be, counted from its configuration; nothing is trained."""

from __future__ import annotations

import contextlib
import functools
import json
import math
from typing import Any

import torch

from ablation.cost.history import Clips, encoders_of, task_of
from skelcon.data import SkeletonLayout, split
from skelcon.encoders import Encoder, EncodersConfig

TEXTS = 8 << 10
"""Bytes of a unit's small files: configuration, provenance, result, log."""

EPOCH_LINE = 200
"""Bytes of an epoch's line in metrics.jsonl."""

PREDICTION = 12
"""Bytes of a test clip's line in predictions.npz, compressed."""

FLOAT = 4


@functools.lru_cache(maxsize=256)
def _encoder(
    name: str, config: str, layout: SkeletonLayout, bodies: int
) -> tuple[int, int, int] | None:
    """(bytes of the weights, parameters, feature size); None if that cannot be counted."""
    with contextlib.suppress(Exception):  # a registered encoder may do anything when it is built
        with torch.device("meta"):
            encoder = Encoder(name, EncodersConfig.model_validate_json(config), layout, bodies)
        size = sum(t.numel() * t.element_size() for t in encoder.state_dict().values())
        return size, sum(p.numel() for p in encoder.parameters()), encoder.feature_size
    return None


def written_bytes(config: dict[str, Any], clips: Clips) -> tuple[int, int] | None:
    """(what a unit leaves, how large its checkpoint is); None where that cannot be counted.

    Args:
        config: the unit's.
        clips: the data at hand; the unit's must be among it.
    """
    dataset = clips.datasets.get(config["data"])
    if dataset is None:
        return None
    seen_as, options, task = config.get("as"), config["config"], task_of(config)
    layout = SkeletonLayout.from_dict(seen_as["layout"]) if seen_as else dataset.layout
    bodies = seen_as["bodies"] if seen_as else dataset.max_bodies
    if task not in ("pretrain", "finetune"):
        return TEXTS + PREDICTION * _tested(config, clips), 0
    counted = []
    for name, encoders in encoders_of(config):
        if "weights" in encoders:
            return None
        counted.append(_encoder(name, json.dumps(encoders), layout, bodies))
    known = [each for each in counted if each is not None]
    if len(known) != len(counted):
        return None
    log = EPOCH_LINE * int(options["epochs"])
    if task == "finetune":
        outputs = sum(size for *_, size in known) * dataset.num_classes
        left = TEXTS + options["subsets"] * (log + PREDICTION * _tested(config, clips))
        # Weights and the two moments of Adam.
        return left, 3 * FLOAT * (sum(number for _, number, _ in known) + outputs)
    contrast, optimiser = options["contrast"], options["optimiser"]
    moments = 2 if optimiser["name"] == "adamw" else int(optimiser.get("momentum", 0) > 0)
    checkpoint = 0
    for size, number, features in known:
        hidden = contrast["head_hidden"] or features
        head = (features + 1) * hidden + (hidden + 1) * contrast["dim"]
        checkpoint += 2 * (size + FLOAT * head)  # query and key
        checkpoint += FLOAT * (moments * (number + head) + contrast["queue"] * contrast["dim"])
    return TEXTS + log + sum(size for size, *_ in known), checkpoint


def _tested(config: dict[str, Any], clips: Clips) -> int:
    dataset = clips.datasets[config["data"]]
    return len(split(dataset, config["protocol"], config["test"]))


def readable(size: float) -> str:
    """``850 B``, ``12.3 MB``, ``1.2 GB``: powers of 1000, as disks are sold."""
    if size < 1000:
        return f"{round(size)} B"
    power = min(4, int(math.log10(size)) // 3)
    return f"{size / 1000**power:.1f} {['', 'kB', 'MB', 'GB', 'TB'][power]}"
