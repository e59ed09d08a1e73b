"""A plugin's task on the command line: in a study, alone, and no hindrance to who lacks it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from study_helpers import TINY_STUDY

from skelcon.downstream.tasks import TASK_PLUGINS, TASKS

README = (Path(__file__).parents[3] / "skelcon/README.md").read_text()
(PLUGIN,) = re.findall(r"<!-- task -->\n```python\n(.*?)```", README, re.DOTALL)
COLUMNS = """
columns:
  linear: {label: LINEAR}
  mine: {label: MINE, task: centroid, set: {tasks.centroid.ratio: 0.5}}
"""


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """What is registered is forgotten at the end, and whenever this is called."""
    monkeypatch.setattr(TASK_PLUGINS, "_registered", dict(TASK_PLUGINS._registered))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(TASKS)

    def restore() -> None:
        TASKS.clear()
        TASKS.update(before)
        TASK_PLUGINS._registered.clear()
        sys.modules.pop("centroids", None)

    yield restore
    restore()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "centroids.py").write_text(PLUGIN)
    base = TINY_STUDY.split("ticks:")[0].replace("reproduces: Table 5\n", "downstream: [seq]\n")
    rows = "  pretrain.representations: [seq]\nrows:\n  crop: {}\n"
    path = tmp_path / "mine.yaml"
    path.write_text(f"plugins: [centroids.py]\n{base}{rows}{COLUMNS}")
    return path


def test_a_study_of_it_runs_and_others_do_not_need_it(
    ablate: Any, skelcon: Any, forget: Callable[[], None], utd: Path, study: Path, tmp_path: Path
) -> None:
    asked = ("run", study, "--data", utd, "--results", tmp_path / "r")

    def plan(*words: object) -> tuple[list[str], int]:
        ended = ablate("plan", *words, "--json")
        assert ended.code == 0, ended.err
        (found,) = json.loads(ended.out)
        return [unit["key"] for unit in found["to_run"]], found["done"]

    keys, _ = plan(*asked[1:])
    assert len(keys) == 3
    ended = ablate("unit", ",".join(keys), *asked)
    assert ended.code == 0, ended.err
    assert plan(*asked[1:]) == ([], 3)
    table = ablate(*asked)
    assert "linear and centroid top-1, in percent" in " ".join(table.out.split())

    forget()
    other = tmp_path / "other.yaml"
    other.write_text(study.read_text().split("  mine:")[0].replace("plugins: [centroids.py]", ""))
    assert plan(other, *asked[2:]) == ([], 2)
    assert "unknown task 'centroid'" not in ablate("status", "--results", tmp_path / "r").err

    forget()
    (tmp_path / "centroids.py").write_text(PLUGIN.replace('version="1"', 'version="2"'))
    again, done = plan(*asked[1:])
    assert (len(again), done) == (1, 2)  # its evaluation alone

    forget()
    (weights,) = (tmp_path / "r" / "units").glob("*/weights.safetensors")
    words = ("evaluate", weights.parent, *asked[2:], "--device", "cpu", "--json")
    ended = skelcon(*words, "--task", "centroid")
    assert ended.code == 2
    assert "unknown task 'centroid': " in ended.err
    assert "(a registered one needs its --plugin)" in " ".join(ended.err.split())
    mine = ("--task", "centroid", "--plugin", tmp_path / "centroids.py")
    ended = skelcon(*words, *mine, "--set", "tasks.centroid.ratio=0.5")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["unit"] == again[0]
    ended = skelcon(*words, *mine, "--set", "linear.epochs=2")
    assert ended.code == 2
    assert "--set linear...: nothing here uses it; set keys of tasks.centroid" in " ".join(
        ended.err.split()
    )
