"""A linear classifier on corrupted test clips: noise, missing joints, ..."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from skelcon.augment import evaluation_view, strong
from skelcon.augment.options import GaussianNoiseConfig
from skelcon.augment.spatial import subset
from skelcon.data import ClipBank
from skelcon.downstream.config import RobustnessConfig
from skelcon.downstream.linear import LinearEvaluation, RegularisedEvaluation, SGDEvaluation
from skelcon.downstream.result import EvaluationResult, scored
from skelcon.seeding import generator

Corruption = Callable[[Tensor, float, ClipBank, torch.Generator], Tensor]


def noise(view: Tensor, severity: float, bank: ClipBank, draws: torch.Generator) -> Tensor:
    """Add normal noise of that standard deviation to each coordinate of a joint that is present."""
    config = GaussianNoiseConfig(p=1, std=severity)
    return strong.gaussian_noise(view, config, bank.layout, draws)


def missing(view: Tensor, severity: float, bank: ClipBank, draws: torch.Generator) -> Tensor:
    """That share of the joints is missing in all bodies and frames: at least one, never all."""
    B, V = len(view), view.shape[3]
    lost = subset(B, V, max(1, min(V - 1, round(severity * V))), draws)
    return view.masked_fill(lost.to(view.device)[:, None, None, :, None], 0)


def camera(view: Tensor, severity: float, bank: ClipBank, draws: torch.Generator) -> Tensor:
    """Turn by so many degrees about the vertical axis, to the left or to the right."""
    angle = _sides(len(view), draws) * math.radians(severity)
    return torch.bmm(view.flatten(1, 3), strong.turn(bank.up_axis, angle).to(view)).view(view.shape)


def speed(view: Tensor, severity: float, bank: ClipBank, draws: torch.Generator) -> Tensor:
    """So many times faster or slower, about the middle; the first and the last pose are held."""
    rate = torch.exp(_sides(len(view), draws) * math.log(severity))
    return strong.at_rate(view, rate, bank.layout)


def _sides(count: int, draws: torch.Generator) -> Tensor:
    """(count,) of 1 and -1."""
    return 2.0 * torch.randint(2, (count,), generator=draws) - 1


KINDS: dict[str, Corruption] = {
    "noise": noise,
    "missing": missing,
    "camera": camera,
    "speed": speed,
}
"""Each takes a view (B, M, T, V, C), a severity, the clips, and a CPU generator; what is absent
stays absent."""


class _Corrupted(LinearEvaluation):
    """Also measures the accuracy on corrupted test clips."""

    task = "robustness"

    @torch.no_grad()
    def _evaluated(self, top1_train: float) -> EvaluationResult:
        """Adds ``top1_noise`` and so on, each the mean over the severities.

        Clips in 2D cannot be turned.
        """
        assert isinstance(self.config, RobustnessConfig)
        result = super()._evaluated(top1_train)
        planar = self.inputs.bank.layout.dimensions == 2
        for kind, severities in self.config.severities.items():
            if severities and not (kind == "camera" and planar):
                hits = [self._top1(kind, severity) for severity in severities]
                result.metrics[f"top1_{kind}"] = statistics.fmean(hits)
        return result

    def _top1(self, kind: str, severity: float) -> float:
        inputs, bank = self.inputs, self.inputs.bank
        draws = generator(inputs.seed, f"robustness {kind} {severity}")

        def view(clips: Tensor) -> Tensor:
            seen = evaluation_view(bank, clips, self.config.test_ratio, inputs.frames)
            return KINDS[kind](seen, severity, bank, draws)

        features = self._extract(inputs.test, view)
        predicted = self.classifier(self._normed(features)).argmax(dim=1)
        return scored(inputs.test, bank.labels[inputs.test], predicted).metrics["top1"]


class RobustSGD(_Corrupted, SGDEvaluation):
    """Trained by SGD."""


class RobustRegularised(_Corrupted, RegularisedEvaluation):
    """With a weight decay that is chosen on the training side."""
