"""Everything that determines a pre-training, apart from its data and its seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, ValidationInfo, field_validator, model_validator

from skelcon.augment import AugmentConfig, ViewsConfig
from skelcon.augment.policies import completed
from skelcon.config import Config
from skelcon.contrast import MOCO, ContrastConfig, ObjectiveConfig
from skelcon.encoders import REPRESENTATION_PLUGINS, EncodersConfig, Representation
from skelcon.errors import UserError
from skelcon.precision import PRECISION, Precision

DEFAULT_RATE = "default"
"""The key of the rate for representations that have none of their own."""


class OptimiserConfig(Config):
    """The optimiser and its learning rate."""

    name: Literal["sgd", "adamw"] = Field("sgd", description="sgd (the paper) or adamw")
    lr: PositiveFloat | dict[str, PositiveFloat] = Field(
        0.01,
        description="learning rate: one number, or a mapping from representations to theirs, in "
        "which 'default' is for all others",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd (the authors' code)")
    weight_decay: float = Field(1e-4, ge=0, description="on all parameters")
    schedule: Literal["step", "cosine"] = Field(
        "step", description="step: / 10 at each milestone; cosine: to zero at the last epoch"
    )
    milestones: tuple[int, ...] = Field((351,), description="epochs of the step schedule")
    warmup: int = Field(0, ge=0, description="epochs of linear warm-up")

    def lr_at(self, epoch: int, epochs: int, representation: str = "") -> float:
        """The learning rate of a representation in ``epoch`` (from 0) of ``epochs``.

        >>> OptimiserConfig(schedule="cosine", lr=0.1).lr_at(50, 100)
        0.05
        """
        lr = self.lr[representation] if isinstance(self.lr, dict) else self.lr
        warm = min(1.0, (epoch + 1) / (self.warmup + 1))
        if self.schedule == "cosine":
            return lr * warm * 0.5 * (1 + math.cos(math.pi * epoch / max(1, epochs)))
        return lr * warm * math.prod(0.1 for at in self.milestones if epoch >= at)

    def of(self, representations: Sequence[str]) -> OptimiserConfig:
        """With the rates of these representations only; a single number if they are all equal.

        >>> OptimiserConfig(lr={"img": 0.1, "seq": 0.2, "stg": 0.1}).of(["img", "stg"]).lr
        0.1

        Raises:
            ValueError: if one of them has no rate.
        """
        if not isinstance(self.lr, dict):
            return self
        rates = {}
        for name in representations:
            own = self.lr.get(name, self.lr.get(DEFAULT_RATE))
            if own is None:
                raise ValueError(f"lr: no rate for '{name}', only for {', '.join(self.lr)}")
            rates[name] = own
        alike = len(set(rates.values())) == 1
        return self.model_copy(update={"lr": next(iter(rates.values())) if alike else rates})


class PretrainConfig(Config):
    """A pre-training without labels. Defaults are the paper's, where silent its authors' code's."""

    representations: tuple[Representation, ...] = Field(
        ("seq",), min_length=1, description="one: intra-skeleton; two or more: inter-skeleton"
    )
    augment: AugmentConfig = AugmentConfig()
    views: ViewsConfig = ViewsConfig()
    encoders: EncodersConfig = EncodersConfig()
    contrast: ContrastConfig = ContrastConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optimiser: OptimiserConfig = OptimiserConfig()
    epochs: int = Field(451, ge=1, description="passes over the training clips")
    batch: int = Field(64, ge=1, description="clips of a step; the last, smaller batch is dropped")
    share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the training clips that is used, drawn by the seed without looking "
        "at labels",
    )
    precision: Precision = Field("fp32", description=PRECISION)
    monitor: int | None = Field(
        None,
        ge=1,
        description="log the accuracy of a nearest neighbour across the groups of the training "
        "clips every so many epochs; the weights stay the same",
    )

    @model_validator(mode="before")
    @classmethod
    def _whole_policies(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("views") is not None:
            return {**values, "views": completed(values["views"], values.get("augment", {}))}
        return values

    @field_validator("representations")
    @classmethod
    def _in_one_order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            duplicate = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"duplicate representation '{duplicate}'")
        return tuple(name for name in REPRESENTATION_PLUGINS.names() if name in names)

    @field_validator("optimiser")
    @classmethod
    def _with_its_own_rates(
        cls, optimiser: OptimiserConfig, info: ValidationInfo
    ) -> OptimiserConfig:
        names = info.data.get("representations")  # None if they are invalid
        return optimiser.of(names) if names else optimiser

    @model_validator(mode="after")
    def _objective_fits(self) -> Self:
        self.objective.check(self.representations, self.encoders)
        return self

    @model_validator(mode="after")
    def _frames_fit(self) -> Self:
        for name in self.representations:
            encoder = self.encoders.chosen(name).component.name
            if encoder == "hcn" and self.encoders.frames % 16:
                raise ValueError(
                    f"encoders.frames must be a multiple of 16 for {name}: HCN halves them 4 times"
                )
        return self

    @model_validator(mode="after")
    def _takes_its_views(self) -> Self:
        if self.views.extra and not self.objective.takes_extra:
            raise ValueError(
                f"views.extra: objective '{self.objective.name}' takes only a query and a key "
                f"view; {MOCO} takes more"
            )
        return self

    @property
    def policies(self) -> tuple[AugmentConfig, ...]:
        """The augmentations of each view: query, key, then the further ones."""
        return self.views.policies(self.augment)

    def clips_of(self, train: int) -> int:
        """How many of ``train`` training clips are used."""
        return share_of(train, self.share)

    def resolved(self) -> dict[str, Any]:
        """Everything that determines the outcome: each option that is used, and no other."""
        values = self.model_dump(mode="json")
        query, key, *extra = (policy.resolved() for policy in self.policies)
        if query == key and not extra:
            values["augment"] = query
            del values["views"]
        else:
            values["views"] = {"query": query, "key": key, "extra": extra}
            del values["augment"]
        values["encoders"] = self.encoders.resolved(self.representations)
        unused = ("milestones",) if self.optimiser.schedule == "cosine" else ()
        if self.optimiser.name == "adamw":
            unused = (*unused, "momentum")
        for name in unused:
            del values["optimiser"][name]
        if not extra:
            del values["contrast"]["extra"]
        if self.objective.name == MOCO:
            del values["objective"]
        else:
            values["objective"] = self.objective.resolved()
            if not self.objective.has_queues:
                del values["contrast"]
        if self.monitor is None:
            del values["monitor"]
        if self.share == 1:
            del values["share"]
        return values


def share_of(clips: int, share: float) -> int:
    """How many clips a share of ``clips`` is; at least one."""
    return max(1, round(share * clips))


def check_batch(config: PretrainConfig, clips: int, where: str = "") -> None:
    """:class:`UserError` if a batch is larger than the number of clips that are used.

    Args:
        config: the pre-training's, with its share.
        clips: how many the training side has.
        where: data set and protocol for the message, such as ``'ntu60', xview``.
    """
    trained = config.clips_of(clips)
    if trained < config.batch:
        of = f" of {where}" if where else ""
        share = f" (pretrain.share {config.share:g} of {clips})" if config.share < 1 else ""
        raise UserError(
            f"pretrain.batch {config.batch} is larger than the {trained} training clips{of}"
            f"{share}: set pretrain.batch to {trained} or less"
        )
