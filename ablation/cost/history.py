"""What finished units cost: the evidence for what a unit that has not run will cost.

A unit's seconds are taken per clip that passes through its encoders, so that other numbers of
epochs and clips tell too. Evidence is preferred from units that differ in the seed alone, on the
same hardware; what it is less alike in is said with the number.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ablation.plan import Unit
from ablation.store import Store
from ablation.store.provenance import environment
from skelcon.data import Part, SkeletonDataset, split

Config = dict[str, Any]

FORWARD = 1 / 3
"""What a clip costs that is only looked at, next to one that is trained on."""

SCALES = ("epochs", "subsets", "labels", "crops")
"""Settings that change how many clips pass, and not what one of them costs."""

OTHER_ENCODER_OPTIONS, OTHER_DATA, OTHER_HARDWARE, OTHER_SIZES, OTHER_KIND = 1, 2, 4, 8, 16
"""How much less a unit tells that differs in this; a sum of them is its distance."""


@dataclass(frozen=True)
class Hardware:
    """What a unit's speed depends on: a GPU by its name, or a CPU by name and threads.

    ``name`` is None for a GPU that is not known (of a cluster); ``ranks`` is how many of them a
    pre-training is divided among.
    """

    device: str
    name: str | None
    threads: int = 0
    ranks: int = 1

    @classmethod
    def here(cls, gpu: bool, threads: int) -> Hardware:
        """Of a trial on this machine."""
        names = environment()["hardware"]
        return cls("cuda", names["gpu"]) if gpu else cls("cpu", names["cpu"], threads)

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Hardware:
        """Of a finished unit."""
        names = provenance["hardware"]
        if str(provenance["device"]).startswith("cuda"):
            return cls("cuda", names["gpu"], ranks=int(provenance.get("ranks", 1)))
        return cls("cpu", names["cpu"], int(provenance["threads"]))

    def __str__(self) -> str:
        if self.device == "cuda":
            return f"{self.ranks} x " * (self.ranks > 1) + (self.name or "a GPU")
        return f"{self.name}, {self.threads} thread{'s' * (self.threads != 1)}"


def passes(config: Config, train: int, test: int) -> float:
    """How many clips pass through the encoders of a unit, a look weighing less than a step.

    Args:
        config: the unit's.
        train, test: clips of its two sides.
    """
    options = config["config"]
    if config["unit"] == "pretrain":
        return float(options["epochs"] * (train // options["batch"]) * options["batch"])
    if config["task"] == "finetune":
        labelled = max(1, round(options["labels"] * train))
        return float(options["subsets"] * (options["epochs"] * labelled + FORWARD * test))
    if config["task"] == "linear":
        crops = options["crops"] or options["epochs"]
        return float(min(crops, options["epochs"]) * train + test)
    return float(train + test)


def task_of(config: Config) -> str:
    """``pretrain``, or the evaluation's task."""
    return "pretrain" if config["unit"] == "pretrain" else str(config["task"])


def encoders_of(config: Config) -> list[tuple[str, Any]]:
    """(representation, configuration of its encoder) of what passes clips; not the weights."""
    options = config["config"]
    if config["unit"] == "pretrain":
        return [(name, options["encoders"]) for name in options["representations"]]
    found = []
    for source in config["encoders"]:
        name = source["representation"]
        if "pretrained" in source:
            every = source["pretrained"]["config"]["encoders"]
        else:
            every = source.get("random") or {"weights": source.get("weights")}
        own = {key: value for key, value in every.items() if key in (name, "frames", "weights")}
        if name in every.get("custom", {}):
            own["custom"] = {name: every["custom"][name]}
        found.append((name, own))
    return found


def alone(config: Config) -> list[Config]:
    """The unit as it would be with each of its encoders alone."""
    if config["unit"] == "evaluate":
        return [{**config, "encoders": [source]} for source in config["encoders"]]
    found = []
    for name in config["config"]["representations"]:
        every = config["config"]["encoders"]
        own = {key: value for key, value in every.items() if key in (name, "frames")}
        if name in every.get("custom", {}):
            own["custom"] = {name: every["custom"][name]}
        options = {**config["config"], "representations": [name], "encoders": own}
        found.append({**config, "config": options})
    return found


def _text(*values: Any) -> str:
    return json.dumps(values, sort_keys=True)


