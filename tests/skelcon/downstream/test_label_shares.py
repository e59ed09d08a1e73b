"""A linear classifier on a share of the labels: whose clips, the means, and an exact resume."""

import dataclasses
import io
import statistics

import pytest
import torch
from joint_means import Joints

from skelcon.config import Json
from skelcon.data import ClipBank
from skelcon.downstream import Inputs, LinearConfig, labelled_subset
from skelcon.downstream.tasks import completed, task

FRAMES, CLASSES = 16, 4


@pytest.fixture(autouse=True)
def _few_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skelcon.downstream.regularised.ITERATIONS", 3)


@pytest.fixture
def inputs(small_bank: ClipBank) -> Inputs:
    train, test = torch.randperm(24, generator=torch.Generator().manual_seed(1)).split((16, 8))
    return Inputs([Joints()], small_bank, train, test, CLASSES, FRAMES, 5, torch.arange(16) % 3)


KINDS: list[tuple[str, Json]] = [
    ("linear", {"epochs": 3, "batch": 5, "labels": 0.5, "subsets": 3}),
    ("linear", {"crops": 2, "weight_decay": "auto", "labels": 0.5, "subsets": 2}),
    ("mlp", {"epochs": 2, "crops": 1, "hidden": 4, "labels": 0.3}),
    ("robustness", {"epochs": 2, "crops": 1, "labels": 0.3, "subsets": 2, "speed": []}),
]


def settings_of(name: str, changes: Json):
    return task(name).settings.model_validate(changes)


@pytest.mark.parametrize(("name", "changes"), KINDS, ids=str)
def test_each_subset_is_an_evaluation_on_its_labelled_clips(
    inputs: Inputs, name: str, changes: Json
) -> None:
    """A subset has the clips that fine-tuning draws with the same seed."""
    settings = settings_of(name, changes)
    evaluation = task(name).start(inputs, settings)
    assert evaluation.epochs == task(name).epochs(settings)
    result = completed(evaluation)
    alone = settings.model_copy(update={"labels": 1.0, "subsets": 1})
    labels = inputs.bank.labels[inputs.train]
    runs = []
    for subset in range(settings.subsets):
        chosen = labelled_subset(labels, settings.labels, inputs.seed, subset)
        part = dataclasses.replace(inputs, train=inputs.train[chosen], groups=inputs.groups[chosen])
        runs.append(completed(task(name).start(part, alone)))
    assert len({tuple(run.predictions.tolist()) for run in runs}) == len(runs)
    for metric in runs[0].metrics:
        expected = statistics.fmean(run.metrics[metric] for run in runs)
        assert result.metrics[metric] == pytest.approx(expected)
    assert result.metrics["labelled"] == len(chosen)
    if len(runs) > 1:
        spread = statistics.stdev(run.metrics["top1"] for run in runs)
        assert result.metrics["top1_std"] == pytest.approx(spread)
        assert result.predictions.tolist() == [run.predictions.tolist() for run in runs]
    else:
        assert "top1_std" not in result.metrics
        assert result.predictions.tolist() == runs[0].predictions.tolist()
    assert result.scores is not None
    assert result.scores.argmax(axis=-1).tolist() == result.predictions.tolist()
    assert set(result.metrics) <= set(task(name).metrics)
    assert result.predictions.size == task(name).predictions(settings, len(inputs.test))


@pytest.mark.parametrize("name", ["linear", "mlp", "robustness"])
def test_of_all_labels_there_is_one_draw(inputs: Inputs, name: str) -> None:
    """Several would be the same evaluation: no spread over them, and the key of one."""
    once, often = (
        settings_of(name, {"epochs": 2, "crops": 1, "subsets": subsets}) for subsets in (1, 3)
    )
    kind = task(name)
    assert kind.options_of(often) == kind.options_of(once)
    assert kind.clips_seen(often, 16, 8) == kind.clips_seen(once, 16, 8)
    result = completed(kind.start(inputs, often))
    assert kind.epochs(often) == kind.start(inputs, often).epochs
    assert "top1_std" not in result.metrics
    assert result.predictions.shape == (kind.predictions(often, len(inputs.test)),)


@pytest.mark.parametrize(("name", "changes"), KINDS, ids=str)
def test_it_resumes_bit_by_bit_after_every_epoch(inputs: Inputs, name: str, changes: Json) -> None:
    settings = settings_of(name, changes)
    whole, states = task(name).start(inputs, settings), []
    lines = []
    while not whole.done:
        buffer = io.BytesIO()
        torch.save(whole.state_dict(), buffer)
        states.append(buffer)
        lines.append(whole.run_epoch())
    assert [line.epoch for line in lines] == list(range(whole.epochs))
    for at, buffer in enumerate(states):
        buffer.seek(0)
        resumed = task(name).start(inputs, settings)
        resumed.load_state_dict(torch.load(buffer, weights_only=True))
        assert resumed.epoch == at
        for line in lines[at:]:
            again = resumed.run_epoch()
            assert (again.epoch, again.loss) == (line.epoch, line.loss)
        assert resumed.result().metrics == whole.result().metrics
        for part in ("predictions", "scores"):
            found = getattr(resumed.result(), part)
            assert found.tolist() == getattr(whole.result(), part).tolist()
    done = task(name).start(inputs, settings)
    done.load_state_dict(whole.state_dict())
    assert done.result().metrics == whole.result().metrics


def test_there_is_no_result_before_the_end(inputs: Inputs) -> None:
    evaluation = task("linear").start(inputs, settings_of(*KINDS[0]))
    evaluation.run_epoch()
    with pytest.raises(RuntimeError, match="8 of 9 epochs"):
        evaluation.result()


@pytest.mark.parametrize(("name", "changes"), KINDS, ids=str)
def test_the_clips_that_pass_are_counted(inputs: Inputs, name: str, changes: Json) -> None:
    settings = settings_of(name, changes)
    encoder = inputs.encoders[0]
    completed(task(name).start(inputs, settings))
    labelled = len(labelled_subset(inputs.bank.labels[inputs.train], settings.labels, 0, 0))
    train = round(labelled / settings.labels)  # as many, were no class rounded up
    assert encoder.seen == task(name).clips_seen(settings, train, len(inputs.test))


def test_the_key_holds_share_and_subsets_only_where_not_all_is_labelled() -> None:
    for name in ("linear", "mlp", "robustness"):
        kind = task(name)
        assert not {"labels", "subsets"} & set(kind.options_of(kind.settings()))
        some = kind.options_of(kind.settings(labels=0.1, subsets=2))
        assert (some["labels"], some["subsets"]) == (0.1, 2)
        assert kind.settings_of(some) == kind.settings(labels=0.1, subsets=2)
    assert LinearConfig().all_labelled
