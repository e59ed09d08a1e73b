"""Trials on logical GPUs through Ray: two for one trial, and a quarter of one for each of eight."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ablation.store import Store

pytestmark = pytest.mark.slow

PROGRAM = """
import ray, sys
from ablation.cli import main
ray.init(address="local", num_cpus={cpus}, num_gpus=2, include_dashboard=False,
         _node_ip_address="127.0.0.1", log_to_driver=False)
for words in {runs!r}:
    sys.argv = ["skelcon-ablate", *words]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""

MEET = '''
import os, time
from pathlib import Path
from skelcon import register_augmentation


@register_augmentation("meet", version="1")
def meet(view, generator):
    """Wait until eight processes are here."""
    place = Path(os.environ["MEETING"])
    (place / str(os.getpid())).touch()
    give_up = time.monotonic() + 100
    while len(list(place.iterdir())) < 8:
        if time.monotonic() > give_up:
            raise RuntimeError(f"only {len(list(place.iterdir()))} of 8 came")
        time.sleep(0.05)
    return view
'''


def run(cpus: int, *runs: list[object], **more: str) -> subprocess.CompletedProcess[str]:
    """The commands, one after the other, on one Ray of two logical GPUs."""
    program = PROGRAM.format(cpus=cpus, runs=[[str(word) for word in words] for words in runs])
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, **more},
    )  # fmt: skip


def test_two_gpus_give_the_numbers_of_one(utd: Path, study_file: Path, tmp_path: Path) -> None:
    study = tmp_path / "two.yaml"
    lines = study_file.read_text().split("paper:")[0].splitlines(keepends=True)
    study.write_text("".join(line for line in lines if not line.startswith("  seq: {label")))
    words = ["run", study, "--data", utd, "--only", "crop+jitter",
             "--set", "pretrain.optimiser={name: sgd, lr: 0.01}"]  # fmt: skip
    places = {gpus: tmp_path / str(gpus) for gpus in (1, 2)}
    done = run(
        2, *([*words, "--gpus-per-trial", n, "--results", at] for n, at in places.items())
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = (Store(place) for place in places.values())
    keys = {path.name for path in one.units.iterdir()}
    assert keys == {path.name for path in two.units.iterdir()}
    weights = [key for key in keys if (one.directory(key) / "weights.safetensors").exists()]
    assert len(weights) == 1
    for key in keys:
        expected = (1, 2) if key in weights else (1, 1)  # an evaluation runs on one of the two
        assert (one.provenance(key)["ranks"], two.provenance(key)["ranks"]) == expected
    for key in weights:
        assert two.result(key) == pytest.approx(one.result(key), abs=1e-4)
        mine, theirs = (
            load_file(s.directory(key) / "weights.safetensors") for s in (one, two)
        )  # fmt: skip
        for name, value in mine.items():
            torch.testing.assert_close(value, theirs[name], atol=1e-4, rtol=1e-4)
        log = (two.directory(key) / "metrics.jsonl").read_text()
        assert len(log.splitlines()) == 3  # of one rank alone


def test_eight_quarters_of_two_gpus_run_at_once(
    utd: Path, study_file: Path, tmp_path: Path
) -> None:
    """Each pre-training waits in its first step until eight are there."""
    plugin, study = tmp_path / "meet.py", tmp_path / "meeting.yaml"
    plugin.write_text(MEET)
    study.write_text(study_file.read_text().replace("use: [crop, jitter]", "use: [crop, meet]"))
    (tmp_path / "here").mkdir()
    done = run(
        8,
        ["run", study, "--data", utd, "--only", "crop+jitter", "--seeds", 4, "--plugin", plugin,
         "--gpus-per-trial", 0.25, "--results", tmp_path / "r", "--retries", 0, "--verbose"],
        MEETING=str(tmp_path / "here"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    frame = pd.read_csv(tmp_path / "r" / "meeting" / "cells.csv")
    assert list(frame["state"]) == ["done"] * 8
    running = most = 0
    for line in done.stdout.splitlines():
        running += line.startswith("started ") - line.startswith("done ")
        most = max(most, running)
    assert most == 8
