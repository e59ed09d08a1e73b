import copy
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from adam_reference import adam_in_float64
from torch import Tensor, nn

from skelcon import augment
from skelcon.data import ClipBank, SkeletonLayout
from skelcon.downstream import FinetuneConfig, Finetuning, Inputs, labelled_subset
from skelcon.encoders import BiGRUConfig, Encoder, EncodersConfig, HCNConfig, Representation

FRAMES, CLASSES = 16, 4
SMALL = EncodersConfig(
    img=HCNConfig(channels=2, cooccurrence=16, dropout=0.5, batch_norm=True),
    seq=BiGRUConfig(hidden=4, layers=1, input_norm=True),
    frames=FRAMES,
    orientation="as_recorded",
)
TRAIN = torch.tensor([21, 0, 3, 6, 1, 4, 9, 12, 15, 7, 10, 18, 13, 16])
TEST = torch.tensor([5, 2, 8, 23, 11, 20, 14, 17])


class Projected(nn.Module):
    """A small encoder that numpy can follow: body 0, the mean over all frames, a linear map."""

    def __init__(self, size: int = 5) -> None:
        super().__init__()
        self.orientation = "as_recorded"
        self.linear, self.feature_size = nn.Linear(60, size), size

    def forward(self, view: Tensor) -> Tensor:
        return self.linear(view[:, 0].mean(dim=1).flatten(1))


class Spy(ClipBank):
    """Remembers which clips each view was made of."""

    seen: list[list[int]]

    @staticmethod
    def on(bank: ClipBank) -> "Spy":
        spy = Spy.__new__(Spy)
        spy.__dict__.update(bank.__dict__)
        spy.seen = []
        return spy

    def resized(self, clips: Tensor, start: Tensor, length: Tensor, size: int) -> Tensor:
        self.seen.append(clips.tolist())
        return super().resized(clips, start, length, size)


def encoders_of(
    layout: SkeletonLayout, *names: Representation, bodies: int = 2, seed: int = 0
) -> list[Encoder]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [Encoder(name, SMALL, layout, bodies) for name in names]


def started(
    bank: ClipBank,
    encoders: Sequence[nn.Module],
    train: Tensor = TRAIN,
    test: Tensor = TEST,
    seed: int = 0,
    **options: object,
) -> Finetuning:
    tree = {"epochs": 3, "lr": 0.01, "milestones": (2,), "batch": 5, **options}
    config = FinetuneConfig.model_validate(tree)
    groups = torch.zeros_like(train)
    inputs = Inputs(encoders, bank, train, test, CLASSES, FRAMES, seed, groups)
    return Finetuning(inputs, config)


def run(training: Finetuning, epochs: int | None = None) -> list[tuple[int, float, float, float]]:
    left = training.epochs - training.epoch
    metrics = [training.run_epoch() for _ in range(left if epochs is None else epochs)]
    return [(m.epoch, m.loss, m.top1, m.lr) for m in metrics]


def bits(training: Finetuning) -> list[tuple[str, Tensor]]:
    """Every tensor of the state, by the path to it."""

    def walk(value: Any, path: str) -> list[tuple[str, Tensor]]:
        if isinstance(value, Tensor):
            return [(path, value)]
        if isinstance(value, dict):
            return [found for key in value for found in walk(value[key], f"{path}.{key}")]
        if isinstance(value, list):
            return [found for at, one in enumerate(value) for found in walk(one, f"{path}.{at}")]
        return [(path, torch.tensor(float(value)))] if isinstance(value, int | float) else []

    return walk(training.state_dict(), "state")


def assert_same_bits(one: Finetuning, other: Finetuning) -> None:
    mine, theirs = bits(one), bits(other)
    assert [name for name, _ in mine] == [name for name, _ in theirs]
    for (name, value), (_, expected) in zip(mine, theirs, strict=True):
        assert torch.equal(value, expected), name


