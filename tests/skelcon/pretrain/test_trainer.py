import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from skelcon.data import ClipBank, SkeletonLayout
from skelcon.errors import UserError
from skelcon.pretrain import EpochMetrics, PretrainConfig, Pretraining
from skelcon.pretrain.progress import shown

TREE: dict[str, Any] = {
    "encoders": {
        "img": {"channels": 4, "cooccurrence": 16},
        "stg": {"channels": (8,), "strides": (2,)},
        "seq": {"hidden": 8, "layers": 2, "input_norm": True},
        "frames": 16,
    },
    "contrast": {"dim": 8, "head_hidden": 8, "queue": 20, "momentum": 0.9},
    "optimiser": {"milestones": (2,), "lr": 0.05},
    "epochs": 4,
    "batch": 6,
}


def started(
    bank: ClipBank, layout: SkeletonLayout, seed: int = 0, **changes: object
) -> Pretraining:
    config = PretrainConfig.model_validate({**TREE, **changes})
    return Pretraining(bank, np.arange(len(bank.lengths)), layout, config, seed)


def run(training: Pretraining, epochs: int) -> list[tuple[int, float, float, float]]:
    metrics = [training.run_epoch() for _ in range(epochs)]
    return [(m.epoch, m.loss, m.top1, m.lr) for m in metrics]


def bits(training: Pretraining) -> dict[str, Tensor]:
    """Weights of query and key, statistics, queues, and the optimiser's own state."""
    state = training.state_dict()
    found = {f"contrast.{name}": value for name, value in state["contrast"].items()}
    for index, entry in state["optimiser"]["state"].items():
        for name, value in entry.items():
            if isinstance(value, Tensor):
                found[f"optimiser.{index}.{name}"] = value
    assert len(found) > len(state["contrast"])
    return found


def assert_same_bits(one: Pretraining, other: Pretraining) -> None:
    mine, theirs = bits(one), bits(other)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize(
    ("names", "optimiser"),
    [
        (("img",), {"name": "sgd"}),
        (("seq",), {"name": "adamw"}),
        (("img", "stg"), {"name": "sgd", "lr": {"img": 0.05, "stg": 0.01}}),
        (("img", "stg", "seq"), {"name": "adamw"}),
    ],
    ids=["img", "seq", "img+stg", "img+stg+seq"],
)
def test_an_interrupted_training_gives_the_same_bits(
    small_bank: ClipBank,
    small_layout: SkeletonLayout,
    names: tuple[str, ...],
    optimiser: dict[str, Any],
):
    """Whatever the state of torch's global generator, which is left alone."""
    changes = {"representations": names, "optimiser": {**TREE["optimiser"], **optimiser}}
    torch.manual_seed(1)
    whole = started(small_bank, small_layout, **changes)
    expected = run(whole, 4)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    first = started(small_bank, small_layout, **changes)
    got = run(first, 2)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = started(small_bank, small_layout, **changes)
    second.load_state_dict(torch.load(file, weights_only=True))
    got += run(second, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert got == expected
    assert second.done
    assert_same_bits(second, whole)


def test_the_seed_decides_everything(small_bank: ClipBank, small_layout: SkeletonLayout):
    one, same, other = (started(small_bank, small_layout, seed) for seed in (0, 0, 1))
    start = (bits_of.contrast.state_dict() for bits_of in (one, other))
    mine, theirs = start
    for name, value in mine.items():
        if "weight" in name and "norm" not in name:
            assert not torch.equal(value, theirs[name]), name
    metrics = [run(training, 2) for training in (one, same, other)]
    assert metrics[0] == metrics[1] != metrics[2]
    assert_same_bits(one, same)


def test_every_epoch_has_its_own_draws(small_bank: ClipBank, small_layout: SkeletonLayout):
    """Without learning nor moving averages, losses still differ between epochs."""
    still = {"contrast": {**TREE["contrast"], "momentum": 1.0, "queue": 1}}
    training = started(
        small_bank, small_layout, **still, optimiser={"lr": 1e-30, "weight_decay": 0}
    )
    losses = [loss for _, loss, _, _ in run(training, 3)]
    assert len(set(losses)) == 3


class Spy(ClipBank):
    """Remembers which clips each view was made of."""

    seen: list[list[int]]

    def resized_bodies(
        self, clips: Tensor, start: Tensor, length: Tensor, size: int
    ) -> tuple[Tensor, Tensor]:
        self.seen.append(clips.tolist())
        return super().resized_bodies(clips, start, length, size)


def test_an_epoch_sees_each_training_clip_once_in_a_new_order(
    small_bank: ClipBank, small_layout: SkeletonLayout
):
    spy = Spy.__new__(Spy)
    spy.__dict__.update(small_bank.__dict__)
    spy.seen = []
    clips = np.arange(3, 23)
    config = PretrainConfig.model_validate(TREE)
    training = Pretraining(spy, clips, small_layout, config, 0)
    assert training.steps_per_epoch == 3
    run(training, 2)
    queries, keys = spy.seen[::2], spy.seen[1::2]
    assert queries == keys
    epochs = [sum(queries[:3], []), sum(queries[3:], [])]  # noqa: RUF017
    for epoch in epochs:
        assert len(set(epoch)) == len(epoch) == 18
        assert set(epoch) <= set(clips.tolist())
    assert epochs[0] != epochs[1]
    assert epochs[0] != sorted(epochs[0])


def test_the_learning_rate_follows_the_schedule(small_bank: ClipBank, small_layout: SkeletonLayout):
    training = started(small_bank, small_layout)
    assert not training.done
    rates = [lr for *_, lr in run(training, 4)]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005])
    assert training.done


