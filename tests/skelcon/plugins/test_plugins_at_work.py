"""Components from outside the package at work: views, encoders, training, weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plugin_helpers import PLUGIN, REGISTRIES, SMALL, pretrain
from torch import Tensor, nn

import skelcon
from skelcon.augment import AugmentConfig, augmented_view
from skelcon.contrast import pairings
from skelcon.data import ClipBank, SkeletonLayout
from skelcon.downstream import extract
from skelcon.encoders import ENCODERS, REPRESENTATION_PLUGINS, Encoder, EncodersConfig
from skelcon.errors import UserError
from skelcon.plugins import load_plugins
from skelcon.pretrain import PretrainConfig, Pretraining
from skelcon.pretrain.weights import load_encoders, save_encoders

# -- views, encoders, training -------------------------------------------------------------


def test_registered_augmentations_follow_the_built_in_ones_in_the_order_of_use(
    small_bank: ClipBank,
):
    def add(view: Tensor, generator: torch.Generator) -> Tensor:
        return view + 1

    def double(view: Tensor, generator: torch.Generator, by: int = 2) -> Tensor:
        return view * by

    skelcon.register_augmentation("add", version=1)(add)
    skelcon.register_augmentation("double", version=1)(double)
    clips = torch.arange(6)

    def view(*use: str) -> Tensor:
        config = AugmentConfig(use=use, custom={"double": {"by": 3}})
        return augmented_view(small_bank, clips, config, 8, torch.Generator().manual_seed(5))

    plain = view("crop", "jitter")
    assert torch.equal(view("add", "double", "crop", "jitter"), (plain + 1) * 3)
    assert torch.equal(view("jitter", "crop", "double", "add"), plain * 3 + 1)


@pytest.mark.parametrize(
    ("function", "got"),
    [
        (lambda view, generator: view[:, :1], r"a \(6, 1, 8, 20, 3\) torch.float32 tensor on cpu"),
        (
            lambda view, generator: view.double(),
            r"a \(6, 2, 8, 20, 3\) torch.float64 tensor on cpu",
        ),
        (lambda view, generator: None, "NoneType"),
    ],
)
def test_an_augmentation_that_does_not_return_a_view(small_bank: ClipBank, function: Any, got: str):
    skelcon.register_augmentation("wrong", version=1)(function)
    with pytest.raises(UserError, match=f"augmentation 'wrong' returned {got}, not a "):
        augmented_view(
            small_bank, torch.arange(6), AugmentConfig(use=("wrong",)), 8, torch.Generator()
        )


@pytest.mark.parametrize(
    "factory",
    [lambda layout, bodies, frames: nn.Identity(), lambda layout, bodies, frames: None],
    ids=["no feature_size", "no module"],
)
def test_a_factory_that_makes_no_encoder(small_layout: SkeletonLayout, factory: Any):
    skelcon.register_encoder("wrong", version=1)(factory)
    config = EncodersConfig.model_validate({"custom": {"seq": {"encoder": "wrong"}}})
    with pytest.raises(UserError, match="encoder 'wrong' is not a torch module with an int"):
        Encoder("seq", config, small_layout, 2)


def test_features_of_another_size_and_a_representation_of_other_clips(
    small_layout: SkeletonLayout,
):
    class Wrong(nn.Module):
        feature_size = 3

        def __init__(self, layout: SkeletonLayout, bodies: int, frames: int) -> None:
            super().__init__()

        def forward(self, x: Tensor) -> Tensor:
            return x.new_zeros(len(x), 4)

    skelcon.register_encoder("wrong", version=1)(Wrong)
    skelcon.register_representation("turned", version=1, encoder="wrong")(lambda view: view[0])
    config = EncodersConfig.model_validate({"custom": {"seq": {"encoder": "wrong"}}})
    view = torch.zeros(5, 2, 16, 20, 3)
    with pytest.raises(UserError, match=r"'wrong' returned features of shape \(5, 4\)"):
        Encoder("seq", config, small_layout, 2)(view)
    with pytest.raises(UserError, match=r"'turned' returned \(2, 16, 20, 3\), not .* of 5 clips"):
        Encoder("turned", config, small_layout, 2)(view)


def trained(bank: ClipBank, layout: SkeletonLayout, config: PretrainConfig) -> Pretraining:
    training = Pretraining(bank, np.arange(len(bank.lengths)), layout, config, seed=3)
    while not training.done:
        assert np.isfinite(training.run_epoch().loss)
    return training


@pytest.mark.parametrize("name", ["stgcn", "ctrgcn", "transformer", "stream"])
def test_a_representation_may_be_called_as_a_built_in_encoder(
    small_bank: ClipBank, small_layout: SkeletonLayout, name: str
):
    def sequence(view: Tensor) -> Tensor:
        return view.permute(0, 2, 3, 4, 1).flatten(2)

    skelcon.register_representation(name, version=1, encoder="bigru")(sequence)
    config = pretrain(representations=["seq", name], epochs=1)
    encoders = config.resolved()["encoders"]
    own = {"encoder": "bigru", "options": encoders["seq"], "representation_version": "1"}
    assert encoders["custom"] == {name: own}
    assert PretrainConfig.model_validate(config.resolved()).resolved() == config.resolved()
    training = trained(small_bank, small_layout, config)
    assert training.contrast.encoder(name).feature_size == 16


def custom_config() -> PretrainConfig:
    custom = {
        "motion": {"encoder": "mean-net", "options": {"width": 6}},
        "stg": {"encoder": "hcn", "options": {"channels": 4, "cooccurrence": 16}},
    }
    return pretrain(
        augment={"use": ["crop", "mirror"]},
        representations=["motion", "stg", "seq"],
        encoders={**SMALL["encoders"], "custom": custom},
    )


def test_a_pretraining_with_custom_components_trains_them_and_gives_the_same_bits_again(
    loaded: Path, small_bank: ClipBank, small_layout: SkeletonLayout
):
    config = custom_config()
    start = Pretraining(small_bank, np.arange(24), small_layout, config, seed=3)
    assert start.contrast.pairs == pairings(["stg", "seq", "motion"])
    first, second = (trained(small_bank, small_layout, config) for _ in range(2))
    before = dict(start.contrast.named_parameters())
    same = dict(second.contrast.named_parameters())
    moved = set()
    for name, value in first.contrast.named_parameters():
        assert torch.equal(value, same[name]), name
        if not torch.equal(value, before[name]):
            moved.add(name)
    assert "branches.motion.query.0.network.linear.weight" in moved
    assert "branches.stg.query.0.network.conv5.weight" in moved
    assert first.contrast.encoder("motion").feature_size == 6


def test_an_option_of_a_custom_augmentation_changes_the_training(
    loaded: Path, small_bank: ClipBank, small_layout: SkeletonLayout
):
    losses = []
    for p in (0.0, 1.0):
        config = pretrain(augment={"use": ["mirror"], "custom": {"mirror": {"p": p}}}, epochs=1)
        training = Pretraining(small_bank, np.arange(24), small_layout, config, seed=3)
        losses.append(training.run_epoch().loss)
    assert losses[0] != losses[1]


# -- weights -------------------------------------------------------------------------------


@pytest.fixture
def weights(
    loaded: Path, small_bank: ClipBank, small_layout: SkeletonLayout, tmp_path: Path
) -> tuple[Path, Pretraining]:
    training = trained(small_bank, small_layout, custom_config())
    path = tmp_path / "weights.safetensors"
    encoders = {name: training.contrast.encoder(name) for name in ("stg", "seq", "motion")}
    save_encoders(path, encoders, training.config.encoders, small_layout, 2)
    return path, training


def test_weights_of_custom_components_give_the_same_features(
    weights: tuple[Path, Pretraining], small_bank: ClipBank
):
    path, training = weights
    encoders, config = load_encoders(path)
    assert list(encoders) == ["stg", "seq", "motion"]
    assert config.resolved(list(encoders)) == training.config.encoders.resolved(list(encoders))
    clips = torch.arange(24)
    for name, encoder in encoders.items():
        before, after = (
            extract(
                [e], clips, lambda some: small_bank.frames(some, torch.zeros(len(some), 16).long())
            )
            for e in (training.contrast.encoder(name), encoder)
        )
        assert torch.equal(before, after)
        assert before.std() > 0


def test_weights_without_their_plugin_say_which_is_missing_and_load_nothing(
    weights: tuple[Path, Pretraining], monkeypatch: pytest.MonkeyPatch
):
    path, _ = weights
    monkeypatch.setattr(ENCODERS, "_registered", {})
    with pytest.raises(UserError) as caught:
        load_encoders(path)
    text = str(caught.value)
    assert "needs the encoder 'mean-net', version 2, which no loaded plugin registers" in text
    assert "--plugin my_plugin" in text
    assert "\n" not in text
    monkeypatch.setattr(REPRESENTATION_PLUGINS, "_registered", {})
    with pytest.raises(UserError, match="needs the representation 'motion', version 1"):
        load_encoders(path)


def test_weights_of_another_version_are_refused(
    weights: tuple[Path, Pretraining], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    path, _ = weights
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_registered", {})
    newer = tmp_path / "newer_plugin.py"
    newer.write_text(PLUGIN.replace('"mean-net", version="2"', '"mean-net", version="5"'))
    load_plugins([str(newer)])
    with pytest.raises(
        UserError, match="made with version 2 of the encoder 'mean-net', but version 5 is loaded"
    ):
        load_encoders(path)


def test_weights_without_custom_components_need_no_plugin(
    small_layout: SkeletonLayout, tmp_path: Path
):
    from safetensors import safe_open

    path = tmp_path / "weights.safetensors"
    config = EncodersConfig.model_validate(SMALL["encoders"])
    save_encoders(path, {"seq": Encoder("seq", config, small_layout, 2)}, config, small_layout, 2)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["skelcon"])
    assert set(header) == {"representations", "encoders", "layout", "bodies"}
    assert header["encoders"] == config.model_dump(mode="json", exclude={"custom"})
