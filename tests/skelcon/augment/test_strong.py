"""AimCLR's and later augmentations against plain loops, in 3D and in 2D, with what is absent."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from skelcon.augment import FURTHER, AugmentConfig, augmented_view
from skelcon.augment.strong import STRONG
from skelcon.data import KINECT_V2, ClipBank, SkeletonLayout, layout_from

PLANAR = layout_from("coco-17")
LAYOUTS = (KINECT_V2, PLANAR)
B, M, T = 40, 2, 12


def plain_view(layout: SkeletonLayout) -> Tensor:
    """A second body that is absent in clip 1 and comes late in clip 2; a joint lost in clip 3."""
    draws = torch.Generator().manual_seed(1)
    view = torch.randn((B, M, T, layout.num_joints, 3), generator=draws) + 0.1
    view[:, 0][..., list(layout.at_origin), :] = 0
    view[1, 1] = 0
    view[2, 1, :5] = 0
    view[3, 0, 4:7, 5] = 0
    if layout.dimensions == 2:
        view[..., 2] = view[..., 2].abs()
    return view


def changed(
    name: str, layout: SkeletonLayout, options: dict[str, Any], view: Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A view, and what the augmentation makes of it, which leaves the view itself alone."""
    config = getattr(AugmentConfig.model_validate({name: options}), name)
    view = plain_view(layout) if view is None else view
    before = view.clone()
    result = STRONG[name](view, config, layout, torch.Generator().manual_seed(2))
    assert torch.equal(view, before)
    assert (result.shape, result.dtype) == (view.shape, view.dtype)
    return view.numpy(), result.numpy()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("name", FURTHER)
def test_p_is_the_share_of_samples_and_what_is_absent_stays_so(name: str, layout: SkeletonLayout):
    view, same = changed(name, layout, {"p": 0})
    np.testing.assert_array_equal(view, same)
    _, half = changed(name, layout, {"p": 0.5})
    assert 8 < (half != view).any(axis=(1, 2, 3, 4)).sum() < 32
    _, all_of_them = changed(name, layout, {"p": 1})
    assert (all_of_them != view).any(axis=(1, 2, 3, 4)).sum() >= B - 1
    assert not all_of_them[1, 1].any()
    assert np.isfinite(all_of_them).all()
    np.testing.assert_array_equal(all_of_them, changed(name, layout, {"p": 1})[1])


@pytest.mark.parametrize("name", ["gaussian_noise", "gaussian_blur", "rotation", "axis_mask"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_missing_joints_stay_missing_and_confidences_what_they_were(
    name: str, layout: SkeletonLayout
):
    view, result = changed(name, layout, {"p": 1})
    assert not result[2, 1, :5].any()
    assert not result[3, 0, 4:7, 5].any()
    if layout.dimensions == 2:
        np.testing.assert_array_equal(result[..., 2], view[..., 2])
        assert (result[..., :2] != view[..., :2]).any()


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_flip_is_a_mirror_image_with_the_sides_exchanged(layout: SkeletonLayout):
    view, result = changed("flip", layout, {"p": 1})
    for joint, name in enumerate(layout.joints):
        other = name
        for one, two in (("left", "right"), ("right", "left")):
            if one in name:
                other = name.replace(one, two)
        expected = view[..., layout.joints.index(other), :] * [-1, 1, 1]
        np.testing.assert_array_equal(result[..., joint, :], expected)


def turn_of(view: np.ndarray, result: np.ndarray, D: int = 3) -> np.ndarray:
    """The D x D matrix that explains all of ``result``."""
    X, Y = (some[..., :D].reshape(-1, D).astype(np.float64) for some in (view, result))
    found = np.linalg.lstsq(X, Y, rcond=None)[0]
    np.testing.assert_allclose(X @ found, Y, atol=1e-4)
    return found


def test_rotation_is_about_one_axis_for_the_most_part():
    view, result = changed("rotation", KINECT_V2, {"other": 0})
    axes, angles = [], []
    for one, other in zip(view, result, strict=True):
        matrix = turn_of(one, other)
        sines = np.array([matrix[1, 2], matrix[2, 0], matrix[0, 1]])
        axis = int(np.abs(sines).argmax())
        s, c = sines[axis], math.sqrt(1 - sines[axis] ** 2)
        turned = np.zeros_like(other)
        a, b = (axis + 1) % 3, (axis + 2) % 3  # a right-handed turn takes a to b
        turned[..., axis] = one[..., axis]
        turned[..., a] = one[..., a] * c - one[..., b] * s
        turned[..., b] = one[..., a] * s + one[..., b] * c
        np.testing.assert_allclose(other, turned, atol=1e-4)
        axes.append(axis)
        angles.append(math.degrees(math.asin(s)))
    assert set(axes) == {0, 1, 2}
    assert -1e-3 <= min(angles) < 10
    assert 20 < max(angles) <= 30 + 1e-3
    view, result = changed("rotation", KINECT_V2, {"main": 0, "other": 1})
    for one, other in zip(view, result, strict=True):
        matrix = turn_of(one, other)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-4)
        assert np.abs(matrix - np.eye(3)).max() < math.radians(1) * 1.1


def test_rotation_in_2d_is_in_the_plane():
    view, result = changed("rotation", PLANAR, {"main": 90})
    for one, other in zip(view, result, strict=True):
        matrix = turn_of(one, other, 2)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(2), atol=1e-4)
        assert matrix[0, 1] >= -1e-4
        assert np.linalg.det(matrix) > 0


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_an_axis_mask_takes_each_axis_at_times(layout: SkeletonLayout):
    view, result = changed("axis_mask", layout, {"p": 1})
    taken = set()
    for one, other in zip(view, result, strict=True):
        (axis,) = [k for k in range(3) if not other[..., k].any()]
        expected = one.copy()
        expected[..., axis] = 0
        np.testing.assert_array_equal(other, expected)
        taken.add(axis)
    assert taken == set(range(layout.dimensions))