# -- what is computed ---------------------------------------------------------------------


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_finetuning_equals_adam_on_both_in_float64(small_bank: ClipBank, weight_decay: float):
    """With l_min = 1 every crop is the whole clip, and a batch of all clips has no order."""
    torch.manual_seed(0)
    encoder = Projected()
    options = {"epochs": 12, "lr": 0.02, "milestones": (5, 9), "weight_decay": weight_decay}
    training = started(small_bank, [encoder], batch=64, l_min=1.0, test_ratio=0.8, **options)

    def seen(clips: Tensor, ratio: float) -> np.ndarray:
        view = augment.evaluation_view(small_bank, clips, ratio, FRAMES)
        return view[:, 0].double().mean(dim=1).flatten(1).numpy()

    parameters = [*encoder.parameters(), *training.classifier.parameters()]
    start = [parameter.detach().double().numpy() for parameter in parameters]
    expected, losses, hits = adam_in_float64(
        seen(TRAIN, 1.0),
        small_bank.labels[TRAIN].numpy(),
        start,
        training.config,
    )
    got = run(training)
    end = [*training.encoders[0].parameters(), *training.classifier.parameters()]
    for parameter, value, before in zip(end, expected, start, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy(), value, atol=1e-4)
        assert np.abs(value - before).max() > 0.02
    assert [loss for _, loss, _, _ in got] == pytest.approx(losses, abs=1e-4)
    assert losses[-1] < 0.9 * losses[0]
    A, a, W, b = expected
    logits = (seen(TEST, 0.8) @ A.T + a) @ W.T + b
    result = training.result()
    assert result.predictions.tolist() == logits.argmax(axis=1).tolist()
    log_sum = np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(result.scores, logits - log_sum, rtol=1e-3, atol=1e-3)
    assert result.metrics["top1_train"] == pytest.approx(hits)
    assert result.metrics["labelled"] == len(TRAIN)


def test_a_pretrained_encoder_learns_separable_classes(
    posed_bank: ClipBank, small_layout: SkeletonLayout
):
    clips = torch.arange(len(posed_bank.lengths))
    encoders = encoders_of(small_layout, "seq", "img")
    training = started(posed_bank, encoders, clips[:24], clips[24:], epochs=25, milestones=())
    losses = [loss for _, loss, _, _ in run(training)]
    assert losses[0] == pytest.approx(math.log(CLASSES), rel=0.5)
    assert training.result().metrics["top1"] == 1.0


def test_the_learning_rate_follows_the_schedule_in_each_subset(small_bank: ClipBank):
    training = started(small_bank, [Projected()], subsets=2, milestones=(1, 2))
    rates = [lr for *_, lr in run(training)]
    assert rates == pytest.approx([1e-2, 1e-3, 1e-4] * 2)


def test_the_defaults_are_the_papers():
    config = FinetuneConfig()
    rates = [config.lr_at(epoch) for epoch in range(config.epochs)]
    assert rates == pytest.approx([1e-4] * 30 + [1e-5] * 10 + [1e-6] * 10)


def test_half_precision_trains_similarly(small_bank: ClipBank, small_layout: SkeletonLayout):
    full, half = (
        run(started(small_bank, encoders_of(small_layout, "seq"), precision=precision))
        for precision in ("fp32", "bf16")
    )
    losses = [[loss for _, loss, _, _ in metrics] for metrics in (full, half)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


# -- what is seen -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clips", "sizes"), [(14, [5, 5, 4]), (11, [5, 5]), (10, [5, 5]), (3, [3]), (1, [1])]
)
def test_an_epoch_sees_each_clip_once_and_no_batch_of_one(
    small_bank: ClipBank, clips: int, sizes: list[int]
):
    spy = Spy.on(small_bank)
    training = started(spy, [Projected()], TRAIN[:clips], epochs=9)
    run(training, 2)
    epochs = spy.seen[: len(sizes)], spy.seen[len(sizes) :]
    for batches in epochs:
        assert [len(batch) for batch in batches] == sizes
        flat = [clip for batch in batches for clip in batch]
        assert len(set(flat)) == len(flat) == sum(sizes)
        assert set(flat) <= set(TRAIN[:clips].tolist())
    assert clips < 5 or epochs[0] != epochs[1]


