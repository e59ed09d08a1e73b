"""Finished units: the evidence for what units that have not run will cost.

A unit's seconds are taken per clip that passes through its encoders, so that units with other
numbers of epochs and clips are evidence too. Units that differ in the seed alone, on the same
hardware, are preferred; what else a unit differs in is said with the number.
"""

from __future__ import annotations

import contextlib
import functools
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ablation.store import Store
from ablation.store.provenance import cpu_name, environment
from ablation.store.unit_files import CHECKPOINT, CONFIG, PROVENANCE, UnitFiles
from ablation.text import plural
from ablation.units import EncoderSource, EvaluateUnit, PretrainUnit, Unit, read_unit
from skelcon.config import Json
from skelcon.errors import UserError

if TYPE_CHECKING:
    from ablation.scheduler.resources import Resources
    from skelcon.data import Fold, Part, SkeletonDataset

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, UserError)
"""What reading a finished unit may raise: a UserError if its task's plugin is not loaded."""


@dataclass(frozen=True)
class Hardware:
    """What the speed of a unit depends on: a GPU by its name, or a CPU by name and threads.

    Attributes:
        device: ``cpu`` or ``cuda``.
        name: None for a GPU that is not known, such as a cluster's.
        threads: torch threads, on a CPU.
        ranks: among how many GPUs a pre-training is divided.
    """

    device: str
    name: str | None
    threads: int = 0
    ranks: int = 1

    @classmethod
    def of_trial(cls, resources: Resources) -> Hardware:
        """What a trial runs on, as far as this machine can tell."""
        if resources.gpus_per_trial > 0:  # imports torch
            name = environment()["hardware"]["gpu"]
            return cls("cuda", name, ranks=max(1, int(resources.gpus_per_trial)))
        return cls("cpu", cpu_name(), max(1, int(resources.cpus_per_trial)))

    @classmethod
    def of(cls, provenance: Json) -> Hardware:
        """What a finished unit ran on."""
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
    """What a finished unit differs in from the one that is estimated; the first field weighs most.

    Attributes:
        hardware, data: whether it ran on other hardware, or on another data set.
        options: whether it has the same encoders with other options, such as an augmentation.
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
    """What a unit's cost per clip depends on, as text that can be compared; the closest first."""

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
        precision = options.get("batch"), options.get("precision")
        return cls(
            whole=_text(task, seen_as, encoders, cost),
            encoders=_text(task, seen_as, encoders, *precision),
            representations=_text(task, unit.representations),
            task=task,
        )

    def compare(self, other: Traits) -> Difference | None:
        """What the two differ in; None if they have nothing in common."""
        pairs = zip(DIFFERENCES, self, other, strict=True)
        return next((found for found, mine, theirs in pairs if mine == theirs), None)


DIFFERENCES = (
    Difference(),
    Difference(options=True),
    Difference(Match.REPRESENTATIONS),
    Difference(Match.TASK),
)
"""What units differ in that share the first, the second, ... of their traits."""


def _text(*values: Any) -> str:
    return json.dumps(values, sort_keys=True)


def probe_key(unit: Unit) -> tuple[str, str]:
    """Units of one key share a measurement: what one step, or an evaluation, costs them."""
    traits = Traits.of(unit)
    return (traits.encoders if unit.trains else traits.whole), unit.side.data


def encoders_of(unit: Unit) -> list[tuple[str, Json]]:
    """(representation, configuration of its encoder) of what clips pass through."""
    if isinstance(unit, PretrainUnit):
        # (A stream is another input of the same encoder, and costs next to nothing.)
        encoders = unit.options["encoders"].items()
        own = {name: each for name, each in encoders if not name.startswith("stream")}
        return [(name, own) for name in unit.representations]
    return [(source.representation, _own(source)) for source in unit.encoders]


def _own(source: EncoderSource) -> Json:
    if source.encoders is None:
        return {"weights": source.weights}
    return _only(source.encoders, source.representation)


def _only(encoders: Json, representation: str) -> Json:
    """The part of an encoders' configuration that is of one representation."""
    common = (representation, "frames", "orientation")
    own = {name: value for name, value in encoders.items() if name in common}
    custom = encoders.get("custom", {})
    if representation in custom:
        own["custom"] = {representation: custom[representation]}
    return own


