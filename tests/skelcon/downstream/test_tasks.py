"""Each task in its registry: settings, cost, and a run that is what its algorithm gives."""

import dataclasses
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from skelcon.data import ClipBank, SkeletonLayout
from skelcon.downstream import Finetuning, retrieval
from skelcon.downstream.linear import SGDEvaluation
from skelcon.downstream.tasks import TASKS, EncoderSize, Inputs, completed, task
from skelcon.encoders import BiGRUConfig, Encoder, EncodersConfig
from skelcon.errors import UserError
from skelcon.settings import Settings, resolve

FRAMES, CLASSES = 16, 4
ENCODERS = EncodersConfig(seq=BiGRUConfig(hidden=4, layers=1), frames=FRAMES)
CHANGES = {
    "linear": {"epochs": 3, "milestones": (2,), "batch": 5, "crops": 2},
    "retrieval": {"test_ratio": 0.9},
    "finetune": {"epochs": 2, "milestones": (1,), "batch": 5, "subsets": 2, "labels": 0.5},
    "knn": {"k": 3},
    "mlp": {"epochs": 3, "batch": 5, "crops": 2, "hidden": 4},
    "clustering": {"restarts": 2},
    "robustness": {"epochs": 3, "batch": 5, "crops": 2, "noise": (0.1,)},
    "oneshot": {"classes": 3},
}


@pytest.fixture
def inputs(small_bank: ClipBank, small_layout: SkeletonLayout) -> Inputs:
    torch.manual_seed(0)
    return Inputs(
        encoders=[Encoder("seq", ENCODERS, small_layout, bodies=2)],
        bank=small_bank,
        train=torch.arange(0, 16),
        test=torch.arange(16, 24),
        num_classes=CLASSES,
        frames=FRAMES,
        seed=3,
        groups=torch.arange(16) % 3,
    )


def test_clips_are_turned_as_the_encoders_see_them(
    inputs: Inputs, small_bank: ClipBank, small_layout: SkeletonLayout
):
    assert inputs.bank.orientation == "first_frame"
    other = ENCODERS.model_copy(update={"orientation": "median"})
    median = Encoder("seq", other, small_layout, bodies=2)
    assert dataclasses.replace(inputs, encoders=[median]).bank.orientation == "median"
    with pytest.raises(ValueError, match="turned first_frame and median cannot be combined"):
        dataclasses.replace(inputs, encoders=[*inputs.encoders, median])


def settings_of(name: str):
    return task(name).settings.model_validate(CHANGES[name])


def test_settings_have_a_field_for_each_task():
    assert list(Settings.model_fields) == ["pretrain", *TASKS, "tasks"]
    assert list(TASKS) == list(CHANGES)
    settings = resolve([{"linear.epochs": 7}], "test")
    assert settings.of("linear") == task("linear").settings(epochs=7)
    assert settings.of("finetune") == task("finetune").settings()
    for call in (task, settings.of):
        with pytest.raises(UserError, match="unknown task 'finetun': did you mean 'finetune'"):
            call("finetun")
    with pytest.raises(UserError, match="unknown task 'pretrain'"):
        settings.of("pretrain")


@pytest.mark.parametrize("name", ["linear", "retrieval", "finetune"])
def test_a_task_gives_what_its_algorithm_gives(inputs: Inputs, name: str):
    settings = settings_of(name)
    evaluation = task(name).start(inputs, settings)
    assert evaluation.epochs == task(name).epochs(settings)
    assert evaluation.done == (evaluation.epochs == 0)
    if evaluation.done:
        with pytest.raises(RuntimeError, match="in one go"):
            evaluation.run_epoch()
    result = completed(evaluation)
    if name == "linear":
        expected = completed(SGDEvaluation(inputs, settings))
    elif name == "retrieval":
        expected = retrieval(inputs, settings)
    else:
        expected = completed(Finetuning(inputs, settings))
    assert result.metrics == expected.metrics
    np.testing.assert_array_equal(result.predictions, expected.predictions)
    assert set(result.metrics) <= set(task(name).metrics)
    assert result.predictions.size == task(name).predictions(settings, len(inputs.test))


@pytest.mark.parametrize("name", TASKS)
def test_a_state_between_epochs_resumes_exactly(inputs: Inputs, name: str):
    settings = settings_of(name)
    whole, first = (task(name).start(inputs, settings) for _ in range(2))
    if not first.done:
        first.run_epoch()
    resumed = task(name).start(inputs, settings)
    resumed.load_state_dict(first.state_dict())
    assert resumed.epoch == first.epoch
    for evaluation in (whole, resumed):
        while not evaluation.done:
            evaluation.run_epoch()
    assert whole.result().metrics == resumed.result().metrics


