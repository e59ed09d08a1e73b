"""An evaluation on a share of the labels: once for each random draw of the labelled clips."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from skelcon.downstream.finetune import labelled_subset
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.result import EvaluationResult, scored
from skelcon.downstream.tasks.base import Evaluation
from skelcon.pretrain import EpochMetrics


class SubsetEvaluation:
    """Evaluations in turn, each on its own draw of the labelled clips.

    Fine-tuning with the same seed uses the same draws (:func:`labelled_subset`).

    Args:
        inputs: what is evaluated; a share of its training clips is labelled.
        share: of the clips of each class, in (0, 1].
        subsets: how many draws.
        start: from the inputs of one draw to an evaluation at its start.

    Attributes:
        epoch: how many epochs have been run, of all draws together.
    """

    def __init__(
        self, inputs: Inputs, share: float, subsets: int, start: Callable[[Inputs], Evaluation]
    ) -> None:
        self._inputs, self._share, self._subsets, self._start = inputs, share, subsets, start
        self._results: list[EvaluationResult] = []
        self._labelled = 0
        self._current = self._started()
        self.epoch = 0

    @property
    def epochs(self) -> int:
        """Epochs of all draws together; each draw has equally many."""
        return self._subsets * self._current.epochs

    @property
    def done(self) -> bool:
        """Whether the last epoch has been run."""
        return self.epoch >= self.epochs

    def run_epoch(self) -> EpochMetrics:
        """Run one epoch; after the last of a draw the next one starts."""
        metrics = replace(self._current.run_epoch(), epoch=self.epoch)
        self.epoch += 1
        if self._current.done:
            self._results.append(self._current.result())
            if not self.done:
                self._current = self._started()
        return metrics

    def result(self) -> EvaluationResult:
        """The result on the test side, after the last draw.

        Returns:
            The means over the draws of all metrics, and ``labelled``, the number of labelled clips.
            With two draws or more also ``top1_std``, the sample standard deviation of ``top1``, and
            predictions and scores of shape (subsets, n, ...).

        Raises:
            RuntimeError: if epochs are left to run.
        """
        if not self.done:
            raise RuntimeError(
                f"{self.epochs - self.epoch} of {self.epochs} epochs are left to run"
            )
        runs = [result.metrics for result in self._results]
        metrics = {name: statistics.fmean(run[name] for run in runs) for name in runs[0]}
        metrics["labelled"] = float(self._labelled)  # the same in each draw
        first = self._results[0]
        if len(runs) == 1:
            return replace(first, metrics=metrics)
        metrics["top1_std"] = statistics.stdev(run["top1"] for run in runs)
        predictions = np.stack([result.predictions for result in self._results])
        known = [result.scores for result in self._results if result.scores is not None]
        scores = np.stack(known) if known else None
        return replace(first, metrics=metrics, predictions=predictions, scores=scores)

    def state_dict(self) -> dict[str, Any]:
        """The results so far, and the state of the current draw's evaluation."""
        done = []
        for result in self._results:
            arrays = {"predictions": result.predictions, "scores": result.scores}
            kept = {name: torch.from_numpy(a) for name, a in arrays.items() if a is not None}
            done.append({"metrics": result.metrics, **kept})
        return {"epoch": self.epoch, "results": done, "current": self._current.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a :meth:`state_dict`."""
        test = self._inputs.test
        labels = self._inputs.bank.labels[test]
        self._results = []
        for found in state["results"]:
            result = scored(
                test, labels, found["predictions"].to(labels.device), found.get("scores")
            )
            self._results.append(replace(result, metrics=dict(found["metrics"])))
        self.epoch = int(state["epoch"])
        self._current = self._started()
        self._current.load_state_dict(state["current"])

    def _started(self) -> Evaluation:
        """The evaluation of the next draw, or of the last one if all are done."""
        draw, inputs = min(len(self._results), self._subsets - 1), self._inputs
        labels = inputs.bank.labels[inputs.train]
        chosen = labelled_subset(labels, self._share, inputs.seed, draw)
        self._labelled = len(chosen)
        part = replace(inputs, train=inputs.train[chosen], groups=inputs.groups[chosen])
        return self._start(part)