def _with_each_encoder(unit: Unit) -> list[Unit]:
    """The unit as it would be with each of its encoders alone."""
    if isinstance(unit, EvaluateUnit):
        return [replace(unit, encoders=(source,)) for source in unit.encoders]
    parts = {name: _only(unit.options["encoders"], name) for name in unit.representations}
    return [
        replace(unit, options={**unit.options, "representations": [name], "encoders": own})
        for name, own in parts.items()
    ]


@dataclass(frozen=True)
class FinishedUnit:
    """What a finished unit was and what it cost.

    Attributes:
        data: the name of its data set.
        size: bytes of its directory, without a checkpoint.
        gpu_mib, gpu_total_mib: the peak of its GPU's memory, and all of it; None on a CPU.
    """

    unit: Unit
    traits: Traits
    seconds: float
    hardware: Hardware
    data: str
    size: int
    gpu_mib: float | None
    gpu_total_mib: float | None
    files: UnitFiles

    @classmethod
    def read(cls, directory: Path) -> FinishedUnit | None:
        """Of a unit's directory; None if it is not finished or not one of this version's."""
        files = UnitFiles(directory)
        with contextlib.suppress(*_UNREADABLE):
            config = files.read_or_none(CONFIG) if files.is_done else None
            provenance = files.read_or_none(PROVENANCE)
            if config is None or provenance is None:
                return None
            unit, hardware = read_unit(config), Hardware.of(provenance)
            on_gpu, peak = hardware.device == "cuda", provenance.get("peak_memory", {})
            kept = (path for path in directory.iterdir() if path.name != CHECKPOINT)
            return cls(
                unit=unit,
                traits=Traits.of(unit),
                seconds=float(provenance["seconds"]),
                hardware=hardware,
                data=str(provenance["data"]["name"]),
                size=sum(path.stat().st_size for path in kept),
                # The peak of one of several ranks is that of a part of a batch.
                gpu_mib=peak.get("gpu_mib") if on_gpu and hardware.ranks == 1 else None,
                gpu_total_mib=provenance["hardware"].get("gpu_mib") if on_gpu else None,
                files=files,
            )
        return None


@dataclass(frozen=True)
class Rate:
    """Seconds for each clip that passes, and the basis of that number.

    Attributes:
        difference: of the finished units that it is taken from.
    """

    seconds: float
    basis: str
    difference: Difference = Difference()
    gpu_mib: float | None = None
    gpu_total_mib: float | None = None


