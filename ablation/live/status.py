"""What a results directory is doing, seen from another process: nothing is locked or waited for.

A unit is running if a process holds its directory's lock, or, where another machine's locks are not
seen, if its driver shows it. Its progress is read from metrics.jsonl. The state of a study, its ETA
and its table so far are what its driver shows.
"""

from __future__ import annotations

import contextlib
import difflib
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from ablation.cost.forecast import seconds_left
from ablation.live.snapshot import Running, Snapshot
from ablation.store import Store
from ablation.store.heartbeat import live_drivers
from ablation.store.locks import is_held
from ablation.store.unit_files import CONFIG, DONE, FAILED, KEY, LOG, UnitFiles
from ablation.units import PretrainUnit, Unit, UnreadableUnitError, read_unit
from skelcon.config import Json
from skelcon.errors import UserError

Doing = Literal["running", "waiting", "failed", "abandoned"]

LATEST_EPOCHS = 5
"""How many of the last epochs the time of the next ones is estimated from."""
FINAL_READS = 3
"""How often a failed unit's log is read before it counts as not retried."""


@dataclass(frozen=True)
class UnitStatus:
    """A unit that is not done.

    Attributes:
        doing: ``waiting`` will be run by a driver; ``abandoned`` was started, and no process works
            on it now.
        label: as its driver shows it, else its kind, augmentations, representations and seed.
        reason: why it failed.
        epoch, epochs: the progress of a training; None for what has no epochs.
        seconds_left: of a running training, by its latest epochs.
        since: seconds since it was started or restarted.
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

    @property
    def as_running(self) -> Running:
        """As the live views show it."""
        return Running(
            self.key,
            self.label,
            self.epoch or 0,
            self.epochs or 0,
            self.loss,
            self.samples_per_s,
            self.since or 0.0,
            self.seconds_left,
        )


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
        shown = _shown(self.studies)
        running = (unit for unit in self.units if unit.doing == "running")
        return tuple(shown.get(unit.key) or unit.as_running for unit in running)

    def count(self, doing: Doing) -> int:
        """How many units do this."""
        return sum(1 for unit in self.units if unit.doing == doing)

    def to_json(self) -> Json:
        """As plain values."""
        return {
            "results": str(self.results),
            "done": self.done,
            "running": self.count("running"),
            "waiting": self.count("waiting"),
            "failed": self.count("failed"),
            "abandoned": self.count("abandoned"),
            "oldest": self.oldest.isoformat() if self.oldest else None,
            "newest": self.newest.isoformat() if self.newest else None,
            "units": [asdict(unit) for unit in self.units],
            "studies": [asdict(study) for study in self.studies],
        }


def status_of(store: Store) -> Status:
    """The status of all units of ``store``.

    Raises:
        UserError: if it holds no units.
    """
    times, unfinished = [], []
    drivers = dict(live_drivers(store.results))
    studies = _snapshots(drivers.values())
    shown = _shown(studies)
    for directory in unit_directories(store):
        files = UnitFiles(directory)
        with contextlib.suppress(FileNotFoundError):  # it may be deleted meanwhile
            if files.is_done:
                times.append(files.path(DONE).stat().st_mtime)
            elif (found := _unit_status(files, shown, drivers.keys())) is not None:
                unfinished.append(found)
    order = {"running": 0, "waiting": 1, "failed": 2, "abandoned": 3}
    return Status(
        store.results,
        len(times),
        datetime.fromtimestamp(min(times)).astimezone() if times else None,
        datetime.fromtimestamp(max(times)).astimezone() if times else None,
        tuple(sorted(unfinished, key=lambda unit: (order[unit.doing], unit.label, unit.key))),
        studies,
    )


def _snapshots(shown: Iterable[Json | None]) -> tuple[Snapshot, ...]:
    """What drivers show, by the names of their studies."""
    found = []
    for values in shown:
        with contextlib.suppress(ValueError):  # of another version
            if values is not None:
                found.append(TypeAdapter(Snapshot).validate_python(values))
    return tuple(sorted(found, key=lambda each: each.study))


def _shown(studies: tuple[Snapshot, ...]) -> dict[str, Running]:
    """Key -> unit, of those that drivers show as running."""
    return {each.unit: each for study in studies for each in study.running}


def unit_directories(store: Store) -> list[Path]:
    """The units' directories; :class:`UserError` if there is no such place."""
    if not store.units.is_dir():
        raise UserError(f"'{store.results}' holds no units: give a results directory (--results)")
    return sorted(
        path for path in store.units.iterdir() if KEY.fullmatch(path.name) and path.is_dir()
    )


