import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skelcon import augment
from skelcon.data import ClipBank, SkeletonLayout
from skelcon.downstream import (
    EvaluationResult,
    Inputs,
    LinearConfig,
    RetrievalConfig,
    extract,
    retrieval,
)
from skelcon.downstream.linear import SGDEvaluation
from skelcon.downstream.tasks import completed
from skelcon.encoders import (
    REPRESENTATIONS,
    AGCNConfig,
    BiGRUConfig,
    Encoder,
    EncodersConfig,
    HCNConfig,
)
from skelcon.seeding import generator

FRAMES, CLASSES = 16, 4
SMALL = EncodersConfig(
    img=HCNConfig(channels=2, cooccurrence=16, input_norm=True),
    stg=AGCNConfig(channels=(4,), strides=(2,)),
    seq=BiGRUConfig(hidden=4, layers=1, input_norm=True),
    frames=FRAMES,
    orientation="as_recorded",
)
TRAIN = torch.tensor([21, 0, 3, 6, 1, 4, 9, 12, 15, 7, 10, 18, 13, 16])
TEST = torch.tensor([5, 2, 8, 23, 11, 20, 14, 17])


class Pooled(nn.Module):
    """A parameter-free stand-in for an encoder: some coordinates of body 0, over all frames."""

    orientation = "as_recorded"

    def __init__(self, joints: slice = slice(None), size: int = 60) -> None:
        super().__init__()
        self.joints, self.feature_size = joints, size

    def forward(self, view: Tensor) -> Tensor:
        return view[:, 0, :, self.joints].mean(dim=1).flatten(1)


class Standardised(Pooled):
    """The same with a fixed shift and scale."""

    def __init__(self, shift: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.shift, self.scale = shift, scale

    def forward(self, view: Tensor) -> Tensor:
        return (super().forward(view) - self.shift) * self.scale


def features_of(bank: ClipBank, clips: Tensor, ratio: float) -> np.ndarray:
    return Pooled()(augment.evaluation_view(bank, clips, ratio, FRAMES)).double().numpy()


def encoders_in_training(layout: SkeletonLayout) -> list[Encoder]:
    torch.manual_seed(0)
    return [Encoder(name, SMALL, layout, bodies=2).train() for name in REPRESENTATIONS]


def inputs_of(
    bank: ClipBank,
    encoders: Sequence[nn.Module],
    train: Tensor = TRAIN,
    test: Tensor = TEST,
    seed: int = 0,
) -> Inputs:
    groups = torch.zeros_like(train)
    return Inputs(encoders, bank, train, test, CLASSES, FRAMES, seed, groups)


def linear(
    bank: ClipBank,
    encoders: Sequence[nn.Module],
    train: Tensor = TRAIN,
    test: Tensor = TEST,
    seed: int = 0,
    **options: object,
) -> EvaluationResult:
    config = LinearConfig.model_validate({"epochs": 4, "milestones": (3,), "batch": 5, **options})
    return completed(SGDEvaluation(inputs_of(bank, encoders, train, test, seed), config))


def test_what_is_not_finite_gives_no_number(small_bank: ClipBank, small_layout: SkeletonLayout):
    encoders = encoders_in_training(small_layout)
    with pytest.raises(FloatingPointError, match=r"linear\.lr"):
        linear(small_bank, encoders, lr=1e38)
    with torch.no_grad():
        next(encoders[0].parameters()).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="not finite"):
        linear(small_bank, encoders)
    with pytest.raises(FloatingPointError, match="not finite"):
        retrieval(inputs_of(small_bank, encoders), RetrievalConfig())


@pytest.mark.parametrize("protocol", ["linear", "retrieval"])
def test_a_frozen_encoder_does_not_move(
    small_bank: ClipBank, small_layout: SkeletonLayout, protocol: str
):
    encoders = encoders_in_training(small_layout)
    encoders[1].eval()
    encoders[2].network.gru.eval()
    before = [copy.deepcopy(encoder.state_dict()) for encoder in encoders]
    if protocol == "linear":
        linear(small_bank, encoders)
    else:
        retrieval(inputs_of(small_bank, encoders), RetrievalConfig())
    for encoder, state in zip(encoders, before, strict=True):
        assert any("running" in name for name in state)
        for name, value in encoder.state_dict().items():
            assert torch.equal(value, state[name]), name
        assert all(parameter.grad is None for parameter in encoder.parameters())
    assert [encoder.training for encoder in encoders] == [True, False, True]


