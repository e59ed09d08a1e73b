"""The preset ``authors`` draws what the public code draws, in law.

The reference is written here from what the code does (feeder/augmentations.py and the feeders of
its repository): a ratio uniform in [l_min, 1], of which the floor in frames is at least 64 and at
most the clip; a start uniform among those that fit; then, with equal odds, a shear of all joints,
or 15 joints that with equal odds become zero or are multiplied by a matrix of uniform entries.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, ks_2samp

from skelcon.augment import AugmentConfig, augmented_view, training_view
from skelcon.data import KINECT_V2, ClipBank, ClipInfo, DatasetWriter, Normalisation
from skelcon.presets import preset_tree, resolve_with_preset
from skelcon.settings import Settings

RAW = Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False)
LENGTHS = (40, 64, 66, 90, 120, 150, 300)
DRAWS, SIZE, FLOOR = 3000, 16, 64


@pytest.fixture(scope="module")
def settings() -> Settings:
    return resolve_with_preset(preset_tree("authors"), (), {}, "authors")


@pytest.fixture(scope="module")
def ramps(tmp_path_factory: pytest.TempPathFactory) -> ClipBank:
    """Clips whose every coordinate is the number of the frame, from 1; and one of a still body."""
    still = np.random.default_rng(0).normal(size=(2, 1, 25, 3)).repeat(FLOOR, axis=1)
    ramps = [np.arange(1.0, n + 1)[None, :, None, None] for n in LENGTHS]
    clips = [np.tile(ramp, (2, 1, 25, 3)) for ramp in ramps]
    with DatasetWriter(
        tmp_path_factory.mktemp("ramps") / "ramps",
        name="ramps",
        layout=KINECT_V2,
        class_names=["one"],
        family="test",
        normalisation=RAW,
    ) as writer:
        for number, clip in enumerate((*clips, still)):
            writer.add(ClipInfo(str(number), 0), clip)
        return ClipBank(writer.close({}))


def crops(view: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of the crop behind each view of a ramp, from two frames inside it."""
    low, high = SIZE // 4, 3 * SIZE // 4
    values = view[:, 0, :, 0, 0].double().numpy()
    length = np.rint((values[:, high] - values[:, low]) / (high - low) * SIZE).astype(int)
    return np.rint(values[:, low] - (low + 0.5) * length / SIZE - 0.5).astype(int), length


def expected(frames: int, l_min: float) -> dict[int, float]:
    """The probability of each length of a crop, of a clip of so many frames."""
    found: dict[int, float] = {}
    for whole in range(int(l_min * frames), frames + 1):
        low, high = (max(l_min, min(1.0, end / frames)) for end in (whole, whole + 1))
        length = min(max(whole, FLOOR), frames)
        found[length] = found.get(length, 0.0) + (high - low) / (1 - l_min)
    return {length: p for length, p in found.items() if p > 1e-12}


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("what", ["pretrain", "linear", "finetune"])
def test_lengths_and_starts_of_crops(
    ramps: ClipBank, settings: Settings, what: str, frames: int
) -> None:
    clips = torch.full((DRAWS,), LENGTHS.index(frames))
    draws = torch.Generator().manual_seed(frames)
    if what == "pretrain":
        config = AugmentConfig(use=("crop",), crop=settings.pretrain.augment.crop)
        law = expected(frames, 0.1)
        start, length = crops(augmented_view(ramps, clips, config, SIZE, draws))
    else:
        law = expected(frames, 0.5)
        start, length = crops(training_view(ramps, clips, settings.of(what).crop, SIZE, draws))
    assert set(length) <= set(law)
    assert min(length) >= min(FLOOR, frames)
    if len(law) > 1:
        counts = np.array([(length == each).sum() for each in law])
        assert chisquare(counts, np.array(list(law.values())) * DRAWS).pvalue > 1e-3
    assert ((start >= 0) & (start + length <= frames)).all()
    rng = np.random.default_rng(frames)
    reference = rng.integers(0, frames - length + 1)  # of crops of the same lengths
    assert ks_2samp(start, reference).pvalue > 1e-3


def of_the_code(still: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A spatially augmented (M, V, 3)."""
    out = still.copy()
    if rng.random() < 0.5:
        shear = rng.uniform(-1, 1, (3, 3))
        np.fill_diagonal(shear, 1)
        return out @ shear.T
    joints = rng.choice(25, 15, replace=False)
    matrix = np.zeros((3, 3)) if rng.random() < 0.5 else rng.uniform(-1, 1, (3, 3))
    out[:, joints] = out[:, joints] @ matrix
    return out


def test_spatial_augmentations(ramps: ClipBank, settings: Settings) -> None:
    clips = torch.full((DRAWS,), len(LENGTHS))
    draws = torch.Generator().manual_seed(0)
    view = augmented_view(ramps, clips, settings.pretrain.augment, SIZE, draws).double().numpy()
    still = ramps.resized(clips[:1], torch.tensor([0]), torch.tensor([FLOOR]), SIZE)[0, :, 0]
    assert np.abs(np.diff(view, axis=2)).max() < 1e-5  # nobody moves: one matrix for all frames
    ours, rng = view[:, :, 0], np.random.default_rng(1)
    code = np.stack([of_the_code(still.double().numpy(), rng) for _ in range(DRAWS)])

    def measured(views: np.ndarray) -> dict[str, np.ndarray]:
        moved = np.abs(views - still.numpy()).max(axis=(1, 3)) > 1e-6
        zero = np.abs(views).max(axis=(1, 3)) < 1e-6
        return {
            "zero joints": zero.sum(axis=1),
            "moved joints": moved.sum(axis=1),
            "how often each joint moves": np.nonzero(moved)[1],
            "a coordinate": views[:, 0, 7, 2],
            "another's product with it": views[:, 1, 3, 0] * views[:, 0, 7, 2],
            "size": (views**2).sum(axis=(1, 2, 3)),
        }

    found, reference = measured(ours), measured(code)
    for name, values in found.items():
        assert ks_2samp(values, reference[name]).pvalue > 1e-3, name
    assert set(found["zero joints"]) == {0, 15}
    plain = AugmentConfig()  # the paper's text is another law
    other = augmented_view(ramps, clips, plain, SIZE, draws).double().numpy()[:, :, 0]
    assert set(measured(other)["zero joints"]) == {0}
