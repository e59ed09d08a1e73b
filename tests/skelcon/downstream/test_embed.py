import copy
import dataclasses

import numpy as np
import pytest
import torch

from skelcon import embed
from skelcon.augment import evaluation_view
from skelcon.data import ClipBank, SkeletonDataset
from skelcon.downstream import nearest_clips
from skelcon.encoders import (
    REPRESENTATIONS,
    AGCNConfig,
    BiGRUConfig,
    Encoder,
    EncodersConfig,
    HCNConfig,
)
from skelcon.errors import UserError

FRAMES = 16
SMALL = EncodersConfig(
    img=HCNConfig(channels=2, cooccurrence=16, input_norm=True),
    stg=AGCNConfig(channels=(4,), strides=(2,)),
    seq=BiGRUConfig(hidden=4, layers=1),
    frames=FRAMES,
    orientation="median",
)


def encoder_of(dataset: SkeletonDataset, name: str = "seq", bodies: int = 2) -> Encoder:
    torch.manual_seed(0)
    return Encoder(name, SMALL, dataset.layout, bodies)


@pytest.fixture
def turned(bank: ClipBank) -> ClipBank:
    """The clips as those encoders see them."""
    return bank.oriented("median")


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_features_are_those_of_the_central_part_in_evaluation_mode(
    name: str, dataset: SkeletonDataset, turned: ClipBank
):
    encoder = encoder_of(dataset, name).train()
    before = copy.deepcopy(encoder.state_dict())
    features = embed(encoder, dataset, batch=5)
    assert encoder.training
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    clips = torch.arange(len(dataset))
    expected = encoder.eval()(evaluation_view(turned, clips, 0.95, FRAMES))
    assert features.shape == (len(dataset), encoder.feature_size)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected.detach(), atol=1e-5, rtol=1e-5)


def test_a_choice_of_clips_and_of_the_part_that_is_seen(dataset: SkeletonDataset, turned: ClipBank):
    encoder, clips, calls = encoder_of(dataset).eval(), np.array([9, 2, 17, 4]), []
    features = embed(
        encoder, dataset, clips, ratio=0.5, batch=3, progress=lambda *now: calls.append(now)
    )
    expected = encoder(evaluation_view(turned, torch.from_numpy(clips), 0.5, FRAMES))
    np.testing.assert_allclose(features, expected.detach(), atol=1e-5, rtol=1e-5)
    assert calls == [(3, 4), (4, 4)]
    assert embed(encoder, dataset, clips[:0]).shape == (0, encoder.feature_size)


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_missing_bodies_are_absent_ones(name: str, dataset: SkeletonDataset, turned: ClipBank):
    encoder = encoder_of(dataset, name, bodies=3).eval()
    view = evaluation_view(turned, torch.arange(len(dataset)), 0.95, FRAMES)
    expected = encoder(torch.cat((view, torch.zeros_like(view[:, :1])), dim=1))
    np.testing.assert_allclose(embed(encoder, dataset), expected.detach(), atol=1e-5, rtol=1e-5)


def test_clips_that_do_not_fit_the_encoder_are_an_error(dataset: SkeletonDataset):
    with pytest.raises(UserError, match="'tiny' has 2 bodies in a clip, which do not fit 1"):
        embed(encoder_of(dataset, bodies=1), dataset)
    joints = dataset.layout.joints
    other = dataclasses.replace(dataset.layout, name="other", joints=(*joints[:-1], "tail"))
    with pytest.raises(UserError, match=f"'other' to '{dataset.layout.name}': 'other' has no "):
        embed(encoder_of(dataset), dataclasses.replace(dataset, layout=other))


def test_the_nearest_clips_are_those_of_largest_cosine():
    random = np.random.default_rng(0)
    gallery = random.normal(size=(30, 6)).astype(np.float32)
    gallery *= random.uniform(0.1, 9, size=(30, 1)).astype(np.float32)
    query = random.normal(size=6).astype(np.float32)
    cosines = [row @ query / np.linalg.norm(row) / np.linalg.norm(query) for row in gallery]
    expected = sorted(range(30), key=lambda i: -cosines[i])
    rows, similarities = nearest_clips(query, gallery, 7)
    assert rows.tolist() == expected[:7]
    np.testing.assert_allclose(similarities, np.sort(cosines)[::-1][:7], atol=1e-6)
    assert nearest_clips(query, gallery, 99)[0].tolist() == expected


def test_of_equally_near_clips_the_first_comes_first():
    gallery = np.repeat(np.eye(2, dtype=np.float32), 40, axis=0)
    rows, similarities = nearest_clips(np.array([0, 2], np.float32), gallery, 41)
    assert rows.tolist() == [*range(40, 80), 0]
    assert similarities.tolist() == [1.0] * 40 + [0.0]
