"""What runs on a results directory, seen from another process, without locks or waiting.

A unit is running if a process holds its directory's lock, or, where another machine's locks are not
visible, if its driver shows it. Its progress is read from metrics.jsonl. The state of a study, its
ETA and its table so far are what its driver shows.
"""

from __future__ import annotations

import contextlib
import difflib
import statistics
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter

from ablation.monitor.run_state import Running, Snapshot
from ablation.store import Store
from ablation.store.heartbeat import live_drivers
from ablation.store.locks import is_held
from ablation.store.unit_files import CONFIG, DONE, FAILED, KEY, LOG, UnitFiles
from ablation.units import PretrainUnit, Unit, UnreadableUnitError, read_unit
from skelcon.config import Json
from skelcon.encoders import COORDINATES
from skelcon.errors import UserError

Doing = Literal["running", "waiting", "failed", "abandoned"]
DOING: tuple[Doing, ...] = get_args(Doing)

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
        label: as in the command that ran it last; if that is not known, its task, augmentations,
            representations and seed.
        reason: why it failed.
        epoch, epochs: the progress of a training; None for what has no epochs.
        seconds_left: of a running training, estimated from its latest epochs.
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
        return tuple(shown.get(unit.key) or _as_running(unit) for unit in running)

    def count(self, doing: Doing) -> int:
        """How many units do this."""
        return sum(1 for unit in self.units if unit.doing == doing)

    def to_json(self) -> Json:
        """As plain values."""
        counts: dict[str, int] = {doing: self.count(doing) for doing in DOING}
        return {
            "results": str(self.results),
            "done": self.done,
            **counts,
            "oldest": self.oldest.isoformat() if self.oldest else None,
            "newest": self.newest.isoformat() if self.newest else None,
            "units": [asdict(unit) for unit in self.units],
            "studies": [asdict(study) for study in self.studies],
        }


def status_of(store: Store) -> Status:
    """The status of all units of ``store``; UserError if it holds no units."""
    times, unfinished = [], []
    drivers = dict(live_drivers(store.results))
    studies = _snapshots(drivers)
    shown = _shown(studies)
    for directory in unit_directories(store):
        files = UnitFiles(directory)
        with contextlib.suppress(FileNotFoundError):  # it may be deleted at this moment
            if files.is_done:
                times.append(datetime.fromtimestamp(files.path(DONE).stat().st_mtime).astimezone())
            elif (found := _unit_status(files, shown, drivers)) is not None:
                unfinished.append(found)
    unfinished.sort(key=lambda unit: (DOING.index(unit.doing), unit.label, unit.key))
    oldest, newest = min(times, default=None), max(times, default=None)
    return Status(store.results, len(times), oldest, newest, tuple(unfinished), studies)


def _snapshots(drivers: Mapping[str, Json | None]) -> tuple[Snapshot, ...]:
    """What drivers show, by the names of their studies."""
    found = []
    for values in drivers.values():
        with contextlib.suppress(ValueError):  # None, or of another version
            found.append(TypeAdapter(Snapshot).validate_python(values))
    return tuple(sorted(found, key=lambda each: each.study))


def _as_running(unit: UnitStatus) -> Running:
    """The same in the form in which drivers show their units."""
    progress = (unit.epoch or 0, unit.epochs or 0, unit.loss, unit.samples_per_s)
    return Running(unit.key, unit.label, *progress, unit.since or 0.0, unit.seconds_left)


def _shown(studies: tuple[Snapshot, ...]) -> dict[str, Running]:
    """Key -> unit, of the units that drivers show as running."""
    return {each.unit: each for study in studies for each in study.running}


def unit_directories(store: Store) -> list[Path]:
    """The units' directories; :class:`UserError` if there are none."""
    if not store.units.is_dir():
        raise UserError(f"'{store.results}' holds no units: give a results directory (--results)")
    found = (path for path in store.units.iterdir() if KEY.fullmatch(path.name))
    return sorted(path for path in found if path.is_dir())


def _unit_status(
    files: UnitFiles, shown: Mapping[str, Running], drivers: Collection[str]
) -> UnitStatus | None:
    """A unit that is not done; None for a directory in which nothing was started.

    ``shown`` are the units that drivers show as running; ``drivers`` are the drivers that are
    alive.
    """
    config, held = files.read_or_none(CONFIG), is_held(files.directory)
    if config is None:
        return UnitStatus(files.key, "running", "(starting)") if held else None
    doing, unit = _doing(files, held, files.key in shown, drivers), _readable_unit(config)
    label = files.label() or ("a unit of another version" if unit is None else label_of(unit))
    if files.key in shown:
        label = shown[files.key].label
    failure = files.read_or_none(FAILED) if doing == "failed" else None
    reason = str((failure or {}).get("reason", ""))
    since = time.time() - files.path(CONFIG).stat().st_mtime
    status = UnitStatus(files.key, doing, label, reason, since=since)
    if unit is None or not unit.epochs:
        return status
    epochs, left = files.metrics(), None
    last = epochs[-1] if epochs else {}
    latest = [float(line["seconds"]) for line in epochs[-LATEST_EPOCHS:] if "seconds" in line]
    if doing == "running" and latest:
        left = statistics.fmean(latest) * max(0, unit.epochs - len(epochs))
    return replace(
        status,
        epoch=len(epochs),
        epochs=unit.epochs,
        loss=last.get("loss"),
        samples_per_s=last.get("samples_per_s"),
        seconds_left=left,
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
        _ = unit.epochs, label_of(unit)  # its options may be of another version too
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
    if not used and unit.representations == (COORDINATES,):
        return f"{unit.task_name} {COORDINATES} / seed {unit.side.seed}"
    if len(used) == 1:
        (which,) = used
    return (
        f"{unit.task_name} {which} / {'+'.join(unit.representations)} / {unit.side.seed_and_fold}"
    )


# -- logs -----------------------------------------------------------------------------------------


def find_unit(store: Store, key: str) -> str:
    """The whole key of the one unit whose key starts with ``key``; UserError if there is none."""
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
    """The log of unit ``key`` as it grows, until it is done, or has failed and is not retried.

    Between two reads there is a ``pause`` in seconds.
    """
    files = UnitFiles(store.directory(key))
    path, read, quiet = files.path(LOG), 0, 0
    while True:
        # Checked before the log is read, so that its last lines are not missed.
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
