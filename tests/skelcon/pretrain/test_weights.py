from pathlib import Path

import pytest
import torch

from skelcon import augment
from skelcon.data import ClipBank, SkeletonLayout
from skelcon.downstream import extract
from skelcon.encoders import (
    REPRESENTATIONS,
    AGCNConfig,
    BiGRUConfig,
    Encoder,
    EncodersConfig,
    HCNConfig,
)
from skelcon.errors import UserError
from skelcon.pretrain.weights import load_encoders, save_encoders

CONFIG = EncodersConfig(
    img=HCNConfig(channels=4, cooccurrence=16, input_norm=True),
    stg=AGCNConfig(channels=(8,), strides=(2,)),
    seq=BiGRUConfig(hidden=8, layers=2, stepwise=True),
    frames=16,
)


def test_encoders_on_disk_give_the_same_bits(
    small_bank: ClipBank, small_layout: SkeletonLayout, tmp_path: Path
):
    encoders = {name: Encoder(name, CONFIG, small_layout, 2) for name in REPRESENTATIONS}
    clips = torch.arange(len(small_bank.lengths))
    view = augment.evaluation_view(small_bank, clips, 0.95, 16)
    for encoder in encoders.values():
        encoder.train()(view)
    path = tmp_path / "weights.safetensors"
    save_encoders(path, encoders, CONFIG, small_layout, bodies=2)
    loaded, config = load_encoders(path)
    assert config == CONFIG
    assert list(loaded) == list(encoders)
    assert list(tmp_path.iterdir()) == [path]
    for name, encoder in encoders.items():
        before, after = (extract([e], clips, lambda _: view) for e in (encoder, loaded[name]))
        assert torch.equal(before, after)
        assert not loaded[name].training


def test_loading_leaves_the_global_generator_alone(small_layout: SkeletonLayout, tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    save_encoders(path, {"seq": Encoder("seq", CONFIG, small_layout, 2)}, CONFIG, small_layout, 2)
    before = torch.get_rng_state()
    load_encoders(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_missing_file_is_the_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match="no weights at"):
        load_encoders(tmp_path / "none.safetensors")


def test_a_foreign_file_is_the_users_mistake(tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"not weights at all")
    with pytest.raises(UserError, match=r"weights\.safetensors.* holds no weights"):
        load_encoders(path)
