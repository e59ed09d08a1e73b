"""The scale on which trials are compared while they train: epochs, counted over all folds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Steps:
    """How far a trial is, in steps that mean the same in all trials.

    The folds of a trial are trained one after another. Each is ``scale`` steps long, for any number
    of epochs: where ``pretrain.epochs`` is searched, trials are compared at the same share of their
    own training, and so at the same phase of its schedule. Otherwise a step is an epoch.

    Attributes:
        own: epochs of the trial's pre-trainings.
        scale: steps of the default trial.
    """

    own: int
    scale: int

    def at(self, fold: int, epoch: int) -> int:
        """The step after ``epoch`` of the trial's own epochs in ``fold``."""
        return fold * self.scale + max(1, round(epoch * self.scale / self.own))

    def epoch(self, fold: int, step: int) -> int:
        """How many epochs of ``fold`` had been trained at ``step``; 0 in an earlier fold."""
        inside = min(self.scale, max(0, step - fold * self.scale))
        return round(inside * self.own / self.scale)

    def every(self, steps: int) -> int:
        """The trial's own epochs between two evaluations that are at least ``steps`` apart."""
        return min(self.own, -(-self.own * steps // self.scale))
