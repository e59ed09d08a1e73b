"""Measures the cost of units by a few steps of them, whose results are discarded.

Nothing is written to the store. A measurement uses the unit's encoders with random weights, its
batch, its data and the device of trials, but fewer clips.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from ablation.costs.history import Rate
from ablation.costs.model import CostModel
from ablation.costs.traits import Hardware, encoders_of, probe_key
from ablation.text import plural
from ablation.units import PretrainUnit, Unit
from ablation.work import prepare
from ablation.work.inputs import inputs_of
from skelcon.data import ClipBank, SkeletonDataset
from skelcon.downstream.tasks.timing import WARM_UP, median_epoch
from skelcon.encoders import Encoder, EncodersConfig
from skelcon.errors import UserError
from skelcon.pretrain import Pretraining

BUSY = 0.8
"""With less than this share of a core, a measurement on the CPU is called disturbed."""


def probe(
    model: CostModel,
    units: Sequence[Unit],
    steps: int,
    progress: Callable[[Unit, int, int], None] = lambda unit, done, total: None,
) -> None:
    """Measure each kind of unit that earlier results do not cover, and add it to the history.

    Args:
        model: the model whose history is extended.
        units: the units to run.
        steps: the median of so many steps is taken, after one for warm-up.
        progress: called before each measurement with the unit, how many are done, and of how many.

    Raises:
        UserError: if trials would run on a GPU and this machine has none.
    """
    hardware, chosen = model.hardware, _one_of_each(filter(model.needs_probe, units))
    if chosen and hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"--probe {steps}: trials would run on {hardware}, but torch sees none here; "
            "measure on such a machine, or leave --gpus-per-trial out"
        )
    prepare(max(1, int(model.resources.cpus_per_trial)))
    banks: dict[object, ClipBank] = {}
    for done, unit in enumerate(chosen):
        progress(unit, done, len(chosen))
        dataset, seen_as = model.history.datasets[unit.side.data], unit.side.seen_as
        where = unit.side.data, seen_as
        if where not in banks:
            banks.clear()  # one at a time: it may be large
            shape = (seen_as.layout, seen_as.bodies) if seen_as else (None, None)
            banks[where] = ClipBank(dataset, hardware.device, *shape)
        rate = _measure(unit, dataset, banks[where], hardware, steps)
        model.history.add_measurement(unit, hardware, rate)


def _one_of_each(units: Iterable[Unit]) -> list[Unit]:
    """One unit for each measurement: the one with the most augmentations."""
    groups = defaultdict(list)
    for unit in units:
        groups[probe_key(unit)].append(unit)
    return [max(group, key=_augmentations) for group in groups.values()]


def _augmentations(unit: Unit) -> int:
    return len(unit.augmentations) if isinstance(unit, PretrainUnit) else 0


def _measure(
    unit: Unit, dataset: SkeletonDataset, bank: ClipBank, hardware: Hardware, steps: int
) -> Rate:
    on_gpu = hardware.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    wall, cpu = time.perf_counter(), time.process_time()
    seconds = _seconds_per_clip(unit, dataset, bank, steps)
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    basis = plural(steps, "step") if unit.trains else "a part of it"
    if hardware.ranks > 1:
        basis += " on one GPU"
    basis += " measured now"
    if not on_gpu:
        disturbed = ", while other processes used the CPU" if share < BUSY else ""
        return Rate(seconds, basis + disturbed)
    peak = torch.cuda.max_memory_allocated() / 2**20
    total = torch.cuda.get_device_properties(0).total_memory / 2**20
    return Rate(seconds, basis, gpu_mib=peak, gpu_total_mib=total)


def _seconds_per_clip(unit: Unit, dataset: SkeletonDataset, bank: ClipBank, steps: int) -> float:
    """Measured seconds for each of the clips that `Unit.clips_seen` counts."""
    if isinstance(unit, PretrainUnit):
        options = unit.settings
        train = unit.side.clips(dataset)
        clips = np.random.default_rng(0).choice(train, options.batch, replace=False)
        # An epoch of one step: its clips are a batch.
        options = options.model_copy(update={"epochs": steps + WARM_UP, "share": 1.0})
        training = Pretraining(bank, clips, bank.layout, options, unit.side.seed)
        return median_epoch(training, steps) / (options.batch * unit.load)
    encoders = []
    for name, values in encoders_of(unit):
        config = EncodersConfig.model_validate(values)
        encoders.append(Encoder(name, config, bank.layout, bank.num_bodies).to(bank.device))
    inputs = inputs_of(unit, dataset, bank, encoders)
    return float(unit.task.seconds_per_clip(inputs, unit.settings, steps))
