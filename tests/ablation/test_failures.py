"""What a unit or a cluster does not survive, through the command line and Ray."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from gpu_helpers import ONE_COLUMN, outputs, started

pytestmark = pytest.mark.slow

TROUBLE = '''
import json, os
from pathlib import Path
import ray, torch
from skelcon import register_augmentation


@register_augmentation("trouble", version="1")
def trouble(view, generator, kind: str = "none"):
    """The first process that comes here fails; what the next ones have of the cluster is noted."""
    place = Path(os.environ["TROUBLE"])
    if kind == "always":
        raise ValueError("no such joint")
    if kind == "none":
        return view
    try:
        (place / kind).touch(exist_ok=False)
    except FileExistsError:
        has = ray.get_runtime_context().get_assigned_resources()
        (place / f"{kind}.json").write_text(json.dumps(has))
        return view
    if kind == "memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
    os._exit(7)
'''

# All of the cluster is taken until the first command has looked for some seconds.
BUSY = """
import os, time
from pathlib import Path
@ray.remote(num_cpus=2)
def take():
    drivers = Path(os.environ["TROUBLE"]).parent / "none" / "drivers"
    while not any(drivers.glob("*.json")):
        time.sleep(0.2)
    time.sleep(8)
taken = take.remote()
"""


def test_failures_are_told_apart(utd: Path, study_file: Path, tmp_path: Path) -> None:
    """A busy cluster, out of memory, a worker that dies, --fail-fast, a trial that never starts."""
    plugin, study = tmp_path / "trouble.py", tmp_path / "troubled.yaml"
    plugin.write_text(TROUBLE)
    place = tmp_path / "place"
    place.mkdir()
    lines = study_file.read_text().split("paper:")[0].splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith(ONE_COLUMN))
    study.write_text(text.replace("use: [crop, jitter]", "use: [crop, trouble]"))

    def words(kind: str, *more: object) -> list[object]:
        return [
            "run",
            study,
            "--data",
            utd,
            "--plugin",
            plugin,
            "--only",
            "crop+jitter",
            "--set",
            f"pretrain.augment.custom.trouble.kind={kind}",
            "--results",
            tmp_path / kind,
            "--gpus-per-trial",
            0.5,
            *more,
        ]

    busy, memory, dies, fast, never = outputs(
        started(
            words("none", "--verbose"),
            words("memory", "--retries", 0),
            words("dies"),
            words("always", "--seeds", 3, "--max-concurrent", 1, "--fail-fast", "--retries", 0),
            words("never", "--gpus-per-trial", 4),
            before=BUSY,
            TROUBLE=str(place),
        )
    )
    codes = [code for _, code in (busy, memory, dies, fast, never)]
    assert codes == [0, 0, 0, 1, 2], (memory, dies, fast)
    assert "--gpus-per-trial 4: the cluster has 2 GPUs" in never[0]

    asked = "a trial asks 1 CPUs and 0.5 GPUs; free at present: 0 of 2 CPUs"
    assert busy[0].index("\nwaiting ") < busy[0].index(asked) < busy[0].index("\nstarted ")

    assert "failed: out of memory; it is retried alone on its device" in memory[0]
    assert json.loads((place / "memory.json").read_text())["GPU"] == 1.0

    assert "failed: the worker process died; it is retried" in dies[0]
    assert json.loads((place / "dies.json").read_text())["GPU"] == 0.5

    assert "failed: ValueError: no such joint" in fast[0]
    frame = pd.read_csv(tmp_path / "always" / "troubled" / "cells.csv")
    states = frame[frame["row"] == "crop+jitter"]["state"]
    assert sorted(states) == ["failed", "not run", "not run"]