@dataclass(frozen=True)
class Likeness:
    """By what a unit's cost per clip is compared; from the strictest on."""

    whole: str
    encoders: str
    representations: str
    task: str

    @classmethod
    def of(cls, config: Config) -> Likeness:
        """Of a unit's configuration."""
        task, encoders, options = task_of(config), encoders_of(config), config["config"]
        seen_as = config.get("as")
        cost = {key: value for key, value in options.items() if key not in SCALES}
        return cls(
            whole=_text(task, seen_as, encoders, cost),
            encoders=_text(task, seen_as, encoders, options.get("batch"), options.get("precision")),
            representations=_text(task, [name for name, _ in encoders]),
            task=task,
        )

    def distance(self, other: Likeness) -> int | None:
        """How unlike the two are; None if they have nothing in common."""
        if self.whole == other.whole:
            return 0
        if self.encoders == other.encoders:
            return OTHER_ENCODER_OPTIONS
        if self.representations == other.representations:
            return OTHER_SIZES
        return OTHER_KIND if self.task == other.task else None


class Clips:
    """How many clips the sides of the data sets at hand have."""

    def __init__(self, datasets: Iterable[SkeletonDataset]) -> None:
        self.datasets = {each.fingerprint: each for each in datasets}
        self._count = functools.cache(self._counted)

    def _counted(self, fingerprint: str, protocol: str, part: Part) -> int:
        return len(split(self.datasets[fingerprint], protocol, part))

    def name(self, config: Config) -> str | None:
        """What the unit's data set is called, if it is at hand."""
        dataset = self.datasets.get(config["data"])
        return dataset.name if dataset else None

    def passes(self, config: Config) -> float | None:
        """:func:`passes` of a unit, if its data set is at hand."""
        if config["data"] not in self.datasets:
            return None
        where = (config["data"], config["protocol"])
        train = self._count(*where, config["train"])
        return passes(config, train, self._count(*where, config.get("test", "test")))


