"""COCO-17 in 2D and MediaPipe-33 in 3D, from the data set to features, as Kinect clips go."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from other_sensors import SENSORS, seen, takes, write

from skelcon.data import (
    ClipBank,
    SkeletonDataset,
    check_dataset,
    open_or_import,
    split,
    summarise,
)
from skelcon.downstream import Inputs, RetrievalConfig, retrieval
from skelcon.encoders import COORDINATES, Encoder, EncodersConfig
from skelcon.pretrain import PretrainConfig, Pretraining

TREE: dict[str, Any] = {
    "encoders": {
        "img": {"channels": 8, "cooccurrence": 16},
        "stg": {"channels": [8, 8], "strides": [2, 2], "kernel": 3},
        "seq": {"hidden": 8, "layers": 1},
        "frames": 16,
    },
    "contrast": {"dim": 8, "head_hidden": 8, "queue": 16, "momentum": 0.9},
    "batch": 4,
    "epochs": 2,
}


@pytest.fixture(scope="module", params=SENSORS)
def dataset(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> SkeletonDataset:
    return write(tmp_path_factory.mktemp("sensors") / request.param, request.param)


def test_an_array_of_them_is_imported_to_the_same_clips(
    dataset: SkeletonDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / "cache"))
    name, shape = dataset.layout.name, (dataset.max_bodies, int(dataset.lengths.max()))
    x = np.zeros((len(dataset), *shape, dataset.layout.num_joints, 3))
    for row, take in zip(x, takes(), strict=True):
        clip = seen(name, take)
        row[: len(clip), : clip.shape[1]] = clip
    infos = {"y": dataset.labels, "subject": dataset.columns["subject"]}
    np.savez(tmp_path / "own.npz", x=x, **infos)
    (tmp_path / "own.yaml").write_text(
        f"kind: arrays\nlayout: {name}\naxes: NMTVC\nsplit: {{xsub: 'subject:odd'}}\n"
    )
    imported, skipped = open_or_import(tmp_path / "own.npz")
    assert not skipped
    assert imported.layout == dataset.layout
    assert imported.normalisation == dataset.normalisation
    np.testing.assert_allclose(imported.frames, dataset.frames, atol=1e-6)
    np.testing.assert_array_equal(imported.splits["xsub"], dataset.splits["xsub"])


def test_there_is_nothing_wrong_and_nothing_missing(dataset: SkeletonDataset):
    assert not check_dataset(dataset).errors
    summary = summarise(dataset)
    assert summary.missing_joints == 0
    assert ("scale" in summary.normalisation) == (dataset.layout.dimensions == 2)


@pytest.mark.parametrize("representation", ["img", "stg", "seq"])
def test_two_epochs_of_each_representation_and_its_features(
    dataset: SkeletonDataset, representation: str
):
    config = PretrainConfig.model_validate({**TREE, "representations": [representation]})
    bank, train = ClipBank(dataset), split(dataset, "xsub", "train")
    training = Pretraining(bank, train, dataset.layout, config, seed=0)
    before = [each.detach().clone() for each in training.contrast.parameters()]
    assert all(math.isfinite(each.loss) for each in training.run())
    after = list(training.contrast.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    encoder = Encoder(representation, config.encoders, dataset.layout, bank.num_bodies).eval()
    result = retrieval(inputs_of(dataset, encoder), RetrievalConfig())
    assert 0 <= result.metrics["top1"] <= 1


def test_the_coordinates_themselves_tell_actions_apart(dataset: SkeletonDataset):
    config = EncodersConfig(frames=16)
    flat = Encoder(COORDINATES, config, dataset.layout, dataset.max_bodies)
    result = retrieval(inputs_of(dataset, flat), RetrievalConfig())
    assert result.metrics["top1"] > 0.25  # chance, of four actions


def inputs_of(dataset: SkeletonDataset, encoder: Encoder) -> Inputs:
    train, test = (
        torch.from_numpy(np.asarray(split(dataset, "xsub", side))) for side in ("train", "test")
    )
    groups = torch.zeros_like(train)
    return Inputs([encoder], ClipBank(dataset), train, test, dataset.num_classes, 16, 0, groups)
