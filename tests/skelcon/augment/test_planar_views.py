"""Augmentations in 2D: matrices of x and y, and confidences that stay as they are."""

import numpy as np
import pytest
import torch
from other_sensors import write

from skelcon.augment import NAMES, AugmentConfig, CropConfig, JitterConfig, augmented_view
from skelcon.data import ClipBank


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> ClipBank:
    return ClipBank(write(tmp_path_factory.mktemp("planar") / "coco", "coco-17"))


def views(
    bank: ClipBank, config: AugmentConfig, samples: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """The whole clips, resized, and their augmented view, both (B, M, T, V, 3) float64."""
    batch = torch.arange(samples) % len(bank.lengths)
    draws = torch.Generator().manual_seed(3)
    plain = augmented_view(bank, batch, AugmentConfig(use=()), 4, draws)
    view = augmented_view(bank, batch, config, 4, draws)
    return plain.numpy().astype(np.float64), view.numpy().astype(np.float64)


def matrix_of(plain: np.ndarray, view: np.ndarray) -> np.ndarray:
    """The 2x2 matrix that explains all of ``view``."""
    X, Y = plain[..., :2].reshape(-1, 2), view[..., :2].reshape(-1, 2)
    found = np.linalg.lstsq(X, Y, rcond=None)[0]
    np.testing.assert_allclose(X @ found, Y, atol=1e-4)
    return found


def test_eq_1_is_a_shear_and_turn_in_the_plane(bank: ClipBank):
    plain, view = views(bank, AugmentConfig(use=("pose",)))
    np.testing.assert_array_equal(plain[..., 2], view[..., 2])
    shears = np.stack([matrix_of(x, y) for x, y in zip(plain, view, strict=True)])
    np.testing.assert_allclose(shears[:, (0, 1), (0, 1)], 1, atol=1e-4)
    off = shears[:, (0, 1), (1, 0)]
    assert np.abs(off).max() <= 1 + 1e-4
    assert (off.std(axis=0) > 0.4).all()


@pytest.mark.parametrize("mode", ["matrix", "mixed"])
def test_eq_2_moves_joints_in_the_plane_or_makes_them_missing(bank: ClipBank, mode: str):
    plain, view = views(bank, AugmentConfig(use=("jitter",), jitter=JitterConfig(mode=mode)))
    moved = (plain != view).any(axis=(1, 2, 4))
    assert set(moved.sum(axis=1).tolist()) == {10}  # 15 of 25
    gone = 0
    for x, y, joints in zip(plain, view, moved, strict=True):
        if not y[:, :, joints].any():
            gone += 1
            continue
        np.testing.assert_array_equal(x[..., 2], y[..., 2])
        matrix_of(x[:, :, joints], y[:, :, joints])
    assert (gone > 0) == (mode == "mixed")
    assert gone < len(plain)


def test_a_crop_only_cuts_and_absent_bodies_stay_absent(bank: ClipBank):
    config = AugmentConfig(use=NAMES, crop=CropConfig(l_min=0.5))
    plain, view = views(bank, config)
    absent = ~plain.any(axis=(2, 3, 4))
    assert absent.any()
    assert not view[absent].any()
    np.testing.assert_allclose(view[..., 2], plain[..., 2], atol=1e-6)
