"""A downstream task of one file and one line: studies plan, run, resume and print it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ablation.store import Store

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
PROGRAM = """
import sys

import skelcon.downstream.tasks as tasks
from shuffled import ShuffledTask

tasks.TASKS[ShuffledTask.name] = ShuffledTask()  # the one line of the registry

from ablation.cli import main

main()
"""


def test_a_study_of_a_new_task_runs_and_fills_its_table(
    utd: Path, study_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "shuffled.py").write_text(TASK)
    (tmp_path / "program.py").write_text(PROGRAM)
    text = study_file.read_text().split("paper:")[0]
    text = text.replace("  linear: {epochs: 3, crops: 1}\n", "  shuffled.times: 2\n")
    (tmp_path / "chance.yaml").write_text(text.replace("title:", "task: shuffled\ntitle:", 1))
    asked = ("--data", str(utd), "--only", "crop+jitter,random", "--results", "results")

    def run(*words: str) -> str:
        command = [sys.executable, "program.py", *words]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    (plan,) = json.loads(run("plan", "chance.yaml", *asked, "--json"))
    keys = [unit["key"] for unit in plan["to_run"]]
    assert len(keys) == 6
    run("unit", ",".join(keys), "run", "chance.yaml", *asked)
    store = Store(tmp_path / "results")
    results = [store.result(key) for key in keys]
    assert [result["times"] for result in results if "times" in result] == [2.0] * 4
    table = run("run", "chance.yaml", *asked)
    assert "shuffled top-1, in percent" in table
    assert "6 done, 0 to run" in run("plan", "chance.yaml", *asked)