def test_gaussian_noise_has_its_deviation_and_moves_the_centre_too():
    view, result = changed("gaussian_noise", KINECT_V2, {"p": 1, "std": 0.2})
    noise = (result - view)[4:]
    assert noise.std() == pytest.approx(0.2, rel=0.02)
    assert abs(noise.mean()) < 0.01
    assert (noise != 0).mean() > 0.999
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_gaussian_blur_equals_a_loop(layout: SkeletonLayout):
    sigma, D = 1.5, layout.dimensions
    options = {"p": 1, "kernel": 5, "sigma_min": sigma, "sigma_max": sigma}
    view, result = changed("gaussian_blur", layout, options)
    for b in range(5):
        for m, t, v in np.ndindex(M, T, layout.num_joints):
            if not view[b, m, t, v].any():
                assert not result[b, m, t, v].any()
                continue
            total, weights = np.zeros(D), 0.0
            for s in range(max(0, t - 2), min(T, t + 3)):
                if view[b, m, s, v].any():
                    weight = math.exp(-((s - t) ** 2) / (2 * sigma**2))
                    total += weight * view[b, m, s, v, :D]
                    weights += weight
            np.testing.assert_allclose(result[b, m, t, v, :D], total / weights, atol=1e-5)


def test_a_wider_blur_leaves_less_motion():
    roughness = []
    for sigma in (0.1, 1.0, 4.0):
        options = {"p": 1, "sigma_min": sigma, "sigma_max": sigma}
        _, result = changed("gaussian_blur", KINECT_V2, options)
        roughness.append(np.diff(result[4:], axis=2).std())
    assert roughness[0] > 2 * roughness[1] > 4 * roughness[2]


@pytest.mark.parametrize(("layout", "count"), [(KINECT_V2, 9), (PLANAR, 6)])
def test_a_joint_mask_takes_its_share_of_joints(layout: SkeletonLayout, count: int):
    view, result = changed("joint_mask", layout, {"p": 1}, plain_view(layout) + 5)
    gone = ~result.any(axis=(1, 2, 4))
    assert set(gone.sum(axis=1).tolist()) == {count}
    assert gone.any(axis=0).all()
    np.testing.assert_array_equal(result, view * ~gone[:, None, None, :, None])


def test_a_temporal_mask_takes_its_share_of_frames():
    view, result = changed("temporal_mask", KINECT_V2, {"p": 1, "ratio": 0.25})
    gone = ~result.any(axis=(1, 3, 4))
    assert set(gone.sum(axis=1).tolist()) == {3}
    assert gone.any(axis=0).all()
    np.testing.assert_array_equal(result, view * ~gone[:, None, :, None, None])