def test_clips_that_pass_through_the_encoders():
    linear, retrieve, tune = (task(name) for name in ("linear", "retrieval", "finetune"))
    for epochs, crops, decay, passes in (
        (80, None, 0, 80),
        (80, 4, 0, 4),
        (3, 4, 0, 3),
        (3, 4, "auto", 4),
        (80, 0, "auto", 0),
    ):
        settings = linear.settings(epochs=epochs, crops=crops, weight_decay=decay)
        assert linear.clips_seen(settings, 100, 30) == (passes + 1) * 100 + 30
    assert retrieve.clips_seen(retrieve.settings(), 100, 30) == 130
    settings = tune.settings(epochs=5, subsets=2, labels=0.25)
    assert tune.clips_seen(settings, 100, 30) == 2 * (5 * 25 + 30 / 3)
    assert tune.epochs(settings) == 10
    assert retrieve.epochs(retrieve.settings()) == 0
    assert linear.epochs(linear.settings(epochs=25)) == 25
    assert linear.epochs(linear.settings(epochs=25, crops=2)) == 3
    assert linear.epochs(linear.settings(epochs=25, crops=2, weight_decay="auto")) == 6


def test_a_checkpoint_is_about_as_large_as_it_was_counted(inputs: Inputs):
    tune, settings = task("finetune"), settings_of("finetune")
    evaluation = tune.start(inputs, settings)
    evaluation.run_epoch()
    state = evaluation.state_dict()
    size = sum(
        value.numel() * 4
        for part in (*state["encoders"], state["classifier"])
        for value in part.values()
    )
    (encoder,) = inputs.encoders
    parameters = sum(p.numel() for p in encoder.parameters())
    counted = tune.checkpoint_bytes(
        settings, [EncoderSize(4 * parameters, parameters, encoder.feature_size)], CLASSES
    )
    assert counted == pytest.approx(3 * size, rel=0.05)


@pytest.mark.parametrize("name", TASKS)
def test_the_cost_of_a_clip_is_measured(inputs: Inputs, name: str):
    assert 0 < task(name).seconds_per_clip(inputs, settings_of(name), 2) < 1


def test_settings_that_scale_a_task_exist():
    for each in TASKS.values():
        assert set(each.scales) <= set(each.settings.model_fields)


ANOTHER = '''
from pydantic import Field

from skelcon.config import Config
from skelcon.downstream.tasks.base import OneGo, Task


class MajorityConfig(Config):
    """Which of the most frequent classes is predicted."""

    rank: int = Field(0, ge=0, description="0: the most frequent")


class MajorityTask(Task[MajorityConfig]):
    """Every clip is of one class."""

    name = "majority"
    settings = MajorityConfig
    metrics = ("top1",)

    def start(self, inputs, settings):
        from skelcon.downstream.result import scored

        def evaluate():
            labels = inputs.bank.labels
            counts = labels[inputs.train].bincount(minlength=inputs.num_classes)
            chosen = counts.argsort(descending=True, stable=True)[settings.rank]
            return scored(inputs.test, labels[inputs.test], chosen.expand(len(inputs.test)))

        return OneGo(evaluate)

    def seconds_per_clip(self, inputs, settings, steps):
        return 0.0
'''

USE = """
    import sys
    import types

    import torch

    import skelcon.downstream.tasks as tasks
    from majority import MajorityTask

    tasks.TASKS[MajorityTask.name] = MajorityTask()  # the one line of the registry

    from skelcon.errors import UserError
    from skelcon.settings import Settings, resolve

    assert "torch" in sys.modules
    assert list(Settings.model_fields)[-2:] == ["majority", "tasks"]
    for changes, expected in (
        ({"majority.ranks": 1}, "--set: unknown key 'majority.ranks': did you mean 'majority."),
        ({"majority.rank": -1}, "--set: majority.rank: "),
        ({"majorty.rank": 1}, "--set: unknown key 'majorty': did you mean 'majority'?"),
    ):
        try:
            resolve([changes], "--set")
        except UserError as error:
            assert str(error).startswith(expected), error
        else:
            raise AssertionError(changes)
    settings = resolve([{"majority.rank": 1}], "--set")
    task = tasks.task("majority")
    bank = types.SimpleNamespace(labels=torch.tensor([0, 0, 0, 1, 1, 2, 1, 1, 0, 2]))
    inputs = tasks.Inputs([], bank, torch.arange(6), torch.arange(6, 10), 3, 16, 0, torch.zeros(6))
    evaluation = task.start(inputs, settings.of("majority"))
    assert evaluation.done
    assert evaluation.result().metrics == {task.metrics[0]: 0.5}
    assert task.clips_seen(settings.of("majority"), 6, 4) == 10
"""


def test_another_task_is_one_file_and_one_line(tmp_path: Path):
    (tmp_path / "majority.py").write_text(ANOTHER)
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(USE)]
    subprocess.run(command, check=True, cwd=tmp_path)
