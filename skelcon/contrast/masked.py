"""Masked motion prediction: the motion of hidden parts of a body (MAMP, Mao et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from skelcon.contrast.masking import frames_of, hide, masked_error, motion_odds, motion_target
from skelcon.contrast.objective import Branch, ContrastResult, Objective, mlp
from skelcon.contrast.objectives import segment_fault
from skelcon.encoders import Encoder, TokenDecoder
from skelcon.errors import UserError


class MaskedMotion(Objective):
    """Hide most tokens of each body, and predict the motion in them; a mean over both views.

    An encoder of tokens sees only the tokens that are not hidden, and a transformer decoder
    predicts from its outputs, as in the paper. Any other encoder sees the whole view with zeros (as
    for missing joints) where tokens are hidden, and an MLP predicts from its feature: this combines
    SimMIM's masking with MAMP's target and is in no paper. Absent bodies do not count.

    In several processes the loss is the mean over the bodies of all of them.

    Args:
        encoders: the representation -> its encoder.
        generator: not used; each step draws which tokens are hidden.
        ratio: the share of tokens that is hidden.
        choice: ``motion`` (what moves more is hidden more often) or ``random``.
        temperature: of ``motion``; the lower, the more motion counts. Tau in the paper's code.
        depth: blocks of the decoder; in the paper's code 3 on NTU RGB+D 60, otherwise 5.
        dim: its channels, and the hidden units of the MLP; the feature size if not set.
        segment: frames of a token, for an encoder without tokens of its own.
    """

    most: ClassVar[int | None] = 1
    joints_only: ClassVar[bool] = True

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        generator: torch.Generator,
        ratio: Annotated[float, Field(gt=0, lt=1)] = 0.9,
        choice: Literal["motion", "random"] = "motion",
        temperature: Annotated[float, Field(gt=0)] = 0.8,
        depth: Annotated[int, Field(ge=1)] = 3,
        dim: Annotated[int, Field(ge=1)] | None = None,
        segment: Annotated[int, Field(ge=1)] = 4,
    ) -> None:
        super().__init__({name: Branch(e, nn.Identity()) for name, e in encoders.items()})
        ((self._name, encoder),) = encoders.items()
        self._segment = encoder.segment or segment
        if fault := segment_fault(encoder.frames, self._segment):
            raise UserError(fault)
        segments, joints = encoder.frames // self._segment, encoder.layout.num_joints
        tokens, values, inputs = segments * joints, 3 * self._segment, encoder.feature_size
        self._ratio, self._choice, self._temperature = ratio, choice, temperature
        self._number = min(max(1, round(ratio * tokens)), tokens - 1)
        predictor: nn.Module = (
            TokenDecoder(inputs, dim or inputs, depth, joints, segments, values)
            if encoder.segment
            else mlp(inputs, dim, encoder.bodies * tokens * values)
        )
        self.predictors = nn.ModuleDict({self._name: predictor})

    def forward(self, query_view: Tensor, key_view: Tensor) -> ContrastResult:
        """The mean error of both views; features take the place of embeddings."""
        first_loss, first = self._predict(query_view)
        second_loss, second = self._predict(key_view)
        loss = (first_loss + second_loss) / 2
        named = {self._name: first}
        return self.result([loss], named, {self._name: second}, named)

    def _predict(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """The error of a view, and the features (B, F) of the visible part."""
        present = view.flatten(2).ne(0).any(dim=2)  # (B, M)
        bodies = view[present]  # (N, T, V, C)
        target = motion_target(bodies, self._segment)
        odds = motion_odds(bodies, self._segment, self._temperature)
        if self._choice == "random":
            odds = torch.zeros_like(odds)
        noise = self.draw((*present.shape, odds.shape[1])).to(odds)[present]
        hidden = hide(odds, noise, self._number)
        predict = self._from_tokens if self.encoder(self._name).segment else self._from_feature
        predicted, features = predict(view, present, hidden)
        error = masked_error(predicted.float(), target, hidden)
        # Processes differ in their numbers of bodies; what is trained is the mean over all bodies.
        counts = self.gather(present.sum().to(error)[None])
        return error.sum() * len(counts) / counts.sum().clamp(min=1), features

    def _from_tokens(self, view: Tensor, present: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        kept = hidden.int().argsort(dim=1, stable=True)[:, : hidden.shape[1] - self._number]
        tokens = self.encoder(self._name).tokens(view[present][:, None], kept)
        seen = tokens.new_zeros(*present.shape, tokens.shape[2])
        seen[present] = tokens.detach().mean(dim=1)
        features = seen.sum(dim=1) / present.sum(dim=1, keepdim=True).clamp(min=1)
        return self.predictors[self._name](tokens, kept), features

    def _from_feature(self, view: Tensor, present: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        blank = torch.zeros_like(present)[..., None, None].repeat(1, 1, *view.shape[2:4])
        blank[present] = frames_of(hidden, self._segment, view.shape[3])
        features = self.encoder(self._name)(view.masked_fill(blank[..., None], 0))
        predicted = self.predictors[self._name](features)
        return predicted.view(*present.shape, hidden.shape[1], -1)[present], features
