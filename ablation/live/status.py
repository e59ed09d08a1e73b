"""What a results directory is doing, seen from another process: nothing is locked or waited for.

A unit is running if a process holds its directory's lock, or, where another machine's locks are not
seen, if its driver shows it. How far it is stands in metrics.jsonl.
What the study as a whole does, its ETA and its table so far, is what its driver lets others see.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from ablation.live.snapshot import Running, Snapshot
from ablation.plan import Unit
from ablation.store import Store
from ablation.store.heartbeat import live_drivers
from ablation.store.locks import is_held
from ablation.store.unit_files import CONFIG, KEY, UnitFiles
from skelcon.config import Json
from skelcon.errors import UserError

Doing = Literal["running", "waiting", "failed", "abandoned"]

_SNAPSHOT = TypeAdapter(Snapshot)

LATEST = 5
"""Epochs whose mean tells how long the next ones take."""


@dataclass(frozen=True)
class UnitStatus:
    """A unit that is not done.

    Attributes:
        doing: ``waiting`` is about to be run by a driver; ``abandoned`` was begun, and no process
            works on it now.
        label: kind, representations, augmentations and seed.
        reason: why it failed.
        epoch, epochs: how far a training is; None for what has no epochs.
        seconds_left: of a running training, by its latest epochs.
        since: seconds since it was begun, or begun anew.
    """

    key: str
    doing: Doing
    label: str
    reason: str = ""
    epoch: int | None = None
    epochs: int | None = None
    loss: float | None = None
    samples_per_s: float | None = None
    seconds_left: float | None = None
    since: float | None = None


@dataclass(frozen=True)
class Status:
    """A results directory at a moment.

    Attributes:
        oldest, newest: when its first and last finished units were finished.
        studies: what the drivers that run on it show.
    """

    results: Path
    done: int
    oldest: datetime | None
    newest: datetime | None
    units: tuple[UnitStatus, ...]
    studies: tuple[Snapshot, ...] = ()

    @property
    def running(self) -> tuple[Running, ...]:
        """The units that processes work on, as the live views show them."""
        shown = {each.unit: each for study in self.studies for each in study.running}
        return tuple(
            shown.get(unit.key)
            or Running(
                unit.key,
                unit.label,
                unit.epoch or 0,
                unit.epochs or 0,
                unit.loss,
                unit.samples_per_s,
                unit.since or 0.0,
                unit.seconds_left,
            )
            for unit in self.units
            if unit.doing == "running"
        )

    def count(self, doing: Doing) -> int:
        """How many units do this."""
        return sum(unit.doing == doing for unit in self.units)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "results": str(self.results),
            "done": self.done,
            **{name: self.count(name) for name in ("running", "waiting", "failed", "abandoned")},
            "oldest": self.oldest.isoformat() if self.oldest else None,
            "newest": self.newest.isoformat() if self.newest else None,
            "units": [asdict(unit) for unit in self.units],
            "studies": [asdict(study) for study in self.studies],
        }


def status_of(store: Store) -> Status:
    """How all units of ``store`` are.

    Raises:
        UserError: if it holds no units.
    """
    times, open_units = [], []
    drivers = dict(live_drivers(store.results))
    studies = snapshots_of(drivers)
    shown = {each.unit for study in studies for each in study.running}
    for directory in unit_directories(store):
        with contextlib.suppress(FileNotFoundError):  # it may vanish while we look
            if store.is_done(directory.name):
                times.append((directory / "DONE").stat().st_mtime)
            elif (found := _of_unit(store, directory, shown, drivers.keys())) is not None:
                open_units.append(found)
    order = {"running": 0, "waiting": 1, "failed": 2, "abandoned": 3}
    return Status(
        store.results,
        len(times),
        datetime.fromtimestamp(min(times)).astimezone() if times else None,
        datetime.fromtimestamp(max(times)).astimezone() if times else None,
        tuple(sorted(open_units, key=lambda unit: (order[unit.doing], unit.label, unit.key))),
        studies,
    )


def unit_directories(store: Store) -> list[Path]:
    """The units' directories; :class:`UserError` if there is no such place."""
    if not store.units.is_dir():
        raise UserError(f"'{store.results}' holds no units: give a results directory (--results)")
    return sorted(
        path for path in store.units.iterdir() if KEY.fullmatch(path.name) and path.is_dir()
    )


