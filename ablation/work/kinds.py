"""What a pre-training and an evaluation do: how each starts, and what it leaves when it is done."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ablation.store import Store, write_atomically
from ablation.units import EvaluateUnit, PretrainUnit, SeenAs, Side, Unit
from ablation.work.checkpoints import EpochLog
from ablation.work.context import Context
from ablation.work.inputs import inputs_of
from skelcon.config import Json
from skelcon.data import ClipBank, SkeletonDataset, groups_of
from skelcon.downstream import calibrate
from skelcon.downstream.tasks import Evaluation, Inputs
from skelcon.encoders import Encoder, EncodersConfig
from skelcon.pretrain import Pretraining
from skelcon.pretrain.distributed import SINGLE, ProcessGroup
from skelcon.pretrain.weights import WEIGHTS_FILE, load_encoders, save_encoders
from skelcon.seeding import seeded_globally

U = TypeVar("U", PretrainUnit, EvaluateUnit)
Training = Pretraining | Evaluation
"""A training in progress, or an evaluation, which may have no epochs."""
RESULTS = ("loss", "top1", "lr", "chance", "alignment", "uniformity", "effective_rank", "nn_top1")
"""The metrics of the last epoch that the result of a pre-training has."""


@functools.lru_cache(maxsize=2)
def _bank(path: Path, device: str, seen_as: SeenAs | None) -> tuple[SkeletonDataset, ClipBank]:
    dataset = SkeletonDataset.open(path)
    if seen_as is None:
        return dataset, ClipBank(dataset, device)
    return dataset, ClipBank(dataset, device, seen_as.layout, seen_as.bodies)


def bank_of(side: Side, path: Path, device: str) -> tuple[SkeletonDataset, ClipBank]:
    """The data of a unit, as its encoders see it, on the device; loaded once per worker."""
    return _bank(path, device, side.seen_as)


def pretraining_of(
    unit: PretrainUnit, dataset: SkeletonDataset, bank: ClipBank, team: ProcessGroup
) -> Pretraining:
    """The pre-training of ``unit``, at its start."""
    clips = unit.side.clips(dataset)
    config, groups = unit.settings, None
    if config.monitor is not None:
        groups = groups_of(dataset, unit.side.protocol, clips)
    return Pretraining(bank, clips, bank.layout, config, unit.side.seed, team, groups)


@dataclass
class _Work(Generic[U]):
    """What one kind of unit does: ``start`` a training, and ``finish`` one that is done."""

    unit: U
    store: Store
    context: Context
    dataset: SkeletonDataset
    bank: ClipBank


class PretrainWork(_Work[PretrainUnit]):
    """Trains encoders, as rank 0 if there are several processes, and writes their weights."""

    def start(self) -> Training:
        """The pre-training."""
        size = self.context.group.world_size
        team = ProcessGroup(0, size) if size > 1 else SINGLE
        return pretraining_of(self.unit, self.dataset, self.bank, team)

    def finish(self, training: Training, directory: Path, epochs: EpochLog) -> Json:
        """Write the weights; the result is the last epoch's."""
        assert isinstance(training, Pretraining)
        save_encoders(
            directory / WEIGHTS_FILE,
            {name: training.contrast.encoder(name) for name in training.config.representations},
            training.config.encoders,
            self.bank.layout,
            self.bank.num_bodies,
        )
        last = epochs.last()
        values = {name: last[name] for name in RESULTS if last.get(name) is not None}
        steps = training.epoch * training.steps_per_epoch
        return {**values, "epochs": training.epoch, "steps": steps}


class EvaluateWork(_Work[EvaluateUnit]):
    """Evaluates encoders by a task, and writes the prediction and the group of each test clip."""

    def start(self) -> Training:
        """The evaluation, at its start."""
        inputs = self.inputs()
        self._parameters = sum(p.numel() for each in inputs.encoders for p in each.parameters())
        return self.unit.task.start(inputs, self.unit.settings)

    def inputs(self) -> Inputs:
        """The encoders, and the clips of the two sides as they see them."""
        inputs = inputs_of(self.unit, self.dataset, self.bank, self._encoders())
        for encoder, source in zip(inputs.encoders, self.unit.encoders, strict=True):
            if source.calibrated:
                calibrate(encoder, inputs.bank, inputs.train, inputs.seed)
        return inputs

    def finish(self, training: Training, directory: Path, epochs: EpochLog) -> Json:
        """Write the predictions; the result is the task's metrics."""
        assert not isinstance(training, Pretraining)
        result = training.result()
        names = np.array([self.dataset.clip_names[i] for i in result.clips])
        groups = _groups_of(self.unit, self.dataset)
        buffer = io.BytesIO()
        scores: dict[str, Any] = {} if result.scores is None else {"scores": result.scores}
        np.savez_compressed(
            buffer,
            name=names,
            clip=result.clips,
            label=result.labels,
            prediction=result.predictions,
            group=groups[result.clips],
            **scores,
        )
        write_atomically(directory / "predictions.npz", buffer.getvalue())
        return {**result.metrics, "parameters": self._parameters}

    def _encoders(self) -> list[Encoder]:
        """The encoders that are evaluated: trained, random, or the coordinates."""
        encoders = []
        for source in self.unit.encoders:
            name, key = source.representation, source.weights_key
            if key is not None:
                default = self.store.directory(key) / WEIGHTS_FILE
                loaded, _ = load_encoders(self.context.weights.get(key, default))
                encoder = loaded[name]
            else:
                config = EncodersConfig.model_validate(source.encoders)
                with seeded_globally(self.unit.side.seed, "initialisation"):
                    encoder = Encoder(name, config, self.bank.layout, self.bank.num_bodies)
            encoders.append(encoder.to(self.bank.device))
        return encoders


def _groups_of(unit: EvaluateUnit, dataset: SkeletonDataset) -> NDArray[np.int64]:
    """(N,) the group of each clip that could be tested; clips of other sides are in group -1.

    In a fold these are the clips of the whole training side: a fold may hold out a single group.
    """
    clips = unit.side.clips(dataset, "train" if unit.test == "validation" else "test")
    groups = np.full(len(dataset), -1, np.int64)
    groups[clips] = groups_of(dataset, unit.side.protocol, clips)
    return groups


Work = PretrainWork | EvaluateWork


def work_of(
    unit: Unit, store: Store, context: Context, dataset: SkeletonDataset, bank: ClipBank
) -> Work:
    """What ``unit`` does."""
    if isinstance(unit, PretrainUnit):
        return PretrainWork(unit, store, context, dataset, bank)
    return EvaluateWork(unit, store, context, dataset, bank)
