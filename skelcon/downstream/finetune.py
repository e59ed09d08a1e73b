"""Fine-tuning: encoder and linear classifier are trained jointly (A.1, A.2).

One implementation of three tasks, which differ in their initial weights and their labels:
semi-supervised (pre-trained, a share of the labels), transfer (pre-trained on another data set)
and supervised (random weights, all labels).
"""

from __future__ import annotations

import copy
import math
import statistics
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from skelcon import optimisers
from skelcon.augment import training_view
from skelcon.downstream.config import FinetuneConfig
from skelcon.downstream.inputs import Inputs
from skelcon.downstream.linear import linear_classifier
from skelcon.downstream.result import EvaluationResult, scored, scores_of
from skelcon.precision import autocast, computing
from skelcon.pretrain import EpochMetrics
from skelcon.seeding import generator, seeded_globally


def labelled_subset(labels: Tensor, share: float, seed: int, subset: int) -> Tensor:
    """Which clips keep their label: the same share of each class, at least one clip.

    The draw depends only on the arguments: all trainings with the same seed see the same clips. A
    larger share contains a smaller one.

    Args:
        labels: (n,) int64 classes of the training clips.
        share: in (0, 1]; a class of c clips keeps max(1, round(share * c)).
        seed: the evaluation's seed.
        subset: the number of the draw.

    Returns:
        (m,) int64 positions in ``labels``, ascending, on its device.
    """
    draws = generator(seed, f"labels {subset}")
    classes = labels.cpu()
    chosen = []
    for label in classes.unique():
        members = (classes == label).nonzero()[:, 0]
        order = torch.randperm(len(members), generator=draws)
        chosen.append(members[order[: max(1, round(share * len(members)))]])
    return torch.cat(chosen).sort().values.to(labels.device)


