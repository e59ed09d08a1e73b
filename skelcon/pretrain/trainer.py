"""Self-supervised pre-training; resumed after an interruption it gives the same bits."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skelcon import optimisers
from skelcon.augment import augmented_view
from skelcon.contrast import ContrastResult, EpochDiagnosis, Objective
from skelcon.data import ClipBank, SkeletonLayout
from skelcon.encoders import Encoder
from skelcon.precision import autocast, computing
from skelcon.pretrain.config import OptimiserConfig, PretrainConfig, check_batch
from skelcon.pretrain.distributed import SINGLE, ProcessGroup, check_world_size, synchronised
from skelcon.pretrain.metrics import EpochMetrics
from skelcon.pretrain.monitor import Monitor
from skelcon.pretrain.progress import shown
from skelcon.seeding import generator, seeded_globally


class Pretraining:
    """A pre-training in progress; call :meth:`run`, or :meth:`run_epoch` until :attr:`done`.

    The randomness of an epoch is derived from the seed and the epoch's number, so that
    :meth:`state_dict` between two epochs is all that an exact resume needs.

    Args:
        bank: the clips, on the device that trains.
        clips: (n,) the training side, of which the share ``config.share`` is used.
        layout: their skeleton.
        config: the pre-training.
        seed: the unit's seed.
        group: the processes that train it together; every rank makes the same call.
        groups: (n,) the subject, camera or setup of each clip, for ``config.monitor``: with fewer
            than two of them nothing is monitored.

    Raises:
        UserError: if there are fewer clips than a batch needs, or if a batch cannot be divided
            among the processes.
    """

    def __init__(
        self,
        bank: ClipBank,
        clips: NDArray[np.int64],
        layout: SkeletonLayout,
        config: PretrainConfig,
        seed: int,
        group: ProcessGroup = SINGLE,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        check_world_size(config.batch, group.world_size)
        check_batch(config, len(clips))
        if config.share < 1:
            chosen = _drawn(len(clips), config, seed)
            clips, groups = clips[chosen], None if groups is None else groups[chosen]
        self.bank = bank.oriented(config.encoders.orientation)
        self.config, self.seed, self._group = config, seed, group
        self._clips = torch.from_numpy(clips).to(bank.device)
        self.epoch = 0
        with seeded_globally(seed, "initialisation"):
            encoders: dict[str, Encoder] = {
                name: Encoder(name, config.encoders, layout, bank.num_bodies)
                for name in config.representations
            }
            queues = generator(seed, "queues")
            self.contrast = config.objective.build(config.contrast, encoders, queues)
        synchronised(self.contrast, group).to(bank.device)
        self._optimiser = _optimiser(self.contrast, config.optimiser)
        self._monitor: Monitor | None = None
        if config.monitor is not None and groups is not None and len(np.unique(groups)) > 1:
            self._monitor = Monitor(bank, self._clips, groups, config.encoders.frames)

    @property
    def done(self) -> bool:
        """Whether the last epoch has been run."""
        return self.epoch >= self.config.epochs

    @property
    def epochs(self) -> int:
        """How many epochs there are in all."""
        return self.config.epochs

    @property
    def steps_per_epoch(self) -> int:
        """Optimisation steps of an epoch."""
        return len(self._clips) // self.config.batch

    def run(self, *, progress: bool = False) -> list[EpochMetrics]:
        """Train all epochs that are left; returns the metrics of each.

        Args:
            progress: show a bar on a terminal or in a notebook, else some lines.
        """
        found: list[EpochMetrics] = []
        with shown(self.epochs, self.epoch) if progress else contextlib.nullcontext() as show:
            while not self.done:
                found.append(self.run_epoch())
                if show is not None:
                    show(found[-1])
        return found

    def run_epoch(self) -> EpochMetrics:
        """Train one epoch over the clips in a new random order."""
        with computing(self.config.precision, self.bank.device):
            return self._run_epoch()

    def _run_epoch(self) -> EpochMetrics:
        config, device, group = self.config, self.bank.device, self._group
        began = time.perf_counter()
        at_start = self._monitored(calibrate=True) if self.epoch == 0 else None
        started = time.perf_counter()
        for each in self._optimiser.param_groups:
            name = each.get("representation", "")
            each["lr"] = config.optimiser.lr_at(self.epoch, config.epochs, name)
        lr = max(each["lr"] for each in self._optimiser.param_groups)
        draws = generator(self.seed, f"epoch {self.epoch}")
        order = torch.randperm(len(self._clips), generator=draws).to(device)
        loss = torch.zeros((), device=device)
        top1 = torch.zeros((), device=device)
        diagnosis = EpochDiagnosis(self.contrast.pairs, device)
        self.contrast.train()
        with seeded_globally(self.seed, f"dropout {self.epoch}"):
            for step in range(self.steps_per_epoch):
                clips = self._clips[order[step * config.batch : (step + 1) * config.batch]]
                result = self._step(clips, draws)
                loss += result.loss.detach()
                top1 += np.nan if result.top1 is None else result.top1
                diagnosis.add(result)
        group.all_reduce_mean([loss, top1, *diagnosis.sums])
        mean_loss, mean_top1 = (float(total) / self.steps_per_epoch for total in (loss, top1))
        if not np.isfinite(mean_loss):
            raise FloatingPointError(f"the loss became {mean_loss} in epoch {self.epoch}")
        found = diagnosis.values(lambda rows: group.all_gather(rows.float()))
        trained = time.perf_counter() - started
        self.epoch += 1
        due = self.done or (config.monitor is not None and self.epoch % config.monitor == 0)
        return EpochMetrics(
            epoch=self.epoch - 1,
            loss=mean_loss,
            top1=None if np.isnan(mean_top1) else mean_top1,
            lr=lr,
            samples_per_s=self.steps_per_epoch * config.batch / trained,
            chance=result.chance,
            **found,
            nn_top1=self._monitored() if due else None,
            nn_top1_start=at_start,
            seconds=time.perf_counter() - began,
        )

    def _step(self, clips: Tensor, draws: torch.Generator) -> ContrastResult:
        """One optimisation step on a batch of clips (B,)."""
        config, group = self.config, self._group
        views = [
            augmented_view(self.bank, clips, policy, config.encoders.frames, draws)
            for policy in config.policies
        ]
        with autocast(config.precision, self.bank.device):
            result: ContrastResult = self.contrast(*map(group.shard, views))
        self._optimiser.zero_grad(set_to_none=True)
        result.loss.backward()
        self.contrast.after_backward(result)
        parameters = self.contrast.query_parameters()
        group.all_reduce_mean([p.grad for p in parameters if p.grad is not None])
        self._optimiser.step()
        return result

    def _monitored(self, *, calibrate: bool = False) -> float | None:
        if self._monitor is None:
            return None
        encoders = [self.contrast.encoder(name) for name in self.config.representations]
        return self._monitor.accuracy(encoders, calibrate=calibrate)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on: tensors and plain values only."""
        return {
            "epoch": self.epoch,
            "contrast": self.contrast.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a :meth:`state_dict`."""
        self.contrast.load_state_dict(state["contrast"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.epoch = int(state["epoch"])


def _drawn(clips: int, config: PretrainConfig, seed: int) -> NDArray[np.int64]:
    """(m,) ascending positions of the clips that are used; larger shares contain smaller ones."""
    order = torch.randperm(clips, generator=generator(seed, "share"))
    found: NDArray[np.int64] = order[: config.clips_of(clips)].sort().values.numpy()
    return found


def _optimiser(contrast: Objective, config: OptimiserConfig) -> torch.optim.Optimizer:
    """One group of parameters, or one for each representation that has a rate of its own."""
    rates = config.lr if isinstance(config.lr, dict) else {None: config.lr}
    groups: list[dict[str, Any]] = [
        {
            "params": contrast.query_parameters(name),
            "lr": lr,
            **({} if name is None else {"representation": name}),
        }
        for name, lr in rates.items()
    ]
    if config.name == "sgd":
        momentum, decay = config.momentum, config.weight_decay
        return optimisers.SGD(groups, momentum=momentum, weight_decay=decay, fused=True)
    return optimisers.AdamW(groups, weight_decay=config.weight_decay, foreach=True)
