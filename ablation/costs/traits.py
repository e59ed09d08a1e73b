"""What the cost of a unit depends on: its hardware, and traits in which it is like other units."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from ablation.store.provenance import cpu_name, environment
from ablation.text import plural
from ablation.units import EncoderSource, EvaluateUnit, PretrainUnit, Unit
from skelcon.config import Json

if TYPE_CHECKING:
    from ablation.scheduler.resources import Resources


@dataclass(frozen=True)
class Hardware:
    """The hardware of a unit: a GPU by its name, or a CPU by name and threads.

    Attributes:
        device: ``cpu`` or ``cuda``.
        name: None for an unknown GPU, such as a cluster's.
        threads: torch threads, on a CPU.
        ranks: how many GPUs train one model.
    """

    device: str
    name: str | None
    threads: int = 0
    ranks: int = 1

    @classmethod
    def of_trial(cls, resources: Resources) -> Hardware:
        """The hardware of a trial, as far as this machine knows it."""
        if resources.gpus_per_trial > 0:  # imports torch
            name = environment()["hardware"]["gpu"]
            return cls("cuda", name, ranks=max(1, int(resources.gpus_per_trial)))
        return cls("cpu", cpu_name(), max(1, int(resources.cpus_per_trial)))

    @classmethod
    def of(cls, provenance: Json) -> Hardware:
        """The hardware of a finished unit."""
        names = provenance["hardware"]
        if str(provenance["device"]).startswith("cuda"):
            return cls("cuda", names["gpu"], ranks=int(provenance.get("ranks", 1)))
        return cls("cpu", names["cpu"], int(provenance["threads"]))

    def __str__(self) -> str:
        if self.device == "cuda":
            name = self.name or "a GPU"
            return f"{self.ranks} x {name}" if self.ranks > 1 else name
        return f"{self.name}, {plural(self.threads, 'thread')}"


class Match(IntEnum):
    """What two units have in common."""

    ENCODERS = 0
    REPRESENTATIONS = 1
    TASK = 2


@dataclass(frozen=True, order=True)
class Difference:
    """How a finished unit differs from the unit that is estimated; the first field weighs most.

    Attributes:
        match: what the two have in common.
        hardware, data: whether it ran on other hardware, or on another data set.
        options: whether it has the same encoders but other options, such as an augmentation.
    """

    match: Match = Match.ENCODERS
    hardware: bool = False
    data: bool = False
    options: bool = False

    @property
    def is_rough(self) -> bool:
        """Whether it differs in more than options."""
        return self > Difference(options=True)


class Traits(NamedTuple):
    """What a unit's cost per clip depends on, as comparable texts, the most specific first."""

    whole: str
    encoders: str
    representations: str
    task: str

    @classmethod
    def of(cls, unit: Unit) -> Traits:
        """The traits of ``unit``."""
        task, encoders, options = unit.task_name, encoders_of(unit), unit.options
        seen_as = unit.side.to_json().get("as")
        scales = unit.task.scales if isinstance(unit, EvaluateUnit) else ("epochs", "share")
        cost = {name: value for name, value in options.items() if name not in scales}
        return cls(
            whole=_text(task, seen_as, encoders, cost),
            encoders=_text(task, seen_as, encoders, options.get("batch"), options.get("precision")),
            representations=_text(task, unit.representations),
            task=task,
        )

    def compare(self, other: Traits) -> Difference | None:
        """How the two differ; None if they have nothing in common."""
        pairs = zip(DIFFERENCES, self, other, strict=True)
        return next((found for found, mine, theirs in pairs if mine == theirs), None)


DIFFERENCES = (
    Difference(),
    Difference(options=True),
    Difference(Match.REPRESENTATIONS),
    Difference(Match.TASK),
)
"""How units differ that share the first, the second, ... of their traits."""


def _text(*values: Any) -> str:
    return json.dumps(values, sort_keys=True)


def probe_key(unit: Unit) -> tuple[str, str]:
    """Units with the same key have the same measurement, of a step or of an evaluation."""
    traits = Traits.of(unit)
    return (traits.encoders if unit.trains else traits.whole), unit.side.data


def encoders_of(unit: Unit) -> list[tuple[str, Json]]:
    """(representation, configuration) of each encoder that clips pass through."""
    if isinstance(unit, PretrainUnit):
        # Without the stream: it costs next to nothing.
        encoders = unit.options["encoders"].items()
        own = {name: each for name, each in encoders if not name.startswith("stream")}
        return [(name, own) for name in unit.representations]
    return [(source.representation, _own(source)) for source in unit.encoders]


def _own(source: EncoderSource) -> Json:
    if source.encoders is None:
        return {"weights": source.weights}
    return _only(source.encoders, source.representation)


def _only(encoders: Json, representation: str) -> Json:
    """The part of an encoders' configuration that one representation uses."""
    common = (representation, "frames", "orientation")
    own = {name: value for name, value in encoders.items() if name in common}
    custom = encoders.get("custom", {})
    if representation in custom:
        own["custom"] = {representation: custom[representation]}
    return own


def with_each_encoder(unit: Unit) -> list[Unit]:
    """Copies of the unit, each with one of its encoders only."""
    if isinstance(unit, EvaluateUnit):
        return [replace(unit, encoders=(source,)) for source in unit.encoders]
    parts = {name: _only(unit.options["encoders"], name) for name in unit.representations}
    return [
        replace(unit, options={**unit.options, "representations": [name], "encoders": own})
        for name, own in parts.items()
    ]
