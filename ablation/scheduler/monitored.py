"""A pre-training that is evaluated while it trains, for a search that stops bad trials early."""

from __future__ import annotations

from ablation.scheduler.queue import Monitor
from ablation.work import UnitRun
from ablation.work.inputs import inputs_of
from ablation.work.unit_run import Progress
from skelcon.data import SkeletonDataset
from skelcon.downstream.tasks import completed
from skelcon.pretrain import Pretraining


class MonitoredRun:
    """A `UnitRun` whose encoders are evaluated every few epochs.

    Attributes:
        value: of the evaluation that the last :meth:`step` made; None if it made none.
    """

    def __init__(self, run: UnitRun, monitor: Monitor) -> None:
        self._run, self._monitor, self._reported = run, monitor, monitor.reported
        self.value: float | None = None
        self.close = run.close

    def step(self, budget: float) -> Progress:
        """As :meth:`UnitRun.step`, and evaluate where it is due (not after the last epoch)."""
        self.value = None
        training, every = self._run.training, self._monitor.every
        if not isinstance(training, Pretraining):  # it was done before
            return self._run.step(budget)
        if self._is_due(training.epoch) and not training.done:  # resumed where a value was lost
            progress = Progress(False, training.epoch, training.epochs)
        else:
            until = training.epoch - training.epoch % every + every
            progress = self._run.step(budget, until=until)
        if self._is_due(progress.epoch) and not progress.done:
            self.value = validate(training, self._monitor, self._run.dataset)
            self._reported = progress.epoch
        return progress

    def _is_due(self, epoch: int) -> bool:
        return epoch % self._monitor.every == 0 and epoch > self._reported


def validate(training: Pretraining, monitor: Monitor, dataset: SkeletonDataset) -> float:
    """The number that a finished pre-training would get, of one in progress.

    Its encoders are left as they are. Only the clips of the evaluation's two sides, ``fit`` and
    ``validation``, are read.
    """
    unit = monitor.evaluation
    encoders = [training.contrast.encoder(name) for name in unit.representations]
    inputs = inputs_of(unit, dataset, training.bank, encoders)
    result = completed(unit.task.start(inputs, unit.settings))
    return float(result.metrics[monitor.metric])