def snapshots_of(drivers: Mapping[str, Json | None]) -> tuple[Snapshot, ...]:
    """What drivers show, by the names of their studies; ``drivers``: of `live_drivers`."""
    found = []
    for values in drivers.values():
        with contextlib.suppress(ValueError):  # of another version
            if values is not None:
                found.append(_SNAPSHOT.validate_python(values))
    return tuple(sorted(found, key=lambda each: each.study))


def _of_unit(
    store: Store, directory: Path, shown: set[str], drivers: Collection[str]
) -> UnitStatus | None:
    """A unit that is not done; None for a directory in which no unit was started.

    ``shown``: the keys of those that drivers show as running; ``drivers``: those that are alive.
    """
    config = UnitFiles(directory).read_or_none(CONFIG)
    running = is_held(directory)
    if config is None:
        return UnitStatus(directory.name, "running", "(starting)") if running else None
    doing: Doing = "abandoned"
    reason = ""
    if running:
        doing = "running"
    elif store.state(directory.name) == "failed":
        doing = "failed"
        with contextlib.suppress(UserError, KeyError):
            reason = store.failure(directory.name)
    elif directory.name in shown:
        doing = "running"
    elif UnitFiles(directory).claimed_by() in drivers:
        doing = "waiting"
    epochs = _epochs(config)
    logged = _logged(directory) if epochs else []
    last = logged[-1] if logged else {}
    latest = [float(line["seconds"]) for line in logged[-LATEST:] if "seconds" in line]
    left = None
    if doing == "running" and epochs and latest:
        left = sum(latest) / len(latest) * max(0, epochs - len(logged))
    return UnitStatus(
        directory.name,
        doing,
        label_of(config),
        reason,
        epoch=len(logged) if epochs else None,
        epochs=epochs,
        loss=last.get("loss"),
        samples_per_s=last.get("samples_per_s"),
        seconds_left=left,
        since=time.time() - (directory / "config.json").stat().st_mtime,
    )


def _epochs(config: dict[str, Any]) -> int | None:
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return Unit(config, (), "").epochs or None
    return None


def _logged(directory: Path) -> list[dict[str, Any]]:
    """The epochs in metrics.jsonl; a last line that is just being written is left out."""
    lines = []
    with contextlib.suppress(OSError, ValueError):
        for line in (directory / "metrics.jsonl").read_text().splitlines():
            lines.append(json.loads(line))
    return [line for line in lines if isinstance(line, dict)]


def label_of(config: dict[str, Any]) -> str:
    """What a unit is, for people, such as ``pretrain seq, crop+jitter, seed 0``."""
    try:
        names = "+".join(Unit(config, (), "").representations)
        if config["unit"] == "pretrain":
            what = f"pretrain {names}"
            trained = [config["config"]]
        else:
            what = f"{config['task']} of {names}"
            trained = [s["pretrained"]["config"] for s in config["encoders"] if "pretrained" in s]
        used = {"+".join(each["augment"]["use"]) or "no augmentation" for each in trained}
        which = used.pop() if len(used) == 1 else "random weights" if not trained else "several"
        return f"{what}, {which}, seed {config['seed']}"
    except (KeyError, TypeError, AttributeError):
        return "a unit of another version"


# -- logs -------------------------------------------------------------------------------------


def find_unit(store: Store, key: str) -> str:
    """The whole key of the unit whose key begins with ``key``.

    Raises:
        UserError: if there is none, or several.
    """
    keys = [directory.name for directory in unit_directories(store)]
    found = [each for each in keys if each.startswith(key)]
    if key in found or len(found) == 1:
        return key if key in found else found[0]
    if not found:
        close = difflib.get_close_matches(key, keys, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"none of its {len(keys)} begins so"
        raise UserError(f"no unit '{key}' in '{store.results}': {hint}")
    shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    raise UserError(f"unit '{key}' in '{store.results}': {len(found)} keys begin so ({shown})")


def follow(store: Store, key: str, pause: float = 0.5) -> Iterator[str]:
    """The unit's log as it grows, until it is done, or has failed and nobody tries it again.

    Args:
        store: where it is.
        key: the whole key.
        pause: seconds between two looks.
    """
    path, read, quiet = store.directory(key) / "log.txt", 0, 0
    while True:
        # Asked before the log is read, so that its last lines are not missed.
        over = store.is_done(key)
        failed = store.state(key) == "failed" and not is_held(store.directory(key))
        quiet = quiet + 1 if failed else 0
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(read)
            text = file.read()
            whole = text[: text.rfind(b"\n") + 1] if not over else text
            read += len(whole)
            if whole:
                yield whole.decode(errors="replace")
        if over or quiet > 2:
            return
        time.sleep(pause)
