import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from skelcon import augment
from skelcon.augment import AugmentConfig, CropConfig, augmented_view
from skelcon.augment.temporal import centre_crop, random_crop
from skelcon.data import ClipBank

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True)
POSITION_ROUNDING = 1e-4  # positions are float32, and values differ by up to 6 between frames


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def resize(clip: np.ndarray, start: int, length: int, size: int) -> np.ndarray:
    """Linear interpolation between half-pixel centres, a frame at a time, in float64."""
    crop = clip[:, start : start + length].astype(np.float64)
    frames = []
    for i in range(size):
        at = min(max((i + 0.5) * length / size - 0.5, 0.0), length - 1.0)
        low = int(at)
        high = min(low + 1, length - 1)
        frames.append((1 - (at - low)) * crop[:, low] + (at - low) * crop[:, high])
    return np.stack(frames, axis=1)


def interpolated(clip: np.ndarray, start: int, length: int, size: int) -> torch.Tensor:
    M, _, V, C = clip.shape
    crop = torch.from_numpy(clip[:, start : start + length]).permute(0, 2, 3, 1).flatten(1, 2)
    out = functional.interpolate(crop, size=size, mode="linear", align_corners=False)
    return out.view(M, V, C, size).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", [16, 64])
def test_without_a_crop_the_whole_clip_is_resized(
    bank: ClipBank, clips: list[np.ndarray], size: int
):
    order = torch.arange(len(clips)).flip(0)
    view = augmented_view(bank, order, AugmentConfig(use=()), size, generator())
    assert view.shape == (len(clips), 2, size, bank.num_joints, 3)
    assert view.dtype == torch.float32
    for got, i in zip(view, order.tolist(), strict=True):
        expected = resize(clips[i], 0, clips[i].shape[1], size)
        np.testing.assert_allclose(got, expected, atol=POSITION_ROUNDING)


@PROPERTY
@given(
    picks=st.lists(
        st.tuples(st.integers(0, 23), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4
    ),
    size=st.integers(1, 80),
)
def test_resized_equals_both_references(
    bank: ClipBank, clips: list[np.ndarray], picks: list[tuple[int, float, float]], size: int
):
    which = [i for i, _, _ in picks]
    crops = []
    for i, ratio, place in picks:
        length = max(1, round(ratio * clips[i].shape[1]))
        crops.append((round(place * (clips[i].shape[1] - length)), length))
    start, length = torch.tensor(crops).T
    view = bank.resized(torch.tensor(which), start, length, size)
    for got, i, crop in zip(view, which, crops, strict=True):
        np.testing.assert_allclose(got, resize(clips[i], *crop, size), atol=POSITION_ROUNDING)
        torch.testing.assert_close(
            got, interpolated(clips[i], *crop, size), atol=POSITION_ROUNDING, rtol=0
        )


def test_a_clip_of_the_views_own_length_is_left_as_it_is(bank: ClipBank, clips: list[np.ndarray]):
    i = next(i for i, clip in enumerate(clips) if clip.shape[1] == 64)
    view = bank.resized(torch.tensor([i]), torch.tensor([0]), torch.tensor([64]), 64)
    assert np.array_equal(view[0].numpy(), clips[i])


@PROPERTY
@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=20),
    l_min=st.floats(0.01, 1.0),
    min_frames=st.integers(1, 200),
    seed=st.integers(0, 2**32),
)
def test_random_crops_keep_their_bounds(
    lengths: list[int], l_min: float, min_frames: int, seed: int
):
    T = torch.tensor(lengths)
    config = CropConfig(l_min=l_min, min_frames=min_frames)
    start, length = random_crop(T, config, generator(seed))
    assert start.dtype == length.dtype == torch.int64
    assert (start >= 0).all()
    assert (length >= 1).all()
    assert (start + length <= T).all()
    assert (length >= T.clamp(max=min_frames)).all()
    assert (length >= (T.double() * l_min * (1 - 1e-6)).long()).all()


def test_random_crops_reach_every_length_and_start_evenly():
    start, length = random_crop(torch.full((60_000,), 10), CropConfig(l_min=0.5), generator())
    counts = torch.bincount(length, minlength=11)
    assert counts[:5].sum() == 0
    # ratio 1 itself has no measure, so five lengths share the draws
    assert (counts[5:10] > 0.9 * 60_000 / 5).all()
    for frames in range(5, 10):
        starts = torch.bincount(start[length == frames])
        assert len(starts) == 10 - frames + 1
        assert (starts > 0.85 * starts.sum() / len(starts)).all()


def test_a_ratio_of_one_takes_the_whole_clip():
    T = torch.arange(1, 400)
    start, length = random_crop(T, CropConfig(l_min=1.0), generator())
    assert torch.equal(length, T)
    assert not start.any()


def test_the_authors_floor_of_64_frames():
    T = torch.tensor([10, 63, 64, 65, 300]).repeat(500)
    start, length = random_crop(T, CropConfig(l_min=0.1, min_frames=64), generator())
    assert torch.equal(length[T <= 64], T[T <= 64])
    assert length[T == 65].min() == 64
    assert length[T == 300].min() == 64
    assert start[T == 65].unique().tolist() == [0, 1]


@PROPERTY
@given(lengths=st.lists(st.integers(1, 500), min_size=1, max_size=20), ratio=st.floats(0.01, 1.0))
def test_centre_crop_drops_the_same_margin_at_both_ends(lengths: list[int], ratio: float):
    start, length = centre_crop(torch.tensor(lengths), ratio)
    for T, begin, frames in zip(lengths, start.tolist(), length.tolist(), strict=True):
        margin = int((1 - ratio) * T / 2)
        assert (begin, T - begin - frames) == (margin, margin)
        assert frames >= 1


def test_the_view_of_an_evaluation_is_the_resized_centre(bank: ClipBank, clips: list[np.ndarray]):
    view = augment.evaluation_view(bank, torch.arange(len(clips)), 0.8, 32)
    for got, clip in zip(view, clips, strict=True):
        T = clip.shape[1]
        margin = int((1 - 0.8) * T / 2)
        np.testing.assert_allclose(
            got, resize(clip, margin, T - 2 * margin, 32), atol=POSITION_ROUNDING
        )


def crops_of(view: torch.Tensor, clip: np.ndarray, l_min: float) -> list[tuple[int, int]]:
    """The (start, length) that explain each sample of an unmoved ``view`` of ``clip``."""
    T, size = clip.shape[1], view.shape[2]
    found = []
    for got in view.numpy():
        fits = [
            (start, length)
            for length in range(int(l_min * T), T + 1)
            for start in range(T - length + 1)
            if np.abs(got - resize(clip, start, length, size)).max() < 1e-4
        ]
        assert len(fits) == 1
        found += fits
    return found


@pytest.mark.parametrize("kind", ["augmented", "train"])
def test_the_crop_of_a_view_is_drawn_for_each_sample_and_each_view(
    bank: ClipBank, clips: list[np.ndarray], kind: str
):
    """Eq. 3: each sample is one resized crop within bounds, the same for both bodies."""
    i = next(i for i, clip in enumerate(clips) if clip.shape[1] == 16)
    draws, batch = generator(), torch.full((12,), i)
    views = []
    for _ in range(2):
        if kind == "train":
            views.append(augment.training_view(bank, batch, CropConfig(l_min=0.5), 8, draws))
        else:
            config = AugmentConfig(use=("crop",), crop=CropConfig(l_min=0.5))
            views.append(augmented_view(bank, batch, config, 8, draws))
    first, second = (crops_of(view, clips[i], 0.5) for view in views)
    assert len(set(first)) > 4
    assert first != second
