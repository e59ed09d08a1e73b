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
def trouble(view, generator, kind: str = "always"):
    """The first process that comes here fails; what the next ones have of the cluster is noted."""
    place = Path(os.environ["TROUBLE"])
    if kind == "always":
        raise ValueError("no such joint")
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
ROWS = "".join(
    f"  {kind}: {{set: {{pretrain.augment.use: [crop, trouble], "
    f"pretrain.augment.custom.trouble.kind: {kind}}}}}\n"
    for kind in ("memory", "dies", "always")
)

# All of the cluster is taken until the first command shows that it waits for it.
BUSY = """
import os, time
from pathlib import Path
@ray.remote(num_cpus=2)
def take():
    drivers = Path(os.environ["TROUBLE"]).parent / "survived" / "drivers"
    while not any("free at present" in path.read_text() for path in drivers.glob("*.json")):
        time.sleep(0.2)
taken = take.remote()
"""


def test_failures_are_distinguished(utd: Path, study_file: Path, tmp_path: Path) -> None:
    """A busy cluster, out of memory, a worker that dies, --fail-fast, a trial that never starts."""
    plugin, study = tmp_path / "trouble.py", tmp_path / "troubled.yaml"
    plugin.write_text(TROUBLE)
    place = tmp_path / "place"
    place.mkdir()
    head = study_file.read_text().split("rows:")[0]
    lines = study_file.read_text().partition("columns:")[2].split("paper:")[0].splitlines(True)
    columns = "".join(line for line in lines if not line.startswith(ONE_COLUMN))
    study.write_text(f"{head}rows:\n{ROWS}columns:{columns}")

    def words(results: str, rows: str, *more: object) -> list[object]:
        asked = ["run", study, "--data", utd, "--plugin", plugin, "--only", rows]
        return [*asked, "--results", tmp_path / results, "--gpus-per-trial", 0.5, *more]

    survived, fast, never = outputs(
        started(
            words("survived", "memory,dies", "--verbose"),
            words("failed", "always", "--seeds", 3, "--max-concurrent", 1, "--fail-fast"),
            words("never", "always", "--gpus-per-trial", 4),
            before=BUSY,
            TROUBLE=str(place),
        )
    )
    codes = [code for _, code in (survived, fast, never)]
    assert codes == [0, 1, 2], (survived, fast)
    assert "--gpus-per-trial 4: the cluster has 2 GPUs" in never[0]

    text = survived[0]
    asked = "a trial requests 1 CPU and 0.5 GPUs; free at present: 0 of 2 CPUs"
    assert text.index("\nwaiting ") < text.index(asked) < text.index("\nstarted ")

    assert "failed: out of memory; it is retried alone on its device" in text
    assert json.loads((place / "memory.json").read_text())["GPU"] == 1.0

    assert "failed: the worker process died; it is retried" in text
    assert json.loads((place / "dies.json").read_text())["GPU"] == 0.5

    # (An error of the unit's own is not tried again.)
    assert "failed: ValueError: no such joint" in fast[0]
    frame = pd.read_csv(tmp_path / "failed" / "troubled" / "cells.csv")
    assert sorted(frame["state"]) == ["failed", "not run", "not run"]
    (log,) = (tmp_path / "failed").glob("units/*/log.txt")
    assert log.read_text().count("Traceback") == 1
    assert str(log) in fast[0].replace("\n", "")
