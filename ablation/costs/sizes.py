"""The size of a unit's files, counted from its configuration without training anything."""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, NamedTuple

from ablation.costs.history import History
from ablation.costs.traits import encoders_of
from ablation.units import PretrainUnit, Unit

if TYPE_CHECKING:
    from skelcon.data import SkeletonDataset, SkeletonLayout
    from skelcon.downstream.tasks import EncoderSize

TEXT_BYTES = 8 << 10
"""A unit's small files: configuration, provenance, result, log."""
EPOCH_BYTES = 350
"""An epoch's line in metrics.jsonl."""
PREDICTION_BYTES = 12
"""A test clip's prediction in predictions.npz, compressed."""
SCORE_BYTES = 4
"""A test clip's score of one class there."""
FLOAT_BYTES = 4


class Size(NamedTuple):
    """Bytes of the files that a unit leaves, and of its checkpoint while it runs."""

    left: int
    checkpoint: int


def written_bytes(unit: Unit, history: History) -> Size | None:
    """The size of the files of ``unit``; None if its data or an encoder's size is not known."""
    dataset, sides = history.datasets.get(unit.side.data), history.sides(unit)
    if dataset is None or sides is None:
        return None
    left = TEXT_BYTES + EPOCH_BYTES * unit.epochs
    if not isinstance(unit, PretrainUnit):
        per_clip = PREDICTION_BYTES
        if unit.task.scores:
            per_clip += SCORE_BYTES * dataset.num_classes
        left += per_clip * unit.task.predictions(unit.settings, sides[1])
        if not unit.epochs:
            return Size(left, 0)
    sizes = _encoder_sizes(unit, dataset)
    if sizes is None:
        return None
    if isinstance(unit, PretrainUnit):
        left += sum(size.weights for size in sizes)
        if "contrast" in unit.options:
            return Size(left, sum(_training_bytes(unit, size) for size in sizes))
        state = _objective_bytes(unit, *_seen(unit, dataset))
        return None if state is None else Size(left, state)
    return Size(left, unit.task.checkpoint_bytes(unit.settings, sizes, dataset.num_classes))


def _training_bytes(unit: PretrainUnit, size: EncoderSize) -> int:
    """Bytes in a checkpoint of the paper's contrast for one of its encoders."""
    contrast, moments = unit.options["contrast"], _moments(unit)
    hidden = contrast["head_hidden"] or size.features
    head = (size.features + 1) * hidden + (hidden + 1) * contrast["dim"]
    networks = 2 * (size.weights + FLOAT_BYTES * head)  # query and key
    state = moments * (size.parameters + head) + contrast["queue"] * contrast["dim"]
    return int(networks + FLOAT_BYTES * state)


def _objective_bytes(unit: PretrainUnit, layout: SkeletonLayout, bodies: int) -> int | None:
    """Bytes of a checkpoint of any other objective; None if it cannot be built."""
    import torch

    from skelcon.encoders import Encoder

    config = unit.settings
    with contextlib.suppress(Exception):  # a plugin's objective may raise anything
        with torch.device("meta"):
            encoders = {
                name: Encoder(name, config.encoders, layout, bodies)
                for name in config.representations
            }
            built = config.objective.build(config.contrast, encoders, torch.Generator())
        trained = sum(p.numel() for p in built.query_parameters())
        networks: int = sum(t.numel() * t.element_size() for t in built.state_dict().values())
        return networks + FLOAT_BYTES * _moments(unit) * trained
    return None


def _moments(unit: PretrainUnit) -> int:
    """How many values the optimiser keeps for each parameter."""
    optimiser = unit.options["optimiser"]
    if optimiser["name"] == "adamw":
        return 2
    return 1 if optimiser.get("momentum", 0) > 0 else 0


def _encoder_sizes(unit: Unit, dataset: SkeletonDataset) -> list[EncoderSize] | None:
    """The sizes of the unit's encoders; None if one of them is not known."""
    layout, bodies = _seen(unit, dataset)
    sizes = [_size(name, json.dumps(own), layout, bodies) for name, own in encoders_of(unit)]
    counted = [size for size in sizes if size is not None]
    return counted if len(counted) == len(sizes) else None


def _seen(unit: Unit, dataset: SkeletonDataset) -> tuple[SkeletonLayout, int]:
    """The layout and the number of bodies that the unit's encoders see."""
    seen_as = unit.side.seen_as
    if seen_as is None:
        return dataset.layout, dataset.max_bodies
    return seen_as.layout, seen_as.bodies


@functools.lru_cache(maxsize=256)
def _size(name: str, config: str, layout: SkeletonLayout, bodies: int) -> EncoderSize | None:
    """The size of an encoder; None if it cannot be built from its configuration alone."""
    import torch

    from skelcon.downstream.tasks import EncoderSize
    from skelcon.encoders import Encoder, EncodersConfig

    with contextlib.suppress(Exception):  # a plugin's encoder may raise anything
        with torch.device("meta"):
            encoder = Encoder(name, EncodersConfig.model_validate_json(config), layout, bodies)
        weights = sum(t.numel() * t.element_size() for t in encoder.state_dict().values())
        parameters = sum(p.numel() for p in encoder.parameters())
        return EncoderSize(weights, parameters, encoder.feature_size)
    return None
