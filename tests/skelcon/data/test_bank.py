import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from skelcon.augment import evaluation_view
from skelcon.data import KINECT_V1, KINECT_V2, ClipBank, SkeletonDataset, SkeletonLayout
from skelcon.encoders import (
    REPRESENTATIONS,
    AGCNConfig,
    BiGRUConfig,
    Encoder,
    EncodersConfig,
    HCNConfig,
)

from_v2 = pytest.mark.parametrize("layout", [KINECT_V2], ids=["v2"], indirect=True)
from_v1 = pytest.mark.parametrize("layout", [KINECT_V1], ids=["v1"], indirect=True)


def clip_of(bank: ClipBank, index: int) -> np.ndarray:
    """The whole clip as (M, T, V, 3)."""
    times = torch.arange(int(bank.lengths[index]))[None]
    return bank.frames(torch.tensor([index]), times)[0].numpy()


def test_by_default_clips_are_as_they_are_stored(
    dataset: SkeletonDataset, clips: list[np.ndarray], layout: SkeletonLayout
):
    for bank in (ClipBank(dataset), ClipBank(dataset, layout=layout, bodies=2)):
        assert bank.layout == layout
        assert (bank.num_bodies, bank.num_joints) == (2, layout.num_joints)
        for index, clip in enumerate(clips):
            assert np.array_equal(clip_of(bank, index), clip)


def test_frames_stay_on_disk(dataset: SkeletonDataset):
    bank = ClipBank(dataset)
    assert bank._frames.data_ptr() == dataset.frames.ctypes.data
    assert not dataset.frames.flags.writeable


def test_a_file_without_the_row_of_zeros_gives_the_same_bits(
    dataset: SkeletonDataset, clips: list[np.ndarray], tmp_path: Path
):
    older = tmp_path / "older"
    shutil.copytree(dataset.path, older)
    row = dataset.frames[0].nbytes
    content = (older / "frames.npy").read_bytes()
    assert content[-row:] == bytes(row)
    (older / "frames.npy").write_bytes(content[:-row])
    opened = SkeletonDataset.open(older)
    assert opened.padded is None
    assert opened.content_digest() == dataset.fingerprint
    banks = ClipBank(opened), ClipBank(dataset)
    for index in range(len(clips)):
        one, other = (clip_of(bank, index).view(np.int32) for bank in banks)
        assert np.array_equal(one, other)


@from_v2
def test_on_another_skeleton_joints_keep_their_places(
    dataset: SkeletonDataset, clips: list[np.ndarray]
):
    bank = ClipBank(dataset, layout=KINECT_V1)
    assert bank.layout == KINECT_V1
    assert bank.num_joints == 20
    trunk = {"shoulder_centre": "spine_shoulder", "spine": "spine_mid", "hip_centre": "spine_base"}
    for index, clip in enumerate(clips):
        got = clip_of(bank, index)
        for joint, name in enumerate(KINECT_V1.joints):
            at = KINECT_V2.joints.index(trunk.get(name, name))
            assert np.array_equal(got[:, :, joint], clip[:, :, at]), name


def test_more_bodies_are_absent_ones(dataset: SkeletonDataset, clips: list[np.ndarray]):
    bank = ClipBank(dataset, bodies=4)
    assert bank.num_bodies == 4
    for index, clip in enumerate(clips):
        got = clip_of(bank, index)
        assert np.array_equal(got[:2], clip)
        assert got.shape[0] == 4
        assert not got[2:].any()


@from_v2
def test_fewer_bodies_are_the_users_mistake(
    dataset: SkeletonDataset, user_error: Callable[..., str]
):
    user_error(lambda: ClipBank(dataset, bodies=1), "'tiny'", "not fit 1", "2 or more")
    assert ClipBank(dataset, bodies=2).num_bodies == 2


@from_v1
def test_joints_that_were_not_recorded_are_the_users_mistake(
    dataset: SkeletonDataset, user_error: Callable[..., str]
):
    user_error(lambda: ClipBank(dataset, layout=KINECT_V2), "'kinect-v1' to 'kinect-v2'")


@from_v2
@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_an_encoder_of_the_other_data_set_takes_the_clips(dataset: SkeletonDataset, name: str):
    config = EncodersConfig(
        img=HCNConfig(channels=2, cooccurrence=16),
        stg=AGCNConfig(channels=(4,), strides=(2,)),
        seq=BiGRUConfig(hidden=4, layers=1),
        frames=16,
    )
    bank = ClipBank(dataset, layout=KINECT_V1, bodies=3)
    encoder = Encoder(name, config, bank.layout, bank.num_bodies).eval()
    with torch.no_grad():
        features = encoder(evaluation_view(bank, torch.arange(5), 0.95, 16))
    assert features.shape == (5, encoder.feature_size)
    assert torch.isfinite(features).all()
    assert len(features.unique(dim=0)) == 5
