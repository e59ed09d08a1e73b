"""A tiny ragged data set of two bodies, in both skeleton layouts."""

from pathlib import Path

import numpy as np
import pytest
from ragged_clips import NUM_CLASSES, ragged_clips

from skelcon.data import (
    KINECT_V1,
    KINECT_V2,
    ClipBank,
    ClipInfo,
    DatasetWriter,
    Normalisation,
    SkeletonDataset,
    SkeletonLayout,
)


def written(path: Path, layout: SkeletonLayout, clips: list[np.ndarray]) -> SkeletonDataset:
    with DatasetWriter(
        path,
        name="tiny",
        layout=layout,
        class_names=[f"class {i}" for i in range(NUM_CLASSES)],
        family="test",
        normalisation=Normalisation(centre=False, spine_to_z=False, shoulders_to_x=False),
    ) as writer:
        for i, clip in enumerate(clips):
            writer.add(ClipInfo(f"clip {i}", label=i % NUM_CLASSES, subject=i % 3), clip)
        return writer.close({"xsub": np.arange(len(clips)) % 3 == 2})


@pytest.fixture(scope="session", params=[KINECT_V2, KINECT_V1], ids=lambda layout: layout.name)
def layout(request: pytest.FixtureRequest) -> SkeletonLayout:
    return request.param


@pytest.fixture(scope="session")
def clips(layout: SkeletonLayout) -> list[np.ndarray]:
    """What was written, (M, T, V, 3) each."""
    return ragged_clips(layout.num_joints)


@pytest.fixture(scope="session")
def dataset(
    layout: SkeletonLayout, clips: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> SkeletonDataset:
    return written(tmp_path_factory.mktemp("tiny") / layout.name, layout, clips)


@pytest.fixture(scope="session")
def bank(dataset: SkeletonDataset) -> ClipBank:
    return ClipBank(dataset)


@pytest.fixture(scope="session")
def small_layout() -> SkeletonLayout:
    """The one layout of the tests that train."""
    return KINECT_V1


@pytest.fixture(scope="session")
def small_bank(small_layout: SkeletonLayout, tmp_path_factory: pytest.TempPathFactory) -> ClipBank:
    path = tmp_path_factory.mktemp("small") / "small"
    return ClipBank(written(path, small_layout, ragged_clips(small_layout.num_joints)))


@pytest.fixture(scope="session")
def posed_bank(small_layout: SkeletonLayout, tmp_path_factory: pytest.TempPathFactory) -> ClipBank:
    """Clips whose class is a constant pose of its own, with a little noise."""
    random = np.random.default_rng(3)
    poses = random.normal(size=(NUM_CLASSES, small_layout.num_joints, 3))
    clips = []
    for i in range(40):
        clip = np.zeros((2, 10 + i, small_layout.num_joints, 3), np.float32)
        clip[0] = poses[i % NUM_CLASSES] + 0.01 * random.normal(size=clip.shape[1:])
        clips.append(clip)
    return ClipBank(written(tmp_path_factory.mktemp("posed") / "posed", small_layout, clips))