def test_reverse_runs_backwards():
    view, result = changed("reverse", KINECT_V2, {"p": 1})
    for t in range(T):
        np.testing.assert_array_equal(result[:, :, t], view[:, :, T - 1 - t])


def test_speed_resamples_about_the_middle_and_holds_the_ends():
    """One joint's x is the time, which the others then have to be interpolated at."""
    view = plain_view(KINECT_V2)[4:24]
    view[..., 3, 0] = torch.arange(1.0, T + 1)[:, None].T
    view, result = changed("speed", KINECT_V2, {"p": 1, "factor": 3}, view)
    rates = []
    for one, other in zip(view, result, strict=True):
        at = other[0, :, 3, 0].astype(np.float64) - 1
        rates.append(at[T // 2] - at[T // 2 - 1])
        middle = (T - 1) / 2
        expected = np.clip(middle + rates[-1] * (np.arange(T) - middle), 0, T - 1)
        np.testing.assert_allclose(at, expected, atol=1e-4)
        for m, v, c in np.ndindex(M, 25, 3):
            interpolated = np.interp(at, np.arange(T), one[m, :, v, c])
            np.testing.assert_allclose(other[m, :, v, c], interpolated, atol=1e-4)
    assert 1 / 3 - 1e-4 <= min(rates) < 0.8
    assert 1.4 < max(rates) <= 3 + 1e-4


def test_at_another_speed_a_joint_is_missing_where_its_nearer_frame_misses_it():
    view = torch.full((B, 1, T, 25, 3), 2.0)
    view[:, :, T // 2 :, 7] = 0
    view[..., 3, 0] = torch.arange(1.0, T + 1)[:, None].T
    _, result = changed("speed", KINECT_V2, {"p": 1}, view)
    at = result[:, 0, :, 3, 0] - 1
    assert (np.abs(at - (T - 1) / 2) > 1e-3).any(axis=1).all()
    sure = np.abs(at - (T - 1) / 2) > 1e-3  # but for a tie
    expected = np.where(at < (T - 1) / 2, 2, 0)
    np.testing.assert_allclose(result[:, 0, :, 7, 1][sure], expected[sure], rtol=1e-6)


# -- in the settings -----------------------------------------------------------------------


def test_views_have_them_after_the_papers_in_the_order_of_use(small_bank: ClipBank):
    clips = torch.arange(6)

    def view(*use: str, p: float = 1) -> Tensor:
        config = AugmentConfig.model_validate({"use": use, "flip": {"p": p}, "reverse": {"p": 1}})
        return augmented_view(small_bank, clips, config, 8, torch.Generator().manual_seed(5))

    plain = view("crop", "jitter")
    sides = list(small_bank.layout.mirrored)
    flipped = plain[:, :, :, sides] * torch.tensor([-1.0, 1, 1])
    assert torch.equal(view("flip", "jitter", "crop"), flipped)
    assert torch.equal(view("jitter", "reverse", "crop", "flip"), flipped.flip(2))
    assert torch.equal(view("jitter", "crop", "flip", p=0), plain)
    assert AugmentConfig(use=("speed", "flip", "crop")).use == ("crop", "speed", "flip")


def test_a_key_holds_those_in_use_and_no_others():
    resolved = AugmentConfig(use=("crop", "flip", "speed")).resolved()
    assert resolved == {
        "use": ["crop", "flip", "speed"],
        "crop": {"l_min": 0.1, "min_frames": 1},
        "flip": {"p": 0.5},
        "speed": {"p": 0.5, "factor": 2.0},
    }
    assert AugmentConfig.model_validate(resolved).resolved() == resolved
    assert set(AugmentConfig().resolved()) == {"use", "crop", "pose", "jitter"}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"use": ["axis-mask"]}, "unknown augmentation 'axis-mask': did you mean 'axis_mask'"),
        ({"custom": {"flip": {"p": 1}}}, "'flip' is built in"),
        ({"flip": {"p": 1.5}}, "less than or equal to 1"),
        ({"gaussian_blur": {"kernel": 4}}, "the blur's kernel must be odd"),
        ({"gaussian_blur": {"sigma_min": 3}}, "sigma_min 3.0 is above sigma_max 2.0"),
    ],
)
def test_a_mistake_says_what_is_valid(tree: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        AugmentConfig.model_validate(tree)