class Finetuning:
    """A fine-tuning in progress; call :meth:`run_epoch` until :attr:`done`, then :meth:`result`.

    The subsets of labelled clips are trained on in turn, each from the given weights and with a
    new classifier. The randomness of an epoch is derived from the seed, the subset and the epoch's
    number, so that :meth:`state_dict` between two epochs is all that an exact resume needs.

    Args:
        inputs: the clips, and the encoders' initial weights: copies are trained, all their
            parameters.
        config: the training, the share of labels and the number of subsets.

    Attributes:
        epoch: how many epochs have been run, of all subsets together.
        encoders, classifier: the networks that are trained.
    """

    def __init__(self, inputs: Inputs, config: FinetuneConfig) -> None:
        self.inputs, self.config = inputs, config
        self._initial = copy.deepcopy(list(inputs.encoders))
        self._logits: list[Tensor] = []
        self._top1_train: list[float] = []
        self.epoch = 0
        self._start_subset()

    @property
    def epochs(self) -> int:
        """Epochs of all subsets together."""
        return self.config.subsets * self.config.epochs

    @property
    def done(self) -> bool:
        """Whether the last epoch of the last subset has been run."""
        return self.epoch >= self.epochs

    def run_epoch(self) -> EpochMetrics:
        """Train one epoch over the labelled clips in a new random order.

        A last batch of a single clip is left out, unless it is the only one: batch norm needs at
        least two clips.
        """
        with computing(self.config.precision, self.inputs.bank.device):
            return self._run_epoch()

    def _run_epoch(self) -> EpochMetrics:
        config, bank = self.config, self.inputs.bank
        started = time.perf_counter()
        subset, epoch = divmod(self.epoch, config.epochs)
        lr = config.lr_at(epoch)
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        seed, device = self.inputs.seed, bank.device
        draws = generator(seed, f"finetune {subset} epoch {epoch}")
        order = torch.randperm(len(self._clips), generator=draws).to(device)
        batches = torch.split(self._clips[order], config.batch)
        if len(batches) > 1 and len(batches[-1]) == 1 and config.batch > 1:
            batches = batches[:-1]
        loss = torch.zeros((), device=device)
        hits = torch.zeros((), device=device, dtype=torch.long)
        for encoder in self.encoders:
            encoder.train()
        with seeded_globally(seed, f"finetune {subset} dropout {epoch}"):
            for clips in batches:
                labels = bank.labels[clips]
                view = training_view(bank, clips, config.crop, self.inputs.frames, draws)
                with autocast(config.precision, device):
                    features = [encoder(view) for encoder in self.encoders]
                    logits = self.classifier(torch.cat(features, dim=1))
                mean = functional.cross_entropy(logits.float(), labels)
                self._optimiser.zero_grad(set_to_none=True)
                mean.backward()
                self._optimiser.step()
                loss += mean.detach() * len(clips)
                hits += logits.detach().argmax(dim=1).eq(labels).sum()
        seen = sum(map(len, batches))
        mean_loss, top1 = float(loss) / seen, int(hits) / seen
        if not math.isfinite(mean_loss):
            raise FloatingPointError(f"the loss became {mean_loss} in epoch {self.epoch}")
        self.epoch += 1
        if epoch + 1 == config.epochs:
            self._logits.append(self._tested())
            self._top1_train.append(top1)
            if not self.done:
                self._start_subset()
        seconds = time.perf_counter() - started
        return EpochMetrics(
            epoch=self.epoch - 1,
            loss=mean_loss,
            top1=top1,
            lr=lr,
            samples_per_s=seen / seconds,
            seconds=seconds,
        )

    def result(self) -> EvaluationResult:
        """The result on the test side, after the last epoch of each subset.

        Returns:
            The means over the subsets: ``top1`` on the test side, ``top1_train`` on the last
            epoch's crops, and ``labelled``, the number of labelled clips. With two subsets or
            more also ``top1_std``, the sample standard deviation of ``top1``, and predictions
            and scores of shape (subsets, n, ...).

        Raises:
            RuntimeError: if epochs are left to run.
        """
        if not self.done:
            raise RuntimeError(
                f"{self.epochs - self.epoch} of {self.epochs} epochs are left to run"
            )
        test = self.inputs.test
        labels = self.inputs.bank.labels[test].cpu()
        runs = [
            scored(test, labels, logits.argmax(dim=1), scores_of(logits)) for logits in self._logits
        ]
        top1 = [run.metrics["top1"] for run in runs]
        metrics = {
            "top1": statistics.mean(top1),
            "top1_train": statistics.mean(self._top1_train),
            "labelled": float(len(self._clips)),  # the same in each subset
        }
        predictions, scores = runs[0].predictions, runs[0].scores
        if len(runs) > 1:
            metrics["top1_std"] = statistics.stdev(top1)
            predictions = np.stack([run.predictions for run in runs])
            scores = np.stack([run.scores for run in runs if run.scores is not None])
        return EvaluationResult(metrics, runs[0].clips, runs[0].labels, predictions, scores)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch and the result depend on: tensors and plain values."""
        return {
            "epoch": self.epoch,
            "encoders": [encoder.state_dict() for encoder in self.encoders],
            "classifier": self.classifier.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "logits": list(self._logits),
            "top1_train": list(self._top1_train),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a :meth:`state_dict`."""
        self.epoch = int(state["epoch"])
        self._start_subset()
        for encoder, values in zip(self.encoders, state["encoders"], strict=True):
            encoder.load_state_dict(values)
        self.classifier.load_state_dict(state["classifier"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._logits = [logits.cpu() for logits in state["logits"]]
        self._top1_train = [float(value) for value in state["top1_train"]]

    def _start_subset(self) -> None:
        """Set up the current subset, or the last one if all are done."""
        config, inputs, device = self.config, self.inputs, self.inputs.bank.device
        subset = min(self.epoch, self.epochs - 1) // config.epochs
        labels = inputs.bank.labels[inputs.train]
        self._clips = inputs.train[labelled_subset(labels, config.labels, inputs.seed, subset)]
        # A copied GRU has its weights scattered in memory; `to` makes them contiguous.
        self.encoders = [
            copy.deepcopy(encoder).requires_grad_().to(device) for encoder in self._initial
        ]
        self.classifier = linear_classifier(
            sum(encoder.feature_size for encoder in self.encoders),
            inputs.num_classes,
            generator(inputs.seed, f"finetune {subset} classifier"),
            device,
        )
        trained = (*self.encoders, self.classifier)
        parameters = [parameter for module in trained for parameter in module.parameters()]
        self._optimiser = optimisers.Adam(
            parameters, config.lr, weight_decay=config.weight_decay, foreach=True
        )

    def _tested(self) -> Tensor:
        """(n, classes) logits of the test clips, on the CPU."""
        trained = replace(self.inputs, encoders=self.encoders)
        features = trained.features(trained.test, self.config.test_ratio)
        with torch.no_grad():
            logits: Tensor = self.classifier(features)
        return logits.cpu()
