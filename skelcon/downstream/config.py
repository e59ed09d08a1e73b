"""The settings of the built-in downstream tasks."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from skelcon.augment import CropConfig
from skelcon.config import Config
from skelcon.precision import PRECISION, Precision

BLOCK = 10
"""Epochs of a linear classifier between two checkpoints, where its crops are kept: each takes
milliseconds."""

FOLDS = 5
"""Folds of the cross-validation that chooses a weight decay; fewer if there are fewer groups."""

WEIGHT_DECAYS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0001, 0.0)
"""What ``linear.weight_decay: auto`` chooses from, the strongest first."""

CORRUPTIONS = ("noise", "missing", "camera", "speed")
"""How the test clips of ``robustness`` are corrupted."""

_MIN_FRAMES = "no training crop is shorter than this (64 in the authors' code)"
_LABELS = "share of the training clips of each class that are labelled"
_SUBSETS = "random draws of the labelled clips; each is trained on from the start"


class LinearConfig(Config):
    """Training of the linear classifier; defaults are from A.1, else from the authors' code."""

    epochs: int = Field(80, ge=1, description="passes over the training clips")
    lr: float = Field(0.1, gt=0, description="learning rate of SGD")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    weight_decay: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        0.0,
        description="of SGD; auto: by cross-validation over the groups of the training side, and "
        "L-BFGS in place of SGD",
    )
    milestones: tuple[int, ...] = Field((50, 70), description="epochs at which lr becomes lr / 10")
    batch: int = Field(64, ge=1, description="clips of a step")
    l_min: float = Field(0.5, gt=0, le=1, description="training crops have a ratio in [l_min, 1]")
    min_frames: int = Field(1, ge=1, description=_MIN_FRAMES)
    test_ratio: float = Field(0.95, gt=0, le=1, description="the central part that is tested")
    crops: int | None = Field(
        None,
        ge=0,
        description="random crops of each training clip, used in turn; not set: a new one each "
        "epoch; 0: the central part that is tested, instead of crops",
    )
    standardise: bool = Field(
        default=False,
        description="zero mean and unit variance of each feature over the first training crops "
        "(not in the paper)",
    )
    labels: float = Field(1.0, gt=0, le=1, description=_LABELS)
    subsets: int = Field(1, ge=1, description=f"{_SUBSETS}; one if all are labelled")
    precision: Precision = Field("fp32", description=f"of the encoders: {PRECISION}")

    @model_validator(mode="after")
    def _crops_are_kept(self) -> Self:
        if self.weight_decay == "auto" and self.crops is None:
            raise ValueError("weight_decay auto fits to crops that are kept: set crops, such as 8")
        return self

    @property
    def crop(self) -> CropConfig:
        """The crop of a training view."""
        return CropConfig(l_min=self.l_min, min_frames=self.min_frames)

    @property
    def passes(self) -> int:
        """How often the training clips pass through the encoders: each crop, and as tested."""
        crops = self.epochs if self.crops is None else self.crops
        return 1 + (crops if self.weight_decay == "auto" else min(crops, self.epochs))

    @property
    def all_labelled(self) -> bool:
        """Whether it is trained on all training clips: then there is one draw only."""
        return self.labels == 1.0

    @property
    def draws(self) -> int:
        """How many draws of the labelled clips it is trained on."""
        return 1 if self.all_labelled else self.subsets

    @property
    def block(self) -> int:
        """How many epochs of the classifier there are between two checkpoints."""
        return 1 if self.crops is None else BLOCK

    @property
    def blocks(self) -> int:
        """How many blocks there are; with ``auto`` one for each fold and one for the last fit."""
        return FOLDS + 1 if self.weight_decay == "auto" else -(-self.epochs // self.block)


class MLPConfig(LinearConfig):
    """Training of a classifier with a hidden layer on a frozen encoder; by SGD, as the linear."""

    hidden: int = Field(512, ge=1, description="units of its hidden layer (ReLU)")
    lr: float = Field(
        0.01,
        gt=0,
        description="learning rate of SGD (with 0.1, as in linear, thousands of features diverge)",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="of SGD")


Severities = tuple[Annotated[float, Field(gt=0)], ...]
"""From mild to strong; empty leaves the corruption out."""


class RobustnessConfig(LinearConfig):
    """A linear evaluation whose classifier is also tested on corrupted clips.

    It is trained as in ``linear``. Clips are corrupted after they were turned to the encoder's
    orientation.
    """

    noise: Severities = Field(
        (0.01, 0.02, 0.05),
        description="standard deviations of noise on each coordinate, in the data's unit (metres)",
    )
    missing: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.1, 0.2, 0.4), description="shares of the joints that are missing, in all frames"
    )
    camera: Severities = Field(
        (15.0, 30.0, 45.0),
        description="turns about the vertical axis, to either side, in degrees",
    )
    speed: tuple[Annotated[float, Field(gt=1)], ...] = Field(
        (1.25, 1.5, 2.0),
        description="factors by which clips are faster or slower about their middle; the first and "
        "the last pose are held",
    )

    @property
    def severities(self) -> dict[str, tuple[float, ...]]:
        """Corruption -> how strong it is, from mild to strong."""
        return {kind: getattr(self, kind) for kind in CORRUPTIONS}


