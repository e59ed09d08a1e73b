"""The two kinds of units of work: a pre-training, and an evaluation of encoders.

A unit's *key* is the hash of everything that decides its result, and of nothing else: never of a
path, a device, a label or an output directory. The hashed text is the unit's ``config.json``.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from ablation.canonical import digest
from skelcon.config import Config, Json
from skelcon.downstream.tasks import Task, task
from skelcon.encoders import COORDINATES
from skelcon.pretrain import PretrainConfig, share_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skelcon.data import Fold, Part, SkeletonDataset, SkeletonLayout  # imports numpy
    from skelcon.encoders import EncodersConfig

RECIPE = 1
"""Raised when the same configuration gives other numbers than before, apart from rounding."""

TWO_VIEWS = 2
"""The least number of views of a clip in a pre-training: a query and a key."""

EvaluateOn = Literal["test", "validation"]
TRAIN_SIDE: dict[EvaluateOn, Part] = {"test": "train", "validation": "fit"}
"""Which clips train for an evaluation on each side."""


class UnreadableUnitError(ValueError):
    """A configuration that is not one of this version's units."""


@dataclass(frozen=True)
class SeenAs:
    """The skeleton that the encoders see, where it is not the data set's own."""

    layout: SkeletonLayout
    bodies: int


@dataclass(frozen=True)
class Side:
    """Which clips a unit trains on, and the seed of all its randomness.

    Attributes:
        data: fingerprint of the data set.
        protocol: which clips train and which test.
        train: which part of the training side.
        seen_as: the skeleton of the encoders, if it is not the data set's own.
        fold: of a cross-validation: its held-out groups are not trained on; None if the whole
            training side is.
    """

    data: str
    protocol: str
    train: Part
    seed: int
    seen_as: SeenAs | None = None
    recipe: int = RECIPE
    fold: Fold | None = None

    @classmethod
    def of(
        cls,
        dataset: SkeletonDataset,
        protocol: str,
        train: Part,
        seed: int,
        layout: SkeletonLayout,
        bodies: int,
        fold: Fold | None = None,
    ) -> Side:
        """The side of ``dataset``, whose skeletons are mapped to ``layout`` where they differ."""
        own = (dataset.layout, dataset.max_bodies) == (layout, bodies)
        seen_as = None if own else SeenAs(layout, bodies)
        return cls(dataset.fingerprint, protocol, train, seed, seen_as, fold=fold)

    def clips(self, dataset: SkeletonDataset, part: Part | None = None) -> NDArray[np.int64]:
        """(n,) the clips of ``dataset`` that train, or the clips of another ``part``."""
        from skelcon.data import split

        return split(dataset, self.protocol, part or self.train, self.fold)

    @property
    def seed_and_fold(self) -> str:
        """For people: ``seed 0``, or ``seed 0 / fold 1/4``."""
        return f"seed {self.seed}" + (f" / fold {self.fold}" if self.fold is not None else "")

    def to_json(self) -> Json:
        """The values in ``config.json``."""
        values: Json = {name: getattr(self, name) for name in _OF_SIDE}
        if self.fold is not None:
            values["fold"] = [self.fold.index, self.fold.of]
        if self.seen_as is not None:
            layout = self.seen_as.layout.to_dict()
            values["as"] = {"layout": layout, "bodies": self.seen_as.bodies}
        return values

    @classmethod
    def from_json(cls, values: Json) -> Side:
        """The inverse of :meth:`to_json`; other keys are ignored."""
        seen_as, fold = values.get("as"), values.get("fold")
        if seen_as is not None:
            from skelcon.data import SkeletonLayout

            seen_as = SeenAs(SkeletonLayout.from_dict(seen_as["layout"]), int(seen_as["bodies"]))
        if fold is not None:
            from skelcon.data import Fold

            fold = Fold(*map(int, fold))
        if (values["train"] == "fit") != (fold is not None):
            raise ValueError(f"train '{values['train']}' with fold {fold}")
        return cls(**{name: values[name] for name in _OF_SIDE}, seen_as=seen_as, fold=fold)


