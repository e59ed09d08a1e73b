"""The check of a GPU, tried on a CPU, and trainings on a device that has no numbers."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import gpu_exact
import gpu_page
import pytest
import torch
from gpu_cases import Task
from gpu_page import Row

HERE = Path(__file__).parent
BETWEEN_EPOCHS = ("/pretrain/trainer.py", "/contrast/diagnosis.py")
"""What an epoch reads back from the device, once."""
IN_A_STEP = ("/encoders/hcn.py", "/encoders/bodies.py")
"""What a step waits for: how many bodies are there."""


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, timeout=600, check=False
    )


def test_the_check_runs_on_a_cpu(tmp_path: Path) -> None:
    done = run(
        HERE / "check.py",
        *("--device", "cpu", "--size", "tiny", "--parts", "exact", "--out", tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (exact,) = json.loads((tmp_path / "check.json").read_text())["parts"]
    assert exact["state"] == "passed"
    tried = {row["what"] for row in exact["rows"]}
    assert {"encoder img, fp32", "encoder stg, fp32", "encoder seq, stepwise, bf16"} < tried
    page = (tmp_path / "check.md").read_text()
    assert "| exact | passed |" in page
    assert "| encoder seq, fp32 |" in page


def test_an_unknown_part_is_reported() -> None:
    done = run(HERE / "check.py", "--parts", "exact,speeed")
    assert done.returncode == 2
    assert "speeed: there are exact, repeat" in done.stderr


def test_a_wrong_loss_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Row] = []

    class Enough(Exception):  # noqa: N818
        """The row is there."""

    def emit(row: Row) -> None:
        found.append(row)
        if row.what == "loss":
            raise Enough

    right = gpu_exact.info_nce
    monkeypatch.setattr(gpu_exact, "info_nce", lambda logits: 1.001 * right(logits))
    task = Task(torch.device("cpu"), "tiny", time.monotonic() + 60, tmp_path, None, emit)
    with pytest.raises(Enough):
        gpu_exact.run(task)
    assert [row.what for row in found if row.ok is False] == ["loss"]
    part = {"name": "exact", "title": "Exact", "state": "failed", "seconds": 1.0}
    page = gpu_page.page({}, [{**part, "reason": "a | b", "rows": found}])
    assert "| exact | failed | 1 | a \\| b |" in page
    assert "**WRONG**" in page


def test_nothing_mixes_the_device_with_the_cpu() -> None:
    backends = torch.utils.backend_registration
    if not hasattr(backends, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch has no devices made in Python")
    done = run(HERE / "fake_device.py")
    assert done.returncode == 0, done.stderr[-3000:]
    *lines, plain, rounded, older = [json.loads(line) for line in done.stdout.splitlines()]
    assert plain["dtypes"] == older["dtypes"] == ["torch.float32"]
    assert rounded["dtypes"] == ["torch.bfloat16"]
    for line in lines:
        if not line["what"].startswith("linear"):
            places = {place.partition(":")[0] for place in line["waits"]}
            assert places <= {*BETWEEN_EPOCHS, *IN_A_STEP}, line
    assert [line["what"] for line in lines] == [
        f"{kind}{name}" for name in ("img", "stg", "seq") for kind in ("", "linear ")
    ]