class RetrievalConfig(Config):
    """Nearest-neighbour retrieval."""

    test_ratio: float = Field(
        0.95, gt=0, le=1, description="the central part of a clip, on both sides"
    )
    precision: Precision = Field("fp32", description=f"of the encoders: {PRECISION}")


class KNNConfig(RetrievalConfig):
    """k nearest neighbours."""

    k: int = Field(20, ge=1, description="training clips that vote; at most all of them")
    temperature: Annotated[float, Field(gt=0)] | None = Field(
        0.07,
        description="a vote counts exp(cosine similarity / temperature); not set: each counts 1",
    )


class OneShotConfig(RetrievalConfig):
    """Nearest exemplar; each class has one."""

    classes: int | None = Field(
        None, ge=2, description="how many of the test side, evenly spaced; all if not set"
    )


class ClusteringConfig(Config):
    """k-means of the test side."""

    restarts: int = Field(
        10, ge=1, description="random starts; the one with the smallest distances counts"
    )
    iterations: int = Field(300, ge=1, description="at most, of each start")
    test_ratio: float = Field(0.95, gt=0, le=1, description="the central part of a clip")
    precision: Precision = Field("fp32", description=f"of the encoders: {PRECISION}")


class FinetuneConfig(Config):
    """Joint training of encoder and classifier by Adam; defaults as for `LinearConfig`."""

    epochs: int = Field(50, ge=1, description="passes over the labelled clips")
    lr: float = Field(1e-4, gt=0, description="learning rate of Adam")
    weight_decay: float = Field(0.0, ge=0, description="of Adam, on all parameters")
    milestones: tuple[int, ...] = Field((30, 40), description="epochs at which lr becomes lr / 10")
    batch: int = Field(64, ge=1, description="clips of a step; the last, smaller batch is used")
    l_min: float = Field(0.5, gt=0, le=1, description="training crops have a ratio in [l_min, 1]")
    min_frames: int = Field(1, ge=1, description=_MIN_FRAMES)
    test_ratio: float = Field(0.95, gt=0, le=1, description="the central part that is tested")
    labels: float = Field(1.0, gt=0, le=1, description=_LABELS)
    subsets: int = Field(1, ge=1, description=_SUBSETS)
    precision: Precision = Field("fp32", description=f"of the training: {PRECISION}")

    @property
    def crop(self) -> CropConfig:
        """The crop of a training view."""
        return CropConfig(l_min=self.l_min, min_frames=self.min_frames)

    def lr_at(self, epoch: int) -> float:
        """The learning rate of ``epoch`` (from 0) of a subset."""
        return self.lr * math.prod(0.1 for at in self.milestones if epoch >= at)