def test_batches_of_one_are_used_if_configured(small_bank: ClipBank):
    spy = Spy.on(small_bank)
    run(started(spy, [Projected()], batch=1), 1)
    assert [len(batch) for batch in spy.seen] == [1] * len(TRAIN)


def test_the_subset_depends_on_seed_and_number_alone(
    small_bank: ClipBank, small_layout: SkeletonLayout
):
    """Whatever is trained on it, and however."""

    def seen(encoders: Sequence[nn.Module], **options: Any) -> list[set[int]]:
        spy = Spy.on(small_bank)
        training = started(spy, encoders, labels=0.5, subsets=3, epochs=1, **options)
        found = []
        while not training.done:
            spy.seen.clear()
            training.run_epoch()
            found.append({clip for clips in spy.seen for clip in clips} - set(TEST.tolist()))
        return found

    first = seen([Projected()], batch=64)
    assert first == seen(encoders_of(small_layout, "img"), batch=4, l_min=0.9, lr=1e-3)
    assert len({frozenset(subset) for subset in first}) > 1
    assert first != seen([Projected()], batch=64, seed=1)
    labels = small_bank.labels[TRAIN]
    for number, subset in enumerate(first):
        assert subset == set(TRAIN[labelled_subset(labels, 0.5, 0, number)].tolist())


def test_the_test_side_has_no_influence(small_bank: ClipBank, small_layout: SkeletonLayout):
    """Neither its labels nor its clips: the same predictions, and the same weights."""
    other = Spy.on(small_bank)
    other.labels = small_bank.labels.clone()
    other.labels[TEST] = (other.labels[TEST] + 1) % CLASSES
    one = started(small_bank, encoders_of(small_layout, "seq"))
    two = started(other, encoders_of(small_layout, "seq"))
    fewer = started(small_bank, encoders_of(small_layout, "seq"), test=TEST[:3])
    metrics = [run(training) for training in (one, two, fewer)]
    assert metrics[0] == metrics[1] == metrics[2]
    assert_same_bits(one, two)
    for name, value in one.encoders[0].state_dict().items():
        assert torch.equal(value, fewer.encoders[0].state_dict()[name]), name
    results = [training.result() for training in (one, two, fewer)]
    assert results[0].labels.tolist() != results[1].labels.tolist()
    assert results[2].predictions.tolist() == results[0].predictions[:3].tolist()


# -- what is kept -------------------------------------------------------------------------


def test_the_given_encoders_stay_as_they_are(small_bank: ClipBank, small_layout: SkeletonLayout):
    given_ = [encoder.eval().requires_grad_(False) for encoder in encoders_of(small_layout, "seq")]
    before = [copy.deepcopy(encoder.state_dict()) for encoder in given_]
    training = started(small_bank, given_)
    run(training)
    for encoder, state, trained in zip(given_, before, training.encoders, strict=True):
        after = trained.state_dict()
        for name, value in encoder.state_dict().items():
            assert torch.equal(value, state[name]), name
            assert not torch.equal(after[name], state[name]), name
        assert not encoder.training
        assert not any(p.requires_grad or p.grad is not None for p in encoder.parameters())


def test_each_subset_starts_from_the_given_weights(
    small_bank: ClipBank, small_layout: SkeletonLayout
):
    (encoder,) = encoders_of(small_layout, "seq")
    training = started(small_bank, [encoder], subsets=2)
    first = copy.deepcopy(training.classifier.state_dict())
    run(training, 2)
    assert not torch.equal(training.classifier.weight, first["weight"])
    run(training, 1)
    for name, value in training.encoders[0].state_dict().items():
        assert torch.equal(value, encoder.state_dict()[name]), name
    assert training.state_dict()["optimiser"]["state"] == {}
    assert not training.classifier.bias.any()
    assert not torch.equal(training.classifier.weight, first["weight"])
    again = started(small_bank, [encoder], subsets=1)
    assert torch.equal(again.classifier.weight, first["weight"])