class History:
    """The finished units of a store, and the data sets that are known: what units cost, by them."""

    def __init__(
        self, finished: Iterable[FinishedUnit], datasets: Iterable[SkeletonDataset]
    ) -> None:
        self.finished = list(finished)
        self.datasets = {each.fingerprint: each for each in datasets}
        self._count = functools.cache(self._counted)
        self._measured: dict[tuple[str, str, Hardware], Rate] = {}
        self._rates: dict[tuple[str, str | None, Hardware], Rate | None] = {}

    @classmethod
    def read(cls, store: Store, datasets: Iterable[SkeletonDataset]) -> History:
        """All finished units of ``store``; what cannot be read is left out."""
        directories = sorted(store.units.iterdir()) if store.units.is_dir() else []
        found = (FinishedUnit.read(each) for each in directories if not each.name.startswith("."))
        return cls((unit for unit in found if unit is not None), datasets)

    def sides(self, unit: Unit) -> tuple[int, int] | None:
        """(training clips, test clips) of a unit, if its data set is known."""
        side = unit.side
        if side.data not in self.datasets:
            return None
        test: Part = unit.test if isinstance(unit, EvaluateUnit) else "test"
        where = side.data, side.protocol
        return self._count(*where, side.train, side.fold), self._count(*where, test, side.fold)

    def _counted(self, fingerprint: str, protocol: str, part: Part, fold: Fold | None) -> int:
        from skelcon.data import split

        return len(split(self.datasets[fingerprint], protocol, part, fold))

    def clips_seen(self, unit: Unit) -> float | None:
        """How many clips pass through the encoders of a unit, if its data set is known."""
        sides = self.sides(unit)
        return None if sides is None else unit.clips_seen(*sides)

    def add_measurement(self, unit: Unit, hardware: Hardware, rate: Rate) -> None:
        """What a unit, and all that share its :func:`probe_key`, was measured to cost."""
        self._measured[(*probe_key(unit), hardware)] = rate

    def rate(self, unit: Unit, hardware: Hardware) -> Rate | None:
        """What a clip costs in ``unit``: as measured, or in the most similar finished units."""
        measured = self._measured.get((*probe_key(unit), hardware))
        if measured is not None:
            return measured
        dataset = self.datasets.get(unit.side.data)
        traits, data = Traits.of(unit), dataset.name if dataset else None
        known = (traits.whole, data, hardware)
        if known not in self._rates:
            rate = self._nearest(traits, data, hardware)
            if rate is None or rate.difference.match > Match.ENCODERS:
                rate = self._sum_of_parts(unit, data, hardware) or rate
            self._rates[known] = rate
        return self._rates[known]

    def size(self, unit: Unit) -> int | None:
        """Bytes that units with the same encoders left in the median."""
        return self._sizes.get(Traits.of(unit).encoders)

    @functools.cached_property
    def _sizes(self) -> dict[str, int]:
        found = defaultdict(list)
        for finished in self.finished:
            found[finished.traits.encoders].append(finished.size)
        return {encoders: int(statistics.median(sizes)) for encoders, sizes in found.items()}

    def _sum_of_parts(self, unit: Unit, data: str | None, hardware: Hardware) -> Rate | None:
        """Of a unit of several encoders: what each costs alone, nearly the cost of all together."""
        parts = [
            self._nearest(Traits.of(each), data, hardware) for each in _with_each_encoder(unit)
        ]
        here = Difference(hardware=True)
        seconds = [rate.seconds for rate in parts if rate is not None and rate.difference < here]
        if len(seconds) < 2 or len(seconds) < len(parts):
            return None
        basis = "the sum of its representations alone on this hardware"
        return Rate(sum(seconds), basis, Difference(Match.REPRESENTATIONS))

    def _nearest(self, traits: Traits, data: str | None, hardware: Hardware) -> Rate | None:
        if traits.task != "pretrain":  # an evaluation runs on one of several GPUs
            hardware = replace(hardware, ranks=1)
        groups = defaultdict(list)
        for finished in self.finished:
            difference = traits.compare(finished.traits)
            if difference is None or finished.hardware.device != hardware.device:
                continue  # the time on a GPU says nothing about a CPU
            others = finished.hardware != hardware, finished.data != data
            difference = replace(difference, hardware=others[0], data=others[1])
            groups[difference].append(finished)
        rates = (self._rate_of(groups[difference], difference) for difference in sorted(groups))
        return next((rate for rate in rates if rate is not None), None)

    def _clips_of(self, finished: FinishedUnit) -> float | None:
        """Clips that passed: counted if the data is known, else what the training logged."""
        with contextlib.suppress(*_UNREADABLE):
            counted = self.clips_seen(finished.unit)
            if counted is not None:
                return counted
            if not finished.unit.trains:
                return None  # an epoch of a classifier says nothing of its encoders
            logged = finished.files.metrics()
            load = finished.unit.load if isinstance(finished.unit, PretrainUnit) else 1.0
            return load * sum(line["samples_per_s"] * line["seconds"] for line in logged) or None
        return None

    def _rate_of(self, members: Sequence[FinishedUnit], difference: Difference) -> Rate | None:
        """The median of units that differ in the same; None if their clips are not known."""
        counted = [(finished, self._clips_of(finished)) for finished in members]
        rates = [finished.seconds / clips for finished, clips in counted if clips]
        if not rates:
            return None
        return Rate(
            statistics.median(rates),
            _basis(difference, len(rates), members[0]),
            difference,
            max((each.gpu_mib for each in members if each.gpu_mib is not None), default=None),
            next((each.gpu_total_mib for each in members if each.gpu_total_mib), None),
        )


def _basis(difference: Difference, number: int, example: FinishedUnit) -> str:
    units = plural(number, "unit")
    if difference.match is Match.TASK:
        text = f"rough: {units} of the same kind, other representations"
    elif difference.match is Match.REPRESENTATIONS:
        text = f"rough: {units} of the same representations, other encoders"
    elif difference.options:
        text = f"{units} with the same encoders"
    else:
        text = plural(number, "similar unit")
    if difference.data:
        text += f" on other data ({example.data})"
    if difference.hardware:
        return f"{text} on other hardware ({example.hardware})"
    return f"{text} on this hardware"