def _unit_status(
    files: UnitFiles, shown: Mapping[str, Running], drivers: Collection[str]
) -> UnitStatus | None:
    """A unit that is not done; None for a directory in which nothing was started.

    Args:
        files: the unit's.
        shown: what drivers show as running.
        drivers: those that are alive.
    """
    config, held = files.read_or_none(CONFIG), is_held(files.directory)
    if config is None:
        return UnitStatus(files.key, "running", "(starting)") if held else None
    doing = _doing(files, held, files.key in shown, drivers)
    unit = _readable_unit(config)
    label = "a unit of another version" if unit is None else label_of(unit)
    if files.key in shown:
        label = shown[files.key].label
    failure = files.read_or_none(FAILED) if doing == "failed" else None
    reason = str((failure or {}).get("reason", ""))
    since = time.time() - files.path(CONFIG).stat().st_mtime
    if unit is None or not unit.epochs:
        return UnitStatus(files.key, doing, label, reason, since=since)
    epochs = files.metrics()
    last = epochs[-1] if epochs else {}
    latest = [float(line["seconds"]) for line in epochs[-LATEST_EPOCHS:] if "seconds" in line]
    left = seconds_left(latest, unit.epochs - len(epochs)) if doing == "running" else None
    return UnitStatus(
        files.key,
        doing,
        label,
        reason,
        epoch=len(epochs),
        epochs=unit.epochs,
        loss=last.get("loss"),
        samples_per_s=last.get("samples_per_s"),
        seconds_left=left,
        since=since,
    )


def _doing(files: UnitFiles, held: bool, shown: bool, drivers: Collection[str]) -> Doing:
    if held:
        return "running"
    if files.state == "failed":
        return "failed"
    if shown:
        return "running"
    return "waiting" if files.claimed_by() in drivers else "abandoned"


def _readable_unit(config: Json) -> Unit | None:
    with contextlib.suppress(UnreadableUnitError, UserError, LookupError, TypeError, ValueError):
        unit = read_unit(config)
        _ = unit.epochs, label_of(unit)  # what they read may be of another version as well
        return unit
    return None


def label_of(unit: Unit) -> str:
    """What a unit is, for people, such as ``pretrain crop+jitter / seq / seed 0``."""
    if isinstance(unit, PretrainUnit):
        trained = [unit]
    else:
        trained = [each.pretrained for each in unit.encoders if each.pretrained is not None]
    used = {"+".join(each.augmentations) or "no augmentation" for each in trained}
    which = "several" if used else "random weights"
    if len(used) == 1:
        (which,) = used
    return f"{unit.task_name} {which} / {'+'.join(unit.representations)} / seed {unit.side.seed}"


# -- logs -----------------------------------------------------------------------------------------


def find_unit(store: Store, key: str) -> str:
    """The whole key of the unit whose key starts with ``key``.

    Raises:
        UserError: if there is none, or several.
    """
    keys = [directory.name for directory in unit_directories(store)]
    found = [each for each in keys if each.startswith(key)]
    if key in found:
        return key
    if len(found) == 1:
        return found[0]
    if not found:
        close = difflib.get_close_matches(key, keys, n=1)
        hint = f"none of its {len(keys)} keys starts with that"
        if close:
            hint = f"did you mean '{close[0]}'?"
        raise UserError(f"no unit '{key}' in '{store.results}': {hint}")
    shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
    raise UserError(
        f"unit '{key}' in '{store.results}': {len(found)} keys start with that ({shown})"
    )


def follow(store: Store, key: str, pause: float = 0.5) -> Iterator[str]:
    """The unit's log as it grows, until it is done, or has failed and is not retried.

    Args:
        store: where it is.
        key: the whole key.
        pause: seconds between two reads.
    """
    files = UnitFiles(store.directory(key))
    path, read, quiet = files.path(LOG), 0, 0
    while True:
        # Asked before the log is read, so that its last lines are not missed.
        over = files.is_done
        failed = files.state == "failed" and not is_held(files.directory)
        quiet = quiet + 1 if failed else 0
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(read)
            text = file.read()
            whole = text if over else text[: text.rfind(b"\n") + 1]
            read += len(whole)
            if whole:
                yield whole.decode(errors="replace")
        if over or quiet >= FINAL_READS:
            return
        time.sleep(pause)
