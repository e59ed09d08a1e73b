"""One unit's work, a few seconds at a time: what a trial does, without a word of Ray.

A `UnitRun` trains or evaluates in its unit's directory, leaves a checkpoint from which the same
unit goes on bit by bit, and marks the directory DONE when all is written.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablation.plan import unit_key
from ablation.store import Store, write_atomically, write_json
from ablation.store.provenance import environment, peak_memory, reset_peak_memory
from ablation.work.checkpoints import CheckpointPolicy, Checkpoints
from ablation.work.epochs import EpochLog
from ablation.work.worker_group import GroupOptions, Job, WorkerGroup
from skelcon.data import ClipBank, SkeletonDataset, SkeletonLayout, split
from skelcon.downstream import (
    EvaluationResult,
    FinetuneConfig,
    Finetuning,
    LinearConfig,
    RetrievalConfig,
    linear_evaluation,
    retrieval,
)
from skelcon.encoders import Encoder, EncodersConfig
from skelcon.pretrain import EpochMetrics, PretrainConfig, Pretraining
from skelcon.pretrain.distributed import ALONE, Team
from skelcon.pretrain.weights import WEIGHTS_FILE, load_encoders, save_encoders
from skelcon.seeding import seeded_globally

OUT_OF_MEMORY = "failed: out of memory"
"""The reason of a unit that a larger device, or a device of its own, would have let through."""


@dataclass(frozen=True)
class Progress:
    """How far a unit is; ``epoch`` of ``epochs`` is 0 of 0 for an evaluation."""

    done: bool
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    samples_per_s: float | None = None


@functools.lru_cache(maxsize=2)
def _bank(
    path: str, device: str, layout: SkeletonLayout | None, bodies: int | None
) -> tuple[SkeletonDataset, ClipBank]:
    """The data on the device, loaded once per worker and not once per unit."""
    dataset = SkeletonDataset.open(path)
    return dataset, ClipBank(dataset, device, layout, bodies)


def bank_of(config: dict[str, Any], path: Path, device: str) -> tuple[SkeletonDataset, ClipBank]:
    """The data of a unit, as its encoders see it, on the device."""
    seen_as = config.get("as")
    layout = SkeletonLayout.from_dict(seen_as["layout"]) if seen_as else None
    return _bank(str(path), device, layout, seen_as["bodies"] if seen_as else None)


def pretraining_of(
    config: dict[str, Any], dataset: SkeletonDataset, bank: ClipBank, team: Team
) -> Pretraining:
    """The pre-training that a unit is, at its start."""
    clips = split(dataset, config["protocol"], config["train"])
    options = PretrainConfig.model_validate(config["config"])
    return Pretraining(bank, clips, bank.layout, options, config["seed"], team)


class UnitRun:
    """A unit of work in progress. Use :meth:`step` until it says done, then :meth:`close`.

    Args:
        config: the unit's own, from which its key follows.
        store: where its directory is, and those of the units that it needs.
        data: fingerprint -> path of a packed data set; the unit's must be among them.
        device: ``cpu`` or ``cuda``; not part of the key.
        weights: key of a unit, or SHA-256 of a file that no unit made -> its weights, where those
            are not in ``store``.
        checkpoints: when they are written and which of them stay; not part of the key.
        group: how many processes train one model; not part of the key.
    """

    def __init__(
        self,
        config: dict[str, Any],
        store: Store,
        data: Mapping[str, Path],
        device: str,
        weights: Mapping[str, Path] | None = None,
        checkpoints: CheckpointPolicy | None = None,
        group: GroupOptions | None = None,
    ) -> None:
        self._options = group if group and config["unit"] == "pretrain" else GroupOptions()
        self._group: WorkerGroup | None = None
        self.key, self.config, self.store = unit_key(config), config, store
        self._weights = weights or {}
        self._stack = contextlib.ExitStack()
        self.directory = self._stack.enter_context(store.locked(self.key))
        self._epochs = EpochLog(self.directory)
        self._checkpoints = Checkpoints(self.directory, checkpoints or CheckpointPolicy())
        self._training: Pretraining | Finetuning | None = None
        self._unsaved = False
        if store.is_done(self.key):
            return
        try:
            self._begin(data, device)
        except BaseException:
            self._stack.close()
            raise

    def _begin(self, data: Mapping[str, Path], device: str) -> None:
        config, store, path = self.config, self.store, data[self.config["data"]]
        store.begin(self.key, config)
        reset_peak_memory()
        self._dataset, self._bank = bank_of(config, path, device)
        if self._dataset.fingerprint != config["data"]:
            raise RuntimeError(f"'{path}' is not the data set {config['data']} of this unit")
        self._seconds = 0.0
        if config["unit"] == "pretrain" or config["task"] == "finetune":
            self._training = self._resumed()
            if self._options.world_size > 1:
                job = Job(config, path, self.directory, self._training.epoch)
                group = WorkerGroup(self._options, job, self._bank.device, self._stuck)
                self._group = self._stack.enter_context(contextlib.closing(group))
        else:
            self._log("evaluation started")

    @property
    def training(self) -> Pretraining | Finetuning | None:
        """The training in progress, if the unit is one and not done."""
        return self._training

    def close(self) -> None:
        """Let go of the unit's directory; of a training that is not done, keep what there is."""
        try:
            if self._training is not None and self._unsaved and not self._training.done:
                self._save(self._training)
        finally:
            self._stack.close()

    def step(self, budget: float = 1.0) -> Progress:
        """Work for about ``budget`` seconds, one epoch at least; an evaluation runs to its end."""
        if self.store.is_done(self.key):
            return Progress(done=True)
        if self._training is None:
            began = time.monotonic()
            result = self._evaluate()
            self._seconds = time.monotonic() - began
            self._finish_evaluation(result)
            return Progress(done=True)
        training = self._training
        stop = time.monotonic() + budget
        metrics = None
        while not training.done:
            self._unsaved = False  # in the middle of an epoch nothing could be gone on from
            self._epochs.start(training.epoch)
            metrics = self._run_epoch(training)
            self._seconds += metrics.seconds
            self._epochs.end(asdict(metrics))
            self._unsaved = True
            if self._checkpoints.due(done=training.done):
                self._save(training)
            if time.monotonic() >= stop:
                break
        if training.done:
            if isinstance(training, Pretraining):
                self._finish_pretraining(training)
            else:
                self._finish_evaluation(training.result())
        return Progress(
            done=training.done,
            epoch=training.epoch,
            epochs=training.epochs,
            loss=metrics.loss if metrics else None,
            samples_per_s=metrics.samples_per_s if metrics else None,
        )

    # -- training -------------------------------------------------------------------------

    def _new_training(self) -> Pretraining | Finetuning:
        if self.config["unit"] == "evaluate":
            options = FinetuneConfig.model_validate(self.config["config"])
            return Finetuning(*self._task(), options, self.config["seed"])
        size = self._options.world_size
        team = Team(0, size) if size > 1 else ALONE
        return pretraining_of(self.config, self._dataset, self._bank, team)

    def _stuck(self, error: Exception) -> None:
        """End this process, which waits for a rank that has died."""
        try:
            record_failure(self.store, self.key, error)
        finally:
            os._exit(1)

    def _run_epoch(self, training: Pretraining | Finetuning) -> EpochMetrics:
        if self._group is not None and isinstance(training, Pretraining):
            return self._group.run_epoch(training)
        return training.run_epoch()

    def _resumed(self) -> Pretraining | Finetuning:
        """Go on from the checkpoint, if there is one, and forget what was logged after it."""
        training = self._new_training()
        again = None
        try:
            state = self._checkpoints.read(self._bank.device)
            if state is not None:
                training.load_state_dict(state["training"])
                again = self._epochs.resume(training.epoch)
                self._seconds = float(state["seconds"])
        except Exception as error:  # whatever is wrong with it, starting anew is right
            self._log(f"checkpoint unusable ({error!r}); from the start")
            training = self._new_training()
        if training.epoch == 0:
            again = self._epochs.resume(0)
        if again is None:
            self._log("training started")
        else:
            self._log(f"resumed at epoch {training.epoch}; {again} epochs are trained again")
        return training

    def _save(self, training: Pretraining | Finetuning) -> None:
        self._epochs.sync()
        state = {"training": training.state_dict(), "seconds": self._seconds}
        self._checkpoints.save(state, training.epoch)
        self._unsaved = False

    def _finish_pretraining(self, training: Pretraining) -> None:
        save_encoders(
            self.directory / WEIGHTS_FILE,
            {name: training.contrast.encoder(name) for name in training.config.representations},
            training.config.encoders,
            self._bank.layout,
            self._bank.num_bodies,
        )
        last = self._epochs.last()
        result = {name: last[name] for name in ("loss", "top1", "lr")}
        self._finish({**result, "epochs": training.epoch})

    # -- evaluation -----------------------------------------------------------------------

    def _encoders(self) -> tuple[list[Encoder], int]:
        """The encoders to evaluate, trained or random, and the frames of their views."""
        encoders, frames = [], set()
        for source in self.config["encoders"]:
            name = source["representation"]
            if "random" not in source:
                loaded, config = load_encoders(self._weights_of(source))
                encoder = loaded[name]
            else:
                config = EncodersConfig.model_validate(source["random"])
                with seeded_globally(self.config["seed"], "initialisation"):
                    encoder = Encoder(name, config, self._bank.layout, self._bank.num_bodies)
            encoders.append(encoder.to(self._bank.device))
            frames.add(config.frames)
        if len(frames) > 1:
            raise ValueError(f"encoders of views of {sorted(frames)} frames cannot be combined")
        return encoders, frames.pop()

    def _weights_of(self, source: dict[str, Any]) -> Path:
        """The file with the weights of an encoder that is not random."""
        key = source["weights"] if "weights" in source else unit_key(source["pretrained"])
        return self._weights.get(key) or self.store.directory(key) / WEIGHTS_FILE

    def _task(self) -> tuple[list[Encoder], ClipBank, Tensor, Tensor, int, int]:
        """What every task with a classifier takes, beside its options and the seed."""
        protocol, device = self.config["protocol"], self._bank.device
        train, test = (
            torch.from_numpy(split(self._dataset, protocol, part)).to(device)
            for part in (self.config["train"], self.config["test"])
        )
        encoders, frames = self._encoders()
        return encoders, self._bank, train, test, self._dataset.num_classes, frames

    def _evaluate(self) -> EvaluationResult:
        encoders, bank, train, test, classes, frames = self._task()
        values = self.config["config"]
        if self.config["task"] == "retrieval":
            options = RetrievalConfig.model_validate(values)
            result = retrieval(encoders, bank, train, test, frames, options)
        else:
            result = linear_evaluation(
                encoders,
                bank,
                train,
                test,
                classes,
                frames,
                LinearConfig.model_validate(values),
                self.config["seed"],
            )
        return result

    def _finish_evaluation(self, result: EvaluationResult) -> None:
        encoders, _ = self._encoders()
        result.metrics["parameters"] = sum(
            p.numel() for each in encoders for p in each.parameters()
        )
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            name=np.array([self._dataset.clip_names[i] for i in result.clips]),
            clip=result.clips,
            label=result.labels,
            prediction=result.predictions,
        )
        write_atomically(self.directory / "predictions.npz", buffer.getvalue())
        self._finish(result.metrics)

    # -- both -----------------------------------------------------------------------------

    def _finish(self, result: dict[str, Any]) -> None:
        write_json(self.directory / "result.json", result)
        provenance = {
            "unit": self.key,
            "data": {
                "name": self._dataset.name,
                "fingerprint": self._dataset.fingerprint,
                "family": self._dataset.family,
                "normalisation": self._dataset.normalisation.model_dump(),
                "synthetic": self._dataset.synthetic,
            },
            "seed": self.config["seed"],
            "seconds": self._seconds,
            **self._epochs.account(),
            "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
            "device": str(self._bank.device),
            "ranks": self._options.world_size,
            "threads": torch.get_num_threads(),
            "peak_memory": peak_memory(),
            **environment(),
        }
        write_json(self.directory / "provenance.json", provenance)
        self._log(f"done: {json.dumps(result)}")
        self.store.finish(self.key)

    def _log(self, text: str) -> None:
        log(self.directory, text)


def log(directory: Path, text: str) -> None:
    """Append a line with the time to a unit's log."""
    stamp = datetime.now().astimezone().isoformat(timespec="seconds")
    with (directory / "log.txt").open("a") as file:
        file.write(f"{stamp} {text}\n")


def record_failure(store: Store, key: str, error: Exception) -> str:
    """Write why a unit failed to its log, with the traceback, and to its directory; give it.

    As far as that is possible: the disk may be what failed.
    """
    reason = reason_of(error)
    with contextlib.suppress(OSError):
        store.directory(key).mkdir(parents=True, exist_ok=True)
        log(store.directory(key), "".join(traceback.format_exception(error)))
    with contextlib.suppress(OSError):
        store.fail(key, reason)
    return reason


def reason_of(error: Exception) -> str:
    """A failure in one line, as a table prints it."""
    text = " ".join(str(error).split())
    memory = ("out of memory", "can't allocate memory", "not enough memory")
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in text.lower() for words in memory
    ):
        return OUT_OF_MEMORY
    return f"failed: {type(error).__name__}: {text[:200]}"
