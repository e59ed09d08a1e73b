"""Measures what units cost by doing a little of them now: a few steps, thrown away.

Nothing is written to the store. What is measured has the unit's encoders with random weights, its
batch and its data on the device that trials would have; only the number of clips is less.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from ablation.cost.hardware import Hardware
from ablation.cost.history import History, Rate, encoders_of, probe_key
from ablation.text import plural
from ablation.units import PretrainUnit, Unit
from ablation.work import prepare
from skelcon.data import ClipBank, SkeletonDataset, split
from skelcon.downstream.tasks import Inputs
from skelcon.downstream.tasks.timing import WARM_UP, median_epoch
from skelcon.encoders import Encoder, EncodersConfig
from skelcon.errors import UserError
from skelcon.pretrain import Pretraining

BUSY = 0.8
"""With less than this share of a core a measurement on the CPU is called disturbed."""


def one_of_each(units: Sequence[Unit]) -> list[Unit]:
    """One unit for each measurement: the one with the most augmentations."""
    chosen: dict[tuple[str, str], Unit] = {}
    for unit in units:
        key = probe_key(unit)
        if key not in chosen or _augmentations(unit) > _augmentations(chosen[key]):
            chosen[key] = unit
    return list(chosen.values())


def _augmentations(unit: Unit) -> int:
    return len(unit.augmentations) if isinstance(unit, PretrainUnit) else 0


def probe(
    units: Sequence[Unit],
    history: History,
    hardware: Hardware,
    steps: int,
    threads: int,
    progress: Callable[[Unit, int, int], None] = lambda unit, done, total: None,
) -> None:
    """Time ``steps`` optimisation steps of each kind in ``units``, for ``history``.

    Args:
        units: what is to be measured.
        history: knows the data; receives the rates.
        hardware: what trials run on.
        steps: how many steps, after one that does not count; the median is taken.
        threads: torch threads of a trial.
        progress: called before each unit with how many were measured, and of how many.

    Raises:
        UserError: if trials would run on a GPU and this machine has none.
    """
    chosen = one_of_each(units)
    if chosen and hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"--probe {steps}: trials would run on {hardware}, and torch sees none "
            "here; measure there, or leave --gpus-per-trial out"
        )
    prepare(threads)
    banks: dict[str, ClipBank] = {}
    for done, unit in enumerate(chosen):
        progress(unit, done, len(chosen))
        dataset = history.clips.datasets[unit.side.data]
        where = str((unit.side.data, unit.side.seen_as))
        if where not in banks:
            banks.clear()  # one at a time: it may be large
            banks[where] = _bank(dataset, unit, hardware.device)
        rate = _measure(unit, dataset, banks[where], hardware, steps)
        history.add_measurement(unit, hardware, rate)


def _measure(
    unit: Unit, dataset: SkeletonDataset, bank: ClipBank, hardware: Hardware, steps: int
) -> Rate:
    on_gpu = hardware.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    wall, cpu = time.perf_counter(), time.process_time()
    seconds = seconds_per_clip(unit, dataset, bank, steps)
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    basis = plural(steps, "step") if unit.epochs else "a part of it"
    if hardware.ranks > 1:
        basis += " on one GPU"
    basis += " measured now"
    if not on_gpu:
        disturbed = ", while other processes had the CPU" if share < BUSY else ""
        return Rate(seconds, basis + disturbed)
    peak = torch.cuda.max_memory_allocated() / 2**20
    total = torch.cuda.get_device_properties(0).total_memory / 2**20
    return Rate(seconds, basis, gpu_mib=peak, gpu_total_mib=total)


def _bank(dataset: SkeletonDataset, unit: Unit, device: str) -> ClipBank:
    seen_as = unit.side.seen_as
    if seen_as is None:
        return ClipBank(dataset, device)
    return ClipBank(dataset, device, seen_as.layout, seen_as.bodies)


def seconds_per_clip(unit: Unit, dataset: SkeletonDataset, bank: ClipBank, steps: int) -> float:
    """Seconds for each of the clips that `Unit.clips_seen` counts, measured."""
    train = split(dataset, unit.side.protocol, unit.side.train)
    if isinstance(unit, PretrainUnit):
        options = unit.settings
        clips = np.random.default_rng(0).choice(train, options.batch, replace=False)
        # An epoch of one step: its clips are a batch.
        options = options.model_copy(update={"epochs": steps + WARM_UP})
        training = Pretraining(bank, clips, bank.layout, options, unit.side.seed)
        return median_epoch(training, steps) / options.batch
    test = split(dataset, unit.side.protocol, unit.test)
    encoders, frames = _random_encoders(unit, bank)
    inputs = Inputs(
        encoders,
        bank,
        torch.from_numpy(train).to(bank.device),
        torch.from_numpy(test).to(bank.device),
        dataset.num_classes,
        frames,
        unit.side.seed,
    )
    return float(unit.task.seconds_per_clip(inputs, unit.settings, steps))


def _random_encoders(unit: Unit, bank: ClipBank) -> tuple[list[Encoder], int]:
    encoders, frames = [], 0
    for name, values in encoders_of(unit):
        options = EncodersConfig.model_validate(values)
        encoders.append(Encoder(name, options, bank.layout, bank.num_bodies).to(bank.device))
        frames = options.frames
    return encoders, frames
