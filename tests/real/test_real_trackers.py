"""A study's runs in MLflow's own server with a database, and in TensorBoard.

pip install mlflow tensorboard
python tests/real/test_real_trackers.py
"""

from __future__ import annotations

import json
import sqlite3
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from real_helpers import ablate, alone, free_port, listens, program, server, wait_for

pytestmark = pytest.mark.slow


def asked(url: str, **fields: str) -> Any:
    """The JSON that a server answers."""
    query = f"?{urllib.parse.urlencode(fields)}" if fields else ""
    with urllib.request.urlopen(url + query, timeout=20) as answer:
        return json.load(answer)


def test_mlflow_s_server_has_each_unit_once(
    utd: Path, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed here")
    port, log, database = free_port(), tmp_path / "server.log", tmp_path / "runs.db"
    place = f"sqlite:///{database}", "--artifacts-destination", tmp_path / "artifacts"
    words = program("mlflow"), "server", "--host", "127.0.0.1", "--port", port, "--workers", 1
    with server(log, *words, "--backend-store-uri", *place):
        wait_for("MLflow's server", lambda: listens(port), 120, log)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        study = ("run", study_file, "--data", utd, "--only", "none", "--track", "mlflow")
        study = (*study, "--results", tmp_path / "results", "--yes")
        for _ in range(2):  # the second sends nothing twice
            done = ablate(*study, timeout=600)
            assert done.returncode == 0, done.stdout + done.stderr
    units = {path.parent.name for path in (tmp_path / "results").glob("units/*/DONE")}
    assert len(units) == 4
    with sqlite3.connect(database) as runs:
        alive = "SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND status = 'FINISHED'"
        tags = runs.execute(f"SELECT value FROM tags WHERE key = 'unit' AND run_uuid IN ({alive})")
        assert sorted(key for (key,) in tags) == sorted(units)
        steps = runs.execute(
            "SELECT DISTINCT step FROM metrics WHERE key = 'pretrain/loss' ORDER BY step"
        ).fetchall()
    assert [step for (step,) in steps] == [1, 2, 3]


def test_tensorboard_reads_what_is_written(utd: Path, study_file: Path, tmp_path: Path) -> None:
    board, port, log = program("tensorboard"), free_port(), tmp_path / "board.log"
    results = tmp_path / "results"
    words = ("run", study_file, "--data", utd, "--only", "none", "--results", results, "--yes")
    done = ablate(*words, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    with server(log, board, "--logdir", results, "--host", "127.0.0.1", "--port", port):
        wait_for("TensorBoard", lambda: listens(port), 60, log)
        url, found = f"http://127.0.0.1:{port}/data/plugin/scalars", {}

        def loaded() -> bool:
            found.update(asked(f"{url}/tags"))
            return len(found) >= 4

        wait_for("four runs in TensorBoard", loaded, 60, log)
        run = next(name for name in found if "pretrain/loss" in found[name])
        points = asked(f"{url}/scalars", run=run, tag="pretrain/loss")
    logged = [
        [json.loads(line)["loss"] for line in path.read_text().splitlines()]
        for path in results.glob("units/*/metrics.jsonl")
    ]
    values = [value for _, _, value in points]
    assert any(values == pytest.approx(losses, rel=1e-6) for losses in logged), (values, logged)


if __name__ == "__main__":
    alone(__file__)
