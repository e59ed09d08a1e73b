"""A downstream task of one file and one line: studies plan, run, resume and print it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ablation_helpers import in_process

from ablation.store import Store
from skelcon.downstream.tasks import TASKS

TASK = '''
from pydantic import Field

from skelcon.config import Config
from skelcon.downstream.tasks import OneGo, Task


class ShuffledConfig(Config):
    """How often the labels are shuffled."""

    times: int = Field(1, ge=1, description="the accuracy is the mean over so many")


class ShuffledTask(Task[ShuffledConfig]):
    """The accuracy of labels that are shuffled: chance."""

    name = "shuffled"
    settings = ShuffledConfig
    metrics = ("top1", "times")

    def start(self, inputs, settings):
        from skelcon.downstream.result import scored

        def evaluate():
            labels = inputs.bank.labels[inputs.test]
            result = scored(inputs.test, labels, labels.roll(1))
            result.metrics["times"] = float(settings.times)
            return result

        return OneGo(evaluate)

    def seconds_per_clip(self, inputs, settings, steps):
        return 0.0
'''


@pytest.fixture
def shuffled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The task is there, by the one line of the registry."""
    (tmp_path / "shuffled.py").write_text(TASK)
    monkeypatch.syspath_prepend(str(tmp_path))
    task = importlib.import_module("shuffled").ShuffledTask
    monkeypatch.setitem(TASKS, task.name, task())
    yield
    del sys.modules["shuffled"]


def test_a_study_of_a_new_task_runs_and_fills_its_table(
    shuffled: None, utd: Path, study_file: Path, tmp_path: Path
) -> None:
    text = study_file.read_text().split("paper:")[0]
    text = text.replace("  linear: {epochs: 3, crops: 1}\n", "  shuffled.times: 2\n")
    study = tmp_path / "chance.yaml"
    study.write_text(text.replace("title:", "task: shuffled\ntitle:", 1))
    asked = (study, "--data", utd, "--only", "crop+jitter,random", "--results", tmp_path / "r")

    def run(*words: object) -> str:
        ended = in_process(*words)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    (plan,) = json.loads(run("plan", *asked, "--json"))
    keys = [unit["key"] for unit in plan["to_run"]]
    assert len(keys) == 6
    run("unit", ",".join(keys), "run", *asked)
    store = Store(tmp_path / "r")
    results = [store.result(key) for key in keys]
    assert [result["times"] for result in results if "times" in result] == [2.0] * 4
    assert "shuffled top-1, in percent" in run("run", *asked)
    assert "6 done, 0 to run" in run("plan", *asked)
