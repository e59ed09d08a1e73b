"""A trial's work, from one evaluation to the next, without a word of Ray.

`UnitTrial` trains and evaluates the units of a study; `MemberTrial` is a member of PBT's
population, whose settings change on the way, so that no unit describes it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import time
from pathlib import Path
from typing import Any

import torch

from ablation.plan import unit_key
from ablation.search.record import Report
from ablation.store import Store, write_atomically
from ablation.work import UnitRun, record_failure
from skelcon.data import ClipBank, SkeletonDataset, split
from skelcon.downstream import LinearConfig, RetrievalConfig, linear_evaluation, retrieval
from skelcon.pretrain import PretrainConfig, Pretraining

CHECKPOINT = "checkpoint.pt"


@functools.lru_cache(maxsize=1)
def _opened(path: str, device: str) -> tuple[SkeletonDataset, ClipBank]:
    """The data on the device, loaded once per worker and not once per trial."""
    dataset = SkeletonDataset.open(path)
    return dataset, ClipBank(dataset, device)


def validate(
    training: Pretraining, evaluation: dict[str, Any], dataset: SkeletonDataset, metric: str
) -> float:
    """The number that a finished pre-training would get, of one in progress.

    Args:
        training: whose encoders, which are left as they are.
        evaluation: the configuration of the trial's evaluation.
        dataset: the clips; only those of the evaluation's two sides, ``fit`` and ``validation``,
            are looked at.
        metric: which number.
    """
    bank = training.bank
    train, validation = (
        torch.from_numpy(split(dataset, evaluation["protocol"], evaluation[side])).to(bank.device)
        for side in ("train", "test")
    )
    encoders = [training.contrast.encoder(e["representation"]) for e in evaluation["encoders"]]
    frames = training.config.encoders.frames
    if evaluation["task"] == "retrieval":
        result = retrieval(
            encoders,
            bank,
            train,
            validation,
            frames,
            RetrievalConfig.model_validate(evaluation["config"]),
        )
    else:
        result = linear_evaluation(
            encoders,
            bank,
            train,
            validation,
            dataset.num_classes,
            frames,
            LinearConfig.model_validate(evaluation["config"]),
            evaluation["seed"],
        )
    return result.metrics[metric]


class UnitTrial:
    """A trial whose pre-training and evaluation are units of the store.

    Args:
        pretraining, evaluation: the units' configurations.
        every: epochs between two evaluations.
        metric: which number of an evaluation counts.
        reported: the epoch of the last report; it is not made again.
        store: where the units are.
        data: the packed data set.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(
        self,
        pretraining: dict[str, Any],
        evaluation: dict[str, Any],
        every: int,
        metric: str,
        reported: int,
        store: Store,
        data: Path,
        device: str,
    ) -> None:
        self.evaluation, self.every, self.metric = evaluation, every, metric
        self.epochs = int(pretraining["config"]["epochs"])
        self._reported, self._store, self._device = reported, store, device
        self._data = {pretraining["data"]: data}
        self._dataset = SkeletonDataset.open(data)
        self._run = UnitRun(pretraining, store, self._data, device)

    def step(self) -> Report:
        """Go on to the next evaluation; the last is that of the finished encoders."""
        began, run = time.monotonic(), self._run
        while True:
            training = run.training
            if (
                isinstance(training, Pretraining)
                and not self._store.is_done(run.key)
                and training.epoch % self.every == 0
                and self._reported < training.epoch < self.epochs
            ):
                value = validate(training, self.evaluation, self._dataset, self.metric)
                self._reported = training.epoch
                return Report(training.epoch, value, time.monotonic() - began)
            if run.step(0.0).done:
                break
        value = self._evaluated()
        return Report(self.epochs, value, time.monotonic() - began)

    def close(self) -> None:
        """Let go of the unit."""
        self._run.close()

    def _evaluated(self) -> float:
        self._run.close()
        with contextlib.closing(
            UnitRun(self.evaluation, self._store, self._data, self._device)
        ) as run:
            try:
                while not run.step(0.0).done:
                    pass
            except Exception as error:
                record_failure(self._store, run.key, error)
                raise
        return float(self._store.result(unit_key(self.evaluation))[self.metric])


class MemberTrial:
    """A member of a population, in a directory of its own with its last checkpoint.

    Args:
        pretraining: the configuration of a unit with the settings of now.
        state: what another member has handed over, in place of the checkpoint.
        directory: the trial's own.

    The others are those of :class:`UnitTrial`.
    """

    def __init__(
        self,
        pretraining: dict[str, Any],
        evaluation: dict[str, Any],
        every: int,
        metric: str,
        directory: Path,
        data: Path,
        device: str,
        state: dict[str, Any] | None = None,
    ) -> None:
        self.evaluation, self.every, self.metric = evaluation, every, metric
        self.epochs = int(pretraining["config"]["epochs"])
        directory.mkdir(parents=True, exist_ok=True)
        self._checkpoint = directory / CHECKPOINT
        self._dataset, bank = _opened(str(data), device)
        self.training = Pretraining(
            bank,
            split(self._dataset, pretraining["protocol"], pretraining["train"]),
            bank.layout,
            PretrainConfig.model_validate(pretraining["config"]),
            pretraining["seed"],
        )
        if state is None and self._checkpoint.exists():
            state = torch.load(self._checkpoint, map_location=bank.device, weights_only=True)
        if state is not None:
            # The optimiser's own settings travel with its state: those of now take their place.
            optimiser = self.training.config.optimiser
            for group in state["optimiser"]["param_groups"]:
                group["weight_decay"] = optimiser.weight_decay
                if "momentum" in group:
                    group["momentum"] = optimiser.momentum
            self.training.load_state_dict(state)

    def step(self) -> Report:
        """Go on to the next evaluation, and leave a checkpoint."""
        began, training = time.monotonic(), self.training
        while not training.done:
            training.run_epoch()
            if training.epoch % self.every == 0:
                break
        value = validate(training, self.evaluation, self._dataset, self.metric)
        buffer = io.BytesIO()
        torch.save(training.state_dict(), buffer)
        write_atomically(self._checkpoint, buffer.getvalue())
        return Report(training.epoch, value, time.monotonic() - began)

    def close(self) -> None:
        """Nothing is held between two steps: Tune moves members from worker to worker."""
