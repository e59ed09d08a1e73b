"""What holds for imports of every layout, tried with NTU RGB+D: its clips are small text files."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from skelcon.data import SkeletonDataset, SkippedFile, import_dataset
from skelcon.data.importers import RawClip
from skelcon.data.importers.ntu import Ntu

UserErrorOf = Callable[..., str]
Progress = Callable[[int, int], None]
PARTS = 4


def skeleton_text(seed: int) -> str:
    """Two frames of a body."""
    rng = np.random.default_rng(seed)
    lines = ["2"]
    for _ in range(2):
        lines += ["1", "1 0 0 0 0 0 0 0 0 2", "25"]
        lines += [" ".join([*map(str, joint), *["0"] * 9]) for joint in rng.normal(2, 0.5, (25, 3))]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files enough for several parts, and one that is bad."""
    folder = tmp_path_factory.mktemp("ntu")
    for at in range(PARTS * Ntu.batch - 10):
        name = f"S001C{at % 3 + 1:03d}P{at // 60 + 1:03d}R001A{at % 60 + 1:03d}.skeleton"
        (folder / name).write_text(skeleton_text(at))
    (folder / "S001C001P030R001A001.skeleton").write_text("none")
    return folder


@pytest.fixture(scope="module")
def fingerprint(source: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of an import that nothing disturbed."""
    dataset, skipped = import_dataset(source, tmp_path_factory.mktemp("plain") / "set", workers=1)
    assert [bad.name for bad in skipped] == ["S001C001P030R001A001.skeleton"]
    return dataset.fingerprint


@pytest.fixture
def reads() -> Iterator[list[str]]:
    """The names of the .skeleton files that this process has opened."""
    names: list[str] = []

    def audit(event: str, args: tuple) -> None:
        if watching and event == "open" and str(args[0]).endswith(".skeleton"):
            names.append(Path(str(args[0])).name)

    watching = [True]
    sys.addaudithook(audit)
    yield names
    watching.clear()  # a hook cannot be removed


def pool_workers() -> list[psutil.Process]:
    """The processes that the fork server of this one has started."""
    every = psutil.Process().children(recursive=True)
    return [process for process in every if process.ppid() != os.getpid()]


def imported(source: Path, destination: Path, **options: object) -> SkeletonDataset:
    """The data set, when all that should be gone is gone."""
    dataset, skipped = import_dataset(source, destination, **options)  # type: ignore[arg-type]
    assert len(skipped) == 1
    assert [path.name for path in destination.parent.iterdir()] == [destination.name]
    assert dataset.fingerprint == dataset.content_digest()
    return dataset


def interrupt_at(clips: int) -> Progress:
    def progress(done: int, _: int) -> None:
        if done >= clips:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("workers", [1, 2])
def test_an_import_resumes_where_it_was_interrupted(
    source: Path, tmp_path: Path, fingerprint: str, reads: list[str], workers: int
):
    place = tmp_path / "sets" / "set"
    with pytest.raises(KeyboardInterrupt):
        import_dataset(source, place, progress=interrupt_at(Ntu.batch + 1), workers=workers)
    assert pool_workers() == []
    assert [path.name for path in place.parent.iterdir()] == [".set.importing"]
    done = len(list((place.parent / ".set.importing").glob("*.json")))
    assert 1 <= done < PARTS
    reads.clear()
    calls: list[tuple[int, int]] = []
    dataset = imported(source, place, progress=lambda *counts: calls.append(counts), workers=1)
    assert len(reads) == len(list(source.iterdir())) - done * Ntu.batch
    assert calls[0][0] == done * Ntu.batch
    assert calls[-1] == (calls[0][1],) * 2
    assert dataset.fingerprint == fingerprint


def test_other_options_do_not_resume_from_these_parts(
    source: Path, tmp_path: Path, fingerprint: str
):
    place = tmp_path / "sets" / "set"
    with pytest.raises(KeyboardInterrupt):
        import_dataset(
            source,
            place,
            max_bodies=1,
            exclude={"S001C001P001R001A001"},
            progress=interrupt_at(Ntu.batch + 1),
            workers=1,
        )
    assert imported(source, place, workers=1).fingerprint == fingerprint


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[]", b'{"index": 1}', None])
def test_a_part_that_was_left_damaged_is_made_again(
    source: Path, tmp_path: Path, fingerprint: str, content: bytes | None
):
    place = tmp_path / "sets" / "set"
    with pytest.raises(KeyboardInterrupt):
        import_dataset(source, place, progress=interrupt_at(Ntu.batch + 1), workers=1)
    parts = place.parent / ".set.importing"
    if content is None:
        with (parts / "000000.raw").open("r+b") as raw:
            raw.truncate(1000)
    else:
        (parts / "000000.json").write_bytes(content)
    (parts / ".set.abandoned").mkdir()
    assert imported(source, place, workers=1).fingerprint == fingerprint


KILLED = """
import sys, time
from pathlib import Path
from skelcon.data import import_dataset

def progress(done, whole):
    if done:
        print(done, flush=True)
        time.sleep(100)

import_dataset(Path(sys.argv[1]), Path(sys.argv[2]), progress=progress, workers=2)
"""


def test_an_import_resumes_where_it_was_killed(source: Path, tmp_path: Path, fingerprint: str):
    place = tmp_path / "sets" / "set"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(source), str(place)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        process.kill()
    assert [path.name for path in place.parent.iterdir()] == [".set.importing"]
    calls: list[int] = []
    dataset = imported(source, place, progress=lambda done, _: calls.append(done), workers=1)
    assert calls[0] >= Ntu.batch
    assert dataset.fingerprint == fingerprint


def test_several_processes_give_the_same_data_set(source: Path, tmp_path: Path, fingerprint: str):
    calls: list[tuple[int, int]] = []
    dataset = imported(
        source, tmp_path / "sets" / "set", workers=2, progress=lambda *counts: calls.append(counts)
    )
    assert dataset.fingerprint == fingerprint
    assert calls == sorted(calls)
    assert calls[-1][0] == calls[-1][1]


def test_a_worker_that_is_killed_once_costs_nothing(source: Path, tmp_path: Path, fingerprint: str):
    place = tmp_path / "sets" / "set"
    killed: list[psutil.Process] = []

    def kill(done: int, _: int) -> None:
        if done and not killed:
            killed.extend(pool_workers())
            for worker in killed:
                worker.kill()

    dataset = imported(source, place, progress=kill, workers=2)
    assert killed
    assert dataset.fingerprint == fingerprint


class FatalNtu(Ntu):
    """Ends the process that reads one of its files."""

    fatal = "S001C002P002R001A005.skeleton"

    def read(self, item: Path) -> Iterator[RawClip | SkippedFile]:
        if item.name == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(item)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.fatal == "all":
            os._exit(3)


def test_a_file_that_ends_its_worker_is_skipped(source: Path, tmp_path: Path):
    found = FatalNtu.find(source)
    assert found is not None
    dataset, skipped = import_dataset(found, tmp_path / "set", workers=2)
    reasons = {bad.name: bad.reason for bad in skipped}
    assert reasons.keys() == {FatalNtu.fatal, "S001C001P030R001A001.skeleton"}
    assert "dies" in reasons[FatalNtu.fatal]
    assert len(dataset) == len(list(source.iterdir())) - 2


def test_workers_that_end_at_once(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_error: UserErrorOf
):
    found = FatalNtu.find(source)
    assert found is not None
    monkeypatch.setattr(found, "fatal", "all")
    user_error(lambda: import_dataset(found, tmp_path / "set", workers=2), "same command")
    assert not (tmp_path / "set").exists()


SCRIPT = """
import sys
from pathlib import Path
from skelcon.data import import_dataset

print("started")
sys.modules["torch"] = None
dataset, skipped = import_dataset(Path(sys.argv[1]), Path(sys.argv[2]), workers=2)
print(dataset.fingerprint)
"""


def test_a_script_is_not_run_again_in_the_workers(source: Path, tmp_path: Path, fingerprint: str):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", source, tmp_path / "set"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["started", fingerprint]
    assert done.stderr == ""


def test_two_imports_at_once_take_turns(source: Path, tmp_path: Path, fingerprint: str):
    place = tmp_path / "sets" / "set"
    found: list[str] = []

    def run() -> None:
        dataset, _ = import_dataset(source, place, workers=1, progress=lambda *_: time.sleep(0))
        found.append(dataset.fingerprint)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [fingerprint] * 3
    assert [path.name for path in place.parent.iterdir()] == ["set"]


def test_excluded_names_are_not_bad(source: Path, tmp_path: Path):
    out = {"S001C001P030R001A001", "S001C002P001R001A002.skeleton"}
    dataset, skipped = import_dataset(source, tmp_path / "set", exclude=out, workers=1)
    assert skipped == []
    assert "S001C002P001R001A002" not in dataset.clip_names
    report = json.loads((dataset.path / "import-report.json").read_text())
    assert report["excluded"] == 2
    assert report["files"] == report["clips"] + 2


def test_the_lists_of_missing_skeletons(source: Path, tmp_path: Path, real_utd: Path):
    lists = sorted((real_utd.parent / "lists").glob("*.txt"))
    names = {
        name
        for path in lists
        for name in re.findall(r"^S\d+C\d+P\d+R\d+A\d+$", path.read_text(), re.MULTILINE)
    }
    assert len(names) == 535  # all of the smaller list are in the larger
    folder = tmp_path / "ntu"
    folder.mkdir()
    for name in names:
        (folder / f"{name}.skeleton").write_text("5\n0\n0\n0\n0\n0\n")
    (folder / "S001C001P001R001A001.skeleton").write_text(skeleton_text(0))
    dataset, skipped = import_dataset(folder, tmp_path / "set", exclude=names)
    assert skipped == []
    assert dataset.clip_names == ("S001C001P001R001A001",)
    assert json.loads((dataset.path / "import-report.json").read_text())["excluded"] == 535