def test_features_are_those_of_evaluation_mode_in_order_side_by_side(
    small_bank: ClipBank, small_layout: SkeletonLayout
):
    encoders = encoders_in_training(small_layout)

    def view(clips: Tensor) -> Tensor:
        return augment.evaluation_view(small_bank, clips, 0.95, FRAMES)

    got = extract(encoders, TRAIN, view, batch=4)
    assert not got.requires_grad
    expected = torch.cat([encoder.eval()(view(TRAIN)) for encoder in encoders], dim=1)
    torch.testing.assert_close(got, expected.detach(), atol=1e-5, rtol=1e-5)


def test_an_error_leaves_the_mode_as_it_was(small_layout: SkeletonLayout):
    encoders = encoders_in_training(small_layout)

    def broken(clips: Tensor) -> Tensor:
        raise RuntimeError("no view")

    with pytest.raises(RuntimeError, match="no view"):
        extract(encoders, TRAIN, broken)
    assert all(encoder.training for encoder in encoders)


@pytest.mark.parametrize("protocol", ["linear", "retrieval"])
def test_separable_classes_are_all_recognised(
    posed_bank: ClipBank, small_layout: SkeletonLayout, protocol: str
):
    clips = torch.arange(len(posed_bank.lengths))
    train, test = clips[:24], clips[24:]
    if protocol == "linear":
        result = linear(posed_bank, [Pooled()], train, test, epochs=20, milestones=())
        assert result.metrics["top1_train"] == 1.0
    else:
        result = retrieval(inputs_of(posed_bank, [Pooled()], train, test), RetrievalConfig())
    assert result.metrics["top1"] == 1.0


def assert_aligned(result: EvaluationResult, bank: ClipBank) -> None:
    assert result.clips.tolist() == TEST.tolist()
    assert result.labels.tolist() == [int(bank.labels[i]) for i in TEST]
    assert result.predictions.dtype == np.int64
    hits = np.mean(result.predictions == result.labels)
    assert result.metrics["top1"] == pytest.approx(float(hits))


@pytest.mark.parametrize("ratio", [0.95, 0.5])
def test_retrieval_equals_nearest_neighbour_by_cosine(small_bank: ClipBank, ratio: float):
    gallery, queries = (features_of(small_bank, clips, ratio) for clips in (TRAIN, TEST))
    expected, euclidean = [], []
    for query in queries:
        cosine = [query @ g / np.linalg.norm(query) / np.linalg.norm(g) for g in gallery]
        expected.append(int(small_bank.labels[TRAIN[int(np.argmax(cosine))]]))
        nearest = int(np.argmin(np.linalg.norm(gallery - query, axis=1)))
        euclidean.append(int(small_bank.labels[TRAIN[nearest]]))
    assert expected != euclidean
    config = RetrievalConfig(test_ratio=ratio)
    result = retrieval(inputs_of(small_bank, [Pooled()]), config)
    assert result.predictions.tolist() == expected
    assert_aligned(result, small_bank)


