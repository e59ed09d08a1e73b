"""Trials on logical GPUs through Ray: two for one trial, and half of one for each of three."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pytest
import torch
from gpu_helpers import ONE_COLUMN, outputs, started
from safetensors.torch import load_file

import ablation
from ablation.store import Store

T = TypeVar("T")
pytestmark = pytest.mark.slow

MEET = '''
import os, time
from pathlib import Path
from skelcon import register_augmentation


@register_augmentation("meet", version="1")
def meet(view, generator):
    """Wait until three processes are here."""
    place = Path(os.environ["MEETING"])
    (place / str(os.getpid())).touch()
    give_up = time.monotonic() + 100
    while len(list(place.iterdir())) < 3:
        if time.monotonic() > give_up:
            raise RuntimeError(f"only {len(list(place.iterdir()))} of 3 came")
        time.sleep(0.05)
    return view
'''
SGD = {"name": "sgd", "lr": 0.01}


@dataclass
class Ended:
    """Three commands on one Ray of two logical GPUs: what each printed, and its exit code."""

    place: Path
    study: Path
    two: tuple[str, int]
    halves: tuple[str, int]
    killed: tuple[str, int]
    last_rank: int


@pytest.fixture(scope="module")
def ended(utd: Path, study_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The first two run to their end; in the third a rank is killed, and then Ctrl-C is sent."""
    place = tmp_path_factory.mktemp("gpus")
    (place / "meet.py").write_text(MEET)
    (place / "here").mkdir()
    text = study_file.read_text().split("paper:")[0]
    (place / "meeting.yaml").write_text(text.replace("[crop, jitter]}}", "[crop, meet]}}"))
    one = place / "one.yaml"  # one pre-training a row
    one.write_text("".join(x for x in text.splitlines(True) if not x.startswith(ONE_COLUMN)))

    def words(study: Path, results: str, gpus: float, *more: object) -> list[object]:
        asked = ["run", study, "--data", utd, "--only", "crop+jitter", "--verbose"]
        return [*asked, "--results", place / results, "--gpus-per-trial", gpus, *more]

    sgd = "pretrain.optimiser={name: sgd, lr: 0.01}"
    driver = started(
        words(one, "two", 2, "--set", sgd),
        words(place / "meeting.yaml", "halves", 0.5, "--seeds", 2, "--plugin", "meet"),
        words(one, "killed", 2, "--set", "pretrain.epochs=100000"),
        cpus=3,
        cwd=place,
        MEETING=str(place / "here"),
    )
    found = lambda: list(place.glob("killed/units/*/checkpoint.pt"))  # noqa: E731
    try:
        _wait(lambda: driver.poll() is not None or found(), 240)
        (checkpoint,) = found()
        first = _rank_1(driver.pid)
        os.kill(first, signal.SIGKILL)
        second = _rank_1(driver.pid, but=first)
        before = checkpoint.stat().st_mtime_ns
        _wait(lambda: checkpoint.stat().st_mtime_ns > before)
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
        return Ended(place, one, *outputs(driver), second)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        print(driver.communicate()[0])
        raise


def test_two_gpus_give_the_numbers_of_one(ended: Ended, utd: Path, tmp_path: Path) -> None:
    assert ended.two[1] == 0, ended.two
    options = {"results": tmp_path, "in_process": True, "progress": False}
    changes = {"pretrain.optimiser": SGD}
    ablation.run(ended.study, utd, only=["crop+jitter"], settings=changes, **options)
    one, two = Store(tmp_path), Store(ended.place / "two")
    keys = {path.name for path in one.units.iterdir()}
    assert keys == {path.name for path in two.units.iterdir()}
    weights = [key for key in keys if (one.directory(key) / "weights.safetensors").exists()]
    assert len(weights) == 1
    for key in keys:
        expected = (1, 2) if key in weights else (1, 1)  # an evaluation runs on one of the two
        assert (one.provenance(key)["ranks"], two.provenance(key)["ranks"]) == expected
    for key in weights:
        results = [store.result(key) for store in (one, two)]
        for result in results:
            del result["uniformity"]  # of the pairs within a rank
        assert results[1] == pytest.approx(results[0], abs=1e-4)
        mine, theirs = (load_file(s.directory(key) / "weights.safetensors") for s in (one, two))
        for name, value in mine.items():
            torch.testing.assert_close(value, theirs[name], atol=1e-4, rtol=1e-4)
        log = (two.directory(key) / "metrics.jsonl").read_text()
        assert len(log.splitlines()) == 3  # of one rank alone


def test_three_halves_of_two_gpus_run_at_once(ended: Ended) -> None:
    """Each pre-training waits in its first step until three are there: two of them share a GPU.

    Their plug-in lies where the command was started.
    """
    out, code = ended.halves
    assert code == 0, out
    frame = pd.read_csv(ended.place / "halves" / "meeting" / "cells.csv")
    assert list(frame["state"][frame["metric"] == "top1"]) == ["done"] * 4
    running = most = 0
    for line in out.splitlines():
        running += line.startswith("started ") - line.startswith("done ")
        most = max(most, running)
    assert most == 3


def test_a_killed_rank_is_said_and_tried_again_and_ctrl_c_leaves_no_process(ended: Ended) -> None:
    out, code = ended.killed
    assert code == 130, out
    assert "RankError: rank 1 of 2 was ended by SIGKILL" in out.replace("\n", " ")
    _wait(lambda: not Path(f"/proc/{ended.last_rank}").exists(), 10)
    (log,) = ended.place.glob("killed/units/*/log.txt")
    assert "resumed at epoch" in log.read_text()


def _rank_1(session: int, but: int = 0) -> int:
    """The process of the second rank, when there is one."""

    def found() -> list[int]:
        numbers = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                number, words = int(process.name), (process / "cmdline").read_text()
                if "spawn_main" in words and os.getsid(number) == session:
                    numbers.append(number)
        return [number for number in numbers if number != but]

    return _wait(found)[0]


def _wait(found: Callable[[], T], seconds: float = 60) -> T:
    """What ``found`` gives as soon as it is something."""
    give_up = time.monotonic() + seconds
    while not (something := found()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return something
