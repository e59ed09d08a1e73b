"""Disturb a study at random until it is done; its bits must be those of an undisturbed one.

``python tests/ablation/chaos.py --kills 30 --seed 0`` runs a study of 24 units twice: once in
peace, once while drivers, workers and Ray's own processes are killed or signalled, the disk fills
up or turns read-only for a moment (where this user may mount a tmpfs), a second driver starts and
finished units and checkpoints are damaged. It prints what was done and what it cost in epochs, and
ends with 1
if a bit differs, an epoch is not accounted for or anything is left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ablation_helpers import command, processes
from study_helpers import TINY_STUDY, write_utd

from ablation.store import Store

ROWS = """
rows:
  none: {set: {pretrain.augment.use: []}}
  crop: {ticks: [crop], set: {pretrain.augment.use: [crop]}}
  jitter: {ticks: [jitter], set: {pretrain.augment.use: [jitter]}}
  crop+jitter: {ticks: [crop, jitter], set: {pretrain.augment.use: [crop, jitter]}}
  crop+pose: {set: {pretrain.augment.use: [crop, pose]}}
  pose: {set: {pretrain.augment.use: [pose]}}
references:
"""
ENDS = {0, 1, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP}
"""How a driver may end: done, with failed cells, interrupted, killed, terminated as it starts."""
WORKERS = ("ray::ResourceTr", "ray::UnitTraina")
"""A process that trains, in a step and between two, as Ray names it and the kernel cuts that."""
REFUSALS = ("cannot write", "the disk of --results", "write to another disk")
"""What a driver prints that ends with 2: its disk was full or read-only when it started, or when it
wrote the table."""
PRODUCTS = ("result.json", "weights.safetensors", "predictions.npz")
TABLES = ("cells.csv", "table.csv", "table.tex", "table.md")


def study_text(epochs: int) -> str:
    """Six rows of two columns: twelve pre-trainings and their evaluations, and two references."""
    head, _, rest = TINY_STUDY.partition("rows:\n")
    return (
        head.replace("epochs: 3\n", f"epochs: {epochs}\n", 1)
        + ROWS.lstrip()
        + rest.partition("references:\n")[2].partition("paper:")[0]
    )


@dataclass
class Account:
    """What the disturbances cost, in epochs."""

    needed: int = 0
    again: int = 0
    resumed: int = 0
    set_aside: int = 0


@dataclass
class Chaos:
    """One disturbed study.

    Args:
        words: the command line, without ``--results``.
        results: the results directory.
        rng: decides what happens when.
        mounted: whether ``results`` lies on a tmpfs of its own, that may be filled and remounted.
        only: the disturbances to choose from; all if empty.
    """

    words: tuple[object, ...]
    results: Path
    rng: random.Random
    mounted: bool = False
    only: tuple[str, ...] = ()
    done: Counter[str] = field(default_factory=Counter)
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)

    def start(self) -> None:
        """One more driver."""
        output = self.results.parent / f"driver-{len(self.sessions)}.txt"
        with output.open("wb") as file:
            driver = subprocess.Popen(
                command(*self.words, "--results", self.results),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.drivers.append(driver)
        self.sessions.append(driver.pid)
        self.outputs.append(output)

    def reap(self) -> list[int]:
        """The exit codes of drivers that have ended; raises if one ended as none may."""
        ended = [driver for driver in self.drivers if driver.poll() is not None]
        self.drivers = [driver for driver in self.drivers if driver not in ended]
        for driver in ended:
            output = self.outputs[self.sessions.index(driver.pid)].read_text()
            refused = driver.returncode == 2 and any(words in output for words in REFUSALS)
            if (driver.returncode not in ENDS and not refused) or "Traceback" in output:
                raise AssertionError(f"a driver ended with {driver.returncode}:\n{output}")
        return [driver.returncode for driver in ended]

    def run(self, kills: int, longest: float = 3.0) -> None:
        """Disturb ``kills`` times, then let the study end."""
        while True:
            if not self.drivers:
                self.start()
            if self.rng.random() < 0.8:  # else while it starts
                self.rest(60, self.training)
            self.rest(self.rng.uniform(0.2, longest))
            codes = self.reap()
            if sum(self.done.values()) >= kills:
                if 0 in codes and not self.drivers:
                    return
            elif 0 in codes and not self.drivers:
                self.damage_units()
            elif self.drivers:
                self.disturb()

    def rest(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Wait, but not for a driver that has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and any(d.poll() is None for d in self.drivers):
            if enough():
                return
            time.sleep(0.05)

    def training(self) -> bool:
        """Whether an epoch has begun within the last second."""
        for path in self.results.glob("units/*/begun.jsonl"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime < 1:
                    return True
        return False

    def disturb(self) -> None:
        """Something bad, at random."""
        kinds: dict[str, Callable[[], bool]] = {
            "driver killed": lambda: self.kill(signal.SIGKILL, "python"),
            "driver interrupted": lambda: self.kill(signal.SIGINT, "python"),
            "driver terminated": lambda: self.kill(signal.SIGTERM, "python"),
            "group terminated": lambda: self.kill_group(signal.SIGTERM),
            "group hung up": lambda: self.kill_group(signal.SIGHUP),
            "worker killed": lambda: self.kill(signal.SIGKILL, *WORKERS),
            "raylet killed": lambda: self.kill(signal.SIGKILL, "raylet"),
            "gcs killed": lambda: self.kill(signal.SIGKILL, "gcs_server"),
            "machine killed": self.kill_all,
            "second driver": self.second,
            "checkpoint truncated": self.truncate_checkpoint,
        }
        if self.mounted:
            kinds["disk full"] = self.fill
            kinds["disk read-only"] = self.read_only
        kinds = {kind: kinds[kind] for kind in self.only or kinds}
        # What has happened least comes first, and is waited for, so that all kinds do.
        least = min(self.done[kind] for kind in kinds)
        chosen = [kind for kind in kinds if self.done[kind] == least]
        for kind in self.rng.sample(chosen, len(chosen)):
            if kinds[kind]():
                self.done[kind] += 1
                print(f"{sum(self.done.values()):3}  {kind}", flush=True)
                return

    def kill(self, sent: signal.Signals, *names: str) -> bool:
        """Send a signal to a process of a running driver's session."""
        driver = self.rng.choice(self.drivers)
        found = processes(driver.pid)
        if "python" in names:
            chosen = [driver.pid] if len(found) > 1 else []
        else:
            chosen = [pid for pid, each in found.items() if each.startswith(names)]
        with contextlib.suppress(ProcessLookupError):
            for pid in self.rng.sample(chosen, min(1, len(chosen))):
                os.kill(pid, sent)
                return True
        return False

    def kill_group(self, sent: signal.Signals) -> bool:
        """Signal a driver's process group, as `timeout` or a batch scheduler does."""
        driver = self.rng.choice(self.drivers)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, sent)
            return True
        return False

    def kill_all(self) -> bool:
        """Kill every process of a session at once, as a power failure would."""
        driver = self.rng.choice(self.drivers)
        for pid in processes(driver.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    def second(self) -> bool:
        """Another driver on the same results."""
        if len(self.drivers) > 1:
            return False
        self.start()
        return True

    def truncate_checkpoint(self) -> bool:
        """Cut one short, or turn a bit of it; its worker is killed so that it is read again."""
        found = sorted(self.results.glob("units/*/checkpoint.pt"))
        if not found or not self.kill(signal.SIGKILL, *WORKERS):
            return False
        path = self.rng.choice(found)
        with contextlib.suppress(FileNotFoundError):
            content = bytearray(path.read_bytes())
            if self.rng.random() < 0.5:
                del content[self.rng.randrange(len(content)) :]
            else:
                content[len(content) // 2] ^= 1
            path.write_bytes(content)
        return True

    def damage_units(self) -> None:
        """The study is done too early: files of finished units get lost or change."""
        store = Store(self.results)
        finished = sorted(path.parent for path in self.results.glob("units/*/DONE"))
        for unit in self.rng.sample(finished, min(6, len(finished))):
            path = next(unit / name for name in PRODUCTS[1:] if (unit / name).exists())
            path = self.rng.choice([path, unit / "result.json"])
            content = bytearray(path.read_bytes())
            match self.rng.randrange(3):
                case 0:
                    path.unlink()
                case 1:
                    path.write_bytes(content[: len(content) // 2])
                case _:
                    content[len(content) // 2] ^= 1
                    path.write_bytes(content)
            assert store.damage(unit.name, thorough=True)
        self.done["unit damaged"] += 1
        print(f"{sum(self.done.values()):3}  units damaged", flush=True)

    def fill(self) -> bool:
        """No space is left for a moment."""
        ballast = self.results / "ballast"
        try:
            with ballast.open("wb") as file:
                while True:
                    file.write(bytes(1 << 16))
                    file.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        self.rest(self.rng.uniform(0.5, 3))
        ballast.unlink()
        return True

    def read_only(self) -> bool:
        """Nothing can be written for a moment."""
        for _ in range(200):  # it is refused while a file is open for writing
            if _mount("-o", "remount,ro", self.results):
                break
            time.sleep(0.01)
        else:
            return False
        self.rest(self.rng.uniform(0.5, 3))
        while not _mount("-o", "remount,rw", self.results):
            time.sleep(0.01)
        return True

    def account(self) -> Account:
        """What it cost, by the units' provenance."""
        store, account = Store(self.results), Account()
        for done in self.results.glob("units/*/DONE"):
            unit, result = store.provenance(done.parent.name), store.result(done.parent.name)
            account.needed += result.get("epochs", 0)
            account.again += unit["epochs_trained_again"]
            account.resumed += unit["resumed"]
        account.set_aside = len(list(self.results.glob("damaged/*-*")))
        return account

    def left_behind(self, patience: float = 5.0) -> list[str]:
        """Processes, claims and temporary files that should not be there any more."""
        until = time.monotonic() + patience
        while (alive := self.alive()) and time.monotonic() < until:
            time.sleep(0.2)
        patterns = ("drivers/*.json", "units/*/claim", "units/*/begun.jsonl")
        files = [path for pattern in patterns for path in self.results.glob(pattern)]
        return [*alive, *(str(path.relative_to(self.results)) for path in files)]

    def alive(self) -> list[str]:
        """The processes of all drivers, those of killed ones too."""
        return [name for session in self.sessions for name in processes(session).values()]


def differences(one: Path, other: Path, name: str) -> list[str]:
    """The files of two results directories that hold other bytes: tables first, then units."""
    found = [file for file in TABLES if _differ(one / name / file, other / name / file)]
    units = sorted(path.parent.name for path in one.glob("units/*/DONE"))
    for unit in units:
        for file in PRODUCTS:
            if _differ(one / "units" / unit / file, other / "units" / unit / file):
                found.append(f"{unit}/{file}")
    return found


def _differ(one: Path, other: Path) -> bool:
    if not one.exists() or not other.exists():
        return one.exists() != other.exists()
    return one.read_bytes() != other.read_bytes()


def _mount(*words: object) -> bool:
    return not subprocess.run(
        ["mount", *map(str, words)], capture_output=True, check=False
    ).returncode


@contextlib.contextmanager
def own_disk(place: Path, megabytes: int) -> Iterator[bool]:
    """A small file system at ``place``; gives whether this user may have one."""
    place.mkdir()
    try:
        mounted = _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place)
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=False)


def main() -> int:
    """The script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=600, help="of each pre-training")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skelcon-chaos-") as folder:
        root = Path(folder)
        os.environ["SKELCON_CACHE"] = str(root / "cache")
        study = root / "chaos.yaml"
        study.write_text(study_text(asked.epochs))
        words = ("run", study, "--data", write_utd(root / "utd"), "--retries", 3)
        peaceful = root / "peaceful"
        began = time.monotonic()
        subprocess.run(command(*words, "--results", peaceful), check=True)
        in_peace = time.monotonic() - began
        with own_disk(root / "disturbed", 64) as mounted:
            if not mounted:
                print("no tmpfs can be mounted here: no full disk, no read-only moment")
            chaos = Chaos(words, root / "disturbed", random.Random(asked.seed), mounted)
            began = time.monotonic()
            chaos.run(asked.kills)
            seconds = time.monotonic() - began
            account = chaos.account()
            found = differences(peaceful, chaos.results, "chaos")
            left = chaos.left_behind(patience=90)
        units = len(list(peaceful.glob("units/*/DONE")))
    times_in_all = sum(chaos.done.values())
    print(f"\n{units} units, {times_in_all} disturbances, {len(chaos.sessions)} drivers")
    for kind, times in sorted(chaos.done.items()):
        print(f"  {times:3} x {kind}")
    print(f"{in_peace:.0f} s in peace, {seconds:.0f} s disturbed")
    print(
        f"{account.needed} epochs needed; {account.again} were trained again after "
        f"{account.resumed} interruptions of a training; "
        f"{account.set_aside} damaged units were moved"
    )
    print("files that differ: " + (", ".join(found) or "none"))
    print("left behind: " + (", ".join(left) or "nothing"))
    return 1 if found or left else 0


if __name__ == "__main__":
    sys.exit(main())