@pytest.mark.parametrize("at", [0, 1, 3, 4, 6])
def test_an_interrupted_finetuning_gives_the_same_bits(
    small_bank: ClipBank, small_layout: SkeletonLayout, at: int
):
    """Within a subset, between two, and at the end; dropout and statistics included."""
    options = {"subsets": 2, "labels": 0.6}
    torch.manual_seed(1)
    whole = started(small_bank, encoders_of(small_layout, "img", "seq"), **options)
    expected = run(whole)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    first = started(small_bank, encoders_of(small_layout, "img", "seq"), **options)
    got = run(first, at)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = started(small_bank, encoders_of(small_layout, "img", "seq"), **options)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert second.done == (at == 6)
    got += run(second)
    assert torch.equal(torch.get_rng_state(), before)
    assert got == expected
    assert second.done
    assert_same_bits(second, whole)
    results = second.result(), whole.result()
    assert results[0].metrics == results[1].metrics
    assert np.array_equal(results[0].predictions, results[1].predictions)


def test_the_seed_decides_everything(small_bank: ClipBank, small_layout: SkeletonLayout):
    one, same, other = (
        started(small_bank, encoders_of(small_layout, "img"), seed=seed) for seed in (0, 0, 1)
    )
    assert not torch.equal(one.classifier.weight, other.classifier.weight)
    metrics = [run(training) for training in (one, same, other)]
    assert metrics[0] == metrics[1] != metrics[2]
    assert_same_bits(one, same)


def test_dropout_differs_between_epochs(small_bank: ClipBank):
    """Whatever the state of the global generator."""
    drawn: list[float] = []

    class Noisy(Projected):
        def forward(self, view: Tensor) -> Tensor:
            if self.training:
                drawn.append(float(torch.rand(())))
            return super().forward(view)

    training = started(small_bank, [Noisy()], batch=64, subsets=2)
    for _ in range(training.epochs):
        torch.manual_seed(0)
        training.run_epoch()
    assert len(drawn) == len(set(drawn)) == 6


# -- what is reported ---------------------------------------------------------------------


@pytest.mark.parametrize("subsets", [1, 3])
def test_the_result_is_the_mean_over_subsets(small_bank: ClipBank, subsets: int):
    training = started(small_bank, [Projected()], subsets=subsets, labels=0.5, epochs=2)
    assert training.epochs == 2 * subsets
    last = [top1 for epoch, _, top1, _ in run(training) if epoch % 2]
    result = training.result()
    assert result.clips.tolist() == TEST.tolist()
    assert result.labels.tolist() == small_bank.labels[TEST].tolist()
    assert result.predictions.shape == ((len(TEST),) if subsets == 1 else (subsets, len(TEST)))
    assert result.predictions.dtype == np.int64
    assert result.scores.shape == (*result.predictions.shape, CLASSES)
    assert result.scores.argmax(axis=-1).tolist() == result.predictions.tolist()
    top1 = np.atleast_2d(result.predictions == result.labels).mean(axis=1)
    labels = small_bank.labels[TRAIN].tolist()
    expected = {
        "top1": top1.mean(),
        "top1_train": np.mean(last),
        "labelled": sum(max(1, round(0.5 * labels.count(label))) for label in set(labels)),
    }
    if subsets > 1:
        assert len(set(top1)) > 1
        expected["top1_std"] = np.std(top1, ddof=1)
    assert result.metrics == pytest.approx(expected)


def test_there_is_no_result_before_the_end(small_bank: ClipBank):
    training = started(small_bank, [Projected()], subsets=2)
    run(training, 4)
    assert not training.done
    with pytest.raises(RuntimeError, match="2 of 6 epochs are left"):
        training.result()


def test_a_loss_that_is_not_finite_ends_the_training(small_bank: ClipBank):
    training = started(small_bank, [Projected()])
    run(training, 1)
    with torch.no_grad():
        training.classifier.bias.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="epoch 1"):
        training.run_epoch()
