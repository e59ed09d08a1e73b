"""Batch-norm statistics of random weights: those of a pass over the clips."""

from collections import Counter, defaultdict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skelcon.augment import training_view
from skelcon.data import ClipBank, SkeletonLayout
from skelcon.downstream import calibrate
from skelcon.downstream.calibration import CROP
from skelcon.encoders import AGCNConfig, BiGRUConfig, Encoder, EncodersConfig, HCNConfig
from skelcon.seeding import generator

FRAMES = 16
CLIPS = torch.arange(3, 21)
CONFIG = EncodersConfig(
    img=HCNConfig(channels=2, cooccurrence=16, batch_norm=True, input_norm=True),
    stg=AGCNConfig(channels=(4, 8), strides=(2, 1)),
    seq=BiGRUConfig(hidden=4, layers=1, input_norm=True),
    frames=FRAMES,
)
PLAIN = EncodersConfig(
    img=HCNConfig(channels=2, cooccurrence=16), seq=BiGRUConfig(hidden=4, layers=1), frames=FRAMES
)


def new(name: str, layout: SkeletonLayout, config: EncodersConfig = CONFIG) -> Encoder:
    torch.manual_seed(0)
    return Encoder(name, config, layout, bodies=2)


def crops(bank: ClipBank, seed: int) -> Tensor:
    """One crop of each clip, as it is drawn."""
    draws = generator(seed, "calibration")
    order = torch.randperm(len(CLIPS), generator=draws)
    return training_view(bank, CLIPS[order], CROP, FRAMES, draws)


def every_row(rows: Tensor, counts: Tensor | None = None) -> Tensor:
    """Rows that stand for several, as often as that."""
    return rows if counts is None else rows.repeat_interleave(counts.long(), dim=0)


@pytest.mark.parametrize("name", ["img", "stg", "seq"])
@pytest.mark.parametrize("batch", [256, 7])
def test_the_statistics_are_those_of_a_pass_over_the_clips(
    small_bank: ClipBank,
    small_layout: SkeletonLayout,
    name: str,
    batch: int,
    monkeypatch: pytest.MonkeyPatch,
):
    """In float64, of what each batch norm is given when all of them are in evaluation mode."""
    monkeypatch.setattr("skelcon.downstream.calibration.BATCH", batch)
    encoder = new(name, small_layout)
    weights = [parameter.clone() for parameter in encoder.parameters()]
    calibrate(encoder, small_bank, CLIPS, seed=5)
    assert encoder.training
    for before, after in zip(weights, encoder.parameters(), strict=True):
        assert torch.equal(before, after)
    view = crops(small_bank, 5)
    if batch == 7:  # other batches draw other crops
        draws = generator(5, "calibration")
        order = torch.randperm(len(CLIPS), generator=draws)
        parts = torch.split(CLIPS[order], 7)
        view = torch.cat([training_view(small_bank, p, CROP, FRAMES, draws) for p in parts])
    given: dict[nn.Module, list[np.ndarray]] = defaultdict(list)
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        norm.register_forward_pre_hook(
            lambda norm, inputs: given[norm].append(every_row(*inputs).double().numpy())
        )
    with torch.no_grad():
        encoder.eval()(view)
    for norm in norms:
        (values,) = given[norm]
        rows = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        np.testing.assert_allclose(norm.running_mean, rows.mean(axis=1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(norm.running_var, rows.var(axis=1, ddof=1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["img", "stg"])
def test_a_pass_ends_at_the_batch_norm_that_is_estimated(
    small_bank: ClipBank, small_layout: SkeletonLayout, name: str
) -> None:
    """What follows it does not count, and takes time."""
    encoder = new(name, small_layout)
    norms = [m for m in encoder.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    passed: Counter[nn.Module] = Counter()
    for norm in norms:
        norm.register_forward_pre_hook(lambda norm, _: passed.update([norm]))
    calibrate(encoder, small_bank, CLIPS, seed=5)
    # In the first pass, in the pass that estimates it, and in those for the norms behind it.
    assert sorted(passed.values()) == [number + 2 for number in range(len(norms))]


def test_the_seed_decides_and_nothing_else(small_bank: ClipBank, small_layout: SkeletonLayout):
    states = []
    for seed in (0, 0, 1):
        encoder = new("stg", small_layout).eval()
        torch.manual_seed(len(states))
        calibrate(encoder, small_bank, CLIPS, seed)
        assert not encoder.training
        states.append(encoder.state_dict())
    first, second, third = (state["network.norm.norm.running_mean"] for state in states)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_of_many_clips_a_random_part_is_used(
    small_bank: ClipBank, small_layout: SkeletonLayout, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("skelcon.downstream.calibration.CLIPS", 5)
    encoder, expected = new("seq", small_layout), new("seq", small_layout)
    calibrate(encoder, small_bank, CLIPS, seed=2)
    order = torch.randperm(len(CLIPS), generator=generator(2, "calibration"))
    seen = 0

    class Spy(ClipBank):
        def __init__(self) -> None:
            self.__dict__.update(vars(small_bank))

        def resized(self, clips: Tensor, *rest: object) -> Tensor:
            nonlocal seen
            seen = max(seen, len(clips))
            assert set(clips.tolist()) <= set(CLIPS[order[:5]].tolist())
            return super().resized(clips, *rest)

    calibrate(expected, Spy(), CLIPS, seed=2)
    assert seen == 5
    for one, other in zip(
        encoder.state_dict().values(), expected.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["img", "seq", "coordinates"])
def test_without_batch_norm_nothing_changes(
    small_bank: ClipBank, small_layout: SkeletonLayout, name: str
):
    encoder = new(name, small_layout, PLAIN)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    calibrate(encoder, small_bank, CLIPS, seed=0)
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, before[key])


def test_coordinates_are_the_view_itself(small_bank: ClipBank, small_layout: SkeletonLayout):
    encoder = new("coordinates", small_layout)
    view = crops(small_bank, 0)
    features = encoder(view)
    assert features.shape == (len(view), encoder.feature_size)
    assert sorted(features[3].tolist()) == sorted(view[3].flatten().tolist())
    assert list(encoder.parameters()) == []
    assert CONFIG.resolved(("coordinates",)) == CONFIG.resolved(())
