"""Measures what units cost by doing a little of them now: a few steps, thrown away.

Nothing is written to the store. What is measured has the unit's encoders with random weights, its
batch and its data on the device that trials would have; only the number of clips is less.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ablation.cost.estimate import needs_probe
from ablation.cost.history import History, Rate, encoders_of, passes, probe_key, task_of
from ablation.plan import Unit
from ablation.work import prepare
from skelcon.data import ClipBank, SkeletonDataset, SkeletonLayout, split
from skelcon.downstream import (
    FinetuneConfig,
    Finetuning,
    LinearConfig,
    RetrievalConfig,
    linear_evaluation,
    retrieval,
)
from skelcon.encoders import Encoder, EncodersConfig
from skelcon.errors import UserError
from skelcon.pretrain import PretrainConfig, Pretraining

WARM_UP = 1
"""Steps before the clock starts: the first allocates."""

BUSY = 0.8
"""With less than this share of a core a measurement on the CPU is called disturbed."""

LOOKED_AT = 256
"""Clips of a side that a measured evaluation sees, at most: one pass of the encoders."""

CLASSIFIER_EPOCHS = 5
"""Epochs of the linear classifier whose time is taken."""


def to_probe(units: Sequence[Unit], history: History) -> list[Unit]:
    """One unit of each kind that no finished unit tells of: that with the most augmentations."""
    chosen: dict[tuple[str, str], Unit] = {}
    for unit in units:
        if not needs_probe(unit, history):
            continue
        key = probe_key(unit.config)
        if key not in chosen or _augmentations(unit) > _augmentations(chosen[key]):
            chosen[key] = unit
    return list(chosen.values())


def _augmentations(unit: Unit) -> int:
    return len(unit.config["config"].get("augment", {}).get("use", ()))


def probe(
    units: Sequence[Unit],
    history: History,
    steps: int,
    threads: int,
    progress: Callable[[Unit], None] = lambda unit: None,
) -> None:
    """Time ``steps`` optimisation steps of each kind in ``units`` and tell ``history``.

    Args:
        units: what is to run; of those that need no measurement nothing is done.
        history: knows the data and the hardware; is told the rates.
        steps: how many steps, after one that does not count; the median is taken.
        threads: torch threads of a trial.
        progress: is told each unit before it is measured.

    Raises:
        UserError: if trials would run on a GPU and this machine has none.
    """
    chosen = to_probe(units, history)
    if chosen and history.hardware.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            f"--probe {steps}: trials would run on {history.hardware}, and torch sees none "
            "here; measure there, or leave --gpus-per-trial out"
        )
    prepare(threads)
    banks: dict[str, ClipBank] = {}
    for unit in chosen:
        progress(unit)
        where = str((unit.config["data"], unit.config.get("as")))
        dataset = history.clips.datasets[unit.config["data"]]
        if where not in banks:
            banks.clear()  # one at a time: it may be large
            banks[where] = _bank(dataset, unit.config, history.hardware.device)
        if history.hardware.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter(), time.process_time()
        seconds = seconds_per_pass(unit.config, dataset, banks[where], steps)
        had = (time.process_time() - began[1]) / (time.perf_counter() - began[0])
        peak = total = None
        if history.hardware.device == "cuda":
            peak = torch.cuda.max_memory_allocated() / 2**20
            total = torch.cuda.get_device_properties(0).total_memory / 2**20
        what = f"{steps} step{'s' * (steps != 1)}" if _trains(unit.config) else "a part of it"
        what += " on one GPU" * (history.hardware.ranks > 1)
        busy = history.hardware.device == "cpu" and had < BUSY
        basis = f"{what} measured now{', while other processes had the CPU' if busy else ''}"
        history.measured[probe_key(unit.config)] = Rate(seconds, basis, 0, peak, total)


def _trains(config: dict[str, Any]) -> bool:
    return task_of(config) in ("pretrain", "finetune")


def _bank(dataset: SkeletonDataset, config: Mapping[str, Any], device: str) -> ClipBank:
    seen_as = config.get("as")
    if not seen_as:
        return ClipBank(dataset, device)
    layout = SkeletonLayout.from_dict(seen_as["layout"])
    return ClipBank(dataset, device, layout, seen_as["bodies"])


def seconds_per_pass(
    config: dict[str, Any], dataset: SkeletonDataset, bank: ClipBank, steps: int
) -> float:
    """Seconds for each of the clips that `ablation.cost.history.passes` counts, measured."""
    rng = np.random.default_rng(0)
    train = split(dataset, config["protocol"], config["train"])
    if config["unit"] == "pretrain":
        options = PretrainConfig.model_validate(config["config"])
        clips = rng.choice(train, options.batch, replace=False)
        # An epoch of one step: its clips are a batch.
        options = options.model_copy(update={"epochs": steps + WARM_UP})
        training = Pretraining(bank, clips, bank.layout, options, config["seed"])
        return _median_epoch(training, steps) / options.batch
    test = split(dataset, config["protocol"], config["test"])
    encoders, frames = _random_encoders(config, bank)
    if config["task"] == "finetune":
        tuned = FinetuneConfig.model_validate(config["config"])
        size = min(tuned.batch, len(train))
        tuned = tuned.model_copy(
            # One epoch more than is run: with the last comes a look at the test side.
            update={"epochs": steps + WARM_UP + 1, "subsets": 1, "labels": 1.0}
        )
        some = torch.from_numpy(rng.choice(train, size, replace=False)).to(bank.device)
        finetuning = Finetuning(
            encoders, bank, some, some[:1], dataset.num_classes, frames, tuned, config["seed"]
        )
        return _median_epoch(finetuning, steps) / size
    sides = [
        torch.from_numpy(rng.choice(side, min(LOOKED_AT, len(side)), replace=False)).to(bank.device)
        for side in (train, test)
    ]
    if config["task"] == "retrieval":
        chosen = RetrievalConfig.model_validate(config["config"])

        def look() -> object:
            return retrieval(encoders, bank, sides[0], sides[1], frames, chosen)

        look()  # not counted: the first allocates
        return _seconds(look, bank) / sum(map(len, sides))
    classifier = LinearConfig.model_validate(config["config"])

    def linear(epochs: int) -> float:
        short = classifier.model_copy(update={"epochs": epochs, "crops": 1, "standardise": False})
        return _seconds(
            lambda: linear_evaluation(
                encoders,
                bank,
                sides[0],
                sides[1],
                dataset.num_classes,
                frames,
                short,
                config["seed"],
            ),
            bank,
        )

    linear(1)  # not counted
    once, more = linear(1), linear(1 + CLASSIFIER_EPOCHS)
    classified = max(0.0, more - once) / (CLASSIFIER_EPOCHS * len(sides[0]))
    looked = max(0.0, once - classified * len(sides[0])) / sum(map(len, sides))
    looks = min(classifier.crops or classifier.epochs, classifier.epochs) * len(train) + len(test)
    whole = looked * looks + classified * classifier.epochs * len(train)
    return whole / passes(config, len(train), len(test))


def _median_epoch(training: Pretraining | Finetuning, steps: int) -> float:
    seconds = [training.run_epoch().seconds for _ in range(WARM_UP + steps)]
    return statistics.median(seconds[WARM_UP:])


def _random_encoders(config: dict[str, Any], bank: ClipBank) -> tuple[list[Encoder], int]:
    encoders = []
    frames = 0
    for name, values in encoders_of(config):
        options = EncodersConfig.model_validate(values)
        encoders.append(Encoder(name, options, bank.layout, bank.num_bodies).to(bank.device))
        frames = options.frames
    return encoders, frames


def _seconds(work: Callable[[], object], bank: ClipBank) -> float:
    began = time.perf_counter()
    work()
    if bank.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
