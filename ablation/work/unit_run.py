"""One unit's work, a few seconds at a time. Does not use Ray.

A `UnitRun` trains or evaluates in its unit's directory, writes checkpoints from which the unit
resumes with the same bits, and marks the directory DONE when all is written. What a pre-training
and an evaluation do differently is in `ablation.work.kinds`.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import datetime

import torch

from ablation.store import Store, write_json
from ablation.store.provenance import arithmetic, environment, peak_memory, reset_peak_memory
from ablation.units import PretrainUnit, Unit
from ablation.work.checkpoints import Checkpoints, EpochLog
from ablation.work.context import Context
from ablation.work.failures import is_of_the_machine, log, record_failure
from ablation.work.kinds import Training, bank_of, work_of
from ablation.work.worker_group import RankJob, WorkerGroup
from skelcon.config import Json
from skelcon.pretrain import EpochMetrics, Pretraining


@dataclass(frozen=True)
class Progress:
    """How far a unit is; ``epoch`` of ``epochs`` is 0 of 0 for one that runs in one go."""

    done: bool
    epoch: int = 0
    epochs: int = 0
    loss: float | None = None
    samples_per_s: float | None = None


class UnitRun:
    """A unit of work in progress. Call :meth:`step` until it is done, then :meth:`close`.

    Args:
        unit: what to do.
        store: holds its directory, and the directories of the units that it needs.
        context: the data, the device and what else is not part of the key.
    """

    def __init__(self, unit: Unit, store: Store, context: Context) -> None:
        self.unit, self.store, self._context = unit, store, context
        self._ranks = context.group.world_size if isinstance(unit, PretrainUnit) else 1
        self._group: WorkerGroup | None = None
        self.training: Training | None = None
        self._unsaved, self._seconds = False, 0.0
        with contextlib.ExitStack() as stack:
            self.directory = stack.enter_context(store.locked(unit.key))
            self._epochs = EpochLog(self.directory)
            self._checkpoints = Checkpoints(self.directory, context.checkpoints)
            if not store.is_done(unit.key):
                self._start(stack)
            self._stack = stack.pop_all()

    def _start(self, stack: contextlib.ExitStack) -> None:
        unit, context = self.unit, self._context
        path = context.data[unit.side.data]
        self.store.begin(unit.key, unit.to_json(), unit.label)
        reset_peak_memory()
        self.dataset, bank = bank_of(unit.side, path, context.device)
        if self.dataset.fingerprint != unit.side.data:
            raise RuntimeError(f"'{path}' is not the data set {unit.side.data} of this unit")
        self._device = bank.device
        self._work = work_of(unit, self.store, context, self.dataset, bank)
        if unit.epochs:
            self.training = self._resumed()
        else:
            self.training = self._work.start()
            log(self.directory, "evaluation started")
        if isinstance(unit, PretrainUnit) and self._ranks > 1:
            job = RankJob(unit, path, self.directory, self.training.epoch)
            group = WorkerGroup(context.group, job, self._device, self._stuck)
            self._group = stack.enter_context(contextlib.closing(group))

    def close(self) -> None:
        """Release the unit's directory; a training that is not done leaves a checkpoint."""
        try:
            if self.training is not None and self._unsaved and not self.training.done:
                self._save(self.training)
        finally:
            self._stack.close()

    def step(self, budget: float = 1.0, until: int | None = None) -> Progress:
        """Work for about ``budget`` seconds, for one epoch at least.

        Args:
            budget: seconds; a unit without epochs runs to its end.
            until: stop after this many epochs in all, even if there is budget left.
        """
        training = self.training
        if self.store.is_done(self.unit.key) or training is None:
            return Progress(done=True)
        stop = time.monotonic() + budget
        metrics = None
        while training.epoch < training.epochs:
            metrics = self._train_one_epoch(training)
            if training.epoch == until or time.monotonic() >= stop:
                break
        done = training.epoch >= training.epochs
        if done:
            self._finish(training)
        loss, speed = (metrics.loss, metrics.samples_per_s) if metrics else (None, None)
        return Progress(done, training.epoch, training.epochs, loss, speed)

    def _train_one_epoch(self, training: Training) -> EpochMetrics:
        self._unsaved = False  # in the middle of an epoch there is nothing to resume from
        self._epochs.start(training.epoch)
        if self._group is not None and isinstance(training, Pretraining):
            metrics = self._group.run_epoch(training)
        else:
            metrics = training.run_epoch()
        self._seconds += metrics.seconds
        found = asdict(metrics).items()
        self._epochs.end({name: value for name, value in found if value is not None})
        self._unsaved = True
        if self._checkpoints.due(done=training.done):
            self._save(training)
        return metrics

    def _stuck(self, error: Exception) -> None:
        """End this process, which waits for a rank that has died, and record why."""
        try:
            record_failure(self.store, self.unit.key, error)
        finally:
            os._exit(1)

    def _resumed(self) -> Training:
        """Resume from the checkpoint, if there is one, and drop what was logged after it."""
        training = self._work.start()
        again = None
        try:
            state = self._checkpoints.read(self._device)
            if state is not None:
                training.load_state_dict(state["training"])
                again = self._epochs.resume(training.epoch)
                self._seconds = float(state["seconds"])
        except Exception as error:  # of any kind: a training from scratch gives the same
            if is_of_the_machine(error):
                raise  # the checkpoint stays for the next attempt
            log(self.directory, f"checkpoint unusable ({error!r}); training starts from scratch")
            training = self._work.start()
        if training.epoch == 0:
            again = self._epochs.resume(0)
        resumed = f"resumed at epoch {training.epoch}; {again} epochs are trained again"
        log(self.directory, "training started" if again is None else resumed)
        return training

    def _save(self, training: Training) -> None:
        self._epochs.sync()
        state = {"training": training.state_dict(), "seconds": self._seconds}
        self._checkpoints.save(state, training.epoch)
        self._unsaved = False

    def _finish(self, training: Training) -> None:
        """Write the result and the provenance, then mark the unit DONE."""
        started = time.monotonic()
        result = self._work.finish(training, self.directory, self._epochs)
        if not training.epochs:
            self._seconds = time.monotonic() - started
        write_json(self.directory / "result.json", result)
        write_json(self.directory / "provenance.json", self._provenance())
        log(self.directory, f"done: {json.dumps(result)}")
        self.store.finish(self.unit.key)

    def _provenance(self) -> Json:
        dataset, names = self.dataset, ("name", "fingerprint", "family", "synthetic")
        data = {name: getattr(dataset, name) for name in names}
        return {
            "unit": self.unit.key,
            "data": {**data, "normalisation": dataset.normalisation.model_dump()},
            "seed": self.unit.side.seed,
            "seconds": self._seconds,
            **self._epochs.account(),
            "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
            "device": str(self._device),
            "ranks": self._ranks,
            "threads": torch.get_num_threads(),
            "arithmetic": arithmetic(str(self.unit.options.get("precision", "fp32"))),
            "peak_memory": peak_memory(),
            **environment(),
        }