def test_a_step_uses_the_epochs_rate(small_bank: ClipBank, small_layout: SkeletonLayout):
    """After the milestones the rate is so small that nothing moves."""
    training = started(
        small_bank,
        small_layout,
        optimiser={"lr": 1e-2, "milestones": tuple(range(1, 40)), "weight_decay": 0.0},
    )
    training.run_epoch()
    training.epoch = 3
    expected = training.config.optimiser.lr_at(3, 4)
    before = [p.detach().clone() for p in training.contrast.query_parameters()]
    training.run_epoch()
    moved = max(
        float((p.detach() - q).abs().max())
        for p, q in zip(training.contrast.query_parameters(), before, strict=True)
    )
    assert 0 < moved < 100 * expected


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_each_representation_trains_at_its_own_rate(
    small_bank: ClipBank, small_layout: SkeletonLayout, name: str
):
    """One stands still at a rate of next to nothing, and the other moves; alike they are as one."""

    def trained(lr: object, *names: str) -> Pretraining:
        optimiser = {"name": name, "lr": lr, "weight_decay": 0.0}
        training = started(
            small_bank, small_layout, representations=names, optimiser=optimiser, epochs=1
        )
        (metrics,) = run(training, 1)
        assert metrics[-1] == 0.05  # the highest
        return training

    start = started(small_bank, small_layout, representations=("img", "seq"))
    training = trained({"img": 1e-12, "seq": 0.05}, "img", "seq")
    moved = {
        each: max(
            float((p.detach() - q.detach()).abs().max())
            for p, q in zip(
                training.contrast.query_parameters(each),
                start.contrast.query_parameters(each),
                strict=True,
            )
        )
        for each in ("img", "seq")
    }
    assert moved["img"] < 1e-6
    assert moved["seq"] > 1e-3
    assert_same_bits(trained({"img": 0.05, "seq": 0.05}, "img"), trained(0.05, "img"))


@pytest.mark.parametrize("names", [("stg",), ("img", "seq")], ids="+".join)
def test_the_loss_decreases(
    small_bank: ClipBank, small_layout: SkeletonLayout, names: tuple[str, ...]
):
    training = started(
        small_bank,
        small_layout,
        representations=names,
        epochs=16,
        augment={"use": ()},
        contrast={**TREE["contrast"], "queue": 12},
        encoders={**TREE["encoders"], "img": {"channels": 4, "cooccurrence": 16, "dropout": 0}},
        optimiser={"name": "adamw", "lr": 0.005, "schedule": "cosine"},
    )
    losses = [loss for _, loss, _, _ in run(training, 16)]
    assert np.mean(losses[-3:]) < 0.85 * np.mean(losses[:3])


def test_a_batch_larger_than_the_data_is_the_users_mistake(
    small_bank: ClipBank, small_layout: SkeletonLayout
):
    with pytest.raises(UserError, match=r"batch 25 .* 24 training clips"):
        started(small_bank, small_layout, batch=25)
    assert started(small_bank, small_layout, batch=24).steps_per_epoch == 1


def test_a_loss_that_is_not_finite_ends_the_training(
    small_bank: ClipBank, small_layout: SkeletonLayout
):
    training = started(small_bank, small_layout)
    with torch.no_grad():
        next(iter(training.contrast.query_parameters())).fill_(math.nan)
    with pytest.raises(FloatingPointError, match="epoch 0"):
        training.run_epoch()


def test_a_run_trains_what_is_left_and_shows_that_it_is_alive(
    small_bank: ClipBank, small_layout: SkeletonLayout, capsys: pytest.CaptureFixture[str]
):
    whole, shown = (started(small_bank, small_layout) for _ in range(2))
    expected = run(whole, 4)
    shown.run_epoch()
    metrics = shown.run(progress=True)
    assert [(m.epoch, m.loss, m.top1, m.lr) for m in metrics] == expected[1:]
    assert_same_bits(whole, shown)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [f"epoch {n}/4" for n in (2, 3, 4)]
    assert f"loss {expected[-1][1]:.3f}" in lines[-1]
    assert shown.run(progress=True) == []
    quiet = started(small_bank, small_layout)
    quiet.run()
    assert capsys.readouterr().out == ""


def test_a_terminal_has_a_bar():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=140)
    metrics = EpochMetrics(epoch=1, loss=2.5, top1=0.25, lr=0.1, samples_per_s=80.0, seconds=1.0)
    with shown(4, done=1, console=console) as show:
        show(metrics)
    assert "2/4" in file.getvalue()
    assert "loss 2.500  contrast top-1 25.0 %  80 clips/s" in file.getvalue()
