import itertools

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from skelcon.augment import (
    NAMES,
    AugmentConfig,
    CropConfig,
    JitterConfig,
    PoseConfig,
    augmented_view,
)
from skelcon.augment.spatial import apply
from skelcon.data import ClipBank
from skelcon.data.orientation import Orientation

COMBINATIONS = [use for n in range(4) for use in itertools.combinations(NAMES, n)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def views(
    bank: ClipBank, config: AugmentConfig, samples: int = 480, size: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The whole clips, resized, and their augmented view, both (B, M, T, V, 3) float64."""
    batch = torch.arange(samples) % len(bank.lengths)
    plain = augmented_view(bank, batch, AugmentConfig(use=()), size, generator())
    view = augmented_view(bank, batch, config, size, generator(seed))
    return plain.numpy().astype(np.float64), view.numpy().astype(np.float64)


def fitted(plain: np.ndarray, view: np.ndarray) -> np.ndarray:
    """The matrix A of view = plain . A (row vectors), which must fit all frames and bodies."""
    X, Y = plain.reshape(-1, 3), view.reshape(-1, 3)
    A = np.linalg.lstsq(X, Y, rcond=None)[0]
    np.testing.assert_allclose(X @ A, Y, atol=1e-5)
    return A


def moved_joints(plain: np.ndarray, view: np.ndarray) -> np.ndarray:
    """(B, V) bool: joints that differ anywhere."""
    return (plain != view).any(axis=(1, 2, 4))


def test_a_matrix_is_applied_to_row_vectors_of_the_selected_joints():
    view, matrix = torch.randn(2, 2, 3, 5, 3), torch.randn(2, 3, 3)
    joints = torch.tensor([[True, False, True, False, False], [False, True, True, True, True]])
    got = apply(view, matrix, joints)
    for b, m, t, v in np.ndindex(2, 2, 3, 5):
        x = view[b, m, t, v].double().numpy()
        expected = x @ matrix[b].double().numpy() if joints[b, v] else x
        np.testing.assert_allclose(got[b, m, t, v], expected, atol=1e-6)


@pytest.mark.parametrize("orientation", ["as_recorded", "median"])
def test_bodies_that_are_left_out_change_no_bit(
    bank: ClipBank, monkeypatch: pytest.MonkeyPatch, orientation: Orientation
):
    """On a GPU all are computed, those that are absent as well."""
    turned, batch = bank.oriented(orientation), torch.arange(2 * len(bank.lengths)) // 2
    few = augmented_view(turned, batch, AugmentConfig(), 16, generator())
    bodies = turned.num_bodies * len(batch)
    assert len(turned.resized_bodies(batch, 0 * batch, bank.lengths[batch], 16)[1]) < bodies
    monkeypatch.setattr(ClipBank, "_bodies", lambda *_: torch.arange(bodies))
    assert torch.equal(few, augmented_view(turned, batch, AugmentConfig(), 16, generator()))
    assert few.flatten(2).any(dim=2).sum() < bodies
    monkeypatch.setattr(ClipBank, "_bodies", lambda *_: torch.empty(0, dtype=torch.long))
    assert not augmented_view(turned, batch, AugmentConfig(), 16, generator()).any()


@pytest.mark.parametrize("amplitude", [1.0, 0.3])
def test_eq_1_is_one_shear_a_sample(bank: ClipBank, amplitude: float):
    config = AugmentConfig(use=("pose",), pose=PoseConfig(amplitude=amplitude))
    plain, view = views(bank, config)
    assert moved_joints(plain, view).all()
    shears = np.stack([fitted(x, y) for x, y in zip(plain, view, strict=True)])
    np.testing.assert_allclose(shears[:, range(3), range(3)], 1, atol=1e-5)
    off = shears[:, ~np.eye(3, dtype=bool)]
    assert len(np.unique(off.round(4), axis=0)) == len(off)
    for entry in off.T:
        assert kstest(entry, "uniform", (-amplitude, 2 * amplitude)).pvalue > 1e-3
    correlation = np.corrcoef(off.T) - np.eye(6)
    assert np.abs(correlation).max() < 0.2


@pytest.mark.parametrize(
    ("joints", "of_25", "of_20"), [(1, 1, 1), (5, 5, 4), (10, 10, 8), (15, 15, 12), (25, 24, 19)]
)
def test_eq_2_moves_exactly_its_joints(bank: ClipBank, joints: int, of_25: int, of_20: int):
    config = AugmentConfig(use=("jitter",), jitter=JitterConfig(joints=joints))
    plain, view = views(bank, config, samples=96)
    counts = moved_joints(plain, view).sum(axis=1)
    assert set(counts.tolist()) == {of_25 if bank.num_joints == 25 else of_20}


def test_eq_2_is_one_matrix_for_all_jittered_joints(bank: ClipBank):
    plain, view = views(bank, AugmentConfig(use=("jitter",)))
    moved = moved_joints(plain, view)
    matrices = np.stack(
        [fitted(x[:, :, j], y[:, :, j]) for x, y, j in zip(plain, view, moved, strict=True)]
    )
    for entry in matrices.reshape(len(matrices), 9).T:
        assert kstest(entry, "uniform", (-1, 2)).pvalue > 1e-3
    share = moved.mean()
    assert np.abs(moved.mean(axis=0) - share).max() < 0.12
    assert len({tuple(j) for j in moved}) > 0.95 * len(moved)


def test_mixed_jitter_sets_the_joints_to_zero_half_the_time(bank: ClipBank):
    config = AugmentConfig(use=("jitter",), jitter=JitterConfig(mode="mixed"))
    plain, view = views(bank, config)
    moved = moved_joints(plain, view)
    assert (moved.sum(axis=1) == config.jitter.count(bank.num_joints)).all()
    zeroed = np.array([not y[:, :, j].any() for y, j in zip(view, moved, strict=True)])
    assert 0.4 < zeroed.mean() < 0.6
    for x, y, j in zip(plain[~zeroed], view[~zeroed], moved[~zeroed], strict=True):
        assert abs(np.linalg.det(fitted(x[:, :, j], y[:, :, j]))) > 1e-6


@pytest.mark.parametrize("use", [("pose", "jitter"), NAMES], ids="+".join)
def test_eq_4_draws_one_spatial_augmentation_for_each_sample_and_view(
    bank: ClipBank, use: tuple[str, ...]
):
    """With l_min = 1 the crop is the whole clip, so that what is moved shows."""
    config = AugmentConfig(use=use, crop=CropConfig(l_min=1.0))
    batch, draws = torch.arange(480) % len(bank.lengths), generator()
    plain = augmented_view(bank, batch, AugmentConfig(use=()), 4, generator())
    posed = []
    for _ in ("query", "key"):
        view = augmented_view(bank, batch, config, 4, draws)
        x64, y64 = plain.double().numpy(), view.double().numpy()
        moved = moved_joints(x64, y64)
        count = moved.sum(axis=1)
        assert set(count.tolist()) == {bank.num_joints, config.jitter.count(bank.num_joints)}
        for x, y, j in zip(x64, y64, moved, strict=True):
            A = fitted(x[:, :, j], y[:, :, j])
            assert np.allclose(np.diag(A), 1, atol=1e-5) == j.all()
        posed.append(count == bank.num_joints)
    table = np.histogram2d(*np.array(posed, int), bins=2)[0] / 480
    assert np.abs(table - 0.25).max() < 0.08


def test_eq_4_applies_the_spatial_augmentation_to_the_crop(bank: ClipBank, clips: list[np.ndarray]):
    """Each sample is explained by exactly one crop and one shear of it."""
    i = next(i for i, clip in enumerate(clips) if clip.shape[1] == 16)
    config = AugmentConfig(use=("crop", "pose"), crop=CropConfig(l_min=0.5))
    view = augmented_view(bank, torch.full((6,), i), config, 8, generator())
    crops = [(start, n) for n in range(8, 17) for start in range(17 - n)]
    start, length = torch.tensor(crops).T
    resized = bank.resized(torch.full((len(crops),), i), start, length, 8).double().numpy()
    found = set()
    for sample in view.double().numpy():
        errors = []
        for crop in resized:
            X, Y = crop.reshape(-1, 3), sample.reshape(-1, 3)
            A = np.linalg.lstsq(X, Y, rcond=None)[0]
            errors.append(np.abs(X @ A - Y).max())
        best = int(np.argmin(errors))
        found.add(crops[best])
        assert errors[best] < 1e-5
        assert sorted(errors)[1] > 1e-2
        A = fitted(resized[best], sample)
        np.testing.assert_allclose(np.diag(A), 1, atol=1e-5)
    assert len(found) > 2


@pytest.mark.parametrize("use", COMBINATIONS, ids=lambda use: "+".join(use) or "none")
def test_absent_bodies_stay_exactly_zero(
    bank: ClipBank, clips: list[np.ndarray], use: tuple[str, ...]
):
    batch = torch.arange(len(clips))
    view = augmented_view(bank, batch, AugmentConfig(use=use), 16, generator())
    absent = [i for i, clip in enumerate(clips) if not clip[1].any()]
    assert absent
    assert not view[absent, 1].any()
    if "crop" not in use:
        plain = augmented_view(bank, batch, AugmentConfig(use=()), 16, generator())
        empty = ~plain.ne(0).any(dim=4)
        assert empty[:, 1].sum() > empty[absent, 1].sum()
        assert not view[empty].any()


@pytest.mark.parametrize("use", COMBINATIONS, ids=lambda use: "+".join(use) or "none")
def test_every_draw_is_from_the_generator_passed_in(bank: ClipBank, use: tuple[str, ...]):
    batch, config = torch.arange(len(bank.lengths)), AugmentConfig(use=use)

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        draws = generator(seed)
        return tuple(augmented_view(bank, batch, config, 16, draws) for _ in range(2))

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = draw(5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = draw(5)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert torch.equal(first, second) == (not use)
    assert torch.equal(first, draw(6)[0]) == (not use)


def test_only_what_is_in_use_decides_a_view():
    config = AugmentConfig(use=("jitter", "crop"), crop=CropConfig(l_min=0.4))
    assert config.use == ("crop", "jitter")
    assert config.resolved() == {
        "use": ["crop", "jitter"],
        "crop": {"l_min": 0.4, "min_frames": 1},
        "jitter": {"joints": 15, "mode": "matrix"},
    }
