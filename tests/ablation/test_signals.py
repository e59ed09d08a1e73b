"""Ctrl-C, SIGTERM and SIGHUP, to the process or to its group: message, exit code, seconds, table.

A batch scheduler, `timeout` and systemd signal the whole group; a terminal that closes sends
SIGHUP.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from ablation_helpers import command, in_process, in_session, processes

from ablation.interrupts import EXIT_SECONDS

pytestmark = pytest.mark.slow

SECONDS = 2 * EXIT_SECONDS
"""Twice what is promised: the tests run beside others."""
ONE_WORKER = ("--max-concurrent", 1)
"""Each imports torch, which takes longer than what is tested."""
STUDIES = [("SIGTERM", True), ("SIGHUP", False)]
SEARCHES = [("SIGINT", True)]
"""What is sent, and whether to the group: a search ends by the same code as a study.

Each signal, each addressee and each command is here once at least, not each with each; Ctrl-C to a
driver alone is in `test_chaos.py`, and all three in one process in `test_in_process.py`.
"""

SPACE = """
title: A tiny search
protocols: [xsub]
downstream: [seq]
base:
  pretrain.representations: [seq]
  pretrain.epochs: 4000
  pretrain.batch: 8
  pretrain.contrast: {queue: 16, dim: 8, head_hidden: 8, momentum: 0.9}
  pretrain.encoders.frames: 16
  pretrain.encoders.seq: {hidden: 4, layers: 1}
  linear: {epochs: 2, crops: 1}
space:
  pretrain.optimiser.lr: {loguniform: [0.001, 0.1]}
trials: 3
evaluate_every: 1000
scheduler: {name: fifo}
algorithm: random
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    seconds: float
    text: str
    session: int


def interrupted(words: tuple[object, ...], results: Path, sent: str, *, group: bool) -> Ended:
    """Start a command, wait until it trains, send the signal, and wait for the end."""
    out = results.parent / f"{results.name}-{sent}-{group}.txt"
    number = getattr(signal, sent)
    with (
        out.open("wb") as file,
        in_session(command(*words, "--results", results), stdout=file, stderr=file) as process,
    ):
        _wait_until_it_trains(process, results, out)
        time.sleep(0.3)
        began = time.monotonic()
        if group:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        code = process.wait(60)
        return Ended(code, time.monotonic() - began, out.read_text(), process.pid)


def _wait_until_it_trains(process: subprocess.Popen[bytes], results: Path, out: Path) -> None:
    started = time.time()
    while not _trains(results, started):
        assert process.poll() is None, out.read_text()
        assert time.time() - started < 240, out.read_text()
        time.sleep(0.05)


def _trains(results: Path, since: float) -> bool:
    """Whether a pre-training has written a checkpoint since then: something is there to be kept.

    An evaluation has one too, which is deleted when the evaluation is done.
    """
    for path in results.glob("units/*/checkpoint.pt"):
        with contextlib.suppress(FileNotFoundError):
            unit = json.loads((path.parent / "config.json").read_text())
            if unit["unit"] == "pretrain" and path.stat().st_mtime > since:
                return True
    return False


def check(ended: Ended, results: Path) -> None:
    assert ended.code == 130, ended.text
    assert ended.seconds < SECONDS
    acknowledged = ended.text.index("saving what has been trained")
    assert acknowledged < ended.text.index("Run the same command to resume.")
    assert "Traceback" not in ended.text
    assert not processes(ended.session)
    assert list(results.glob("units/*/checkpoint.pt"))
    assert not list(results.glob("units/*/failed.json"))
    status = in_process("status", "--results", results, "--json")
    assert '"running": 0' in status.stdout


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("interrupted")


@pytest.mark.parametrize(("sent", "group"), STUDIES)
def test_a_signal_ends_a_study_that_can_be_resumed(
    sent: str, group: bool, utd: Path, study_file: Path, studies: Path
) -> None:
    """One study, interrupted twice; the table so far is printed."""
    changes = ("--set", "pretrain.epochs=20000", "--only", "crop+jitter,random", *ONE_WORKER)
    words = ("run", study_file, "--data", utd, *changes)
    ended = interrupted(words, studies / "study", sent, group=group)
    check(ended, studies / "study")
    assert "random weights" in ended.text
    assert (studies / "study" / "tiny" / "cells.csv").exists()


@pytest.mark.parametrize(("sent", "group"), SEARCHES)
def test_a_signal_ends_a_search_that_can_be_resumed(
    sent: str, group: bool, utd: Path, studies: Path
) -> None:
    space = studies / "space.yaml"
    space.write_text(SPACE)
    words = ("search", space, "--data", utd, *ONE_WORKER)
    check(interrupted(words, studies / "search", sent, group=group), studies / "search")


def test_a_signal_ends_a_unit_alone(utd: Path, studies: Path) -> None:
    """Without Ray, in one process."""
    results = studies / "alone"
    program = "from ablation.cli.single import main; main()"
    settings = (
        "pretrain.representations=[seq]",
        "pretrain.epochs=20000",
        "pretrain.batch=8",
        "pretrain.encoders.seq={hidden: 4, layers: 1}",
        "pretrain.contrast={queue: 16, dim: 8}",
    )
    words = ["pretrain", "--data", str(utd), "--results", str(results)]
    for each in settings:
        words += ["--set", each]
    out = studies / "alone.txt"
    with (
        out.open("wb") as file,
        in_session([*command()[:1], "-c", program, *words], stdout=file, stderr=file) as process,
    ):
        _wait_until_it_trains(process, results, out)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 130, out.read_text()
    assert "Run the same command to resume." in out.read_text()