@dataclass(frozen=True)
class Past:
    """A finished unit: what it was and what it cost.

    Attributes:
        size: bytes of its directory, without a checkpoint.
        gpu_mib, gpu_total_mib: the peak of its GPU's memory, and all of that; None on a CPU.
    """

    config: Config
    likeness: Likeness
    seconds: float
    hardware: Hardware
    data: str
    size: int
    gpu_mib: float | None
    gpu_total_mib: float | None
    directory: Path

    @classmethod
    def read(cls, directory: Path) -> Past | None:
        """Of a unit's directory; None if it is not finished or not readable."""
        size, names = 0, set()
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            with os.scandir(directory) as entries:
                for entry in entries:
                    names.add(entry.name)
                    size += entry.stat().st_size if entry.name != "checkpoint.pt" else 0
            if "DONE" not in names:
                return None
            config = json.loads((directory / "config.json").read_bytes())
            provenance = json.loads((directory / "provenance.json").read_bytes())
            on_gpu = str(provenance["device"]).startswith("cuda")
            whole = on_gpu and provenance.get("ranks", 1) == 1  # else it is of a part of a batch
            peak = provenance.get("peak_memory", {}).get("gpu_mib") if whole else None
            return cls(
                config=config,
                likeness=Likeness.of(config),
                seconds=float(provenance["seconds"]),
                hardware=Hardware.of(provenance),
                data=str(provenance["data"]["name"]),
                size=size,
                gpu_mib=peak,
                gpu_total_mib=provenance["hardware"].get("gpu_mib") if on_gpu else None,
                directory=directory,
            )
        return None

    def passes(self, clips: Clips) -> float | None:
        """Clips that passed: of data at hand counted, of other data as the training logged them."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            counted = clips.passes(self.config)
            if counted is not None:
                return counted
            lines = (self.directory / "metrics.jsonl").read_text().splitlines()
            logged = [json.loads(line) for line in lines]
            return sum(line["samples_per_s"] * line["seconds"] for line in logged) or None
        return None


@dataclass(frozen=True)
class Rate:
    """Seconds a clip that passes, and where that comes from.

    Attributes:
        distance: 0 is a unit that differs in seed, epochs and clips alone; see the constants.
    """

    seconds: float
    basis: str
    distance: int
    gpu_mib: float | None = None
    gpu_total_mib: float | None = None


class History:
    """The finished units of a store, asked for what is most like a unit.

    Args:
        past: the finished units.
        clips: the data at hand.
        hardware: what the units to come will run on.
    """

    def __init__(self, past: Iterable[Past], clips: Clips, hardware: Hardware) -> None:
        self.past, self.clips, self.hardware = list(past), clips, hardware
        self.measured: dict[tuple[str, str], Rate] = {}
        self._rates: dict[tuple[str, str | None], Rate | None] = {}

    @classmethod
    def read(cls, store: Store, datasets: Iterable[SkeletonDataset], hardware: Hardware) -> History:
        """All finished units of ``store``; what cannot be read is left out."""
        directories = sorted(store.units.iterdir()) if store.units.is_dir() else []
        found = (Past.read(each) for each in directories if not each.name.startswith("."))
        return cls((past for past in found if past is not None), Clips(datasets), hardware)

    def rate(self, unit: Unit) -> Rate | None:
        """What a clip costs in ``unit``: measured now, or of the most alike finished units."""
        measured = self.measured.get(probe_key(unit.config))
        if measured is not None:
            return measured
        likeness, data = Likeness.of(unit.config), self.clips.name(unit.config)
        if (likeness.whole, data) not in self._rates:
            rate = self._nearest(likeness, data)
            if rate is None or rate.distance >= OTHER_SIZES:
                rate = self._sum_of_parts(unit.config, data) or rate
            self._rates[likeness.whole, data] = rate
        return self._rates[likeness.whole, data]

    def _sum_of_parts(self, config: Config, data: str | None) -> Rate | None:
        """Of a unit of several encoders: what each costs alone, which they nearly do together."""
        parts = [self._nearest(Likeness.of(each), data) for each in alone(config)]
        known = [rate for rate in parts if rate is not None and rate.distance < OTHER_HARDWARE]
        if len(known) < 2 or len(known) < len(parts):
            return None
        return Rate(
            sum(rate.seconds for rate in known),
            "the sum of its representations alone on this hardware",
            OTHER_SIZES,
        )

    def _nearest(self, likeness: Likeness, data: str | None) -> Rate | None:
        hardware = self.hardware
        if likeness.task != "pretrain":  # an evaluation runs on one device of several
            hardware = replace(hardware, ranks=1)
        groups: dict[int, list[Past]] = {}
        for past in self.past:
            distance = likeness.distance(past.likeness)
            if distance is None or past.hardware.device != self.hardware.device:
                continue  # what a GPU took says nothing of a CPU
            distance += OTHER_DATA * (past.data != data)
            distance += OTHER_HARDWARE * (past.hardware != hardware)
            groups.setdefault(distance, []).append(past)
        for distance, members in sorted(groups.items()):
            counted = [(past, past.passes(self.clips)) for past in members]
            rates = [past.seconds / number for past, number in counted if number]
            if rates:
                return Rate(
                    statistics.median(rates),
                    self._basis(distance, len(rates), members[0]),
                    distance,
                    max((p.gpu_mib for p in members if p.gpu_mib is not None), default=None),
                    next((p.gpu_total_mib for p in members if p.gpu_total_mib), None),
                )
        return None

    def _basis(self, distance: int, number: int, past: Past) -> str:
        units = f"unit{'s' * (number != 1)}"
        if distance & OTHER_KIND:
            text = f"rough: {number} {units} of the same kind, other representations"
        elif distance & OTHER_SIZES:
            text = f"rough: {number} {units} of the same representations, other encoders"
        elif distance & OTHER_ENCODER_OPTIONS:
            text = f"{number} {units} with the same encoders"
        else:
            text = f"{number} like {units}"
        if distance & OTHER_DATA:
            text += f" on other data ({past.data})"
        if distance & OTHER_HARDWARE:
            return f"{text} on other hardware ({past.hardware})"
        return f"{text} on this hardware"

    def size(self, unit: Unit) -> tuple[int, int] | None:
        """(bytes, of how many units) of the directories of units with the same encoders."""
        return self._sizes.get(Likeness.of(unit.config).encoders)

    @functools.cached_property
    def _sizes(self) -> dict[str, tuple[int, int]]:
        found: dict[str, list[int]] = {}
        for past in self.past:
            found.setdefault(past.likeness.encoders, []).append(past.size)
        return {key: (int(statistics.median(each)), len(each)) for key, each in found.items()}


def probe_key(config: Config) -> tuple[str, str]:
    """Units of one key share a measurement: what one step, or an evaluation, costs them."""
    likeness = Likeness.of(config)
    trains = likeness.task in ("pretrain", "finetune")
    return (likeness.encoders if trains else likeness.whole), str(config["data"])


def trial_hardware(
    gpus_per_trial: float,
    cpus_per_trial: float,
    cuda: Callable[[], bool] = torch.cuda.is_available,
) -> Hardware:
    """What a trial that takes so much runs on, as far as this machine can tell."""
    if gpus_per_trial > 0:
        found = Hardware.here(True, 0) if cuda() else Hardware("cuda", None)
        return replace(found, ranks=max(1, int(gpus_per_trial)))
    return Hardware.here(False, max(1, int(cpus_per_trial)))
