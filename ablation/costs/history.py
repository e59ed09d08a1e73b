"""Finished units, from which the cost of other units is estimated.

Seconds are per clip that passes through the encoders, so that units with other numbers of epochs
and clips can be used too. Units on the same hardware that differ only in the seed are preferred;
other differences are named with the estimate.
"""

from __future__ import annotations

import contextlib
import functools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.costs.traits import (
    Difference,
    Hardware,
    Match,
    Traits,
    probe_key,
    with_each_encoder,
)
from ablation.store import Store
from ablation.store.unit_files import CHECKPOINT, CONFIG, PROVENANCE, UnitFiles
from ablation.text import plural
from ablation.units import EvaluateUnit, PretrainUnit, Unit, read_unit
from skelcon.errors import UserError

if TYPE_CHECKING:
    from skelcon.data import Fold, Part, SkeletonDataset

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, UserError)
"""Errors of reading a finished unit: a UserError if its task's plugin is not loaded."""


@dataclass(frozen=True)
class FinishedUnit:
    """A finished unit and its cost.

    Attributes:
        seconds: its wall time.
        data: the name of its data set.
        size: bytes of its directory, without a checkpoint.
        gpu_mib, gpu_total_mib: peak and total memory of its GPU; None on a CPU.
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
        """Read a unit's directory; None if it is not finished, or not readable by this version."""
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
                # The peak of one of several ranks is for a part of a batch only.
                gpu_mib=peak.get("gpu_mib") if on_gpu and hardware.ranks == 1 else None,
                gpu_total_mib=provenance["hardware"].get("gpu_mib") if on_gpu else None,
                files=files,
            )
        return None


@dataclass(frozen=True)
class Rate:
    """Seconds per clip that passes through the encoders, and the basis of the estimate.

    Attributes:
        basis: where it comes from, in words.
        difference: how the finished units behind it differ from the estimated one.
    """

    seconds: float
    basis: str
    difference: Difference = field(default_factory=Difference)
    gpu_mib: float | None = None
    gpu_total_mib: float | None = None


class History:
    """Estimates from the finished units of a store, whose clips are counted in known data sets."""

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
        """All finished units of ``store``; those that cannot be read are left out."""
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
        """Add the measured rate of a unit, for all units with its :func:`probe_key`."""
        self._measured[(*probe_key(unit), hardware)] = rate

    def rate(self, unit: Unit, hardware: Hardware) -> Rate | None:
        """The measured rate of ``unit``, or the rate of the most similar finished units, if any."""
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
        """The median bytes of finished units with the same encoders, if any."""
        return self._sizes.get(Traits.of(unit).encoders)

    @functools.cached_property
    def _sizes(self) -> dict[str, int]:
        found = defaultdict(list)
        for finished in self.finished:
            found[finished.traits.encoders].append(finished.size)
        return {encoders: int(statistics.median(sizes)) for encoders, sizes in found.items()}

    def _sum_of_parts(self, unit: Unit, data: str | None, hardware: Hardware) -> Rate | None:
        """For several encoders: the sum of the rates of each alone, nearly their common rate."""
        parts = [self._nearest(Traits.of(each), data, hardware) for each in with_each_encoder(unit)]
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
                continue  # seconds on a GPU do not help for a CPU
            others = finished.hardware != hardware, finished.data != data
            difference = replace(difference, hardware=others[0], data=others[1])
            groups[difference].append(finished)
        rates = (self._rate_of(groups[difference], difference) for difference in sorted(groups))
        return next((rate for rate in rates if rate is not None), None)

    def _clips_of(self, finished: FinishedUnit) -> float | None:
        """Clips that passed: counted if the data set is known, else as the training logged them."""
        with contextlib.suppress(*_UNREADABLE):
            counted = self.clips_seen(finished.unit)
            if counted is not None:
                return counted
            if not finished.unit.trains:
                return None  # the epochs of a classifier do not count the encoders' clips
            logged = finished.files.metrics()
            load = finished.unit.load if isinstance(finished.unit, PretrainUnit) else 1.0
            return load * sum(line["samples_per_s"] * line["seconds"] for line in logged) or None
        return None

    def _rate_of(self, members: Sequence[FinishedUnit], difference: Difference) -> Rate | None:
        """The median rate of units with the same difference; None if their clips are not known."""
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
