"""Trials on logical GPUs through Ray: two for one trial, and half of one for each of four."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pytest
import torch
from gpu_helpers import ONE_COLUMN, outputs, started
from safetensors.torch import load_file

from ablation.store import Store

T = TypeVar("T")
pytestmark = pytest.mark.slow

MEET = '''
import os, time
from pathlib import Path
from skelcon import register_augmentation


@register_augmentation("meet", version="1")
def meet(view, generator):
    """Wait until four processes are here."""
    place = Path(os.environ["MEETING"])
    (place / str(os.getpid())).touch()
    give_up = time.monotonic() + 100
    while len(list(place.iterdir())) < 4:
        if time.monotonic() > give_up:
            raise RuntimeError(f"only {len(list(place.iterdir()))} of 4 came")
        time.sleep(0.05)
    return view
'''


def one_column(study_file: Path, place: Path) -> Path:
    """The tiny study with one pre-training a row."""
    lines = study_file.read_text().split("paper:")[0].splitlines(keepends=True)
    (place / "one.yaml").write_text("".join(x for x in lines if not x.startswith(ONE_COLUMN)))
    return place / "one.yaml"


def test_two_gpus_give_the_numbers_of_one(utd: Path, study_file: Path, tmp_path: Path) -> None:
    words = [
        "run",
        one_column(study_file, tmp_path),
        "--data",
        utd,
        "--only",
        "crop+jitter",
        "--set",
        "pretrain.optimiser={name: sgd, lr: 0.01}",
    ]
    places = {gpus: tmp_path / str(gpus) for gpus in (1, 2)}
    done = outputs(
        started(*([*words, "--gpus-per-trial", n, "--results", at] for n, at in places.items()))
    )
    assert [code for _, code in done] == [0, 0], done
    one, two = (Store(place) for place in places.values())
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


def test_four_halves_of_two_gpus_run_at_once(utd: Path, study_file: Path, tmp_path: Path) -> None:
    """Each pre-training waits in its first step until four are there."""
    plugin, study = tmp_path / "meet.py", tmp_path / "meeting.yaml"
    plugin.write_text(MEET)
    study.write_text(study_file.read_text().replace("use: [crop, jitter]", "use: [crop, meet]"))
    (tmp_path / "here").mkdir()
    ((out, code),) = outputs(
        started(
            [
                "run",
                study,
                "--data",
                utd,
                "--only",
                "crop+jitter",
                "--seeds",
                2,
                "--plugin",
                plugin,
                "--gpus-per-trial",
                0.5,
                "--results",
                tmp_path / "r",
                "--retries",
                0,
                "--verbose",
            ],
            cpus=4,
            MEETING=str(tmp_path / "here"),
        )
    )
    assert code == 0, out
    frame = pd.read_csv(tmp_path / "r" / "meeting" / "cells.csv")
    assert list(frame["state"][frame["metric"] == "top1"]) == ["done"] * 4
    running = most = 0
    for line in out.splitlines():
        running += line.startswith("started ") - line.startswith("done ")
        most = max(most, running)
    assert most == 4


def test_a_killed_rank_is_said_and_tried_again_and_ctrl_c_leaves_no_process(
    utd: Path, study_file: Path, tmp_path: Path
) -> None:
    driver = started(
        [
            "run",
            one_column(study_file, tmp_path),
            "--data",
            utd,
            "--only",
            "crop+jitter",
            "--set",
            "pretrain.epochs=100000",
            "--gpus-per-trial",
            2,
            "--results",
            tmp_path / "r",
        ]
    )
    try:
        first = _rank_1(driver.pid)
        _wait(lambda: list(tmp_path.glob("r/units/*/checkpoint.pt")))
        os.kill(first, signal.SIGKILL)
        second = _rank_1(driver.pid, but=first)
        (checkpoint,) = tmp_path.glob("r/units/*/checkpoint.pt")
        before = checkpoint.stat().st_mtime_ns
        _wait(lambda: checkpoint.stat().st_mtime_ns > before)
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does
        ((out, code),) = outputs(driver)
    except BaseException:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()
        raise
    assert code == 130, out
    assert "RankError: rank 1 of 2 was ended by SIGKILL" in out.replace("\n", " ")
    _wait(lambda: not Path(f"/proc/{second}").exists(), 10)
    assert "resumed at epoch" in (checkpoint.parent / "log.txt").read_text()


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