def descent(
    crops: list[np.ndarray], labels: np.ndarray, weight: np.ndarray, config: LinearConfig
) -> tuple[np.ndarray, np.ndarray, float]:
    """Softmax regression by SGD with momentum on all clips at once, in float64."""
    weight, bias = weight.copy(), np.zeros(CLASSES)
    speed_w, speed_b, hits = 0.0, 0.0, 0.0
    for epoch in range(config.epochs):
        lr = config.lr * 0.1 ** sum(epoch >= at for at in config.milestones)
        inputs = crops[epoch % len(crops)]
        logits = inputs @ weight.T + bias
        hits = float((logits.argmax(axis=1) == labels).mean())
        share = np.exp(logits - logits.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        share[np.arange(len(labels)), labels] -= 1
        grad_w = share.T @ inputs / len(labels) + config.weight_decay * weight
        grad_b = share.mean(axis=0) + config.weight_decay * bias
        speed_w = config.momentum * speed_w + grad_w
        speed_b = config.momentum * speed_b + grad_b
        weight, bias = weight - lr * speed_w, bias - lr * speed_b
    return weight, bias, hits


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("epochs", [3, 12])
def test_linear_evaluation_equals_gradient_descent_in_float64(
    small_bank: ClipBank, standardise: bool, epochs: int
):
    """With l_min = 1 every crop is the whole clip, and a batch of all clips has no order."""
    config = LinearConfig(
        epochs=epochs,
        lr=0.5,
        weight_decay=0.01,
        milestones=(2, 8),
        batch=64,
        l_min=1.0,
        standardise=standardise,
    )
    train = features_of(small_bank, TRAIN, 1.0)
    test = features_of(small_bank, TEST, config.test_ratio)
    if standardise:
        shift, scale = train.mean(axis=0), train.std(axis=0, ddof=1)
        train, test = (train - shift) / scale, (test - shift) / scale
    start = torch.randn(CLASSES, 60, generator=generator(7, "linear")).double().numpy() * 0.01
    weight, bias, hits = descent([train], small_bank.labels[TRAIN].numpy(), start, config)
    result = completed(SGDEvaluation(inputs_of(small_bank, [Pooled()], seed=7), config))
    assert result.predictions.tolist() == (test @ weight.T + bias).argmax(axis=1).tolist()
    assert result.metrics["top1_train"] == pytest.approx(hits)
    assert_aligned(result, small_bank)


def test_standardising_equals_an_encoder_that_does_it(small_bank: ClipBank):
    """A constant feature has no influence."""
    options = {"l_min": 1.0, "epochs": 10, "lr": 0.3}
    seen = Pooled()(augment.evaluation_view(small_bank, TRAIN, 1.0, FRAMES))
    by_hand = Standardised(seen.mean(dim=0), 1 / seen.std(dim=0))
    first = linear(small_bank, [Pooled()], standardise=True, **options)
    second = linear(small_bank, [by_hand], **options)
    assert first.predictions.tolist() == second.predictions.tolist()
    for name in ("top1", "top1_train"):  # the neighbours are those of the features as they are
        assert first.metrics[name] == second.metrics[name]

    class Constant(Pooled):
        def forward(self, view: Tensor) -> Tensor:
            return torch.full((len(view), self.feature_size), 3.0)

    result = linear(small_bank, [Constant()], standardise=True, **options)
    assert len(set(result.predictions.tolist())) == 1


@pytest.mark.parametrize("crops", [None, 1, 3])
def test_crops_are_taken_in_turn(small_bank: ClipBank, crops: int | None):
    """A fresh random crop of each clip each epoch, or so many that are kept."""
    seen = []

    class Spy(Pooled):
        def forward(self, view: Tensor) -> Tensor:
            seen.append(view.clone())
            return super().forward(view)

    config = LinearConfig(epochs=5, crops=crops, lr=0.3, milestones=())
    result = completed(SGDEvaluation(inputs_of(small_bank, [Spy()], seed=7), config))
    trained, tested, gallery = seen[:-2], *seen[-2:]
    assert len(trained) == (crops or 5)
    assert all(len(view) == len(TRAIN) for view in trained)
    for i, view in enumerate(trained):
        assert not any(torch.equal(view, other) for other in trained[:i])
    assert torch.equal(tested, augment.evaluation_view(small_bank, TEST, 0.95, FRAMES))
    assert torch.equal(gallery, augment.evaluation_view(small_bank, TRAIN, 0.95, FRAMES))
    features = [Pooled()(view).double().numpy() for view in trained]
    start = torch.randn(CLASSES, 60, generator=generator(7, "linear")).double().numpy() * 0.01
    weight, bias, hits = descent(features, small_bank.labels[TRAIN].numpy(), start, config)
    logits = features_of(small_bank, TEST, 0.95) @ weight.T + bias
    assert result.predictions.tolist() == logits.argmax(axis=1).tolist()
    assert result.metrics["top1_train"] == pytest.approx(hits)


def test_the_seed_decides_a_linear_evaluation(small_bank: ClipBank, small_layout: SkeletonLayout):
    encoders = encoders_in_training(small_layout)
    seen: list[list[Tensor]] = []

    class Spy(Pooled):
        def forward(self, view: Tensor) -> Tensor:
            seen[-1].append(view.clone())
            return super().forward(view)

    results = []
    for seed in (0, 0, 1):
        seen.append([])
        torch.manual_seed(len(seen))
        results.append(linear(small_bank, [*encoders, Spy()], seed=seed, epochs=2))
    same = [all(map(torch.equal, seen[0], other)) for other in seen[1:]]
    assert same == [True, False]
    assert results[0].predictions.tolist() == results[1].predictions.tolist()
    assert results[0].metrics == results[1].metrics


def test_linear_evaluation_leaves_the_global_generator_alone(small_bank: ClipBank):
    before = torch.get_rng_state()
    linear(small_bank, [Pooled()])
    assert torch.equal(torch.get_rng_state(), before)


def test_several_encoders_stand_side_by_side(small_bank: ClipBank):
    """Two halves of the joints give what all joints give."""
    halves = [Pooled(slice(0, 10), 30), Pooled(slice(10, 20), 30)]
    whole = retrieval(inputs_of(small_bank, [Pooled()]), RetrievalConfig())
    parts = retrieval(inputs_of(small_bank, halves), RetrievalConfig())
    assert parts.predictions.tolist() == whole.predictions.tolist()
    options = {"epochs": 6, "lr": 0.3}
    assert (
        linear(small_bank, halves, **options).predictions.tolist()
        == linear(small_bank, [Pooled()], **options).predictions.tolist()
    )