_OF_SIDE = ("recipe", "data", "protocol", "train", "seed")


@dataclass(frozen=True, eq=False, repr=False)
class _Unit(ABC):
    """The base of both kinds. Units are equal if their keys are.

    ``options`` are all its settings, as plain JSON values; ``label`` is for people, and not part of
    the key.
    """

    side: Side
    options: Json
    label: str = field(default="", kw_only=True)

    @abstractmethod
    def to_json(self) -> Json:
        """What is hashed, and what ``config.json`` holds."""

    @functools.cached_property
    def key(self) -> str:
        """16 hex digits of SHA-256 over the canonical JSON of :meth:`to_json`."""
        return digest(self.to_json())

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{self.key}', {self.label!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unit) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@dataclass(frozen=True, eq=False, repr=False)
class PretrainUnit(_Unit):
    """A pre-training of one encoder for each of its representations."""

    kind = "pretrain"
    task_name = "pretrain"

    @classmethod
    def of(cls, side: Side, config: PretrainConfig, label: str = "") -> PretrainUnit:
        """The pre-training with the settings ``config``."""
        return cls(side, config.resolved(), label=label)

    @functools.cached_property
    def settings(self) -> PretrainConfig:
        """Its settings, validated; plugins have to be loaded."""
        return PretrainConfig.model_validate(self.options)

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys of the units whose results it reads: none."""
        return ()

    @property
    def trains(self) -> bool:
        """Whether it trains encoders."""
        return True

    @property
    def epochs(self) -> int:
        """How many epochs it trains."""
        return int(self.options["epochs"])

    @property
    def representations(self) -> tuple[str, ...]:
        """The representations whose encoders it trains."""
        return tuple(self.options["representations"])

    @property
    def policies(self) -> tuple[Json, ...]:
        """The augmentations of each view: query, key, then the further ones."""
        if "views" not in self.options:
            return (self.options["augment"],) * TWO_VIEWS
        views = self.options["views"]
        return (views["query"], views["key"], *views["extra"])

    @property
    def augmentations(self) -> tuple[str, ...]:
        """The augmentations in use, in any view."""
        return tuple(dict.fromkeys(name for policy in self.policies for name in policy["use"]))

    @property
    def load(self) -> float:
        """What a clip costs in a step, relative to one with only a query and a key view."""
        return len(self.policies) / TWO_VIEWS

    def clips_seen(self, train: int, test: int) -> float:
        """How many clips pass through its encoders; one with further views counts as more."""
        batch, trained = int(self.options["batch"]), share_of(train, self.options.get("share", 1.0))
        return self.epochs * (trained // batch) * batch * self.load

    def to_json(self) -> Json:
        """What is hashed."""
        return {"unit": "pretrain", **self.side.to_json(), "config": self.options}


@dataclass(frozen=True)
class EncoderSource:
    """Where the weights of an evaluated encoder come from: one of the first four is set.

    Attributes:
        pretrained: the unit that trains it.
        random: the configuration of an encoder that is not trained.
        weights: SHA-256 of a file of weights.
        coordinates: the common configuration of the encoders, whose input is evaluated itself.
        calibrated: whether random weights get batch-norm statistics of the training clips.
    """

    representation: str
    pretrained: PretrainUnit | None = None
    random: Json | None = field(default=None, hash=False)
    weights: str | None = None
    coordinates: Json | None = field(default=None, hash=False)
    calibrated: bool = False

    @classmethod
    def of_coordinates(cls, encoders: EncodersConfig) -> EncoderSource:
        """The coordinates that are the input of ``encoders``."""
        return cls(COORDINATES, coordinates=encoders.resolved(()))

    def to_json(self) -> Json:
        """The values in ``config.json``."""
        values: Json = {"representation": self.representation}
        if self.pretrained is not None:
            return values | {"pretrained": self.pretrained.to_json()}
        if self.random is not None:
            calibrated = {"calibrated": True} if self.calibrated else {}
            return values | {"random": self.random} | calibrated
        if self.coordinates is not None:
            return values | {"coordinates": self.coordinates}
        return values | {"weights": self.weights}

    @classmethod
    def from_json(cls, values: Json) -> EncoderSource:
        """The inverse of :meth:`to_json`."""
        name = values["representation"]
        if "random" in values:
            return cls(name, random=values["random"], calibrated=values.get("calibrated", False))
        if "coordinates" in values:
            return cls(name, coordinates=values["coordinates"])
        if "weights" in values:
            return cls(name, weights=values["weights"])
        pretrained = read_unit(values["pretrained"])
        if not isinstance(pretrained, PretrainUnit):
            raise UnreadableUnitError("the unit that pre-trains an encoder is not a pre-training")
        return cls(name, pretrained=pretrained)

    @property
    def weights_key(self) -> str | None:
        """The key or the SHA-256 that identifies its weights; None if it has none."""
        return self.pretrained.key if self.pretrained is not None else self.weights

    @property
    def encoders(self) -> Json | None:
        """The configuration of its encoder, and others; None if it is in the file of weights."""
        if self.pretrained is not None:
            return cast(Json, self.pretrained.options["encoders"])
        return self.random if self.coordinates is None else self.coordinates


@dataclass(frozen=True, eq=False, repr=False)
class EvaluateUnit(_Unit):
    """An evaluation of encoders by one task.

    Attributes:
        task_name: its name in the registry of tasks.
        test: which side is tested.
        encoders: the features of several are concatenated.
    """

    task_name: str
    test: EvaluateOn
    encoders: tuple[EncoderSource, ...]

    kind = "evaluate"

    @functools.cached_property
    def task(self) -> Task[Any]:
        """The downstream task."""
        return task(self.task_name)

    @functools.cached_property
    def settings(self) -> Config:
        """The task's settings."""
        settings: Config = self.task.settings_of(self.options)
        return settings

    @functools.cached_property
    def needs(self) -> tuple[str, ...]:
        """Keys of the units whose results it reads: its pre-trainings."""
        trained = (source.pretrained for source in self.encoders)
        return tuple(dict.fromkeys(unit.key for unit in trained if unit is not None))

    @property
    def epochs(self) -> int:
        """Epochs with a checkpoint between them; 0 for a task that runs in one go."""
        return self.task.epochs(self.settings)

    @property
    def trains(self) -> bool:
        """Whether it trains encoders, so that it costs as much as its steps."""
        return self.epochs > 0 and not self.task.frozen

    @property
    def representations(self) -> tuple[str, ...]:
        """The representations that it evaluates."""
        return tuple(source.representation for source in self.encoders)

    def clips_seen(self, train: int, test: int) -> float:
        """How many clips pass through its encoders; a forward pass counts as a third of a step."""
        return self.task.clips_seen(self.settings, train, test)

    def to_json(self) -> Json:
        """What is hashed."""
        return {
            "unit": "evaluate",
            **self.side.to_json(),
            "test": self.test,
            "task": self.task_name,
            "config": self.options,
            "encoders": [source.to_json() for source in self.encoders],
        }


Unit = PretrainUnit | EvaluateUnit


def read_unit(values: Json, label: str = "") -> Unit:
    """The unit of a ``config.json``.

    Raises:
        UnreadableUnitError: if this version has no such unit.
    """
    try:
        side, options = Side.from_json(values), dict(values["config"])
        if values["unit"] == "pretrain":
            return PretrainUnit(side, options, label=label)
        if values["unit"] != "evaluate":
            raise UnreadableUnitError(f"unknown kind of unit '{values['unit']}'")
        encoders = tuple(map(EncoderSource.from_json, values["encoders"]))
        task_name, test = values["task"], values["test"]
        return EvaluateUnit(side, options, task_name, test, encoders, label=label)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableUnitError(f"not a unit of this version: {error!r}") from None
