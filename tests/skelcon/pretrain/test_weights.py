import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

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
from skelcon.pretrain.weights import load_encoder, load_encoders, save_encoders

CONFIG = EncodersConfig(
    img=HCNConfig(channels=4, cooccurrence=16, input_norm=True),
    stg=AGCNConfig(channels=(8,), strides=(2,)),
    seq=BiGRUConfig(hidden=8, layers=2, stepwise=True),
    frames=16,
    orientation="median",
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
        assert loaded[name].orientation == "median"


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
    with pytest.raises(UserError, match=r"weights\.safetensors.* is not a weights file"):
        load_encoders(path)


@pytest.fixture
def saved(small_layout: SkeletonLayout, tmp_path: Path) -> dict[str, Encoder]:
    """What stands in ``tmp_path / "weights.safetensors"``."""
    torch.manual_seed(0)
    encoders = {name: Encoder(name, CONFIG, small_layout, 2) for name in ("img", "seq")}
    save_encoders(tmp_path / "weights.safetensors", encoders, CONFIG, small_layout, 2)
    return encoders


@pytest.mark.parametrize("name", ["img", "seq"])
@pytest.mark.parametrize("file", ["", "weights.safetensors"])
def test_one_encoder_by_name_from_a_file_or_its_directory(
    name: str, file: str, saved: dict[str, Encoder], small_layout: SkeletonLayout, tmp_path: Path
):
    encoder = load_encoder(str(tmp_path / file), name)
    assert (encoder.representation, encoder.frames, encoder.bodies) == (name, 16, 2)
    assert encoder.layout == small_layout
    assert not encoder.training
    state = encoder.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in saved[name].state_dict().items())


def test_a_single_encoder_needs_no_name(small_layout: SkeletonLayout, tmp_path: Path):
    path = tmp_path / "other.safetensors"
    save_encoders(path, {"seq": Encoder("seq", CONFIG, small_layout, 2)}, CONFIG, small_layout, 2)
    assert load_encoder(path).representation == "seq"
    with pytest.raises(UserError, match="holds no representation 'sqe': did you mean 'seq'"):
        load_encoder(path, "sqe")
    with pytest.raises(UserError, match=r"no weights at '.*weights\.safetensors'"):
        load_encoder(tmp_path)


@pytest.mark.usefixtures("saved")
def test_of_several_encoders_one_must_be_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"several representations: choose one of img, seq"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        "unknown setting",
        "no layout",
        "lost tensor",
        "wrong shape",
        "unknown kind of plug-in",
        "not an object",
    ],
)
@pytest.mark.usefixtures("saved")
def test_weights_that_do_not_fit_their_header_are_an_error(change: str, tmp_path: Path):
    path = tmp_path / "weights.safetensors"
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["skelcon"])
    tensors = load_file(path)
    if change == "unknown setting":
        header["encoders"]["seq"]["attention"] = 3
    elif change == "no layout":
        del header["layout"]
    elif change == "lost tensor":
        del tensors["seq.network.gru.bias_hh_l0"]
    elif change == "unknown kind of plug-in":
        header["plugins"] = [{"kind": "teacher", "name": "own", "version": "1", "module": "own"}]
    elif change == "not an object":
        header = [header]
    else:
        tensors["seq.network.gru.bias_hh_l0"] = torch.ones(2)
    save_file(tensors, path, {"skelcon": json.dumps(header)})
    with pytest.raises(UserError, match="that this version of skelcon cannot use") as caught:
        load_encoders(path)
    assert "\n" not in str(caught.value)
