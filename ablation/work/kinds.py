"""What a pre-training and an evaluation do: how each starts, and what it leaves when it is done."""

from __future__ import annotations

import functools
import io
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from ablation.store import Store, write_atomically
from ablation.units import EvaluateUnit, PretrainUnit, Side, Unit
from ablation.work.context import Context
from ablation.work.epochs import EpochLog
from skelcon.config import Json
from skelcon.data import ClipBank, SkeletonDataset, SkeletonLayout, split
from skelcon.downstream import EvaluationResult
from skelcon.downstream.tasks import Inputs
from skelcon.encoders import Encoder, EncodersConfig
from skelcon.pretrain import EpochMetrics, Pretraining
from skelcon.pretrain.distributed import SINGLE, ProcessGroup
from skelcon.pretrain.weights import WEIGHTS_FILE, load_encoders, save_encoders
from skelcon.seeding import seeded_globally


class Training(Protocol):
    """A pre-training or an evaluation in progress; one without epochs runs in one go."""

    epoch: int

    @property
    def epochs(self) -> int:
        """How many there are."""

    @property
    def done(self) -> bool:
        """Whether all have been run."""

    def run_epoch(self) -> EpochMetrics:
        """Train one epoch."""

    def state_dict(self) -> Json:
        """All that resuming needs."""

    def load_state_dict(self, state: Json) -> None:
        """Resume."""


@functools.lru_cache(maxsize=2)
def _bank(
    path: str, device: str, layout: SkeletonLayout | None, bodies: int | None
) -> tuple[SkeletonDataset, ClipBank]:
    """The data on the device, loaded once per worker and not once per unit."""
    dataset = SkeletonDataset.open(path)
    return dataset, ClipBank(dataset, device, layout, bodies)


def bank_of(side: Side, path: Path, device: str) -> tuple[SkeletonDataset, ClipBank]:
    """The data of a unit, as its encoders see it, on the device."""
    seen_as = side.seen_as
    if seen_as is None:
        return _bank(str(path), device, None, None)
    return _bank(str(path), device, seen_as.layout, seen_as.bodies)


def pretraining_of(
    unit: PretrainUnit, dataset: SkeletonDataset, bank: ClipBank, team: ProcessGroup
) -> Pretraining:
    """The pre-training that a unit is, at its start."""
    clips = split(dataset, unit.side.protocol, unit.side.train)
    return Pretraining(bank, clips, bank.layout, unit.settings, unit.side.seed, team)


class Work(ABC):
    """What one kind of unit does."""

    @abstractmethod
    def start(self) -> Training:
        """The training, before its first epoch."""

    @abstractmethod
    def finish(self, training: Training, directory: Path, epochs: EpochLog) -> Json:
        """Write what a training that is done leaves; gives its result."""


class PretrainWork(Work):
    """Trains encoders; leaves their weights."""

    def __init__(
        self, unit: PretrainUnit, context: Context, dataset: SkeletonDataset, bank: ClipBank
    ) -> None:
        self._unit, self._world_size = unit, context.group.world_size
        self._dataset, self._bank = dataset, bank

    def start(self) -> Training:
        """The pre-training, as rank 0 of its processes."""
        team = ProcessGroup(0, self._world_size) if self._world_size > 1 else SINGLE
        return pretraining_of(self._unit, self._dataset, self._bank, team)

    def finish(self, training: Training, directory: Path, epochs: EpochLog) -> Json:
        """Write the weights; the result is the last epoch's."""
        assert isinstance(training, Pretraining)
        save_encoders(
            directory / WEIGHTS_FILE,
            {name: training.contrast.encoder(name) for name in training.config.representations},
            training.config.encoders,
            self._bank.layout,
            self._bank.num_bodies,
        )
        last = epochs.last()
        return {
            "loss": last["loss"],
            "top1": last["top1"],
            "lr": last["lr"],
            "epochs": training.epoch,
        }


class EvaluateWork(Work):
    """Evaluates encoders by a task; leaves a prediction for each test clip."""

    def __init__(
        self,
        unit: EvaluateUnit,
        store: Store,
        context: Context,
        dataset: SkeletonDataset,
        bank: ClipBank,
    ) -> None:
        self._unit, self._store, self._weights = unit, store, context.weights
        self._dataset, self._bank = dataset, bank

    def start(self) -> Training:
        """What the task makes of the encoders and the clips of the two sides."""
        unit, device = self._unit, self._bank.device
        train, test = (
            torch.from_numpy(split(self._dataset, unit.side.protocol, part)).to(device)
            for part in (unit.side.train, unit.test)
        )
        encoders, frames = self._encoders()
        self._parameters = sum(p.numel() for each in encoders for p in each.parameters())
        classes = self._dataset.num_classes
        inputs = Inputs(encoders, self._bank, train, test, classes, frames, unit.side.seed)
        return unit.task.start(inputs, unit.settings)

    def finish(self, training: Training, directory: Path, epochs: EpochLog) -> Json:
        """Write the predictions; the result is the task's metrics."""
        result: EvaluationResult = training.result()  # type: ignore[attr-defined]
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            name=np.array([self._dataset.clip_names[i] for i in result.clips]),
            clip=result.clips,
            label=result.labels,
            prediction=result.predictions,
        )
        write_atomically(directory / "predictions.npz", buffer.getvalue())
        return {**result.metrics, "parameters": self._parameters}

    def _encoders(self) -> tuple[list[Encoder], int]:
        """The encoders to evaluate, trained or random, and the frames of their views."""
        encoders, frames = [], set()
        for source in self._unit.encoders:
            name, key = source.representation, source.weights_key
            if key is not None:
                default = self._store.directory(key) / WEIGHTS_FILE
                loaded, config = load_encoders(self._weights.get(key) or default)
                encoder = loaded[name]
            else:
                config = EncodersConfig.model_validate(source.random)
                with seeded_globally(self._unit.side.seed, "initialisation"):
                    encoder = Encoder(name, config, self._bank.layout, self._bank.num_bodies)
            encoders.append(encoder.to(self._bank.device))
            frames.add(config.frames)
        if len(frames) > 1:
            raise ValueError(f"encoders of views of {sorted(frames)} frames cannot be combined")
        return encoders, frames.pop()


def work_of(
    unit: Unit, store: Store, context: Context, dataset: SkeletonDataset, bank: ClipBank
) -> Work:
    """What ``unit`` does."""
    if isinstance(unit, PretrainUnit):
        return PretrainWork(unit, context, dataset, bank)
    return EvaluateWork(unit, store, context, dataset, bank)
